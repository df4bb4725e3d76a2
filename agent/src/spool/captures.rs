//! Driver captures: the same one sent twice is one record.

use milepost_proto::driver_app::{Rejection, RejectionCode};
use milepost_proto::{BootId, Record, Sha256, SpoolId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Signer, SpoolError, append};
use crate::capture::{Accepted, DriverCapture};

/// Most captures remembered; the oldest are forgotten first.
const CAPTURES_MAX: u64 = 10_000;

/// What makes two captures the same: their reference, and what they said when they arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureKey {
    reference: String,
    digest: Sha256,
}

impl CaptureKey {
    /// The key of a capture as it arrived, before the agent added anything to it.
    #[must_use]
    pub fn of(capture: &DriverCapture) -> Self {
        let client_ref = capture.client_ref();
        let (reference, bytes) = match capture {
            DriverCapture::Pod(pod) => (format!("pod/{}/{client_ref}", pod.revision), postcard::to_stdvec(pod)),
            DriverCapture::Action(action) => (format!("action/{client_ref}"), postcard::to_stdvec(action)),
            DriverCapture::Exception(exception) => (format!("exception/{client_ref}"), postcard::to_stdvec(exception)),
        };
        Self { reference, digest: Sha256::of(&bytes.unwrap_or_default()) }
    }
}

/// Stores a capture unless it is there already.
pub(super) fn capture(
    connection: &Connection,
    spool_id: SpoolId,
    key: &CaptureKey,
    boot_id: BootId,
    record: Record,
    signer: &Signer,
) -> Result<Result<Accepted, Rejection>, SpoolError> {
    if let Some((digest, sequence)) = known(connection, &key.reference)? {
        let same = digest == key.digest;
        return Ok(if same { Ok(Accepted { sequence, duplicate: true }) } else { Err(conflict(&key.reference)) });
    }
    let sequence = append::append_evidence(connection, spool_id, boot_id, record, signer)?;
    connection
        .prepare_cached("INSERT INTO capture (reference, digest, sequence) VALUES (?1, ?2, ?3)")?
        .execute(params![key.reference, key.digest.0, sequence])?;
    connection
        .prepare_cached("DELETE FROM capture WHERE sequence <= ?1")?
        .execute([sequence.saturating_sub(CAPTURES_MAX)])?;
    Ok(Ok(Accepted { sequence, duplicate: false }))
}

/// What was answered when this same capture was accepted before, if it was.
pub(super) fn find(connection: &Connection, key: &CaptureKey) -> Result<Option<Accepted>, SpoolError> {
    let found = known(connection, &key.reference)?.filter(|(digest, _)| *digest == key.digest);
    Ok(found.map(|(_, sequence)| Accepted { sequence, duplicate: true }))
}

fn known(connection: &Connection, reference: &str) -> Result<Option<(Sha256, u64)>, SpoolError> {
    let found = connection
        .prepare_cached("SELECT digest, sequence FROM capture WHERE reference = ?1")?
        .query_row([reference], |row| Ok((Sha256(row.get(0)?), row.get(1)?)))
        .optional()?;
    Ok(found)
}

fn conflict(reference: &str) -> Rejection {
    Rejection::new(
        RejectionCode::ConflictingReference,
        format!("{reference} was accepted before with other content"),
        "use a new client_ref, or raise the revision to correct the earlier capture",
    )
}
