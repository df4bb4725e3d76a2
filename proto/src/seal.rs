//! The evidence lane's hash chain: each record names the hash of the one before it and is signed by the device key.
//!
//! Promise: [`evidence_digest`] covers everything of an evidence record except the signature itself, so a record that is
//! changed, removed or inserted after signing is detected by whoever holds the device's public key. The hash is
//! SHA-256; the signature is ECDSA P-256 with SHA-256, ASN.1 DER, over the digest's 32 bytes.

use serde::{Deserialize, Serialize};

use crate::blob::Sha256;
use crate::id::SpoolId;
use crate::reading::Reading;
use crate::record::Record;
use crate::time::{TimeQuality, Timestamp};

/// What ties an evidence record to the one before it and to its device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceSeal {
    /// [`evidence_digest`] of the record before it in this spool; [`chain_start`] for the first.
    pub prev_hash: Sha256,
    /// Signature of this record's [`evidence_digest`], ASN.1 DER.
    pub signature: Vec<u8>,
}

/// The `prev_hash` of a spool's first evidence record: the hash of the spool's id.
#[must_use]
pub fn chain_start(spool_id: SpoolId) -> Sha256 {
    Sha256::of(&spool_id.0)
}

/// The digest that is signed, and that the next record names as its `prev_hash`.
///
/// # Errors
/// None in practice: encoding fails only if a reading cannot be serialised, which no reading type does.
pub fn evidence_digest(
    prev_hash: Sha256,
    sequence: u64,
    event_time: Timestamp,
    monotonic_ms: u64,
    time_quality: TimeQuality,
    reading: &Reading,
) -> Result<Sha256, postcard::Error> {
    let bytes = postcard::to_stdvec(&(prev_hash, sequence, event_time, monotonic_ms, time_quality, reading))?;
    Ok(Sha256::of(&bytes))
}

/// The digest of a sealed record at `sequence`; absent when the record carries no seal.
#[must_use]
pub fn digest_of(record: &Record, sequence: u64) -> Option<Sha256> {
    let seal = record.seal.as_ref()?;
    evidence_digest(
        seal.prev_hash,
        sequence,
        record.event_time,
        record.monotonic_ms,
        record.time_quality,
        &record.reading,
    )
    .ok()
}
