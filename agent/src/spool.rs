//! Store and forward: what was recorded is safe here until the gateway's receipt covers it.
//!
//! ```text
//!  append, capture, blob part ─► one writer thread ─► SQLite, WAL, full sync ─► answer
//!  offer ◄── committed chunks only        settle ──► covered chunks go, refused ones become gaps
//!
//!  a lane:  gap │ thinned │ chunk │ chunk │ tail     what was offered stays as it is; the tail grows until it is;
//!           oldest                        newest     when it is full: thin, then drop from the left
//! ```
//!
//! Promise: an answer is given only after the commit that holds what it speaks of; a chunk leaves only after a receipt
//! whose range covers it; sequences are contiguous per lane and survive an emptied spool; a damaged file is set aside and
//! replaced at the next start, which a writer that finds damage asks for by ending; loss for want of room is counted, and the
//! gateway hears of it. Whatever waits for the writer while it commits shares the next commit.

mod append;
mod blobs;
mod captures;
mod down_link;
mod file;
mod gap;
pub mod group;
mod lanes;
mod mended_copy;
mod migrations;
mod offer;
mod offered;
mod poison;
mod quarantine;
mod quota;
mod reader;
mod salvage;
mod salvaged;
mod settle;
mod space;
mod tail;
mod tally;
mod thin;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use milepost_proto::driver_app::Rejection;
use milepost_proto::reading::Health;
use milepost_proto::uplink::{BlobOffer, BlobState};
use milepost_proto::{BootId, DownLinkItem, Lane, Reading, Receipt, Record, Sha256, SpoolId, Timestamp};
use tokio::sync::{mpsc, oneshot};

use crate::capture::{Accepted, BlobPart, BlobProgress};
use crate::status::LaneStatus;
use crate::uplink::budget::Tally;
use crate::uplink::narrowing::Poison;

pub use captures::CaptureKey;
pub use offer::{OfferLimits, OfferedBatches, Scope};
pub use poison::PoisonMeasure;
pub use reader::{SpoolReader, StoredChunk, Stretches};
pub use salvage::Salvage;
pub use salvaged::SalvagedBatches;
pub use settle::Settled;

/// Most commands waiting for the writer; whoever sends more waits.
const COMMANDS_MAX: usize = 64;

/// Signs an evidence digest with the device key; ASN.1 DER ECDSA.
pub type Signer = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync>;

/// Why the spool could not do something; what was asked did not happen, not even partly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    /// The disk or the quota is full.
    #[error("the spool is full: {0}")]
    Full(String),
    /// The file could not be read or written, and may be again later.
    #[error("the spool file failed: {0}")]
    File(String),
    /// What the file holds cannot be what was written to it.
    #[error("the spool file is damaged: {0}")]
    Damaged(String),
    /// Another process holds the file.
    #[error("the spool file is in use; is another agent running on it?")]
    InUse,
    /// The file was moved or deleted while it was open.
    #[error(
        "the spool file was moved or deleted; what it still holds is handed over first, then the agent starts anew"
    )]
    Moved,
    /// The device key would not sign.
    #[error("evidence could not be signed: {0}")]
    Signature(String),
    /// The writer has ended, or could not even begin a transaction.
    #[error("the spool does not answer")]
    Closed,
}

impl From<rusqlite::Error> for SpoolError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase};
        match error.sqlite_error_code() {
            Some(DiskFull) => Self::Full("no space is left on the disk".to_owned()),
            Some(DatabaseBusy | DatabaseLocked) => Self::InUse,
            Some(DatabaseCorrupt | NotADatabase) => Self::Damaged(error.to_string()),
            Some(_) => Self::File(error.to_string()),
            // Everything that is no failure of SQLite is a row that is missing or not what this build wrote.
            None => Self::Damaged(error.to_string()),
        }
    }
}

/// How a spool is opened.
pub struct SpoolOptions<'a> {
    /// The file.
    pub path: &'a Path,
    /// Most bytes it may use, write-ahead log included.
    pub quota_bytes: u64,
    /// This boot; names a file that had to be set aside.
    pub boot_id: BootId,
    /// The id the file gets if it must be created.
    pub fresh_spool_id: SpoolId,
    /// Signs evidence.
    pub signer: Signer,
}

/// What was found on opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The file's id.
    pub spool_id: SpoolId,
    /// Why an older file was set aside, if one was.
    pub quarantined: Option<String>,
    /// What was taken over from files that had been set aside.
    pub salvaged: Vec<Salvage>,
}

/// A handle to the writer; clones share it.
#[derive(Clone)]
pub struct Spool {
    writer: Writer,
    free_bytes_min: Arc<AtomicU64>,
}

/// Who carries out commands.
#[derive(Clone)]
enum Writer {
    /// The writer thread: the caller goes on with other work while it commits.
    Thread(mpsc::Sender<Command>),
    /// Whoever asks: nothing happens but what is asked, so a simulated world repeats exactly.
    Caller(Arc<Mutex<writer::Ledger>>),
}

type Reply<T> = oneshot::Sender<Result<T, SpoolError>>;

/// What the writer can be asked. Each command succeeds or fails as a whole.
enum Command {
    Append { lane: Lane, boot_id: BootId, records: Vec<Record>, reply: Reply<()> },
    Capture { key: CaptureKey, boot_id: BootId, record: Box<Record>, reply: Reply<Result<Accepted, Rejection>> },
    FindCapture { key: CaptureKey, reply: Reply<Option<Accepted>> },
    BlobPart { part: BlobPart, reply: Reply<Result<BlobProgress, Rejection>> },
    Offer { scope: Scope, limits: OfferLimits, reply: Reply<OfferedBatches> },
    OfferSalvaged { bytes_max: usize, reply: Reply<Option<SalvagedBatches>> },
    BlobBytes { sha256: Sha256, start: u64, length_max: usize, reply: Reply<Vec<u8>> },
    Settle { receipts: Vec<Receipt>, blobs: Vec<BlobState>, reply: Reply<Settled> },
    KeepDownLink { item: DownLinkItem, reply: Reply<()> },
    Quarantine { poison: Poison, now: Timestamp, reply: Reply<()> },
    Tally { reply: Reply<Tally> },
    KeepTally { tally: Tally, reply: Reply<()> },
    Measure { reply: Reply<Measure> },
    Farewell { reply: Reply<()> },
}

/// How full the spool is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Measure {
    /// Each lane.
    pub lanes: Vec<LaneStatus>,
    /// Bytes used in the database and its write-ahead log.
    pub disk_bytes: u64,
    /// Bytes free on its disk; absent when that cannot be told.
    pub free_bytes: Option<u64>,
    /// Least bytes to be left free there.
    pub free_bytes_min: u64,
    /// Whole blobs the gateway does not hold yet, smallest first, at most as many as one request may offer.
    pub blobs: Vec<BlobOffer>,
    /// What no gateway takes.
    pub poison: PoisonMeasure,
    /// The earliest event among what was salvaged and waits; absent when nothing of it does.
    pub oldest_salvaged: Option<Timestamp>,
}

impl Spool {
    /// Opens the file, setting it aside and creating a new one if it cannot be used, and starts the writer.
    ///
    /// # Errors
    /// [`SpoolError::InUse`] when another agent has it; [`SpoolError::Full`] and [`SpoolError::File`] when it is in order,
    /// as far as can be told, but cannot be used now, or when not even a new file can be created there.
    pub fn open(options: SpoolOptions<'_>) -> Result<(Self, Opened, Vec<DownLinkItem>), SpoolError> {
        let free_bytes_min = Arc::default();
        let (ledger, opened, down_link) = open_ledger(options, Arc::clone(&free_bytes_min))?;
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || ledger.run(inbox))
            .map_err(|error| SpoolError::File(error.to_string()))?;
        Ok((Self { writer: Writer::Thread(commands), free_bytes_min }, opened, down_link))
    }

    /// Opens the file as [`Spool::open`] does, without a thread: each command is carried out, and committed alone, by
    /// whoever awaits it, and is done at the first poll.
    ///
    /// # Errors
    /// As [`Spool::open`].
    pub fn open_without_thread(options: SpoolOptions<'_>) -> Result<(Self, Opened, Vec<DownLinkItem>), SpoolError> {
        let free_bytes_min = Arc::default();
        let (ledger, opened, down_link) = open_ledger(options, Arc::clone(&free_bytes_min))?;
        Ok((Self { writer: Writer::Caller(Arc::new(Mutex::new(ledger))), free_bytes_min }, opened, down_link))
    }

    /// From here on, with less than `free_bytes_min` free on its disk the spool goes about as though its quota were used
    /// up. It begins with 0, and then does not ask.
    pub fn keep_free(&self, free_bytes_min: u64) {
        self.free_bytes_min.store(free_bytes_min, Ordering::Relaxed);
    }

    /// Commits records of the event or telemetry lane.
    ///
    /// # Errors
    /// When they could not be kept; their number then appears as a gap as soon as the spool can write again.
    pub async fn append(&self, lane: Lane, boot_id: BootId, records: Vec<Record>) -> Result<(), SpoolError> {
        self.ask(|reply| Command::Append { lane, boot_id, records, reply }).await
    }

    /// Commits one capture of the driver app as evidence, or finds that it already was.
    ///
    /// # Errors
    /// [`SpoolError`] when it could not be kept; a [`Rejection`] when its reference was used for something else.
    pub async fn capture(
        &self,
        key: CaptureKey,
        boot_id: BootId,
        record: Record,
    ) -> Result<Result<Accepted, Rejection>, SpoolError> {
        let record = Box::new(record);
        self.ask(|reply| Command::Capture { key, boot_id, record, reply }).await
    }

    /// What was answered when this same capture was accepted before, if it was.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn find_capture(&self, key: CaptureKey) -> Result<Option<Accepted>, SpoolError> {
        self.ask(|reply| Command::FindCapture { key, reply }).await
    }

    /// Commits part of a blob.
    ///
    /// # Errors
    /// [`SpoolError`] when it could not be kept; a [`Rejection`] when it does not fit its hash or the bounds.
    pub async fn blob_part(&self, part: BlobPart) -> Result<Result<BlobProgress, Rejection>, SpoolError> {
        self.ask(|reply| Command::BlobPart { part, reply }).await
    }

    /// Committed chunks to hand over now, most urgent first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn offer(&self, limits: OfferLimits) -> Result<OfferedBatches, SpoolError> {
        self.offer_of(Scope::Everything, limits).await
    }

    /// As [`Spool::offer`], of some lanes only.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn offer_of(&self, scope: Scope, limits: OfferLimits) -> Result<OfferedBatches, SpoolError> {
        self.ask(|reply| Command::Offer { scope, limits, reply }).await
    }

    /// Sets a chunk aside that no gateway takes, with a gap in its place.
    ///
    /// # Errors
    /// When the file cannot be written; the chunk is then offered again.
    pub async fn quarantine(&self, poison: Poison, now: Timestamp) -> Result<(), SpoolError> {
        self.ask(|reply| Command::Quarantine { poison, now, reply }).await
    }

    /// What was sent today, as far as it was kept.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn tally(&self) -> Result<Tally, SpoolError> {
        self.ask(|reply| Command::Tally { reply }).await
    }

    /// Keeps what was sent today.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn keep_tally(&self, tally: Tally) -> Result<(), SpoolError> {
        self.ask(|reply| Command::KeepTally { tally, reply }).await
    }

    /// Chunks of an earlier spool file that was damaged, about `bytes_max` of them; absent when nothing is left of it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn offer_salvaged(&self, bytes_max: usize) -> Result<Option<SalvagedBatches>, SpoolError> {
        self.ask(|reply| Command::OfferSalvaged { bytes_max, reply }).await
    }

    /// Bytes of a whole blob from `start`, at most `length_max`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn blob_bytes(&self, sha256: Sha256, start: u64, length_max: usize) -> Result<Vec<u8>, SpoolError> {
        self.ask(|reply| Command::BlobBytes { sha256, start, length_max, reply }).await
    }

    /// Lets go of what the gateway holds durably, and turns what it refused into gaps.
    ///
    /// # Errors
    /// When the file cannot be written; everything is then offered again.
    pub async fn settle(&self, receipts: Vec<Receipt>, blobs: Vec<BlobState>) -> Result<Settled, SpoolError> {
        self.ask(|reply| Command::Settle { receipts, blobs, reply }).await
    }

    /// Keeps what the gateway sent down.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn keep_down_link(&self, item: DownLinkItem) -> Result<(), SpoolError> {
        self.ask(|reply| Command::KeepDownLink { item, reply }).await
    }

    /// How full the spool is.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn measure(&self) -> Result<Measure, SpoolError> {
        self.ask(|reply| Command::Measure { reply }).await
    }

    /// Notes for the next start what was offered so far; without the note, everything held then counts as offered and is
    /// not thinned. To be called last.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn farewell(&self) -> Result<(), SpoolError> {
        self.ask(|reply| Command::Farewell { reply }).await
    }

    /// Whether the writer has ended: the file was found damaged or gone, and only a new start gives a new one.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        match &self.writer {
            Writer::Thread(commands) => commands.is_closed(),
            Writer::Caller(ledger) => ledger.lock().unwrap_or_else(PoisonError::into_inner).has_ended(),
        }
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, SpoolError> {
        let (reply, answer) = oneshot::channel();
        let command = command(reply);
        match &self.writer {
            Writer::Thread(commands) => commands.send(command).await.map_err(|_| SpoolError::Closed)?,
            Writer::Caller(ledger) => {
                ledger.lock().unwrap_or_else(PoisonError::into_inner).carry_out_alone(command);
            }
        }
        answer.await.map_err(|_| SpoolError::Closed)?
    }
}

/// Most statements kept ready.
const STATEMENTS_MAX: usize = 48;

fn open_ledger(
    options: SpoolOptions<'_>,
    free_bytes_min: Arc<AtomicU64>,
) -> Result<(writer::Ledger, Opened, Vec<DownLinkItem>), SpoolError> {
    let (file, opened) = file::open(options.path, options.boot_id, options.fresh_spool_id, options.quota_bytes)?;
    file.connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    let offered = offered::Offered::take_up(&file.connection)?;
    let ledger = writer::Ledger {
        space: space::Space::new(&file.connection, options.quota_bytes, free_bytes_min)?,
        connection: file.connection,
        spool_id: opened.spool_id,
        place: file.place,
        signer: options.signer,
        memory: writer::Memory { offered, ..writer::Memory::default() },
        unrecorded: writer::Unrecorded::new(),
        damage: None,
        doubtful: false,
        ended: false,
    };
    Ok((ledger, opened, file.down_link))
}

/// The oldest event time of some records.
fn oldest_event_time(records: &[Record]) -> Timestamp {
    records.iter().map(lower_bound).min().unwrap_or(Timestamp::MAX)
}

/// The earliest moment a record's event can really have happened. What sets the clock dates everything since the boot, so
/// it holds the mark back to there until it is handed over.
pub(crate) fn lower_bound(record: &Record) -> Timestamp {
    if let Reading::Health(Health::ClockSet { monotonic_ms, utc, error_ms, .. }) = record.reading {
        let since_boot_ms = i64::try_from(monotonic_ms).unwrap_or(i64::MAX);
        return utc.plus_millis(-since_boot_ms).plus_millis(-i64::from(error_ms));
    }
    record.event_time.plus_millis(-i64::from(record.time_quality.error_ms))
}

#[cfg(test)]
mod tests;
