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
    let refused = bench.runtime.block_on(bench.spool.append(Lane::Event, BOOT, signals(0, 3)));
    assert!(matches!(refused, Err(SpoolError::Full(_))), "no disk is ever that free");
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

/// A spool without a thread, so that the test can reach its connection.
fn by_hand(folder: &Path) -> Spool {
    let options = SpoolOptions {
        path: &folder.join("spool.db"),
        quota_bytes: QUOTA,
        boot_id: BOOT,
        fresh_spool_id: SpoolId([1; 16]),
        signer: Box::new(|_| Ok(Vec::new())),
    };
    Spool::open_without_thread(options).expect("opens").0
}

fn set_pages_max(spool: &Spool, pages: i64) {
    let Writer::Caller(ledger) = &spool.writer else { panic!("a thread") };
    let ledger = ledger.lock().expect("not poisoned");
    let pages_max = ledger.connection.pragma_update_and_check(None, "max_page_count", pages, |row| row.get(0));
    // SQLite takes no fewer than there are.
    pages_max.map(|_: i64| ()).expect("set");
}

#[test]
fn a_group_in_which_the_disk_fills_is_refused_whole_and_counted_once() {
    let folder = tempfile::tempdir().expect("folder");
    let spool = by_hand(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    runtime.block_on(spool.append(Lane::Telemetry, BOOT, signals(0, 5))).expect("kept");
    set_pages_max(&spool, 1);
    let (commands, answers): (Vec<_>, Vec<_>) = [1, 300, 1]
        .map(|count| {
            let (reply, answer) = oneshot::channel();
            (Command::Append { lane: Lane::Telemetry, boot_id: BOOT, records: signals(0, count), reply }, answer)
        })
        .into_iter()
        .unzip();
    let Writer::Caller(ledger) = &spool.writer else { panic!("a thread") };
    ledger.lock().expect("not poisoned").commit(commands.into_iter());
    for answer in answers {
        let result = answer.blocking_recv().expect("answered");
        assert!(matches!(result, Err(SpoolError::Full(_))), "{result:?}");
    }
    set_pages_max(&spool, 1_000_000);
    runtime.block_on(spool.append(Lane::Telemetry, BOOT, signals(0, 2))).expect("kept again");
    let offer = runtime.block_on(spool.offer(EVERYTHING)).expect("offered");
    let lost: Vec<_> = gaps(&offer).into_iter().map(|(range, _)| range).collect();
    assert_eq!(lost, [range(6, 307)], "each record of the group once, and none of them is there as well");
    assert_eq!(sequences(&offer, Lane::Telemetry), (1..=309).collect::<Vec<_>>());
}

#[test]
fn a_disk_that_fills_in_the_middle_of_growing_loses_nothing_that_was_kept() {
    let folder = tempfile::tempdir().expect("folder");
    let spool = by_hand(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let append = |records| runtime.block_on(spool.append(Lane::Telemetry, BOOT, records));
    append(signals(0, 5)).expect("kept");
    set_pages_max(&spool, 1);
    let mut kept = 5;
    let error = loop {
        match append(signals(kept, 5)) {
            Ok(()) => kept += 5,
            Err(error) => break error,
        }
        assert!(kept < 1_000, "the disk never fills");
    };
    assert!(matches!(error, SpoolError::Full(_)), "{error}");
    append(signals(0, 7)).expect_err("still full");
    set_pages_max(&spool, 1_000_000);
    append(signals(kept, 5)).expect("kept again");
    let offer = runtime.block_on(spool.offer(EVERYTHING)).expect("offered");
    let lost: Vec<_> = gaps(&offer).into_iter().map(|(range, _)| range).collect();
    let last = u64::try_from(kept).expect("positive");
    assert_eq!(lost, [range(last + 1, last + 12)], "the five and the seven");
    let chunks = offer.batches.iter().flat_map(|batch| &batch.chunks);
    let records: Vec<Record> = chunks
        .flat_map(|chunk| chunk.open().expect("opens").into_numbered(chunk.range))
        .map(|(_, record)| record)
        .collect();
    let expected: Vec<Record> = (0..kept / 5).map(|n| n * 5).chain([kept]).flat_map(|from| signals(from, 5)).collect();
    assert_eq!(records, expected);
    assert_eq!(sequences(&offer, Lane::Telemetry), (1..=last + 17).collect::<Vec<_>>());
}
