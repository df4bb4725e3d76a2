//! What custody promises, as the tables show it.

use milepost_proto::seal::chain_start;
use rusqlite::Connection;

use super::*;
use crate::store::loss::LossReason;
use crate::store::migration::migrate;

struct Journal {
    connection: Connection,
}

/// A chunk of `first..=last` with content that `checksum` stands for; 0 means a gap.
fn chunk(lane: Lane, first: u64, last: u64, checksum: u32) -> ArrivedChunk {
    let content = Content {
        boot_id: BootId([2; 16]),
        event_times: [Timestamp::EPOCH; 2],
        age_ms: Some(5),
        seal: SealState::None,
        chain: None,
    };
    let range = SequenceRange::new(first, last).expect("a range");
    let content = (checksum != 0).then_some(content);
    let loss = content.is_none().then(|| Loss { reason: LossReason::Evicted, records: range.count() });
    ArrivedChunk { lane, history: false, range, checksum, body: checksum.to_le_bytes().to_vec(), content, loss }
}

fn arrival(chunks: Vec<ArrivedChunk>) -> Arrival {
    Arrival {
        fleet_id: "north".parse().expect("a name"),
        device_id: "box-7".parse().expect("a name"),
        public_key: Vec::new(),
        spool_id: SpoolId([1; 16]),
        boot_id: BootId([2; 16]),
        agent_version: "0.1.0".to_owned(),
        low_water_mark: None,
        lanes: vec![Lane::Event],
        chunks,
        troubles: Vec::new(),
        down_link_held: Vec::new(),
        blob_offers: Vec::new(),
        received_at: Timestamp::from_millis(1000),
    }
}

impl Journal {
    fn new() -> Self {
        let mut connection = Connection::open_in_memory().expect("opens");
        migrate(&mut connection).expect("migrates");
        Self { connection }
    }

    fn take(&self, first: u64, last: u64, checksum: u32) -> Accepted {
        self.accept(&arrival(vec![chunk(Lane::Event, first, last, checksum)]))
    }

    fn accept(&self, arrival: &Arrival) -> Accepted {
        accept(&self.connection, arrival).expect("accepts")
    }

    fn number(&self, sql: &str) -> i64 {
        self.connection.query_row(sql, [], |row| row.get(0)).expect("a number")
    }
}

fn held(accepted: &Accepted) -> (u64, Vec<(u64, u64)>) {
    let (_, held) = &accepted.lanes[0];
    (held.through, held.above.iter().map(|range| (range.first(), range.last())).collect())
}

#[test]
fn a_receipt_names_what_is_held_in_any_order() {
    let journal = Journal::new();
    assert_eq!(held(&journal.take(11, 20, 1)), (0, vec![(11, 20)]));
    assert_eq!(held(&journal.take(31, 40, 2)), (0, vec![(11, 20), (31, 40)]));
    assert_eq!(held(&journal.take(1, 10, 3)), (20, vec![(31, 40)]));
}

#[test]
fn the_same_chunk_again_is_promised_again_and_kept_once() {
    let journal = Journal::new();
    let first = journal.take(1, 10, 7);
    let again = journal.take(1, 10, 7);
    assert_eq!(held(&again), held(&first));
    assert_eq!(again.tally, Tally { duplicate: 1, ..Tally::default() });
    assert_eq!(journal.number("SELECT count(*) FROM journal"), 1);
    assert_eq!(journal.number("SELECT count(*) FROM exception_case"), 0);
}

#[test]
fn chunks_that_contradict_each_other_are_all_kept_and_raise_one_case() {
    let journal = Journal::new();
    journal.take(1, 10, 7);
    let rival = journal.take(1, 10, 3);
    let overlap = journal.take(8, 12, 5);
    assert_eq!((rival.tally.conflicting, overlap.tally.conflicting), (1, 1));
    assert_eq!(held(&overlap), (12, vec![]), "the receipt covers what it contests");
    assert_eq!(journal.number("SELECT count(*) FROM journal WHERE contested = 1"), 3);
    assert_eq!(journal.number("SELECT count(*) FROM exception_case WHERE kind = 'conflict'"), 1);
    assert_eq!(journal.number("SELECT times_met FROM exception_case"), 2);
}

#[test]
fn a_gap_over_records_already_held_contradicts_nobody() {
    let journal = Journal::new();
    journal.take(1, 10, 7);
    assert_eq!(held(&journal.take(1, 50, 0)), (50, vec![]));
    assert_eq!(journal.number("SELECT count(*) FROM journal WHERE contested = 1"), 0);
    let late = journal.take(11, 20, 9);
    assert_eq!((late.tally.new, late.tally.conflicting), (1, 0), "records given up for lost arrived after all");
}

#[test]
fn the_same_sequences_of_another_lane_or_spool_are_other_records() {
    let journal = Journal::new();
    journal.take(1, 10, 7);
    let lane = journal.accept(&arrival(vec![chunk(Lane::Telemetry, 1, 10, 8)]));
    let spool = journal.accept(&Arrival { spool_id: SpoolId([9; 16]), ..arrival(vec![chunk(Lane::Event, 1, 10, 8)]) });
    assert_eq!((lane.tally.conflicting, spool.tally.conflicting), (0, 0));
    assert_eq!(journal.number("SELECT count(*) FROM spool WHERE open = 1"), 1, "the device has moved on");
}

#[test]
fn what_was_salvaged_of_an_earlier_spool_leaves_the_open_one_open() {
    let journal = Journal::new();
    let open = || journal.number("SELECT count(*) FROM spool WHERE open = 1 AND low_water_mark = 10");
    let mark = Some(Timestamp::from_millis(10));
    journal.accept(&Arrival { low_water_mark: mark, ..arrival(vec![chunk(Lane::Event, 1, 10, 8)]) });
    let salvaged = Arrival { spool_id: SpoolId([9; 16]), ..arrival(vec![chunk(Lane::Event, 1, 10, 8)]) };
    let change = journal.number("SELECT max(mark_change) FROM spool");
    assert_eq!(journal.accept(&salvaged).tally.new, 1);
    assert_eq!((open(), journal.number("SELECT max(mark_change) FROM spool")), (1, change));
    journal.accept(&Arrival { low_water_mark: mark, ..salvaged });
    assert_eq!(journal.number("SELECT count(*) FROM spool WHERE open = 1"), 1);
    assert_eq!(open(), 1, "the one that said a mark last");
}

#[test]
fn a_mark_that_did_not_move_is_no_change() {
    let journal = Journal::new();
    let change = || journal.number("SELECT mark_change FROM spool");
    let at = |millis| Arrival { low_water_mark: Some(Timestamp::from_millis(millis)), ..arrival(Vec::new()) };
    journal.accept(&at(10));
    let before = change();
    journal.accept(&at(10));
    assert_eq!(change(), before);
    journal.accept(&at(11));
    assert!(change() > before);
}

#[test]
fn a_chain_that_does_not_link_up_raises_a_case_in_either_order() {
    let link = |name: &[u8]| Sha256::of(name);
    let sealed = |first, last, begin, end| {
        let mut sealed = chunk(Lane::Evidence, first, last, u32::try_from(last).expect("small"));
        let content = sealed.content.as_mut().expect("records");
        (content.seal, content.chain) = (SealState::Ok, Some([begin, end]));
        arrival(vec![sealed])
    };
    let start = chain_start(SpoolId([1; 16]));
    let cases = |second_begins: Sha256, reversed: bool| {
        let journal = Journal::new();
        let mut both = [sealed(1, 2, start, link(b"two")), sealed(3, 4, second_begins, link(b"four"))];
        if reversed {
            both.reverse();
        }
        both.iter().for_each(|arrival| drop(journal.accept(arrival)));
        journal.number("SELECT count(*) FROM exception_case WHERE kind = 'seal_broken'")
    };
    assert_eq!((cases(link(b"two"), false), cases(link(b"two"), true)), (0, 0));
    assert_eq!((cases(link(b"other"), false), cases(link(b"other"), true)), (1, 1));
}

#[test]
fn a_lane_of_nothing_but_holes_stops_growing_and_what_fills_them_is_still_taken() {
    let journal = Journal::new();
    let runs = u64::from(RANGES_PER_LANE_MAX);
    let odd = |number: u64| chunk(Lane::Event, 2 * number + 1, 2 * number + 1, 1);
    journal.accept(&arrival((1..=runs).map(odd).collect()));
    let beyond = journal.accept(&arrival(vec![odd(runs + 1), odd(runs + 2)]));
    assert_eq!(beyond.tally, Tally { held_back: 2, ..Tally::default() });
    let promised = |accepted: &Accepted, sequence| {
        held(accepted).1.iter().any(|(first, last)| (*first..=*last).contains(&sequence))
    };
    assert!(!promised(&beyond, 2 * runs + 3), "what is not kept is not promised");
    assert_eq!(journal.number("SELECT count(*) FROM lane_range"), i64::from(RANGES_PER_LANE_MAX));
    assert_eq!(journal.number("SELECT count(*) FROM exception_case"), 1);

    assert_eq!(journal.take(2 * runs + 2, 2 * runs + 2, 1).tally.new, 1, "it touches the last run");
    assert_eq!(held(&journal.take(1, 2 * runs, 2)).0, 2 * runs + 2, "the device sends what was missing");
    assert_eq!(journal.accept(&arrival(vec![odd(runs + 5)])).tally.new, 1, "and there is room again");
}
