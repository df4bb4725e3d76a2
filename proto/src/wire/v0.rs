//! Wire version 0, frozen: what the first agents send and expect.
//!
//! Promise: the structs here are those of version 0 for ever, whatever becomes of the live ones in [`crate::uplink`]; the
//! files `proto/tests/golden/v0-*.bin` decode to what they always said. Nothing is added here: see [`super`] for how a new
//! version is made.
//!
//! ```text
//! offset  6  length     u32 little-endian, bytes of the payload before compression
//!        10  checksum   u32 little-endian, CRC-32 of the compressed payload
//!        14  payload    zstd frame holding postcard
//! ```

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{ENVELOPE_BYTES_MAX, Kind, PAYLOAD_BYTES_MAX, WireFault, WireVersion, compress, decompress, head, parts};
use crate::blob::Sha256;
use crate::chunk::{Chunk as LiveChunk, checksum};
use crate::id::{BootId, SpoolId};
use crate::ranges::SequenceRange;
use crate::time::Timestamp;
use crate::uplink;

#[derive(Serialize, Deserialize)]
struct Request {
    agent_version: String,
    spool_id: [u8; 16],
    boot_id: [u8; 16],
    monotonic_ms: u64,
    low_water_mark: Option<i64>,
    batches: Vec<Batch>,
    down_link_held: Vec<(String, u64)>,
    blob_offers: Vec<([u8; 32], u64)>,
}

#[derive(Serialize, Deserialize)]
struct Batch {
    lane: u8,
    history: bool,
    chunks: Vec<Chunk>,
}

#[derive(Serialize, Deserialize)]
struct Chunk {
    range: (u64, u64),
    checksum: u32,
    body: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    receipts: Vec<Receipt>,
    down_link: Vec<DownLinkItem>,
    blobs: Vec<([u8; 32], u64, bool)>,
}

#[derive(Serialize, Deserialize)]
struct Receipt {
    spool_id: [u8; 16],
    lane: u8,
    through: u64,
    accepted: Vec<(u64, u64)>,
    refused: Vec<((u64, u64), String)>,
}

#[derive(Serialize, Deserialize)]
struct DownLinkItem {
    id: String,
    kind: u8,
    version: u64,
    sha256: [u8; 32],
    body: Vec<u8>,
}

pub(super) fn encode_request(request: &uplink::UplinkRequest) -> Result<Vec<u8>, WireFault> {
    let chunk =
        |chunk: &LiveChunk| Chunk { range: chunk.range.into(), checksum: chunk.checksum, body: chunk.body.clone() };
    let batch = |batch: &uplink::Batch| Batch {
        lane: parts::lane_place(batch.lane),
        history: batch.history,
        chunks: batch.chunks.iter().map(chunk).collect(),
    };
    let request = Request {
        agent_version: request.agent_version.clone(),
        spool_id: request.spool_id.0,
        boot_id: request.boot_id.0,
        monotonic_ms: request.monotonic_ms,
        low_water_mark: request.low_water_mark.map(Timestamp::as_millis),
        batches: request.batches.iter().map(batch).collect(),
        down_link_held: request.down_link_held.clone(),
        blob_offers: request.blob_offers.iter().map(|offer| (offer.sha256.0, offer.size)).collect(),
    };
    encode(Kind::Request, &request)
}

pub(super) fn decode_request(bytes: &[u8]) -> Result<uplink::UplinkRequest, WireFault> {
    let request: Request = decode(bytes)?;
    Ok(uplink::UplinkRequest {
        agent_version: request.agent_version,
        spool_id: SpoolId(request.spool_id),
        boot_id: BootId(request.boot_id),
        monotonic_ms: request.monotonic_ms,
        low_water_mark: request.low_water_mark.map(Timestamp::from_millis),
        batches: request.batches.into_iter().map(live_batch).collect::<Result<_, _>>()?,
        down_link_held: request.down_link_held,
        blob_offers: request
            .blob_offers
            .into_iter()
            .map(|(sha256, size)| uplink::BlobOffer { sha256: Sha256(sha256), size })
            .collect(),
    })
}

fn live_batch(batch: Batch) -> Result<uplink::Batch, WireFault> {
    let chunk = |chunk: Chunk| {
        let Chunk { range, checksum, body } = chunk;
        Ok::<_, WireFault>(LiveChunk { range: live_range(range)?, checksum, body })
    };
    Ok(uplink::Batch {
        lane: parts::lane(batch.lane)?,
        history: batch.history,
        chunks: batch.chunks.into_iter().map(chunk).collect::<Result<_, _>>()?,
    })
}

fn live_range((first, last): (u64, u64)) -> Result<SequenceRange, WireFault> {
    SequenceRange::new(first, last).map_err(|invalid| WireFault::Payload(invalid.to_string()))
}

pub(super) fn encode_answer(answer: &uplink::UplinkAnswer) -> Result<Vec<u8>, WireFault> {
    let receipt = |receipt: &uplink::Receipt| Receipt {
        spool_id: receipt.spool_id.0,
        lane: parts::lane_place(receipt.lane),
        through: receipt.through,
        accepted: receipt.accepted.iter().map(|range| (*range).into()).collect(),
        refused: receipt.refused.iter().map(|refusal| (refusal.range.into(), refusal.reason.clone())).collect(),
    };
    let item = |item: &uplink::DownLinkItem| DownLinkItem {
        id: item.id.clone(),
        kind: parts::kind_place(item.kind),
        version: item.version,
        sha256: item.sha256.0,
        body: item.body.clone(),
    };
    let answer = Answer {
        receipts: answer.receipts.iter().map(receipt).collect(),
        down_link: answer.down_link.iter().map(item).collect(),
        blobs: answer.blobs.iter().map(|blob| (blob.sha256.0, blob.held, blob.complete)).collect(),
    };
    encode(Kind::Answer, &answer)
}

pub(super) fn decode_answer(bytes: &[u8]) -> Result<uplink::UplinkAnswer, WireFault> {
    let answer: Answer = decode(bytes)?;
    let blob = |(sha256, held, complete)| uplink::BlobState { sha256: Sha256(sha256), held, complete };
    Ok(uplink::UplinkAnswer {
        receipts: answer.receipts.into_iter().map(live_receipt).collect::<Result<_, _>>()?,
        down_link: answer.down_link.into_iter().filter_map(live_item).collect(),
        blobs: answer.blobs.into_iter().map(blob).collect(),
    })
}

fn live_receipt(receipt: Receipt) -> Result<uplink::Receipt, WireFault> {
    let refusal = |(range, reason)| Ok::<_, WireFault>(uplink::Refusal { range: live_range(range)?, reason });
    Ok(uplink::Receipt {
        spool_id: SpoolId(receipt.spool_id),
        lane: parts::lane(receipt.lane)?,
        through: receipt.through,
        accepted: receipt.accepted.into_iter().map(live_range).collect::<Result<_, _>>()?,
        refused: receipt.refused.into_iter().map(refusal).collect::<Result<_, _>>()?,
    })
}

fn live_item(item: DownLinkItem) -> Option<uplink::DownLinkItem> {
    let DownLinkItem { id, kind, version, sha256, body } = item;
    Some(uplink::DownLinkItem { id, kind: parts::kind(kind)?, version, sha256: Sha256(sha256), body })
}

fn encode<T: Serialize>(kind: Kind, message: &T) -> Result<Vec<u8>, WireFault> {
    let payload = parts::payload(message)?;
    let length = u32::try_from(payload.len()).map_err(|_| WireFault::TooLarge(payload.len()))?;
    let compressed = compress(&payload)?;
    let mut envelope = head(WireVersion::V0, kind as u8, 8 + compressed.len());
    envelope.extend_from_slice(&length.to_le_bytes());
    envelope.extend_from_slice(&checksum(&compressed).to_le_bytes());
    envelope.extend_from_slice(&compressed);
    if envelope.len() > ENVELOPE_BYTES_MAX { Err(WireFault::TooLarge(envelope.len())) } else { Ok(envelope) }
}

/// Reads what follows the kind.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireFault> {
    let Some(([l0, l1, l2, l3, c0, c1, c2, c3], compressed)) = bytes.split_first_chunk() else {
        return Err(WireFault::Truncated(bytes.len()));
    };
    if checksum(compressed) != u32::from_le_bytes([*c0, *c1, *c2, *c3]) {
        return Err(WireFault::Checksum);
    }
    let declared = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
    if declared > PAYLOAD_BYTES_MAX {
        return Err(WireFault::Bomb(PAYLOAD_BYTES_MAX));
    }
    let payload = decompress(compressed, declared)?;
    postcard::from_bytes(&payload).map_err(|error| WireFault::Payload(error.to_string()))
}
