//! The envelope around what travels between agent and gateway.
//!
//! ```text
//! offset  0  magic      "MPST"
//!         4  version    u8
//!         5  kind       u8, and what the version puts after it
//! ```
//!
//! Promise: nothing larger than the bounds below is ever allocated, whatever the bytes say, and each way in which bytes
//! can be wrong has its own [`WireFault`]. Every version that was ever released is still read, and a request is answered in
//! the version it was asked in; a version from the future is refused by its number, in the same place for ever.
//!
//! # Making a new version
//!
//! A released version is frozen: its module, the forms of chunk bodies it may carry (`crate::columns`) and the enums of
//! readings inside them, because an older gateway that cannot read a chunk refuses it, and the agent then lets go of it. So
//! whatever an older end could not read, be it a field, a form of body or a variant of an enum, comes with a new version:
//!
//! 1. copy `wire/v1.rs` to `wire/v2.rs`, change the copy, and add it to [`WireVersion`];
//! 2. commit golden files of it (`MILEPOST_GOLDEN=write cargo test -p milepost-proto --test golden` writes those that are
//!    missing and never touches one that is there);
//! 3. release the gateways first: an agent that is refused for its version waits and asks again, and loses nothing.

use std::io::Read;

use crate::id::SpoolId;
use crate::uplink::{
    BATCHES_MAX, BLOB_OFFERS_MAX, CHUNKS_MAX, DOWN_LINK_ITEMS_MAX, RECEIPT_RANGES_MAX, RECEIPTS_MAX, REFUSALS_MAX,
    UplinkAnswer, UplinkRequest,
};

mod parts;
mod v0;
mod v1;

/// Most bytes of an envelope on the wire.
pub const ENVELOPE_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of a payload after decompression.
pub const PAYLOAD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The media type of an envelope in HTTP.
pub const CONTENT_TYPE: &str = "application/vnd.milepost.batch";

const MAGIC: [u8; 4] = *b"MPST";
const ZSTD_LEVEL: i32 = 3;

/// A version of the wire that this build reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WireVersion {
    /// Of the first agents.
    V0 = 0,
    /// Chunks by column, and little around them.
    V1 = 1,
}

impl WireVersion {
    /// What this build's agent speaks.
    pub const CURRENT: Self = Self::V1;
}

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
    #[error("wire version {0} is not spoken here, this build speaks 0 to {newest}; update the older end", newest = WireVersion::CURRENT as u8)]
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

/// Wraps a request, in the version that this build's agent speaks.
///
/// # Errors
/// [`WireFault::TooLarge`] when it does not fit: send less. [`WireFault::Bound`] when it has too much of something.
pub fn encode_request(request: &UplinkRequest) -> Result<Vec<u8>, WireFault> {
    encode_request_in(WireVersion::CURRENT, request)
}

/// Wraps a request in `version`, as an older agent does.
///
/// # Errors
/// As [`encode_request`].
pub fn encode_request_in(version: WireVersion, request: &UplinkRequest) -> Result<Vec<u8>, WireFault> {
    check_request(request)?;
    match version {
        WireVersion::V0 => v0::encode_request(request),
        WireVersion::V1 => v1::encode_request(request),
    }
}

/// Reads a request, and the version to answer it in.
///
/// # Errors
/// The [`WireFault`] that names what is wrong with the bytes.
pub fn decode_request(bytes: &[u8]) -> Result<(WireVersion, UplinkRequest), WireFault> {
    let opened = open(Kind::Request, bytes)?;
    let request = match opened.version {
        WireVersion::V0 => v0::decode_request(opened.rest),
        WireVersion::V1 => v1::decode_request(opened.kind, opened.rest),
    }?;
    check_request(&request)?;
    Ok((opened.version, request))
}

/// Wraps an answer in the `version` in which spool `asked` was spoken of.
///
/// # Errors
/// [`WireFault::TooLarge`] when it does not fit, [`WireFault::Bound`] when it has too much of something.
pub fn encode_answer(version: WireVersion, asked: SpoolId, answer: &UplinkAnswer) -> Result<Vec<u8>, WireFault> {
    check_answer(answer)?;
    match version {
        WireVersion::V0 => v0::encode_answer(answer),
        WireVersion::V1 => v1::encode_answer(answer, asked),
    }
}

/// Reads the answer to a request about spool `asked`.
///
/// # Errors
/// The [`WireFault`] that names what is wrong with the bytes.
pub fn decode_answer(bytes: &[u8], asked: SpoolId) -> Result<UplinkAnswer, WireFault> {
    let opened = open(Kind::Answer, bytes)?;
    let answer = match opened.version {
        WireVersion::V0 => v0::decode_answer(opened.rest),
        WireVersion::V1 => v1::decode_answer(opened.kind, opened.rest, asked),
    }?;
    check_answer(&answer)?;
    Ok(answer)
}

#[derive(Clone, Copy)]
enum Kind {
    Request = 1,
    Answer = 2,
}

/// An envelope of the right kind.
struct Opened<'a> {
    version: WireVersion,
    /// As it was written.
    kind: u8,
    /// What follows the kind.
    rest: &'a [u8],
}

fn open(expected: Kind, bytes: &[u8]) -> Result<Opened<'_>, WireFault> {
    if bytes.len() > ENVELOPE_BYTES_MAX {
        return Err(WireFault::TooLarge(bytes.len()));
    }
    let Some(([m0, m1, m2, m3, version, kind], rest)) = bytes.split_first_chunk() else {
        return Err(WireFault::Truncated(bytes.len()));
    };
    if [*m0, *m1, *m2, *m3] != MAGIC {
        return Err(WireFault::Magic);
    }
    let (version, plain_kind) = match *version {
        0 => (WireVersion::V0, *kind),
        1 => (WireVersion::V1, *kind & !v1::COMPRESSED),
        unknown => return Err(WireFault::Version(unknown)),
    };
    if plain_kind != expected as u8 {
        return Err(WireFault::Kind(*kind));
    }
    Ok(Opened { version, kind: *kind, rest })
}

/// The beginning of an envelope, with room for `more` bytes.
fn head(version: WireVersion, kind: u8, more: usize) -> Vec<u8> {
    let mut envelope = Vec::with_capacity(MAGIC.len() + 2 + more);
    envelope.extend_from_slice(&MAGIC);
    envelope.extend_from_slice(&[version as u8, kind]);
    envelope
}

fn check_request(request: &UplinkRequest) -> Result<(), WireFault> {
    bound("batches", request.batches.len(), BATCHES_MAX)?;
    bound("held down-link items", request.down_link_held.len(), DOWN_LINK_ITEMS_MAX)?;
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

fn compress(payload: &[u8]) -> Result<Vec<u8>, WireFault> {
    zstd::bulk::compress(payload, ZSTD_LEVEL).map_err(|error| WireFault::Compression(error.to_string()))
}

/// Reads at most one byte more than declared, so a frame that lies about its size costs no more than one that does not.
fn decompress(compressed: &[u8], declared: usize) -> Result<Vec<u8>, WireFault> {
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
mod tests;
