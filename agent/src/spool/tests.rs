//! What the spool promises, tried on real files.

use std::collections::BTreeSet;

use milepost_proto::driver_app::{ActionKind, DriverAction, RejectionCode};
use milepost_proto::reading::{Gap, GapReason, Signal, Switch};
use milepost_proto::seal::{chain_start, digest_of};
use milepost_proto::uplink::{DownLinkKind, Refusal};
use milepost_proto::{ChunkBody, Reading, SequenceRange, TimeQuality, TimeSource};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::event::DriverCapture;

const BOOT: BootId = BootId([7; 16]);
const QUOTA: u64 = 64 * 1024 * 1024;
const ALL: OfferLimits = OfferLimits { bytes_max: 1 << 20, live_from: 1 };

impl Spool {
    /// A handle to no file.
    fn closed() -> Self {
        Self { commands: mpsc::channel(1).0 }
    }
}

struct Bench {
    folder: TempDir,
    runtime: tokio::runtime::Runtime,
    spool: Spool,
    opened: Opened,
}

impl Bench {
    fn new() -> Self {
        Self::with_quota(QUOTA)
    }

    fn with_quota(quota_bytes: u64) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        let (spool, opened) = open(folder.path(), quota_bytes, 1);
        Self { folder, runtime, spool, opened }
    }

    /// Forgets the handle without any farewell and opens the file again.
    fn reopen(&mut self) {
        self.spool = Spool::closed();
        (self.spool, self.opened) = open(self.folder.path(), QUOTA, 2);
    }

    fn append(&self, lane: Lane, records: Vec<Record>) -> Result<(), SpoolError> {
        self.runtime.block_on(self.spool.append(lane, BOOT, records))
    }

    fn capture(&self, client_ref: &str, action: ActionKind) -> Result<Accepted, Rejection> {
        let (key, record) = did(client_ref, action);
        self.runtime.block_on(self.spool.capture(key, BOOT, record)).expect("the file works")
    }

    /// Reads and writes what an agent needs in order to go on.
    fn exercise(&self) -> Result<(), SpoolError> {
        let signal = self.spool.append(Lane::Telemetry, BOOT, signals(0, 1));
        self.runtime.block_on(signal)?;
        let (key, record) = did("c9", ActionKind::Arrived);
        self.runtime.block_on(self.spool.capture(key, BOOT, record))?.expect("no conflict");
        self.runtime.block_on(self.spool.offer(ALL)).map(drop)
    }

    fn part(&self, sha256: Sha256, offset: u64, bytes: &[u8], size: Option<u64>) -> Result<BlobProgress, Rejection> {
        let part = BlobPart { sha256, offset, bytes: bytes.to_vec(), size };
        self.runtime.block_on(self.spool.blob_part(part)).expect("the file works")
    }

    fn offer(&self, limits: OfferLimits) -> OfferedBatches {
        self.runtime.block_on(self.spool.offer(limits)).expect("the file works")
    }

    fn settle(&self, lane: Lane, through: u64, accepted: Vec<SequenceRange>, refused: Vec<Refusal>) -> Settled {
        let receipt = Receipt { spool_id: self.opened.spool_id, lane, through, accepted, refused };
        self.runtime.block_on(self.spool.settle(vec![receipt], Vec::new())).expect("the file works")
    }

    fn measure(&self) -> Measure {
        self.runtime.block_on(self.spool.measure()).expect("the file works")
    }

    /// Sequences on offer in one lane.
    fn offered(&self, lane: Lane) -> Vec<u64> {
        sequences(&self.offer(ALL), lane)
    }
}

fn open(folder: &Path, quota_bytes: u64, id: u8) -> (Spool, Opened) {
    try_open(folder, quota_bytes, id).expect("opens")
}

fn try_open(folder: &Path, quota_bytes: u64, id: u8) -> Result<(Spool, Opened), SpoolError> {
    let options = SpoolOptions {
        path: &folder.join("spool.db"),
        quota_bytes,
        boot_id: BOOT,
        fresh_spool_id: SpoolId([id; 16]),
        signer: Box::new(|digest| Ok(digest.iter().rev().copied().collect())),
    };
    Spool::open(options).map(|(spool, opened, _)| (spool, opened))
}

/// Lets go of a spool and waits until its writer has let go of the file, whose log is then in it.
fn close(spool: Spool, folder: &Path) {
    drop(spool);
    while folder.join("spool.db-wal").exists() {
        std::thread::yield_now();
    }
}

/// Names of what was set aside.
fn set_aside(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| name.contains(".bad-"));
    names.sort();
    names
}

fn record(event_ms: i64, reading: Reading) -> Record {
    Record {
        event_time: Timestamp::from_millis(event_ms),
        monotonic_ms: 1,
        time_quality: TimeQuality { source: TimeSource::Gnss, error_ms: 10 },
        reading,
        seal: None,
    }
}

fn did(client_ref: &str, action: ActionKind) -> (CaptureKey, Record) {
    let action = DriverAction {
        client_ref: client_ref.to_owned(),
        action,
        stop: Some("S1".to_owned()),
        at: Some(Timestamp::from_millis(5_000)),
        driver: None,
    };
    let key = CaptureKey::of(&DriverCapture::Action(Box::new(action.clone())));
    (key, record(5_000, Reading::DriverAction(Box::new(action))))
}

fn signals(from_ms: i64, count: i64) -> Vec<Record> {
    let signal = |n| Signal { name: "Vehicle.Speed".to_owned(), value: n as f64, unit: "km/h".to_owned() };
    (0..count).map(|n| record(from_ms + n, Reading::Signal(signal(n)))).collect()
}

fn ignition(event_ms: i64) -> Vec<Record> {
    vec![record(event_ms, Reading::Switch(Switch { name: "ignition".to_owned(), on: true }))]
}

fn range(first: u64, last: u64) -> SequenceRange {
    SequenceRange::new(first, last).expect("a range")
}

fn sequences(offer: &OfferedBatches, lane: Lane) -> Vec<u64> {
    let chunks = offer.batches.iter().filter(|batch| batch.lane == lane).flat_map(|batch| &batch.chunks);
    chunks.flat_map(|chunk| chunk.range.first()..=chunk.range.last()).collect()
}

fn gaps(offer: &OfferedBatches) -> Vec<(SequenceRange, Gap)> {
    let chunks = offer.batches.iter().flat_map(|batch| &batch.chunks);
    chunks
        .filter_map(|chunk| match chunk.open() {
            Ok(ChunkBody::Gap(gap)) => Some((chunk.range, gap)),
            _ => None,
        })
        .collect()
}

#[test]
fn what_was_answered_is_there_after_an_abrupt_end() {
    let mut bench = Bench::new();
    bench.append(Lane::Telemetry, signals(0, 3)).expect("kept");
    let accepted = bench.capture("c1", ActionKind::Arrived).expect("accepted");
    bench.reopen();
    assert_eq!(bench.opened, Opened { spool_id: SpoolId([1; 16]), quarantined: None });
    assert_eq!(bench.offered(Lane::Telemetry), [1, 2, 3]);
    assert_eq!(bench.offered(Lane::Evidence), [accepted.sequence]);
}

#[test]
fn sequences_survive_an_emptied_spool() {
    let mut bench = Bench::new();
    bench.append(Lane::Event, ignition(0)).expect("kept");
    assert_eq!(bench.settle(Lane::Event, 1, Vec::new(), Vec::new()).settled, 1);
    assert_eq!(bench.offer(ALL).batches, []);
    bench.reopen();
    bench.append(Lane::Event, ignition(1)).expect("kept");
    assert_eq!(bench.offered(Lane::Event), [2]);
}

#[test]
fn a_receipt_settles_by_range_and_only_for_its_own_spool() {
    let bench = Bench::new();
    for n in 0..4 {
        bench.append(Lane::Telemetry, signals(n * 100, 10)).expect("kept");
    }
    let foreign = Receipt {
        spool_id: SpoolId([9; 16]),
        lane: Lane::Telemetry,
        through: 40,
        accepted: Vec::new(),
        refused: Vec::new(),
    };
    let settled = bench.runtime.block_on(bench.spool.settle(vec![foreign], Vec::new())).expect("works");
    assert_eq!(settled, Settled::default());
    assert_eq!(bench.settle(Lane::Telemetry, 10, vec![range(31, 40)], Vec::new()).settled, 20);
    assert_eq!(bench.offered(Lane::Telemetry), (11..=30).collect::<Vec<_>>());
    assert_eq!(bench.settle(Lane::Telemetry, 15, Vec::new(), Vec::new()).settled, 0, "half a chunk stays whole");
    assert_eq!(bench.measure().lanes[2].waiting, 20);
}

#[test]
fn evidence_first_and_the_present_before_the_past() {
    let bench = Bench::new();
    for n in 0..5 {
        bench.append(Lane::Telemetry, signals(n * 100, 10)).expect("kept");
    }
    bench.append(Lane::Event, ignition(0)).expect("kept");
    bench.capture("c1", ActionKind::Arrived).expect("accepted");
    let offer = bench.offer(OfferLimits { live_from: u64::MAX, ..ALL });
    let order: Vec<_> = offer.batches.iter().map(|batch| (batch.lane, batch.history)).collect();
    assert_eq!(
        order,
        [(Lane::Evidence, false), (Lane::Event, false), (Lane::Telemetry, false), (Lane::Telemetry, true)]
    );
    let telemetry = sequences(&offer, Lane::Telemetry);
    assert_eq!(telemetry[..11], [41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 1]);
    assert_eq!((offer.live_from, offer.more, offer.oldest_left), (41, false, None));
}

#[test]
fn what_is_left_out_bounds_the_low_water_mark() {
    let bench = Bench::new();
    bench.append(Lane::Telemetry, signals(1_000, 10)).expect("kept");
    bench.append(Lane::Telemetry, signals(2_000, 10)).expect("kept");
    let offer = bench.offer(OfferLimits { bytes_max: 1, live_from: u64::MAX });
    assert_eq!(sequences(&offer, Lane::Telemetry), (11..=20).collect::<Vec<_>>(), "one chunk always goes");
    assert!(offer.more);
    assert_eq!(offer.oldest_left, Some(Timestamp::from_millis(990)), "event time less its error bound");
}

#[test]
fn what_the_gateway_refuses_becomes_a_gap_once() {
    let bench = Bench::new();
    bench.append(Lane::Event, ignition(0)).expect("kept");
    bench.append(Lane::Event, ignition(1)).expect("kept");
    let refusal = || vec![Refusal { range: range(1, 1), reason: "does not decode".to_owned() }];
    assert_eq!(bench.settle(Lane::Event, 0, Vec::new(), refusal()), Settled { settled: 0, refused: 1 });
    let gap = Gap { reason: GapReason::Refused, detail: "does not decode".to_owned() };
    assert_eq!(gaps(&bench.offer(ALL)), [(range(1, 1), gap)]);
    assert_eq!(bench.offered(Lane::Event), [1, 2]);
    assert_eq!(bench.settle(Lane::Event, 0, Vec::new(), refusal()), Settled::default());
    assert_eq!(bench.offered(Lane::Event), [2], "a refused gap is not argued about");
}

#[test]
fn a_capture_sent_twice_is_one_record_and_a_changed_one_is_a_conflict() {
    let mut bench = Bench::new();
    let first = bench.capture("c1", ActionKind::Arrived).expect("accepted");
    bench.reopen();
    let again = bench.capture("c1", ActionKind::Arrived).expect("accepted");
    assert_eq!(again, Accepted { sequence: first.sequence, duplicate: true });
    let changed = bench.capture("c1", ActionKind::Departed).expect_err("conflict");
    assert_eq!(changed.code, RejectionCode::ConflictingReference);
    assert_eq!(bench.offered(Lane::Evidence), [1]);
}

#[test]
fn evidence_is_chained_and_signed_across_restarts() {
    let mut bench = Bench::new();
    bench.capture("c1", ActionKind::Arrived).expect("accepted");
    bench.reopen();
    bench.capture("c2", ActionKind::Departed).expect("accepted");
    let mut expected = chain_start(SpoolId([1; 16]));
    for (sequence, chunk) in (1..).zip(&bench.offer(ALL).batches[0].chunks) {
        let Ok(ChunkBody::Records { records, .. }) = chunk.open() else { panic!("a gap") };
        let seal = records[0].seal.as_ref().expect("sealed");
        assert_eq!(seal.prev_hash, expected);
        expected = digest_of(&records[0], sequence).expect("sealed");
        assert_eq!(seal.signature, expected.0.iter().rev().copied().collect::<Vec<_>>());
    }
}

#[test]
fn a_blob_is_whole_whatever_order_its_parts_come_in() {
    let mut bench = Bench::new();
    let photo: Vec<u8> = (0..=255).collect();
    let sha256 = Sha256::of(&photo);
    let progress = |held, complete| Ok(BlobProgress { held, complete });
    assert_eq!(bench.part(sha256, 200, &photo[200..], None), progress(0, false));
    assert_eq!(bench.part(sha256, 0, &photo[..100], None), progress(100, false));
    bench.reopen();
    assert_eq!(bench.part(sha256, 50, &photo[50..200], None), progress(256, true));
    assert_eq!(bench.part(sha256, 0, &photo[..1], None), progress(256, true), "a late duplicate changes nothing");
    assert_eq!(bench.measure().blobs, [BlobOffer { sha256, size: 256 }]);
    let bytes = bench.runtime.block_on(bench.spool.blob_bytes(sha256, 250, 100)).expect("works");
    assert_eq!(bytes, &photo[250..]);
    let held = vec![BlobState { sha256, held: 256, complete: true }];
    bench.runtime.block_on(bench.spool.settle(Vec::new(), held)).expect("works");
    assert_eq!(bench.measure().blobs, []);
}

#[test]
fn a_blob_that_is_not_what_its_name_says_is_refused() {
    let bench = Bench::new();
    let wrong = bench.part(Sha256::of(b"other"), 0, b"photo", Some(5)).expect_err("mismatch");
    assert_eq!(wrong.code, RejectionCode::HashMismatch);
    let large = bench.part(Sha256::of(b"x"), u64::MAX, b"x", None).expect_err("too large");
    assert_eq!(large.code, RejectionCode::TooLarge);
}

#[test]
fn a_flood_of_blobs_that_never_become_whole_costs_no_record_and_is_bounded() {
    let bench = Bench::new();
    bench.append(Lane::Telemetry, signals(0, 100)).expect("kept");
    let part = vec![7; 256 * 1024];
    let names: Vec<Sha256> = (0_u8..200).map(|n| Sha256::of(&[n])).collect();
    for name in &names {
        let progress = bench.part(*name, 0, &part, Some(2 * part.len() as u64));
        assert_eq!(progress, Ok(BlobProgress { held: part.len() as u64, complete: false }));
    }
    assert!(bench.measure().disk_bytes < 40 * 1024 * 1024, "{}", bench.measure().disk_bytes);
    assert_eq!(bench.offered(Lane::Telemetry).len(), 100);
    assert_eq!(gaps(&bench.offer(ALL)), []);
    let held = |name| bench.part(name, 300_000, b"x", Some(600_000)).expect("taken").held;
    assert_eq!(held(names[199]), part.len() as u64, "the latest goes on");
    assert_eq!(held(names[0]), 0, "the oldest begins again");
}

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

#[test]
fn a_file_that_is_no_spool_is_set_aside_and_named() {
    for content in [
        &b"this is not a database at all, but it is longer than a header of one hundred bytes would be, see"[..],
        &[0; 8192],
        b"",
    ] {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("spool.db"), content).expect("written");
        let (_spool, opened) = open(folder.path(), QUOTA, 3);
        assert_eq!(opened.spool_id, SpoolId([3; 16]));
        assert!(opened.quarantined.is_some());
        let aside = folder.path().join(format!("spool.db.bad-{BOOT}"));
        assert_eq!(std::fs::read(aside).expect("kept"), content);
    }
}

#[test]
fn a_second_agent_is_refused_and_leaves_the_file_alone() {
    let bench = Bench::new();
    bench.capture("c1", ActionKind::Arrived).expect("accepted");
    assert_eq!(try_open(bench.folder.path(), QUOTA, 2).map(drop), Err(SpoolError::InUse));
    assert_eq!(set_aside(bench.folder.path()), Vec::<String>::new());
    bench.capture("c2", ActionKind::Arrived).expect("the first agent goes on");
}

#[test]
fn what_was_set_aside_earlier_in_this_boot_is_not_overwritten() {
    let folder = tempfile::tempdir().expect("folder");
    for content in ["first", "second"] {
        std::fs::write(folder.path().join("spool.db"), content).expect("written");
        let (spool, opened) = open(folder.path(), QUOTA, 1);
        assert!(opened.quarantined.is_some());
        close(spool, folder.path());
    }
    let contents = |name: &String| std::fs::read_to_string(folder.path().join(name)).expect("kept");
    assert_eq!(set_aside(folder.path()).iter().map(contents).collect::<Vec<_>>(), ["first", "second"]);
}

#[test]
fn a_log_without_its_file_is_set_aside_and_named() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("spool.db-wal"), "records").expect("written");
    let (_spool, opened) = open(folder.path(), QUOTA, 1);
    assert!(opened.quarantined.expect("told").contains("write-ahead log"));
    assert_eq!(set_aside(folder.path()), [format!("spool.db.bad-{BOOT}-wal")]);
}

#[test]
fn damage_anywhere_is_found_by_the_start_or_the_writer_and_set_aside() {
    for page in 0..24 {
        let mut bench = Bench::new();
        bench.append(Lane::Telemetry, signals(0, 600)).expect("kept");
        bench.append(Lane::Event, ignition(0)).expect("kept");
        bench.capture("c1", ActionKind::Arrived).expect("accepted");
        let path = bench.folder.path().join("spool.db");
        close(std::mem::replace(&mut bench.spool, Spool::closed()), bench.folder.path());
        let mut bytes = std::fs::read(&path).expect("the file");
        let start = page * 4096;
        if start >= bytes.len() {
            break;
        }
        bytes[start..start + 64].fill(0xA5);
        std::fs::write(&path, bytes).expect("damaged");
        (bench.spool, bench.opened) = open(bench.folder.path(), QUOTA, 2);
        // A body that was damaged is the gateway's to refuse; a page that does not read is ours.
        if let Err(SpoolError::Damaged(why)) = bench.exercise() {
            bench.runtime.block_on(bench.spool.commands.closed());
            (bench.spool, bench.opened) = open(bench.folder.path(), QUOTA, 3);
            assert_eq!(bench.opened.quarantined, Some(why), "page {page}");
        }
        assert_eq!(bench.exercise(), Ok(()), "page {page}");
    }
}

#[test]
fn a_file_cut_while_it_is_open_takes_nothing_more() {
    let bench = Bench::new();
    bench.append(Lane::Event, ignition(0)).expect("kept");
    let path = bench.folder.path().join("spool.db");
    std::fs::OpenOptions::new().write(true).truncate(true).open(path).expect("cut");
    assert_eq!(bench.runtime.block_on(bench.spool.append(Lane::Event, BOOT, ignition(1))), Err(SpoolError::Moved));
}

#[test]
fn a_deleted_file_takes_nothing_more_hands_over_what_it_holds_and_ends() {
    let bench = Bench::new();
    bench.append(Lane::Event, ignition(0)).expect("kept");
    std::fs::remove_file(bench.folder.path().join("spool.db")).expect("deleted");
    let refused = bench.runtime.block_on(bench.spool.append(Lane::Event, BOOT, ignition(1)));
    assert_eq!(refused, Err(SpoolError::Moved));
    assert_eq!(bench.offered(Lane::Event), [1]);
    assert!(!bench.spool.has_ended());
    bench.settle(Lane::Event, 1, Vec::new(), Vec::new());
    bench.runtime.block_on(bench.spool.commands.closed());
    let (_spool, opened) = open(bench.folder.path(), QUOTA, 2);
    assert_eq!(opened.spool_id, SpoolId([2; 16]));
}

#[test]
fn a_spool_of_a_newer_version_is_set_aside_untouched() {
    let folder = tempfile::tempdir().expect("folder");
    drop(open(folder.path(), QUOTA, 1));
    let newer = rusqlite::Connection::open(folder.path().join("spool.db")).expect("opens");
    newer.pragma_update(None, "user_version", 99).expect("written");
    drop(newer);
    let (_spool, opened) = open(folder.path(), QUOTA, 2);
    assert_eq!(opened.spool_id, SpoolId([2; 16]));
    assert!(opened.quarantined.expect("set aside").contains("schema version 99"));
}

#[test]
fn the_highest_version_sent_down_stays() {
    let bench = Bench::new();
    let item = |version, body: &[u8]| DownLinkItem {
        id: "trip".to_owned(),
        kind: DownLinkKind::Trip,
        version,
        sha256: Sha256::of(body),
        body: body.to_vec(),
    };
    for (version, body) in [(2, b"two"), (1, b"one")] {
        bench.runtime.block_on(bench.spool.keep_down_link(item(version, body))).expect("kept");
    }
    drop(bench.spool);
    let options = SpoolOptions {
        path: &bench.folder.path().join("spool.db"),
        quota_bytes: QUOTA,
        boot_id: BOOT,
        fresh_spool_id: SpoolId([4; 16]),
        signer: Box::new(|_| Ok(Vec::new())),
    };
    let (_, _, held) = Spool::open(options).expect("opens");
    assert_eq!(held, [item(2, b"two")]);
}

#[derive(Debug, Clone)]
enum Action {
    Append(Lane, u8),
    Settle(Lane, u64, u64),
    Reopen,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let lane = prop::sample::select(vec![Lane::Event, Lane::Telemetry]);
    let action = prop_oneof![
        4 => (lane.clone(), 1_u8..20).prop_map(|(lane, count)| Action::Append(lane, count)),
        3 => (lane, 1_u64..80, 0_u64..40).prop_map(|(lane, first, more)| Action::Settle(lane, first, first + more)),
        1 => Just(Action::Reopen),
    ];
    prop::collection::vec(action, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The model: a chunk is on offer exactly when it was appended and no receipt covered all of it.
    #[test]
    fn the_spool_holds_what_was_appended_and_not_covered(actions in actions()) {
        let mut bench = Bench::new();
        let mut model: Vec<(Lane, SequenceRange)> = Vec::new();
        let mut last = std::collections::BTreeMap::new();
        for action in actions {
            match action {
                Action::Append(lane, count) => {
                    bench.append(lane, signals(0, count.into())).expect("kept");
                    let end = last.entry(lane).or_insert(0_u64);
                    model.push((lane, range(*end + 1, *end + u64::from(count))));
                    *end += u64::from(count);
                }
                Action::Settle(lane, first, end) => {
                    bench.settle(lane, 0, vec![range(first, end)], Vec::new());
                    model.retain(|(of, chunk)| *of != lane || !range(first, end).covers(*chunk));
                }
                Action::Reopen => bench.reopen(),
            }
            for lane in [Lane::Event, Lane::Telemetry] {
                let expected: Vec<u64> = model
                    .iter()
                    .filter(|(of, _)| *of == lane)
                    .flat_map(|(_, chunk)| chunk.first()..=chunk.last())
                    .collect();
                prop_assert_eq!(bench.offered(lane), expected);
            }
        }
    }
}
