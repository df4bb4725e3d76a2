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
use crate::capture::DriverCapture;

mod custody;
mod damage;
mod evidence;
mod full;
mod growth;
mod migration;
mod model;
mod poison;
mod salvage;
mod start;

const BOOT: BootId = BootId([7; 16]);
const QUOTA: u64 = 64 * 1024 * 1024;
const ALL: OfferLimits = OfferLimits { bytes_max: 1 << 20, live_from: 1 };
const EVERYTHING: OfferLimits = OfferLimits { bytes_max: 1 << 30, live_from: 1 };

impl Spool {
    /// Waits until the writer has ended.
    async fn ended(&self) {
        let Writer::Thread(commands) = &self.writer else { panic!("no thread") };
        commands.closed().await;
    }

    /// A handle to no file.
    fn closed() -> Self {
        Self { writer: Writer::Thread(mpsc::channel(1).0), free_bytes_min: Arc::default() }
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
        self.reopen_with_quota(QUOTA);
    }

    fn reopen_with_quota(&mut self, quota_bytes: u64) {
        self.spool = Spool::closed();
        (self.spool, self.opened) = open(self.folder.path(), quota_bytes, 2);
    }

    fn append(&self, lane: Lane, records: Vec<Record>) -> Result<(), SpoolError> {
        self.runtime.block_on(self.spool.append(lane, BOOT, records))
    }

    /// Appends, and offers everything, so that what was appended stays a chunk of its own.
    fn chunk(&self, lane: Lane, records: Vec<Record>) {
        self.append(lane, records).expect("kept");
        self.offer(EVERYTHING);
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
    names.retain(|name| name.contains(".bad-") && !name.ends_with(".salvaged"));
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

/// Values that no sealing makes much smaller.
fn signals(from_ms: i64, count: i64) -> Vec<Record> {
    let value = |n: i64| (n.wrapping_mul(0x5851_f42d_4c95_7f2d) >> 12) as f64 / 1e9;
    let signal = |n| Signal { name: "Vehicle.Speed".to_owned(), value: value(n), unit: "km/h".to_owned() };
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
