//! Wire version 1, frozen: little besides the chunks themselves.
//!
//! Promise: the structs here are those of version 1 for ever, whatever becomes of the live ones in [`crate::uplink`]; the
//! files `proto/tests/golden/v1-*.bin` decode to what they always said, and what they say encodes to them.
//!
//! ```text
//! offset  5  kind       u8, 1 = request, 2 = answer; with 16 added the payload is compressed
//!         6  checksum   u32 little-endian, CRC-32 of all that follows
//!        10  length     varint, bytes of the payload before compression; only where it is compressed
//!            payload    postcard, or a zstd frame holding it, whichever is smaller
//! ```
//!
//! What the other end can tell for itself is left out: the checksum of a chunk whose bytes give it, the boot of a chunk that
//! is the request's, the first sequence of a chunk that follows the one before, the spool of a receipt that is the request's.
//! Everything left out comes back to the last bit.

use std::marker::PhantomData;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::parts::Bytes;
use super::{ENVELOPE_BYTES_MAX, Kind, PAYLOAD_BYTES_MAX, WireFault, WireVersion, compress, decompress, head, parts};
use crate::blob::Sha256;
use crate::chunk::{Chunk as LiveChunk, checksum};
use crate::id::{BootId, SpoolId};
use crate::ranges::SequenceRange;
use crate::time::Timestamp;
use crate::uplink::{
    self, BATCHES_MAX, BLOB_OFFERS_MAX, CHUNKS_MAX, DOWN_LINK_ITEMS_MAX, RECEIPT_RANGES_MAX, RECEIPTS_MAX, REFUSALS_MAX,
};

/// Added to the kind of an envelope whose payload is compressed.
pub(super) const COMPRESSED: u8 = 16;
/// Bytes of a boot id, after the first byte of a body.
const BOOT_BYTES: usize = 16;
/// First bytes of bodies in which a boot id follows.
const FORMS_WITH_BOOT: [u8; 4] = [0, 2, 3, 4];

#[derive(Serialize, Deserialize)]
struct Request<'a> {
    agent_version: Version<'a>,
    spool_id: [u8; 16],
    boot_id: [u8; 16],
    monotonic_ms: u64,
    low_water_mark: Option<i64>,
    #[serde(borrow, deserialize_with = "at_most::<_, _, BATCHES_MAX>")]
    batches: Vec<Batch<'a>>,
    #[serde(borrow, deserialize_with = "at_most::<_, _, DOWN_LINK_ITEMS_MAX>")]
    down_link_held: Vec<(&'a str, u64)>,
    #[serde(deserialize_with = "at_most::<_, _, BLOB_OFFERS_MAX>")]
    blob_offers: Vec<([u8; 32], u64)>,
}

#[derive(Serialize, Deserialize)]
enum Version<'a> {
    Release(u32, u32, u32),
    Text(&'a str),
}

#[derive(Serialize, Deserialize)]
struct Batch<'a> {
    /// Twice the lane's number; one more for history.
    lane_and_history: u8,
    #[serde(borrow, deserialize_with = "at_most::<_, _, CHUNKS_MAX>")]
    chunks: Vec<Chunk<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Chunk<'a> {
    /// Sequences between the chunk before (0 for the first) and this one's first.
    skipped: u64,
    /// Sequences after its first.
    more: u64,
    #[serde(borrow)]
    body: Body<'a>,
}

#[derive(Serialize, Deserialize)]
enum Body<'a> {
    /// Its bytes, whose checksum is the chunk's.
    Whole(#[serde(borrow)] Bytes<'a>),
    /// The same, without the boot, which is the request's: the first byte and the rest.
    OfThisBoot(u8, #[serde(borrow)] Bytes<'a>),
    /// Its bytes, whose checksum is not the chunk's: damaged in the vehicle, for the gateway to refuse.
    Damaged(u32, #[serde(borrow)] Bytes<'a>),
}

#[derive(Serialize, Deserialize)]
struct Answer<'a> {
    #[serde(borrow, deserialize_with = "at_most::<_, _, RECEIPTS_MAX>")]
    receipts: Vec<Receipt<'a>>,
    #[serde(borrow, deserialize_with = "at_most::<_, _, DOWN_LINK_ITEMS_MAX>")]
    down_link: Vec<DownLinkItem<'a>>,
    #[serde(deserialize_with = "at_most::<_, _, BLOB_OFFERS_MAX>")]
    blobs: Vec<([u8; 32], u64, bool)>,
}

#[derive(Serialize, Deserialize)]
struct Receipt<'a> {
    /// Absent when it is the request's.
    spool_id: Option<[u8; 16]>,
    lane: u8,
    through: u64,
    /// First sequence and how many more.
    #[serde(deserialize_with = "at_most::<_, _, RECEIPT_RANGES_MAX>")]
    accepted: Vec<(u64, u64)>,
    #[serde(borrow, deserialize_with = "at_most::<_, _, REFUSALS_MAX>")]
    refused: Vec<(u64, u64, &'a str)>,
}

#[derive(Serialize, Deserialize)]
struct DownLinkItem<'a> {
    id: &'a str,
    kind: u8,
    version: u64,
    sha256: [u8; 32],
    #[serde(borrow)]
    body: Bytes<'a>,
}

pub(super) fn encode_request(request: &uplink::UplinkRequest) -> Result<Vec<u8>, WireFault> {
    let batches = request.batches.iter().map(|batch| Batch {
        lane_and_history: 2 * parts::lane_place(batch.lane) + u8::from(batch.history),
        chunks: chunks(&batch.chunks, request.boot_id),
    });
    let message = Request {
        agent_version: Version::of(&request.agent_version),
        spool_id: request.spool_id.0,
        boot_id: request.boot_id.0,
        monotonic_ms: request.monotonic_ms,
        low_water_mark: request.low_water_mark.map(Timestamp::as_millis),
        batches: batches.collect(),
        down_link_held: request.down_link_held.iter().map(|(id, version)| (id.as_str(), *version)).collect(),
        blob_offers: request.blob_offers.iter().map(|offer| (offer.sha256.0, offer.size)).collect(),
    };
    encode(Kind::Request, &message)
}

pub(super) fn decode_request(kind: u8, bytes: &[u8]) -> Result<uplink::UplinkRequest, WireFault> {
    let payload = payload(kind, bytes)?;
    let request: Request<'_> = read(&payload)?;
    let boot_id = BootId(request.boot_id);
    let offer = |(sha256, size)| uplink::BlobOffer { sha256: Sha256(sha256), size };
    Ok(uplink::UplinkRequest {
        agent_version: request.agent_version.text(),
        spool_id: SpoolId(request.spool_id),
        boot_id,
        monotonic_ms: request.monotonic_ms,
        low_water_mark: request.low_water_mark.map(Timestamp::from_millis),
        batches: request.batches.iter().map(|batch| batch.live(boot_id)).collect::<Result<_, _>>()?,
        down_link_held: request.down_link_held.iter().map(|(id, version)| ((*id).to_owned(), *version)).collect(),
        blob_offers: request.blob_offers.into_iter().map(offer).collect(),
    })
}

impl<'a> Version<'a> {
    /// Three numbers where they say it all.
    fn of(text: &'a str) -> Self {
        let mut numbers = text.split('.').map(str::parse);
        match [numbers.next(), numbers.next(), numbers.next()] {
            [Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))]
                if Self::Release(major, minor, patch).text() == text =>
            {
                Self::Release(major, minor, patch)
            }
            _ => Self::Text(text),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Release(major, minor, patch) => format!("{major}.{minor}.{patch}"),
            Self::Text(text) => (*text).to_owned(),
        }
    }
}

fn chunks(chunks: &[LiveChunk], boot_id: BootId) -> Vec<Chunk<'_>> {
    let mut told = Vec::with_capacity(chunks.len());
    let mut last = 0_u64;
    for chunk in chunks {
        let skipped = chunk.range.first().wrapping_sub(last).wrapping_sub(1);
        last = chunk.range.last();
        told.push(Chunk { skipped, more: chunk.range.count() - 1, body: Body::of(chunk, boot_id) });
    }
    told
}

impl<'a> Body<'a> {
    fn of(chunk: &'a LiveChunk, boot_id: BootId) -> Self {
        if checksum(&chunk.body) != chunk.checksum {
            return Self::Damaged(chunk.checksum, Bytes(&chunk.body));
        }
        let parts =
            chunk.body.split_first().and_then(|(form, rest)| Some((*form, rest.split_first_chunk::<BOOT_BYTES>()?)));
        match parts {
            Some((form, (boot, rest))) if FORMS_WITH_BOOT.contains(&form) && *boot == boot_id.0 => {
                Self::OfThisBoot(form, Bytes(rest))
            }
            _ => Self::Whole(Bytes(&chunk.body)),
        }
    }

    /// The checksum and the bytes of the chunk.
    fn live(&self, boot_id: BootId) -> (u32, Vec<u8>) {
        match self {
            Self::Whole(bytes) => (checksum(bytes.0), bytes.0.to_vec()),
            Self::OfThisBoot(form, rest) => {
                let body = [&[*form], boot_id.0.as_slice(), rest.0].concat();
                (checksum(&body), body)
            }
            Self::Damaged(claimed, bytes) => (*claimed, bytes.0.to_vec()),
        }
    }
}

impl Batch<'_> {
    fn live(&self, boot_id: BootId) -> Result<uplink::Batch, WireFault> {
        let mut last = 0_u64;
        let chunk = |chunk: &Chunk<'_>| {
            let range = live_range(last.wrapping_add(chunk.skipped).wrapping_add(1), chunk.more)?;
            last = range.last();
            let (checksum, body) = chunk.body.live(boot_id);
            Ok::<_, WireFault>(LiveChunk { range, checksum, body })
        };
        let chunks = self.chunks.iter().map(chunk).collect::<Result<_, _>>()?;
        let lane = parts::lane(self.lane_and_history / 2)?;
        Ok(uplink::Batch { lane, history: self.lane_and_history % 2 == 1, chunks })
    }
}

fn live_range(first: u64, more: u64) -> Result<SequenceRange, WireFault> {
    let range = first.checked_add(more).and_then(|last| SequenceRange::new(first, last).ok());
    range.ok_or_else(|| WireFault::Payload(format!("{first} and {more} more is no range of sequences")))
}

pub(super) fn encode_answer(answer: &uplink::UplinkAnswer, asked: SpoolId) -> Result<Vec<u8>, WireFault> {
    let receipts = answer.receipts.iter().map(|receipt| Receipt::of(receipt, asked));
    let down_link = answer.down_link.iter().map(|item| DownLinkItem {
        id: &item.id,
        kind: parts::kind_place(item.kind),
        version: item.version,
        sha256: item.sha256.0,
        body: Bytes(&item.body),
    });
    let blobs = answer.blobs.iter().map(|blob| (blob.sha256.0, blob.held, blob.complete));
    let answer = Answer { receipts: receipts.collect(), down_link: down_link.collect(), blobs: blobs.collect() };
    encode(Kind::Answer, &answer)
}

pub(super) fn decode_answer(kind: u8, bytes: &[u8], asked: SpoolId) -> Result<uplink::UplinkAnswer, WireFault> {
    let payload = payload(kind, bytes)?;
    let answer: Answer<'_> = read(&payload)?;
    let blob = |(sha256, held, complete)| uplink::BlobState { sha256: Sha256(sha256), held, complete };
    Ok(uplink::UplinkAnswer {
        receipts: answer.receipts.iter().map(|receipt| receipt.live(asked)).collect::<Result<_, _>>()?,
        down_link: answer.down_link.iter().filter_map(DownLinkItem::live).collect(),
        blobs: answer.blobs.into_iter().map(blob).collect(),
    })
}

impl<'a> Receipt<'a> {
    fn of(receipt: &'a uplink::Receipt, asked: SpoolId) -> Self {
        let accepted = receipt.accepted.iter().map(|range| (range.first(), range.count() - 1));
        let refused = receipt
            .refused
            .iter()
            .map(|uplink::Refusal { range, reason }| (range.first(), range.count() - 1, reason.as_str()));
        Self {
            spool_id: (receipt.spool_id != asked).then_some(receipt.spool_id.0),
            lane: parts::lane_place(receipt.lane),
            through: receipt.through,
            accepted: accepted.collect(),
            refused: refused.collect(),
        }
    }

    fn live(&self, asked: SpoolId) -> Result<uplink::Receipt, WireFault> {
        let refusal = |(first, more, reason): &(u64, u64, &str)| {
            Ok::<_, WireFault>(uplink::Refusal { range: live_range(*first, *more)?, reason: (*reason).to_owned() })
        };
        Ok(uplink::Receipt {
            spool_id: self.spool_id.map_or(asked, SpoolId),
            lane: parts::lane(self.lane)?,
            through: self.through,
            accepted: self.accepted.iter().map(|(first, more)| live_range(*first, *more)).collect::<Result<_, _>>()?,
            refused: self.refused.iter().map(refusal).collect::<Result<_, _>>()?,
        })
    }
}

impl DownLinkItem<'_> {
    fn live(&self) -> Option<uplink::DownLinkItem> {
        Some(uplink::DownLinkItem {
            id: self.id.to_owned(),
            kind: parts::kind(self.kind)?,
            version: self.version,
            sha256: Sha256(self.sha256),
            body: self.body.0.to_vec(),
        })
    }
}

fn encode<T: Serialize>(kind: Kind, message: &T) -> Result<Vec<u8>, WireFault> {
    let payload = parts::payload(message)?;
    let mut compressed = postcard::to_stdvec(&payload.len()).map_err(|error| WireFault::Payload(error.to_string()))?;
    compressed.extend_from_slice(&compress(&payload)?);
    let (kind, tail) =
        if compressed.len() < payload.len() { (kind as u8 + COMPRESSED, compressed) } else { (kind as u8, payload) };
    let mut envelope = head(WireVersion::V1, kind, 4 + tail.len());
    envelope.extend_from_slice(&checksum(&tail).to_le_bytes());
    envelope.extend_from_slice(&tail);
    if envelope.len() > ENVELOPE_BYTES_MAX { Err(WireFault::TooLarge(envelope.len())) } else { Ok(envelope) }
}

/// The payload in what follows the kind.
fn payload(kind: u8, bytes: &[u8]) -> Result<Vec<u8>, WireFault> {
    let Some((sum, tail)) = bytes.split_first_chunk() else { return Err(WireFault::Truncated(bytes.len())) };
    if checksum(tail) != u32::from_le_bytes(*sum) {
        return Err(WireFault::Checksum);
    }
    if kind < COMPRESSED {
        return Ok(tail.to_vec());
    }
    let (declared, compressed) =
        postcard::take_from_bytes::<u64>(tail).map_err(|error| WireFault::Payload(error.to_string()))?;
    match usize::try_from(declared) {
        Ok(declared) if declared <= PAYLOAD_BYTES_MAX => decompress(compressed, declared),
        _ => Err(WireFault::Bomb(PAYLOAD_BYTES_MAX)),
    }
}

fn read<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, WireFault> {
    match postcard::take_from_bytes(payload) {
        Ok((message, [])) => Ok(message),
        Ok((_, left)) => Err(WireFault::Payload(format!("{} bytes are left over", left.len()))),
        Err(error) => Err(WireFault::Payload(error.to_string())),
    }
}

/// A list of at most `MAX`: one that says it has more is refused before it is read.
fn at_most<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct AtMost<T, const MAX: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for AtMost<T, MAX> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "at most {MAX} of them")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let count = list.size_hint().unwrap_or_default();
            if count > MAX {
                return Err(A::Error::invalid_length(count, &self));
            }
            let mut taken = Vec::with_capacity(count);
            while let Some(next) = list.next_element()? {
                taken.push(next);
            }
            Ok(taken)
        }
    }

    deserializer.deserialize_seq(AtMost::<T, MAX>(PhantomData))
}
