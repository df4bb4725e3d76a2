//! The envelope around what travels between agent and gateway.
//!
//! ```text
//! offset  0  magic      "MPST"
//!         4  version    u8, 0 = development wire, not frozen
//!         5  kind       u8, 1 = request, 2 = answer
//!         6  length     u32 little-endian, bytes of the payload before compression
//!        10  checksum   u32 little-endian, CRC-32 of the compressed payload
//!        14  payload    zstd frame holding postcard
//! ```
//!
//! Promise: nothing larger than the bounds below is ever allocated, whatever the bytes say, and each way in which bytes
//! can be wrong has its own [`WireFault`].

use std::io::Read;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::chunk::checksum;
use crate::uplink::{
    BATCHES_MAX, BLOB_OFFERS_MAX, CHUNKS_MAX, DOWN_LINK_ITEMS_MAX, RECEIPT_RANGES_MAX, RECEIPTS_MAX, REFUSALS_MAX,
    UplinkAnswer, UplinkRequest,
};

/// Most bytes of an envelope on the wire.
pub const ENVELOPE_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of a payload after decompression.
pub const PAYLOAD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// This build's wire version.
pub const VERSION: u8 = 0;
/// The media type of an envelope in HTTP.
pub const CONTENT_TYPE: &str = "application/vnd.milepost.batch";

const MAGIC: [u8; 4] = *b"MPST";
const HEADER_BYTES: usize = 14;
const ZSTD_LEVEL: i32 = 3;

/// What is wrong with some bytes that should be an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireFault {
    /// Fewer bytes than the header has.
    #[error("{0} bytes are too few for an envelope")]
    Truncated(usize),
    /// More bytes than an envelope may have.
    #[error("{0} bytes are more than the {ENVELOPE_BYTES_MAX} an envelope may have")]
    TooLarge(usize),
    /// Not an envelope at all.
    #[error("the first bytes are not MPST")]
    Magic,
    /// A version this build does not speak.
    #[error("wire version {0} is not spoken here, this build speaks {VERSION}; update the older end")]
    Version(u8),
    /// An envelope of another kind than expected.
    #[error("envelope kind {0} is not what belongs here")]
    Kind(u8),
    /// Damaged on the way.
    #[error("checksum does not match: the envelope was damaged on the way")]
    Checksum,
    /// Decompresses to more than allowed or than it declared.
    #[error("payload decompresses to more than the {0} bytes allowed")]
    Bomb(usize),
    /// Does not decompress.
    #[error("payload does not decompress: {0}")]
    Compression(String),
    /// Does not decode.
    #[error("payload does not decode: {0}")]
    Payload(String),
    /// Decodes, but holds more of something than allowed.
    #[error("{count} {what}, at most {max} are allowed")]
    Bound {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
}

/// Wraps a request.
///
/// # Errors
/// [`WireFault::TooLarge`] when it does not fit: send less. [`WireFault::Bound`] when it has too much of something.
pub fn encode_request(request: &UplinkRequest) -> Result<Vec<u8>, WireFault> {
    check_request(request)?;
    encode(Kind::Request, request)
}

/// Reads a request.
///
/// # Errors
/// The [`WireFault`] that names what is wrong with the bytes.
pub fn decode_request(bytes: &[u8]) -> Result<UplinkRequest, WireFault> {
    let request = decode(Kind::Request, bytes)?;
    check_request(&request)?;
    Ok(request)
}

/// Wraps an answer.
///
/// # Errors
/// [`WireFault::TooLarge`] when it does not fit, [`WireFault::Bound`] when it has too much of something.
pub fn encode_answer(answer: &UplinkAnswer) -> Result<Vec<u8>, WireFault> {
    check_answer(answer)?;
    encode(Kind::Answer, answer)
}

/// Reads an answer.
///
/// # Errors
/// The [`WireFault`] that names what is wrong with the bytes.
pub fn decode_answer(bytes: &[u8]) -> Result<UplinkAnswer, WireFault> {
    let answer = decode(Kind::Answer, bytes)?;
    check_answer(&answer)?;
    Ok(answer)
}

#[derive(Clone, Copy)]
enum Kind {
    Request = 1,
    Answer = 2,
}

fn check_request(request: &UplinkRequest) -> Result<(), WireFault> {
    bound("batches", request.batches.len(), BATCHES_MAX)?;
    bound("blob offers", request.blob_offers.len(), BLOB_OFFERS_MAX)?;
    request.batches.iter().try_for_each(|batch| bound("chunks in a batch", batch.chunks.len(), CHUNKS_MAX))
}

fn check_answer(answer: &UplinkAnswer) -> Result<(), WireFault> {
    bound("receipts", answer.receipts.len(), RECEIPTS_MAX)?;
    bound("down-link items", answer.down_link.len(), DOWN_LINK_ITEMS_MAX)?;
    bound("blob states", answer.blobs.len(), BLOB_OFFERS_MAX)?;
    answer.receipts.iter().try_for_each(|receipt| {
        bound("ranges in a receipt", receipt.accepted.len(), RECEIPT_RANGES_MAX)?;
        bound("refusals in a receipt", receipt.refused.len(), REFUSALS_MAX)
    })
}

fn bound(what: &'static str, count: usize, max: usize) -> Result<(), WireFault> {
    if count > max { Err(WireFault::Bound { what, count, max }) } else { Ok(()) }
}

fn encode<T: Serialize>(kind: Kind, message: &T) -> Result<Vec<u8>, WireFault> {
    let payload = postcard::to_stdvec(message).map_err(|error| WireFault::Payload(error.to_string()))?;
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(WireFault::TooLarge(payload.len()));
    }
    let length = u32::try_from(payload.len()).map_err(|_| WireFault::TooLarge(payload.len()))?;
    let compressed =
        zstd::bulk::compress(&payload, ZSTD_LEVEL).map_err(|error| WireFault::Compression(error.to_string()))?;
    let mut envelope = Vec::with_capacity(HEADER_BYTES + compressed.len());
    envelope.extend_from_slice(&MAGIC);
    envelope.extend_from_slice(&[VERSION, kind as u8]);
    envelope.extend_from_slice(&length.to_le_bytes());
    envelope.extend_from_slice(&checksum(&compressed).to_le_bytes());
    envelope.extend_from_slice(&compressed);
    if envelope.len() > ENVELOPE_BYTES_MAX { Err(WireFault::TooLarge(envelope.len())) } else { Ok(envelope) }
}

fn decode<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, WireFault> {
    if bytes.len() > ENVELOPE_BYTES_MAX {
        return Err(WireFault::TooLarge(bytes.len()));
    }
    let Some((header, compressed)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(WireFault::Truncated(bytes.len()));
    };
    let [m0, m1, m2, m3, version, found_kind, l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(WireFault::Magic);
    }
    if version != VERSION {
        return Err(WireFault::Version(version));
    }
    if found_kind != kind as u8 {
        return Err(WireFault::Kind(found_kind));
    }
    if checksum(compressed) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(WireFault::Checksum);
    }
    let payload = decompress(compressed, u32::from_le_bytes([l0, l1, l2, l3]) as usize)?;
    postcard::from_bytes(&payload).map_err(|error| WireFault::Payload(error.to_string()))
}

/// Reads at most one byte more than declared, so a frame that lies about its size costs no more than one that does not.
fn decompress(compressed: &[u8], declared: usize) -> Result<Vec<u8>, WireFault> {
    if declared > PAYLOAD_BYTES_MAX {
        return Err(WireFault::Bomb(PAYLOAD_BYTES_MAX));
    }
    let failed = |error: std::io::Error| WireFault::Compression(error.to_string());
    let decoder = zstd::stream::read::Decoder::new(compressed).map_err(failed)?;
    let mut payload = Vec::with_capacity(declared.min(64 * 1024));
    decoder.take(declared as u64 + 1).read_to_end(&mut payload).map_err(failed)?;
    match payload.len() {
        length if length > declared => Err(WireFault::Bomb(declared)),
        length if length < declared => {
            Err(WireFault::Payload(format!("{length} bytes where {declared} were declared")))
        }
        _ => Ok(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uplink::BlobState;
    use crate::{
        Batch, BootId, Chunk, Lane, Reading, Receipt, Record, SequenceRange, Sha256, SpoolId, TimeQuality, Timestamp,
    };

    fn request() -> UplinkRequest {
        let record = Record {
            event_time: Timestamp::from_millis(1_622_548_800_000),
            monotonic_ms: 12,
            time_quality: TimeQuality::UNKNOWN,
            reading: Reading::Switch(crate::reading::Switch { name: "ignition".to_owned(), on: true }),
            seal: None,
        };
        let chunk = Chunk::seal(1, BootId([2; 16]), vec![record]).expect("sealed");
        UplinkRequest {
            agent_version: "0.1.0".to_owned(),
            spool_id: SpoolId([1; 16]),
            boot_id: BootId([2; 16]),
            monotonic_ms: 99,
            low_water_mark: Some(Timestamp::EPOCH),
            batches: vec![Batch { lane: Lane::Event, history: false, chunks: vec![chunk] }],
            down_link_held: Vec::new(),
            blob_offers: Vec::new(),
        }
    }

    fn damaged(change: impl FnOnce(&mut Vec<u8>)) -> Result<UplinkRequest, WireFault> {
        let mut bytes = encode_request(&request()).expect("encodes");
        change(&mut bytes);
        decode_request(&bytes)
    }

    #[test]
    fn what_was_wrapped_unwraps() {
        assert_eq!(damaged(|_| ()), Ok(request()));
    }

    #[test]
    fn each_kind_of_damage_has_its_name() {
        assert_eq!(damaged(|bytes| bytes.truncate(9)), Err(WireFault::Truncated(9)));
        assert_eq!(damaged(|bytes| bytes[0] = b'X'), Err(WireFault::Magic));
        assert_eq!(damaged(|bytes| bytes[4] = 9), Err(WireFault::Version(9)));
        assert_eq!(damaged(|bytes| bytes[5] = 2), Err(WireFault::Kind(2)));
        assert_eq!(damaged(|bytes| bytes[20] ^= 0x10), Err(WireFault::Checksum));
        assert!(matches!(damaged(|bytes| bytes.resize(ENVELOPE_BYTES_MAX + 1, 0)), Err(WireFault::TooLarge(_))));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let good = encode_request(&request()).expect("encodes");
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(decode_request(&bytes), Ok(request()), "bit {bit}");
        }
    }

    /// A frame of zeros, honest or lying about its size, never costs more than the bound.
    #[test]
    fn a_decompression_bomb_is_refused() {
        let compressed = zstd::bulk::compress(&vec![0; 64 * 1024 * 1024], 19).expect("compresses");
        for declared in [64 * 1024 * 1024_u32, 1000] {
            let mut bytes = MAGIC.to_vec();
            bytes.extend_from_slice(&[VERSION, Kind::Request as u8]);
            bytes.extend_from_slice(&declared.to_le_bytes());
            bytes.extend_from_slice(&checksum(&compressed).to_le_bytes());
            bytes.extend_from_slice(&compressed);
            assert!(matches!(decode_request(&bytes), Err(WireFault::Bomb(_))), "declared {declared}");
        }
    }

    #[test]
    fn too_many_batches_are_refused_on_both_ends() {
        let mut crowded = request();
        crowded.batches = vec![crowded.batches[0].clone(); BATCHES_MAX + 1];
        assert!(matches!(encode_request(&crowded), Err(WireFault::Bound { what: "batches", .. })));
        let bytes = encode(Kind::Request, &crowded).expect("encodes");
        assert!(matches!(decode_request(&bytes), Err(WireFault::Bound { what: "batches", .. })));
    }

    #[test]
    fn an_answer_with_too_much_of_anything_is_refused_on_both_ends() {
        let receipt = Receipt {
            spool_id: SpoolId([1; 16]),
            lane: Lane::Event,
            through: 0,
            accepted: vec![SequenceRange::single(5); RECEIPT_RANGES_MAX],
            refused: Vec::new(),
        };
        let blob = BlobState { sha256: Sha256::of(b""), held: 0, complete: false };
        let full = UplinkAnswer {
            receipts: vec![receipt.clone(); RECEIPTS_MAX],
            down_link: Vec::new(),
            blobs: vec![blob; BLOB_OFFERS_MAX],
        };
        let bytes = encode_answer(&full).expect("encodes");
        assert_eq!(decode_answer(&bytes), Ok(full.clone()));
        let check = |answer: UplinkAnswer, expected: &str| {
            let bytes = encode(Kind::Answer, &answer).expect("encodes");
            for outcome in [encode_answer(&answer).map(drop), decode_answer(&bytes).map(drop)] {
                assert!(matches!(outcome, Err(WireFault::Bound { what, .. }) if what == expected), "{outcome:?}");
            }
        };
        check(UplinkAnswer { receipts: vec![receipt.clone(); RECEIPTS_MAX + 1], ..full.clone() }, "receipts");
        check(UplinkAnswer { blobs: vec![blob; BLOB_OFFERS_MAX + 1], ..full.clone() }, "blob states");
        let ranges = vec![SequenceRange::single(5); RECEIPT_RANGES_MAX + 1];
        check(UplinkAnswer { receipts: vec![Receipt { accepted: ranges, ..receipt }], ..full }, "ranges in a receipt");
    }
}
