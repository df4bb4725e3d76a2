//! A spool that is full.

use super::*;

/// Takes everything out, as the gateway would; gives the sequences that came as records, and those that were counted lost.
fn drain(bench: &Bench, lane: Lane) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let (mut delivered, mut lost) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let offer = bench.offer(ALL);
        if offer.batches.is_empty() {
            return (delivered, lost);
        }
        for batch in &offer.batches {
            for chunk in batch.chunks.iter().filter(|_| batch.lane == lane) {
                let kept: BTreeSet<u64> =
                    chunk.open().expect("opens").into_numbered(chunk.range).into_iter().map(|(n, _)| n).collect();
                lost.extend((chunk.range.first()..=chunk.range.last()).filter(|n| !kept.contains(n)));
                delivered.extend(kept);
            }
            bench.settle(batch.lane, 0, batch.chunks.iter().map(|chunk| chunk.range).collect(), Vec::new());
        }
    }
}

/// Appends until so much of the quota is used.
fn fill(bench: &Bench, lane: Lane, quota_bytes: u64) {
    let mut appends = 0;
    while bench.measure().disk_bytes + 32 * 1024 < quota_bytes {
        bench.append(lane, signals(appends * 1_000, 300)).expect("kept");
        appends += 1;
        assert!(appends < 10_000, "the quota is never reached");
    }
}

/// What the oldest chunk has become, now that 64 KiB of bodies, or so, came to a spool that was nearly full.
fn oldest_after_overflow(bench: &Bench) -> ChunkBody {
    for n in 0..60 {
        bench.append(Lane::Telemetry, signals(n * 1_000, 300)).expect("kept");
    }
    bench.offer(EVERYTHING).batches[0].chunks[0].open().expect("opens")
}

fn chunk_ranges(bench: &Bench, lane: Lane) -> Vec<SequenceRange> {
    let offer = bench.offer(EVERYTHING);
    let batches = offer.batches.iter().filter(|batch| batch.lane == lane);
    batches.flat_map(|batch| batch.chunks.iter().map(|chunk| chunk.range)).collect()
}

#[test]
fn a_full_spool_thins_then_drops_old_telemetry_says_so_and_drains() {
    let bench = Bench::with_quota(400 * 1024);
    for n in 0..120 {
        bench.append(Lane::Telemetry, signals(n * 1_000, 300)).expect("kept");
    }
    bench.append(Lane::Event, ignition(0)).expect("events still fit");
    bench.capture("c1", ActionKind::Arrived).expect("evidence still fits");
    assert!(bench.measure().disk_bytes <= 400 * 1024 + 64 * 1024, "{}", bench.measure().disk_bytes);
    let (delivered, lost) = drain(&bench, Lane::Telemetry);
    assert_eq!(delivered.union(&lost).copied().collect::<BTreeSet<_>>(), (1..=36_000).collect());
    assert_eq!(delivered.intersection(&lost).count(), 0);
    assert!(!delivered.is_empty() && !lost.is_empty(), "{} {}", delivered.len(), lost.len());
    assert_eq!(bench.measure().lanes.iter().map(|lane| (lane.waiting, lane.waiting_bytes)).max(), Some((0, 0)));
    bench.append(Lane::Telemetry, signals(0, 300)).expect("works again after having been full");
}

#[test]
fn what_was_never_offered_is_thinned_before_anything_is_dropped() {
    let bench = Bench::with_quota(400 * 1024);
    fill(&bench, Lane::Telemetry, 400 * 1024);
    bench.append(Lane::Telemetry, signals(0, 600)).expect("kept");
    let ChunkBody::Thinned { kept, .. } = oldest_after_overflow(&bench) else { panic!("the oldest is thinned first") };
    let kept: Vec<Record> = kept.into_iter().map(|(_, record)| record).collect();
    // The first chunk was shared by two appends.
    let all: Vec<Record> = signals(0, 300).into_iter().chain(signals(1_000, 300)).collect();
    assert!(kept.len() < all.len() && kept.iter().all(|record| all.contains(record)), "{}", kept.len());
    assert_eq!((kept.first(), extremes(&kept)), (all.first(), extremes(&all)), "with its extremes");
    let offer = bench.offer(EVERYTHING);
    let last = offer.batches.last().and_then(|batch| batch.chunks.last()).expect("a chunk");
    assert!(matches!(last.open(), Ok(ChunkBody::Records { .. })), "the newest is whole");
    assert_eq!(gaps(&offer), []);
}

/// The smallest and the largest value.
fn extremes(records: &[Record]) -> Option<(f64, f64)> {
    let values = records.iter().filter_map(|record| match &record.reading {
        Reading::Signal(signal) => Some((signal.value, signal.value)),
        _ => None,
    });
    values.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

#[test]
fn what_was_offered_is_dropped_but_never_changed() {
    let bench = Bench::with_quota(400 * 1024);
    fill(&bench, Lane::Telemetry, 400 * 1024);
    let before = bench.offer(EVERYTHING);
    oldest_after_overflow(&bench);
    for chunk in bench.offer(EVERYTHING).batches.iter().flat_map(|batch| &batch.chunks) {
        let was_offered = chunk.range.first() <= before.batches[0].chunks.last().expect("one").range.last();
        let is_gap = matches!(chunk.open(), Ok(ChunkBody::Gap(_)));
        assert!(!was_offered || is_gap || before.batches[0].chunks.contains(chunk), "{}", chunk.range);
    }
}

#[test]
fn a_farewell_lets_the_next_start_thin_what_was_never_offered() {
    let oldest = |says_farewell: bool, offers_after: bool| {
        let mut bench = Bench::with_quota(400 * 1024);
        fill(&bench, Lane::Telemetry, 400 * 1024);
        if says_farewell {
            bench.runtime.block_on(bench.spool.farewell()).expect("noted");
        }
        if offers_after {
            bench.offer(EVERYTHING);
        }
        bench.reopen_with_quota(400 * 1024);
        oldest_after_overflow(&bench)
    };
    assert!(matches!(oldest(true, false), ChunkBody::Thinned { .. }));
    assert!(!matches!(oldest(false, false), ChunkBody::Thinned { .. }), "nobody knows what was offered");
    assert!(!matches!(oldest(true, true), ChunkBody::Thinned { .. }), "the note was taken back");
}

#[test]
fn gaps_next_to_each_other_are_one_until_they_are_offered() {
    let bench = Bench::with_quota(200 * 1024);
    for n in 0..200 {
        bench.append(Lane::Event, signals(n * 1_000, 300)).expect("kept");
    }
    let first = gaps(&bench.offer(EVERYTHING));
    assert_eq!((first.len(), first[0].0.first()), (1, 1));
    for n in 0..200 {
        bench.append(Lane::Event, signals(n * 1_000, 300)).expect("kept");
    }
    let second = gaps(&bench.offer(EVERYTHING));
    assert_eq!((second.len(), &second[0]), (2, &first[0]), "the first stays what it was when it was offered");
    let ranges = chunk_ranges(&bench, Lane::Event);
    assert!(ranges.is_sorted_by(|a, b| a.last() + 1 == b.first()), "{ranges:?}");
    assert_eq!(ranges.last().map(|range| range.last()), Some(120_000));
}

#[test]
fn with_too_little_free_on_the_disk_the_file_does_not_grow() {
    let mut bench = Bench::new();
    fill(&bench, Lane::Telemetry, 3 * 1024 * 1024);
    let path = bench.folder.path().join("spool.db");
    let length_when_closed = |bench: &mut Bench| {
        close(std::mem::replace(&mut bench.spool, Spool::closed()), bench.folder.path());
        let length = std::fs::metadata(&path).expect("the file").len();
        bench.reopen();
        // No disk is ever that free.
        bench.spool.keep_free(u64::MAX);
        length
    };
    let before = length_when_closed(&mut bench);
    let appended = bench.measure().lanes[2].last_sequence + 400 * 300;
    for n in 0..400 {
        bench.append(Lane::Telemetry, signals(n * 1_000, 300)).expect("kept");
    }
    let measure = bench.measure();
    assert_eq!((measure.free_bytes_min, measure.lanes[2].last_sequence), (u64::MAX, appended));
    assert!(measure.free_bytes.is_some_and(|free| free > 0));
    assert_eq!(length_when_closed(&mut bench), before, "room was made inside");
    let (delivered, lost) = drain(&bench, Lane::Telemetry);
    assert_eq!((delivered.len() + lost.len()) as u64, appended);
}

#[test]
fn an_empty_spool_on_a_disk_with_too_little_free_takes_nothing() {
    let bench = Bench::new();
    bench.spool.keep_free(u64::MAX);
    let error = bench.append(Lane::Event, ignition(0)).expect_err("full");
    assert!(matches!(&error, SpoolError::Full(why) if why.contains("free on its disk")), "{error}");
    bench.spool.keep_free(0);
    bench.append(Lane::Event, ignition(0)).expect("kept");
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
    let (delivered, lost) = drain(&bench, Lane::Evidence);
    assert_eq!((delivered, lost), ((1..=accepted).collect(), BTreeSet::new()));
    bench.capture("after", ActionKind::Arrived).expect("accepted again once drained");
}

#[test]
fn evidence_takes_the_place_of_all_telemetry_and_events_and_drains_from_full() {
    let bench = Bench::with_quota(200 * 1024);
    bench.append(Lane::Telemetry, signals(0, 1_000)).expect("kept");
    bench.append(Lane::Event, signals(0, 500)).expect("kept");
    let mut accepted = 0;
    while let (key, record) = did(&format!("c{accepted}"), ActionKind::Arrived)
        && bench.runtime.block_on(bench.spool.capture(key, BOOT, record)).is_ok()
    {
        accepted += 1;
        assert!(accepted < 5_000, "the quota never bites");
    }
    let offer = bench.offer(EVERYTHING);
    let lost: u64 = gaps(&offer).iter().map(|(range, _)| range.count()).sum();
    assert_eq!(lost, 1_500, "all of it went before evidence was refused");
    let (delivered, _) = drain(&bench, Lane::Evidence);
    assert_eq!(delivered, (1..=accepted).collect());
    bench.append(Lane::Telemetry, signals(0, 300)).expect("works again after having been full");
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
