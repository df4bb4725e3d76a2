//! What no gateway takes, and what was sent today.

use super::*;

impl Bench {
    fn set_aside(&self, lane: Lane, range: SequenceRange, now_ms: i64) {
        let poison = Poison { lane, range, why: "422 no".to_owned() };
        let set_aside = self.spool.quarantine(poison, Timestamp::from_millis(now_ms));
        self.runtime.block_on(set_aside).expect("the file works");
    }

    /// Ids of what is kept aside, oldest first, as the file says.
    fn kept(&mut self) -> Vec<u64> {
        close(std::mem::replace(&mut self.spool, Spool::closed()), self.folder.path());
        let file = rusqlite::Connection::open(self.folder.path().join("spool.db")).expect("opens");
        let mut statement = file.prepare("SELECT id FROM poison ORDER BY set_aside_ms, id").expect("a table");
        let ids = statement.query_map([], |row| row.get(0)).expect("rows").map(|id| id.expect("an id"));
        ids.collect()
    }
}

#[test]
fn a_gap_takes_the_place_of_what_is_set_aside_and_its_bytes_are_kept() {
    let mut bench = Bench::new();
    bench.append(Lane::Telemetry, signals(0, 3)).expect("kept");
    bench.append(Lane::Event, ignition(0)).expect("kept");
    let body = bench.offer(ALL).batches[0].chunks[0].body.clone();
    bench.set_aside(Lane::Event, range(1, 1), 5);
    let gap = Gap { reason: GapReason::Quarantined, detail: "422 no".to_owned() };
    assert_eq!(gaps(&bench.offer(ALL)), [(range(1, 1), gap)]);
    bench.append(Lane::Event, ignition(1)).expect("kept");
    assert_eq!((bench.offered(Lane::Event), bench.offered(Lane::Telemetry)), (vec![1, 2], vec![1, 2, 3]));
    let poison =
        PoisonMeasure { evidence: 0, records: 1, bytes: body.len() as u64, latest_why: Some("422 no".to_owned()) };
    assert_eq!(bench.measure().poison, poison);
    bench.reopen();
    assert_eq!(bench.measure().poison, poison, "it survives a restart");
    bench.set_aside(Lane::Event, range(1, 1), 6);
    assert_eq!(bench.offered(Lane::Event), [2], "a gap that no gateway takes just goes");
    assert_eq!(bench.measure().poison, poison);
    bench.set_aside(Lane::Event, range(9, 9), 7);
    assert_eq!(bench.measure().poison, poison, "what has gone stays gone");
}

#[test]
fn what_is_kept_aside_is_bounded_the_oldest_goes_and_evidence_never() {
    let mut bench = Bench::new();
    bench.capture("c1", ActionKind::Arrived).expect("accepted");
    bench.set_aside(Lane::Evidence, range(1, 1), 0);
    for n in 1..=300 {
        bench.append(Lane::Event, ignition(n)).expect("kept");
        let sequence = u64::try_from(n).expect("positive");
        bench.set_aside(Lane::Event, range(sequence, sequence), n);
    }
    assert_eq!((bench.measure().poison.records, bench.measure().poison.evidence), (257, 1));
    assert_eq!(bench.offered(Lane::Event).len(), 300, "each is a gap");
    let kept = bench.kept();
    assert_eq!(kept[..2], [lanes::chunk_id(Lane::Evidence, 1), lanes::chunk_id(Lane::Event, 45)]);
}

#[test]
fn what_was_sent_today_survives_a_restart() {
    let mut bench = Bench::new();
    assert_eq!(bench.runtime.block_on(bench.spool.tally()), Ok(Tally::default()));
    let tally = Tally { day: 20_000, bytes: [[0, 1, 2], [3, 4, 5], [6, 7, 8]], blobs_wait_since_ms: Some(7) };
    bench.runtime.block_on(bench.spool.keep_tally(tally)).expect("kept");
    bench.reopen();
    assert_eq!(bench.runtime.block_on(bench.spool.tally()), Ok(tally));
}

#[test]
fn an_offer_of_some_lanes_has_no_other_and_speaks_of_all_that_waits() {
    let bench = Bench::new();
    bench.append(Lane::Telemetry, signals(1_000, 3)).expect("kept");
    bench.append(Lane::Event, ignition(2_000)).expect("kept");
    let offer = |scope| bench.runtime.block_on(bench.spool.offer_of(scope, ALL)).expect("the file works");
    let lanes = |scope| offer(scope).batches.iter().map(|batch| batch.lane).collect::<Vec<_>>();
    assert_eq!((lanes(Scope::Urgent), lanes(Scope::Telemetry)), (vec![Lane::Event], vec![Lane::Telemetry]));
    assert_eq!(offer(Scope::Urgent).oldest_left, Some(Timestamp::from_millis(990)), "telemetry waits");
    assert!(!offer(Scope::Urgent).more, "of its own lanes nothing else does");
    let nothing = offer(Scope::Nothing);
    assert_eq!((nothing.batches.len(), nothing.more), (0, false));
    assert_eq!(nothing.oldest_left, Some(Timestamp::from_millis(990)));
}
