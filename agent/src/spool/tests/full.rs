//! A spool that is full.

use super::*;

#[test]
fn a_full_spool_drops_old_telemetry_says_so_and_drains() {
    let bench = Bench::with_quota(400 * 1024);
    for n in 0..60 {
        bench.append(Lane::Telemetry, signals(n * 1_000, 300)).expect("kept");
    }
    bench.append(Lane::Event, ignition(0)).expect("events still fit");
    bench.capture("c1", ActionKind::Arrived).expect("evidence still fits");
    let mut found = BTreeSet::new();
    let mut evicted = 0;
    loop {
        let offer = bench.offer(ALL);
        if offer.batches.is_empty() {
            break;
        }
        evicted += gaps(&offer).iter().map(|(range, _)| range.count()).sum::<u64>();
        for batch in &offer.batches {
            let ranges: Vec<_> = batch.chunks.iter().map(|chunk| chunk.range).collect();
            found.extend(sequences(&offer, Lane::Telemetry));
            bench.settle(batch.lane, 0, ranges, Vec::new());
        }
    }
    assert_eq!(found, (1..=18_000).collect(), "every sequence arrives, as a record or in a gap");
    assert!(evicted > 0 && evicted < 18_000, "{evicted}");
    assert_eq!(bench.measure().lanes.iter().map(|lane| (lane.waiting, lane.waiting_bytes)).max(), Some((0, 0)));
    bench.append(Lane::Telemetry, signals(0, 300)).expect("works again after having been full");
}

#[test]
fn a_spool_full_of_evidence_refuses_more_and_keeps_what_it_has() {
    let bench = Bench::with_quota(96 * 1024);
    let mut accepted = 0;
    let error = loop {
        let action = DriverAction {
            client_ref: format!("c{accepted}"),
            action: ActionKind::TripStarted,
            stop: None,
            at: None,
            driver: Some("x".repeat(2_000)),
        };
        let key = CaptureKey::of(&DriverCapture::Action(Box::new(action.clone())));
        let record = record(0, Reading::DriverAction(Box::new(action)));
        match bench.runtime.block_on(bench.spool.capture(key, BOOT, record)) {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 1_000, "the quota never bites");
    };
    assert!(matches!(error, SpoolError::Full(_)), "{error}");
    assert_eq!(bench.measure().lanes[0].waiting, accepted);
}

#[test]
fn records_that_did_not_fit_appear_as_a_gap_of_their_lane_once_there_is_room() {
    let bench = Bench::with_quota(96 * 1024);
    let photo = vec![7; 128 * 1024];
    let sha256 = Sha256::of(&photo);
    bench.part(sha256, 0, &photo, None).expect("fits, and fills the quota");
    for lane in [Lane::Event, Lane::Telemetry] {
        let error = bench.append(lane, signals(0, 5)).expect_err("full");
        assert!(matches!(error, SpoolError::Full(_)), "{error}");
    }
    let held = vec![BlobState { sha256, held: photo.len() as u64, complete: true }];
    bench.runtime.block_on(bench.spool.settle(Vec::new(), held)).expect("works");
    for lane in [Lane::Event, Lane::Telemetry] {
        bench.append(lane, signals(0, 2)).expect("fits again");
        assert_eq!(bench.offered(lane), (1..=7).collect::<Vec<_>>());
    }
    let ranges: Vec<_> = gaps(&bench.offer(ALL)).into_iter().map(|(range, gap)| (range, gap.reason)).collect();
    assert_eq!(ranges, [(range(1, 5), GapReason::Evicted), (range(1, 5), GapReason::Evicted)]);
}

#[test]
fn telemetry_that_does_not_fit_is_refused_and_nothing_is_half_written() {
    let bench = Bench::with_quota(4 * 1024);
    let error = bench.append(Lane::Telemetry, signals(0, 5)).expect_err("not even the tables fit");
    assert!(matches!(error, SpoolError::Full(_)), "{error}");
    assert_eq!(bench.measure().lanes[2].last_sequence, 0, "nothing was half written");
}
