//! What an agent asks of the gateway and what the gateway answers: `POST /v1/batches`.
//!
//! Promise: a [`Receipt`] names only what is durable at the gateway. Everything bounded here is bounded by a constant
//! below; whoever receives more refuses it.

use serde::{Deserialize, Serialize};

use crate::blob::Sha256;
use crate::chunk::Chunk;
use crate::id::{BootId, SpoolId};
use crate::lane::Lane;
use crate::ranges::{SequenceRange, SequenceRanges};
use crate::time::Timestamp;

/// Most batches in one request.
pub const BATCHES_MAX: usize = 8;
/// Most chunks in one batch.
pub const CHUNKS_MAX: usize = 256;
/// Most disjoint ranges above `through` in one receipt.
pub const RECEIPT_RANGES_MAX: usize = 64;
/// Most refusals in one receipt: each names at least one chunk of the request.
pub const REFUSALS_MAX: usize = BATCHES_MAX * CHUNKS_MAX;
/// Most receipts in one answer: one per lane.
pub const RECEIPTS_MAX: usize = Lane::ALL.len();
/// Most down-link items in one answer, and most that an agent holds.
pub const DOWN_LINK_ITEMS_MAX: usize = 16;
/// Most blobs an agent asks about in one request.
pub const BLOB_OFFERS_MAX: usize = 16;
/// Largest blob, in bytes.
pub const BLOB_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Largest part of a blob sent at once, in bytes.
pub const BLOB_PART_BYTES_MAX: usize = 256 * 1024;

/// One request of an agent. A request without batches is a heartbeat: it moves the low-water mark and fetches the
/// down-link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UplinkRequest {
    /// The agent's version.
    pub agent_version: String,
    /// The open spool.
    pub spool_id: SpoolId,
    /// The current boot.
    pub boot_id: BootId,
    /// The monotonic clock when the request was made, milliseconds since boot: gives each record's age without any
    /// clock being right.
    pub monotonic_ms: u64,
    /// Nothing unsent, uncommitted or undated in this spool happened before this; absent when that is not known.
    pub low_water_mark: Option<Timestamp>,
    /// Runs of chunks, most urgent first.
    pub batches: Vec<Batch>,
    /// Down-link items the agent holds, as `(id, version)`.
    pub down_link_held: Vec<(String, u64)>,
    /// Blobs the agent still holds and wants to hand over.
    pub blob_offers: Vec<BlobOffer>,
}

/// A contiguous run of chunks of one lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The lane.
    pub lane: Lane,
    /// Whether newer records of this lane were handed over before these: shown, never used to decide anything.
    pub history: bool,
    /// The chunks, in sequence order, without holes between them.
    pub chunks: Vec<Chunk>,
}

/// A blob an agent holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobOffer {
    /// Its content address.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

/// What the gateway answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UplinkAnswer {
    /// One receipt per lane that the request touched.
    pub receipts: Vec<Receipt>,
    /// Down-link items newer than those the agent holds.
    pub down_link: Vec<DownLinkItem>,
    /// The state of each offered blob.
    pub blobs: Vec<BlobState>,
}

/// The gateway's durable promise for one lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The spool it speaks of.
    pub spool_id: SpoolId,
    /// The lane it speaks of.
    pub lane: Lane,
    /// Every sequence `1..=through` is durable (or refused and replaced by a gap).
    pub through: u64,
    /// Accepted ranges above `through`, disjoint, at most [`RECEIPT_RANGES_MAX`].
    pub accepted: Vec<SequenceRange>,
    /// What will never be accepted, and why.
    pub refused: Vec<Refusal>,
}

impl Receipt {
    /// Everything this receipt covers, as a set.
    #[must_use]
    pub fn covered(&self) -> SequenceRanges {
        let through = SequenceRange::new(1, self.through).ok();
        through.into_iter().chain(self.accepted.iter().copied()).collect()
    }
}

/// A range that the gateway will not accept as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The refused sequences.
    pub range: SequenceRange,
    /// Why, in a sentence with its mend.
    pub reason: String,
}

/// Something for the agent: the highest version of an id wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownLinkItem {
    /// What it is about; the trip of a vehicle is `trip`.
    pub id: String,
    /// How `body` reads.
    pub kind: DownLinkKind,
    /// Rises with every change.
    pub version: u64,
    /// The hash of `body`.
    pub sha256: Sha256,
    /// The item itself.
    pub body: Vec<u8>,
}

/// How a down-link body reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DownLinkKind {
    /// A [`Trip`](crate::plan::Trip) as JSON; an empty body means "no trip now".
    Trip,
}

/// How much of an offered blob the gateway holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobState {
    /// Which blob.
    pub sha256: Sha256,
    /// Bytes held from the start: send from here.
    pub held: u64,
    /// Whether the whole blob is durable and its hash verified: the blob's own receipt.
    pub complete: bool,
}
