//! What was recorded before anybody knew the time counts once somebody does, whatever arrives first.

use milepost_proto::TimeSource;
use milepost_proto::reading::Health;

use super::*;

/// The drive as a device records it whose clock was never set: times count from its boot.
fn undated_drive() -> Vec<ArrivedChunk> {
    let away_e7 = |step: i64| (60 - step).max(step - 180).max(0) * 5_000;
    let fixes: Vec<Record> = (0..240)
        .map(|step| {
            let lat_e7 = i32::try_from(470_000_000 + away_e7(step)).expect("fits");
            let dated = fix(step * 5, lat_e7, if away_e7(step) > 0 { 1100 } else { 0 });
            Record { monotonic_ms: (step * 5_000).unsigned_abs(), ..dated }
        })
        .collect();
    let firsts = (0..).map(|index| index * RECORDS_PER_CHUNK as u64 + 1);
    firsts.zip(fixes.chunks(RECORDS_PER_CHUNK)).map(|(first, chunk)| sealed(Lane::Telemetry, first, chunk)).collect()
}

/// Twenty minutes after the boot a receiver gave the time.
fn clock_set(boot_id: BootId) -> ArrivedChunk {
    let utc = Timestamp::from_millis((START_S + 1_200) * 1_000);
    let health =
        Health::ClockSet { monotonic_ms: 1_200_000, utc, source: TimeSource::Gnss, error_ms: 1_000, before: None };
    let record = record(START_S + 1_200, Reading::Health(health));
    let Chunk { range, checksum, body } = Chunk::seal(1, boot_id, vec![record]).expect("sealed");
    let content = Content { boot_id, event_times: [utc, utc], age_ms: None, seal: SealState::None, chain: None };
    ArrivedChunk { lane: Lane::Event, history: false, range, checksum, body, content: Some(content), loss: None }
}

#[tokio::test]
async fn a_clock_set_before_between_or_after_dates_its_boot_alike() {
    let dated = Yard::new().await;
    dated.arrive(drive(), None).await;
    dated.fold().await;
    let expected = dated.standing().await;
    assert!(expected.len() >= 2, "{expected:?}");
    for place in 0..=undated_drive().len() {
        let yard = Yard::new().await;
        let mut chunks = undated_drive();
        chunks.insert(place, clock_set(BootId([2; 16])));
        for chunk in chunks {
            yard.arrive(vec![chunk.clone()], None).await;
            yard.fold().await;
            yard.arrive(vec![chunk], None).await;
        }
        yard.fold().await;
        assert_eq!(yard.standing().await, expected, "set in place {place}");
    }
}

#[tokio::test]
async fn what_nobody_dates_is_kept_and_tells_nothing() {
    let yard = Yard::new().await;
    yard.arrive(undated_drive(), None).await;
    // Another boot's clock says nothing of this one.
    yard.arrive(vec![clock_set(BootId([3; 16]))], Some(Timestamp::MAX)).await;
    yard.fold().await;
    assert_eq!(yard.standing().await, []);
    assert_eq!(yard.texts("SELECT kind FROM exception_case").await, ["undated"]);
    assert_eq!(yard.texts("SELECT CAST(count(*) AS TEXT) FROM journal").await, ["13"]);
    assert!(yard.metrics.text().contains("record_times_total{kind=\"undated\"} 240"), "{}", yard.metrics.text());
}
