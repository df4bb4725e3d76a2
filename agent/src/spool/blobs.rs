//! Photos and signatures: parts come in any order, and the blob is whole when its bytes have the hash in its name.

use milepost_proto::Sha256;
use milepost_proto::driver_app::{Rejection, RejectionCode};
use milepost_proto::uplink::{BLOB_BYTES_MAX, BLOB_OFFERS_MAX, BlobOffer, BlobState};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::SpoolError;
use crate::event::{BlobPart, BlobProgress};

/// Keeps a part.
pub(super) fn keep_part(
    connection: &Connection,
    part: &BlobPart,
) -> Result<Result<BlobProgress, Rejection>, SpoolError> {
    let end = part.offset.saturating_add(part.bytes.len() as u64);
    if end.max(part.size.unwrap_or(0)) > BLOB_BYTES_MAX {
        return Ok(Err(too_large()));
    }
    if let Some(progress) = progress(connection, part.sha256)?.filter(|progress| progress.complete) {
        return Ok(Ok(progress));
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO blob_part (sha256, start, body) VALUES (?1, ?2, ?3)")?
        .execute(params![part.sha256.0, part.offset, part.bytes])?;
    let bytes = contiguous(connection, part.sha256)?;
    let held = bytes.len() as u64;
    if held > BLOB_BYTES_MAX {
        forget(connection, part.sha256)?;
        return Ok(Err(too_large()));
    }
    let complete = Sha256::of(&bytes) == part.sha256;
    if !complete && part.size.is_some_and(|size| held >= size) {
        forget(connection, part.sha256)?;
        return Ok(Err(mismatch()));
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO blob (sha256, held, complete) VALUES (?1, ?2, ?3)")?
        .execute(params![part.sha256.0, held, complete])?;
    Ok(Ok(BlobProgress { held, complete }))
}

/// Whole blobs, a request's worth.
pub(super) fn waiting(connection: &Connection) -> Result<Vec<BlobOffer>, SpoolError> {
    let mut statement = connection.prepare_cached("SELECT sha256, held FROM blob WHERE complete LIMIT ?1")?;
    let offers = statement
        .query_map([BLOB_OFFERS_MAX], |row| Ok(BlobOffer { sha256: Sha256(row.get(0)?), size: row.get(1)? }))?
        .collect::<Result<_, _>>()?;
    Ok(offers)
}

/// At most `length_max` bytes of a whole blob from `start`.
pub(super) fn bytes(
    connection: &Connection,
    sha256: Sha256,
    start: u64,
    length_max: usize,
) -> Result<Vec<u8>, SpoolError> {
    let whole = contiguous(connection, sha256)?;
    let start = usize::try_from(start).unwrap_or(usize::MAX).min(whole.len());
    let end = start.saturating_add(length_max).min(whole.len());
    Ok(whole[start..end].to_vec())
}

/// Lets go of the blobs that the gateway holds whole.
pub(super) fn settle(connection: &Connection, states: &[BlobState]) -> Result<(), SpoolError> {
    states.iter().filter(|state| state.complete).try_for_each(|state| forget(connection, state.sha256))
}

fn forget(connection: &Connection, sha256: Sha256) -> Result<(), SpoolError> {
    connection.execute("DELETE FROM blob WHERE sha256 = ?1", [sha256.0])?;
    connection.execute("DELETE FROM blob_part WHERE sha256 = ?1", [sha256.0])?;
    Ok(())
}

fn progress(connection: &Connection, sha256: Sha256) -> Result<Option<BlobProgress>, SpoolError> {
    let found = connection
        .prepare_cached("SELECT held, complete FROM blob WHERE sha256 = ?1")?
        .query_row([sha256.0], |row| Ok(BlobProgress { held: row.get(0)?, complete: row.get(1)? }))
        .optional()?;
    Ok(found)
}

/// The bytes from the start up to the first hole.
fn contiguous(connection: &Connection, sha256: Sha256) -> Result<Vec<u8>, SpoolError> {
    let mut statement =
        connection.prepare_cached("SELECT start, body FROM blob_part WHERE sha256 = ?1 ORDER BY start")?;
    let mut rows = statement.query([sha256.0])?;
    let mut bytes = Vec::new();
    while let Some(row) = rows.next()? {
        let start = usize::try_from(row.get::<_, u64>(0)?).unwrap_or(usize::MAX);
        let body: Vec<u8> = row.get(1)?;
        let Some(overlap) = bytes.len().checked_sub(start) else { break };
        bytes.extend_from_slice(body.get(overlap..).unwrap_or_default());
    }
    Ok(bytes)
}

fn too_large() -> Rejection {
    Rejection::new(
        RejectionCode::TooLarge,
        format!("a photo or signature has at most {BLOB_BYTES_MAX} bytes"),
        "make the photo smaller before sending it",
    )
}

fn mismatch() -> Rejection {
    Rejection::new(
        RejectionCode::HashMismatch,
        "the bytes do not have the SHA-256 they were sent under",
        "send the photo again from its first byte",
    )
}
