//! The last chunk of a lane grows while nobody outside has seen it.

use super::*;

fn ranges(bench: &Bench, lane: Lane) -> Vec<(u64, u64)> {
    let offer = bench.offer(EVERYTHING);
    let batches = offer.batches.iter().filter(|batch| batch.lane == lane);
    batches.flat_map(|batch| batch.chunks.iter().map(|chunk| chunk.range.into())).collect()
}

#[test]
fn small_groups_share_a_chunk_until_it_is_offered() {
    let bench = Bench::new();
    for n in 0..3 {
        bench.append(Lane::Telemetry, signals(n * 100, 2)).expect("kept");
        bench.append(Lane::Event, ignition(n)).expect("kept");
    }
    assert_eq!((ranges(&bench, Lane::Telemetry), ranges(&bench, Lane::Event)), (vec![(1, 6)], vec![(1, 3)]));
    let before = bench.offer(EVERYTHING);
    bench.append(Lane::Telemetry, signals(0, 2)).expect("kept");
    let after = bench.offer(EVERYTHING);
    assert_eq!(after.batches[1].chunks[0], before.batches[1].chunks[0], "its bytes do not change any more");
    assert_eq!(ranges(&bench, Lane::Telemetry), [(1, 6), (7, 8)]);
}

#[test]
fn a_chunk_that_grew_holds_the_records_in_their_order() {
    let bench = Bench::new();
    let records = signals(0, 50);
    for record in &records {
        bench.append(Lane::Telemetry, vec![record.clone()]).expect("kept");
    }
    let chunk = &bench.offer(EVERYTHING).batches[0].chunks[0];
    assert_eq!(chunk.open(), Ok(ChunkBody::Records { boot_id: BOOT, records }));
    let lane = bench.measure().lanes[2];
    assert_eq!((lane.waiting, lane.waiting_bytes, lane.last_sequence), (50, chunk.body.len() as u64, 50));
}

#[test]
fn another_boot_and_another_process_begin_a_chunk_of_their_own() {
    let mut bench = Bench::new();
    bench.append(Lane::Event, ignition(0)).expect("kept");
    bench.runtime.block_on(bench.spool.append(Lane::Event, BootId([8; 16]), ignition(1))).expect("kept");
    bench.reopen();
    bench.append(Lane::Event, ignition(2)).expect("kept");
    assert_eq!(ranges(&bench, Lane::Event), [(1, 1), (2, 2), (3, 3)]);
}

#[test]
fn a_chunk_is_full_after_so_many_records() {
    let bench = Bench::new();
    bench.append(Lane::Telemetry, signals(0, 1)).expect("kept");
    bench.append(Lane::Telemetry, signals(0, 1_500)).expect("kept");
    assert_eq!(ranges(&bench, Lane::Telemetry), [(1, 600), (601, 1_200), (1_201, 1_501)]);
}

#[test]
fn after_a_failure_the_chunk_stays_as_the_file_has_it() {
    let bench = Bench::with_quota(64 * 1024);
    bench.append(Lane::Event, ignition(0)).expect("kept");
    bench.spool.keep_free(u64::MAX);
    let photo = bench.runtime.block_on(bench.spool.append(Lane::Event, BOOT, signals(0, 3)));
    assert!(matches!(photo, Err(SpoolError::Full(_))), "the only chunk is no room for three records and its own gap");
    bench.spool.keep_free(0);
    bench.append(Lane::Event, ignition(1)).expect("kept");
    assert_eq!(ranges(&bench, Lane::Event), [(1, 1), (2, 4), (5, 5)]);
    assert_eq!(gaps(&bench.offer(EVERYTHING))[0].0, range(2, 4));
}

#[test]
fn a_receipt_for_a_chunk_that_still_grew_ends_it() {
    let bench = Bench::new();
    bench.append(Lane::Event, ignition(0)).expect("kept");
    assert_eq!(bench.settle(Lane::Event, 1, Vec::new(), Vec::new()).settled, 1);
    bench.append(Lane::Event, ignition(1)).expect("kept");
    assert_eq!(ranges(&bench, Lane::Event), [(2, 2)]);
    assert_eq!(bench.measure().lanes[1].waiting, 1);
}
