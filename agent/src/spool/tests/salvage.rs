//! What comes of files that were damaged.

use super::*;

const PAGE: usize = 1024;

/// A spool with something of everything, closed; its id is that of [`Bench::new`].
fn closed_spool() -> (TempDir, SpoolId) {
    let mut bench = Bench::new();
    for n in 0..8 {
        bench.append(Lane::Telemetry, signals(n * 600, 600)).expect("kept");
        bench.append(Lane::Event, ignition(n)).expect("kept");
    }
    bench.capture("c1", ActionKind::Arrived).expect("accepted");
    bench.capture("c2", ActionKind::Departed).expect("accepted");
    close(std::mem::replace(&mut bench.spool, Spool::closed()), bench.folder.path());
    let id = bench.opened.spool_id;
    (bench.folder, id)
}

/// Opens what is in `folder` after `change` was done to the file's bytes.
fn reopen(folder: TempDir, change: impl FnOnce(&mut Vec<u8>)) -> Bench {
    let path = folder.path().join("spool.db");
    let mut bytes = std::fs::read(&path).expect("the file");
    change(&mut bytes);
    std::fs::write(&path, bytes).expect("written");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (spool, opened) = open(folder.path(), QUOTA, 9);
    Bench { folder, runtime, spool, opened }
}

/// Everything salvaged, handed over and settled, as sequences by lane; the chunks must be those that were sealed.
fn hand_over(bench: &Bench, old: SpoolId) -> Vec<(Lane, u64)> {
    let mut sequences = Vec::new();
    while let Some(offer) = bench.runtime.block_on(bench.spool.offer_salvaged(4_096)).expect("the file works") {
        assert_eq!(offer.spool_id, old);
        for batch in offer.batches {
            for chunk in &batch.chunks {
                chunk.open().expect("a sealed chunk");
                sequences.extend((chunk.range.first()..=chunk.range.last()).map(|sequence| (batch.lane, sequence)));
            }
            let accepted = batch.chunks.iter().map(|chunk| chunk.range).collect();
            let receipt = Receipt { spool_id: old, lane: batch.lane, through: 0, accepted, refused: Vec::new() };
            let settled =
                bench.runtime.block_on(bench.spool.settle(vec![receipt], Vec::new())).expect("the file works");
            assert!(settled.settled > 0);
        }
    }
    sequences
}

fn of_lane(sequences: &[(Lane, u64)], lane: Lane) -> Vec<u64> {
    sequences.iter().filter(|(of, _)| *of == lane).map(|(_, sequence)| *sequence).collect()
}

#[test]
fn a_damaged_header_costs_nothing() {
    for damage in [0..16, 16..100, 0..PAGE] {
        let (folder, old) = closed_spool();
        let bench = reopen(folder, |bytes| bytes[damage.clone()].fill(0x5A));
        assert!(bench.opened.quarantined.is_some(), "{damage:?}");
        assert_eq!(bench.opened.spool_id, SpoolId([9; 16]));
        let handed_over = hand_over(&bench, old);
        assert_eq!(of_lane(&handed_over, Lane::Evidence), [1, 2], "{damage:?}");
        assert_eq!(of_lane(&handed_over, Lane::Event), (1..=8).collect::<Vec<_>>());
        assert_eq!(of_lane(&handed_over, Lane::Telemetry), (1..=4_800).collect::<Vec<_>>());
        let again = bench.capture("c1", ActionKind::Arrived).expect("no conflict");
        assert!(again.duplicate, "what was accepted stays accepted");
    }
}

#[test]
fn a_damaged_page_costs_at_most_what_lay_on_it() {
    let (closed, old) = closed_spool();
    let whole = std::fs::read(closed.path().join("spool.db")).expect("the file");
    let mut recovered_most = 0;
    for page in 1..whole.len() / PAGE {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("spool.db"), &whole).expect("written");
        std::fs::write(folder.path().join("spool.db.damaged"), "found damaged").expect("written");
        let bench = reopen(folder, |bytes| bytes[page * PAGE..(page + 1) * PAGE].fill(0xA5));
        let [salvage] = &bench.opened.salvaged[..] else { panic!("{:?}", bench.opened) };
        let handed_over = hand_over(&bench, old);
        assert_eq!(handed_over.len() as u64, salvage.records + salvage.damaged, "page {page}");
        recovered_most = recovered_most.max(handed_over.len());
    }
    assert_eq!(recovered_most, 4_810, "a page that holds no chunk costs none");
}

#[test]
fn a_body_that_is_not_the_sealed_one_becomes_a_gap() {
    let (folder, old) = closed_spool();
    let path = folder.path().join("spool.db");
    let connection = rusqlite::Connection::open(&path).expect("opens");
    connection
        .execute("UPDATE chunk SET checksum = checksum + 1 WHERE id = ?1", [lanes::chunk_id(Lane::Event, 1)])
        .expect("changed");
    drop(connection);
    std::fs::write(folder.path().join("spool.db.damaged"), "found damaged").expect("written");
    let bench = reopen(folder, |_| ());
    assert_eq!(bench.opened.salvaged[0].damaged, 8);
    assert_eq!(of_lane(&hand_over(&bench, old), Lane::Event), (1..=8).collect::<Vec<_>>());
}

#[test]
fn a_file_cut_short_gives_what_is_left_and_zeros_give_nothing() {
    for pages in 1..12 {
        let (folder, old) = closed_spool();
        std::fs::write(folder.path().join("spool.db.damaged"), "found damaged").expect("written");
        let bench = reopen(folder, |bytes| bytes.truncate(pages * PAGE));
        hand_over(&bench, old);
        bench.append(Lane::Event, ignition(0)).expect("it goes on");
    }
    let (folder, old) = closed_spool();
    let bench = reopen(folder, |bytes| bytes.fill(0));
    assert_eq!(hand_over(&bench, old), []);
    assert_eq!(bench.opened.salvaged[0].spool_id, None);
}

#[test]
fn a_file_is_taken_over_once_and_only_the_newest_are_kept() {
    let (folder, old) = closed_spool();
    let mut bench = reopen(folder, |bytes| bytes[0] = 0);
    assert!(!hand_over(&bench, old).is_empty());
    bench.reopen();
    assert_eq!((bench.opened.salvaged.len(), hand_over(&bench, old)), (0, Vec::new()));
    for _ in 0..4 {
        close(std::mem::replace(&mut bench.spool, Spool::closed()), bench.folder.path());
        std::fs::write(bench.folder.path().join("spool.db"), "no spool").expect("written");
        (bench.spool, bench.opened) = open(bench.folder.path(), QUOTA, 9);
    }
    assert_eq!(set_aside(bench.folder.path()).len(), 3);
}

#[test]
fn what_waits_of_an_earlier_spool_is_known_to_the_low_water_mark() {
    let (folder, old) = closed_spool();
    let bench = reopen(folder, |bytes| bytes[0] = 0);
    let oldest = bench.measure().oldest_salvaged.expect("something waits");
    assert!(oldest < Timestamp::from_millis(0), "an error bound before the first event: {oldest}");
    hand_over(&bench, old);
    assert_eq!(bench.measure().oldest_salvaged, None);
}
