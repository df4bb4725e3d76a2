//! Photos and signatures: parts come in any order, and the blob is whole when its bytes have the hash in its name.
//!
//! Promise: what never becomes whole takes at most [`UNFINISHED_BYTES_MAX`] from everything else in the spool; beyond that
//! the blob whose last part is the oldest is forgotten, and its sender begins again at the `held` it is then told. A byte is
//! read once to be hashed and about once to be sent, however many parts it comes and goes in.

use milepost_proto::Sha256;
use milepost_proto::driver_app::{Rejection, RejectionCode};
use milepost_proto::uplink::{BLOB_BYTES_MAX, BLOB_OFFERS_MAX, BLOB_PART_BYTES_MAX, BlobOffer, BlobState};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sha2::Digest as _;
use sha2::digest::common::hazmat::{SerializableState as _, SerializedState};
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
    let before = Hashed::of(connection, part.sha256)?;
    if before.complete || end <= before.held {
        return Ok(Ok(BlobProgress { held: before.held, complete: before.complete }));
    }
    connection
        .prepare_cached(
            "INSERT INTO blob_part (sha256, start, body) VALUES (?1, ?2, ?3)
             ON CONFLICT (sha256, start) DO UPDATE SET body = excluded.body WHERE length(excluded.body) > length(body)",
        )?
        .execute(params![part.sha256.0, part.offset, part.bytes])?;
    bound_unfinished(connection, part.sha256)?;
    let after = before.go_on(connection, part.sha256)?;
    if after.held > BLOB_BYTES_MAX {
        forget(connection, part.sha256)?;
        return Ok(Err(too_large()));
    }
    let is_whole = part.size.is_none_or(|size| after.held >= size);
    let complete = is_whole && Sha256(after.hash.clone().finalize().into()) == part.sha256;
    if !complete && is_whole && part.size.is_some() {
        forget(connection, part.sha256)?;
        return Ok(Err(mismatch()));
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO blob (sha256, held, complete, hash_state) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![part.sha256.0, after.held, complete, after.hash.serialize().as_slice()])?;
    Ok(Ok(BlobProgress { held: after.held, complete }))
}

/// Whole blobs, a request's worth, signatures before photos.
pub(super) fn waiting(connection: &Connection) -> Result<Vec<BlobOffer>, SpoolError> {
    let mut statement =
        connection.prepare_cached("SELECT sha256, held FROM blob WHERE complete ORDER BY held, sha256 LIMIT ?1")?;
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
    let end = start.saturating_add(length_max as u64);
    let mut statement = connection.prepare_cached(
        "SELECT start, body FROM blob_part WHERE sha256 = ?1 AND start >= ?2 AND start < ?3 ORDER BY start",
    )?;
    let mut rows = statement.query(params![sha256.0, reach(start), end.min(BLOB_BYTES_MAX)])?;
    let mut bytes = Vec::new();
    while let Some(row) = rows.next()? {
        let at = start + bytes.len() as u64;
        if row.get::<_, u64>(0)? > at || at >= end {
            break;
        }
        let room = usize::try_from(end - at).unwrap_or(usize::MAX);
        let body = part_from(row, at)?;
        bytes.extend_from_slice(&body[..body.len().min(room)]);
    }
    Ok(bytes)
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

/// The bytes held from the start without a hole, and their hash so far.
struct Hashed {
    held: u64,
    complete: bool,
    hash: sha2::Sha256,
}

impl Hashed {
    fn of(connection: &Connection, sha256: Sha256) -> Result<Self, SpoolError> {
        let found = connection
            .prepare_cached("SELECT held, complete, hash_state FROM blob WHERE sha256 = ?1")?
            .query_row([sha256.0], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, Option<Vec<u8>>>(2)?)))
            .optional()?;
        let (held, complete, state) = found.unwrap_or((0, false, None));
        let state = state.as_deref().and_then(|state| SerializedState::<sha2::Sha256>::try_from(state).ok());
        // Without the state of an earlier version, everything is hashed once more.
        Ok(match state.and_then(|state| sha2::Sha256::deserialize(&state).ok()) {
            Some(hash) => Self { held, complete, hash },
            None if complete => Self { held, complete, hash: sha2::Sha256::new() },
            None => Self { held: 0, complete, hash: sha2::Sha256::new() },
        })
    }

    /// Takes in the parts that continue what is held, up to the first hole.
    fn go_on(mut self, connection: &Connection, sha256: Sha256) -> Result<Self, SpoolError> {
        let mut statement = connection.prepare_cached(
            "SELECT start, body FROM blob_part
             WHERE sha256 = ?1 AND start >= ?2 AND start <= ?3 AND start + length(body) > ?3
             ORDER BY start DESC LIMIT 1",
        )?;
        loop {
            let mut rows = statement.query(params![sha256.0, reach(self.held), self.held])?;
            let Some(row) = rows.next()? else { break };
            let body = part_from(row, self.held)?;
            self.hash.update(body);
            self.held += body.len() as u64;
        }
        Ok(self)
    }
}

/// Where a part that reaches `at` may begin.
const fn reach(at: u64) -> u64 {
    at.saturating_sub(BLOB_PART_BYTES_MAX as u64 - 1)
}

/// The bytes of a part, a row of start and body, from the blob's byte `at` on.
fn part_from<'r>(row: &'r Row<'_>, at: u64) -> Result<&'r [u8], SpoolError> {
    let body = row.get_ref(1)?.as_blob().map_err(|error| SpoolError::Damaged(error.to_string()))?;
    #[cfg(test)]
    BYTES_READ.with(|read| read.set(read.get() + body.len() as u64));
    let skipped = usize::try_from(at.saturating_sub(row.get(0)?)).unwrap_or(usize::MAX);
    Ok(body.get(skipped..).unwrap_or_default())
}

#[cfg(test)]
thread_local! {
    /// Bytes of parts read from the file by this thread.
    static BYTES_READ: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
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

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 3 * 1024 * 1024 + 17;

    fn spool() -> Connection {
        let connection = Connection::open_in_memory().expect("opens");
        connection.execute_batch(include_str!("schema.sql")).expect("creates");
        connection
    }

    /// Takes a photo in `parts` of (offset, length), then reads it as the uplink does; gives the bytes read for either.
    fn take_and_send(photo: &[u8], parts: &[(usize, usize)], size: Option<u64>) -> (u64, u64) {
        let (connection, sha256) = (spool(), Sha256::of(photo));
        let read = || BYTES_READ.with(|read| read.replace(0));
        read();
        let mut last = None;
        for &(offset, length) in parts {
            let bytes = photo[offset..photo.len().min(offset + length)].to_vec();
            let part = BlobPart { sha256, offset: offset as u64, bytes, size };
            last = Some(keep_part(&connection, &part).expect("works").expect("fits"));
        }
        assert_eq!(last, Some(BlobProgress { held: photo.len() as u64, complete: true }));
        let hashed = read();
        let mut sent = Vec::new();
        while sent.len() < photo.len() {
            sent.extend(bytes(&connection, sha256, sent.len() as u64, BLOB_PART_BYTES_MAX).expect("reads"));
        }
        assert!(sent == photo, "what is sent is what was taken");
        (hashed, read())
    }

    #[test]
    fn the_bytes_read_for_a_photo_grow_with_its_size_and_not_with_its_parts() {
        let photo: Vec<u8> = (0..=250).cycle().take(SIZE).collect();
        let whole = SIZE as u64;
        for length in [4_096, 64 * 1024, BLOB_PART_BYTES_MAX] {
            let in_order: Vec<(usize, usize)> = (0..SIZE).step_by(length).map(|offset| (offset, length)).collect();
            let backwards: Vec<(usize, usize)> = in_order.iter().rev().copied().collect();
            for (parts, size) in [(&in_order, None), (&in_order, Some(whole)), (&backwards, None)] {
                let (hashed, sent) = take_and_send(&photo, parts, size);
                assert_eq!(hashed, whole, "parts of {length}");
                // A part sent may cut the first and the last of the parts it is made of.
                assert!(sent <= 2 * whole, "{sent} of {whole} by parts of {length}");
            }
        }
    }

    #[test]
    fn parts_that_overlap_or_come_twice_are_taken_once() {
        let photo: Vec<u8> = (0..=250).cycle().take(100_000).collect();
        let parts = [(50_000, 20_000), (0, 30_000), (0, 10), (20_000, 40_000), (10, 5_000), (60_000, 40_000)];
        let (hashed, _) = take_and_send(&photo, &parts, Some(100_000));
        assert!(hashed <= 130_000, "{hashed}");
    }
}
