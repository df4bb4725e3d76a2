//! Photos and signatures: parts come in any order, and the blob is whole when its bytes have the hash in its name.
//!
//! Promise: what never becomes whole takes at most [`UNFINISHED_BYTES_MAX`] from everything else in the spool; beyond that
//! the blob whose last part is the oldest is forgotten, and its sender begins again at the `held` it is then told.

use milepost_proto::Sha256;
use milepost_proto::driver_app::{Rejection, RejectionCode};
use milepost_proto::uplink::{BLOB_BYTES_MAX, BLOB_OFFERS_MAX, BlobOffer, BlobState};
use rusqlite::{Connection, OptionalExtension as _, params};
use tracing::warn;

use super::SpoolError;
use crate::capture::{BlobPart, BlobProgress};

/// Most bytes that unfinished blobs may take.
const UNFINISHED_BYTES_MAX: u64 = 4 * BLOB_BYTES_MAX;
/// What a part takes at least, however short it is, bytes.
const PART_BYTES_MIN: u64 = 4_096;

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
    bound_unfinished(connection, part.sha256)?;
    let bytes = contiguous(connection, part.sha256)?;
    let held = bytes.len() as u64;
    if held > BLOB_BYTES_MAX {
        forget(connection, part.sha256)?;
        return Ok(Err(too_large()));
    }
    // Hashing is for a blob that may be whole, or many parts would be hashed over and over.
    let complete = part.size.is_none_or(|size| held >= size) && Sha256::of(&bytes) == part.sha256;
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

/// Forgets unfinished blobs, the one touched least recently first, until they take no more than they may; not `current`.
fn bound_unfinished(connection: &Connection, current: Sha256) -> Result<(), SpoolError> {
    let mut statement = connection.prepare_cached(
        "SELECT sha256, sum(max(length(body), ?1)) FROM blob_part
         WHERE NOT EXISTS (SELECT 1 FROM blob WHERE blob.sha256 = blob_part.sha256 AND complete)
         GROUP BY sha256 ORDER BY max(blob_part.rowid) DESC",
    )?;
    let mut rows = statement.query([PART_BYTES_MIN])?;
    let (mut bytes, mut forgotten) = (0_u64, Vec::new());
    while let Some(row) = rows.next()? {
        let sha256 = Sha256(row.get(0)?);
        bytes += row.get::<_, u64>(1)?;
        if bytes > UNFINISHED_BYTES_MAX && sha256 != current {
            forgotten.push(sha256);
        }
    }
    forgotten.into_iter().try_for_each(|sha256| {
        warn!("too many unfinished photos: {sha256} is forgotten until it is sent again");
        forget(connection, sha256)
    })
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
