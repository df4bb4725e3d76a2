//! Photos and signatures, taken part by part.
//!
//! Promise: a blob is `complete` only when all its bytes are durable and hash to its name. Parts extend what is held
//! from its end; one that was already taken is taken again without effect, and one that would leave a hole is answered
//! with where to go on. Bytes that turn out to hash to something else are discarded, never kept under a name that lies.
//! A device has at most [`BEGUN_PER_DEVICE_MAX`] blobs that are begun and not complete; when it begins another, what is
//! held of the oldest is given up, and the device is told to send that one from its start.

use milepost_proto::uplink::{BLOB_BYTES_MAX, BlobState};
use milepost_proto::{DeviceId, FleetId, Sha256, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::Digest;

use super::StoreResult;
use super::column::{count, whole};

/// Most blobs of one device that are begun and not complete.
pub const BEGUN_PER_DEVICE_MAX: u32 = 64;

/// One part of a blob.
#[derive(Debug, Clone)]
pub struct Part {
    /// The blob's content address.
    pub sha256: Sha256,
    /// The blob's size, bytes.
    pub size: u64,
    /// Where this part begins.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What became of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartOutcome {
    /// It is held; the state says how far the blob is now.
    Taken(BlobState),
    /// It does not begin where the held bytes end: go on from there.
    Elsewhere(BlobState),
    /// The whole did not hash to its name and was discarded: begin again.
    HashMismatch,
    /// It is larger than a blob may be, or than it said it was, or says another size than before.
    WrongSize {
        /// What is held so far.
        held: BlobState,
    },
}

/// How much of `sha256` is held.
///
/// # Errors
/// When the store fails.
pub fn state(connection: &Connection, fleet_id: &FleetId, sha256: Sha256) -> StoreResult<BlobState> {
    Ok(row(connection, fleet_id, sha256)?.map_or(BlobState { sha256, held: 0, complete: false }, |(_, state)| state))
}

/// Takes `part`.
///
/// # Errors
/// When the store fails.
pub fn put_part(
    connection: &Connection,
    fleet_id: &FleetId,
    device_id: &DeviceId,
    part: &Part,
    now: Timestamp,
) -> StoreResult<PartOutcome> {
    let known = row(connection, fleet_id, part.sha256)?;
    let held = known.map_or(BlobState { sha256: part.sha256, held: 0, complete: false }, |(_, state)| state);
    if held.complete {
        return Ok(PartOutcome::Taken(held));
    }
    let end = part.offset.saturating_add(part.bytes.len() as u64);
    let other_size = known.is_some_and(|(size, _)| size != part.size);
    if part.size > BLOB_BYTES_MAX || end > part.size || other_size {
        return Ok(PartOutcome::WrongSize { held });
    }
    if known.is_some() && end <= held.held && end < part.size {
        return Ok(PartOutcome::Taken(held));
    }
    if part.offset != held.held {
        return Ok(PartOutcome::Elsewhere(held));
    }
    if known.is_none() {
        make_room(connection, fleet_id, device_id)?;
    }
    append(connection, fleet_id, device_id, part, now)?;
    if end < part.size {
        return Ok(PartOutcome::Taken(BlobState { held: end, ..held }));
    }
    complete(connection, fleet_id, part.sha256)
}

/// The bytes of a complete blob.
///
/// # Errors
/// When the store fails.
pub fn bytes(connection: &Connection, fleet_id: &FleetId, sha256: Sha256) -> StoreResult<Option<Vec<u8>>> {
    if !state(connection, fleet_id, sha256)?.complete {
        return Ok(None);
    }
    let mut whole = Vec::new();
    each_part(connection, fleet_id, sha256, |part| whole.extend_from_slice(part))?;
    Ok(Some(whole))
}

fn row(connection: &Connection, fleet_id: &FleetId, sha256: Sha256) -> StoreResult<Option<(u64, BlobState)>> {
    let sql = "SELECT size, held, complete FROM blob WHERE fleet_id = ?1 AND sha256 = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row(params![fleet_id.as_str(), sha256.0], |row| {
        let state = BlobState { sha256, held: count(row.get(1)?), complete: row.get(2)? };
        Ok((count(row.get(0)?), state))
    });
    Ok(found.optional()?)
}

/// Gives up the oldest of the device's begun blobs beyond those that leave room for one more.
fn make_room(connection: &Connection, fleet_id: &FleetId, device_id: &DeviceId) -> StoreResult<()> {
    let sql = "SELECT sha256 FROM blob WHERE fleet_id = ?1 AND device_id = ?2 AND complete = 0
        ORDER BY created_at DESC, sha256 LIMIT -1 OFFSET ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let beyond = statement
        .query_map(params![fleet_id.as_str(), device_id.as_str(), BEGUN_PER_DEVICE_MAX - 1], |row| row.get(0))?
        .collect::<Result<Vec<[u8; 32]>, _>>()?;
    beyond.into_iter().try_for_each(|sha256| discard(connection, fleet_id, Sha256(sha256)))
}

fn discard(connection: &Connection, fleet_id: &FleetId, sha256: Sha256) -> StoreResult<()> {
    let key = params![fleet_id.as_str(), sha256.0];
    connection.execute("DELETE FROM blob_part WHERE fleet_id = ?1 AND sha256 = ?2", key)?;
    connection.execute("DELETE FROM blob WHERE fleet_id = ?1 AND sha256 = ?2", key)?;
    Ok(())
}

fn append(
    connection: &Connection,
    fleet_id: &FleetId,
    device_id: &DeviceId,
    part: &Part,
    now: Timestamp,
) -> StoreResult<()> {
    let end = part.offset + part.bytes.len() as u64;
    let sql = "INSERT INTO blob VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6)
        ON CONFLICT (fleet_id, sha256) DO UPDATE SET held = excluded.held";
    connection.prepare_cached(sql)?.execute(params![
        fleet_id.as_str(),
        part.sha256.0,
        whole(part.size),
        whole(end),
        device_id.as_str(),
        now.as_millis()
    ])?;
    let sql = "INSERT OR REPLACE INTO blob_part VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute(params![
        fleet_id.as_str(),
        part.sha256.0,
        whole(part.offset),
        part.bytes
    ])?;
    Ok(())
}

fn complete(connection: &Connection, fleet_id: &FleetId, sha256: Sha256) -> StoreResult<PartOutcome> {
    let mut hash = sha2::Sha256::new();
    let mut held = 0;
    each_part(connection, fleet_id, sha256, |part| {
        hash.update(part);
        held += part.len() as u64;
    })?;
    if Sha256(hash.finalize().into()) != sha256 {
        discard(connection, fleet_id, sha256)?;
        return Ok(PartOutcome::HashMismatch);
    }
    let key = params![fleet_id.as_str(), sha256.0];
    connection.execute("UPDATE blob SET complete = 1 WHERE fleet_id = ?1 AND sha256 = ?2", key)?;
    Ok(PartOutcome::Taken(BlobState { sha256, held, complete: true }))
}

fn each_part(
    connection: &Connection,
    fleet_id: &FleetId,
    sha256: Sha256,
    mut take: impl FnMut(&[u8]),
) -> StoreResult<()> {
    let sql = "SELECT bytes FROM blob_part WHERE fleet_id = ?1 AND sha256 = ?2 ORDER BY at_byte";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![fleet_id.as_str(), sha256.0])?;
    while let Some(row) = rows.next()? {
        take(row.get_ref(0)?.as_blob().unwrap_or_default());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migration::migrate;

    struct Hand {
        connection: Connection,
        fleet: FleetId,
        whole: Vec<u8>,
    }

    impl Hand {
        fn new() -> Self {
            let mut connection = Connection::open_in_memory().expect("opens");
            migrate(&mut connection).expect("migrates");
            let whole = (0..=255).cycle().take(1000).collect();
            Self { connection, fleet: "north".parse().expect("a name"), whole }
        }

        fn put(&self, name: Sha256, range: std::ops::Range<usize>) -> PartOutcome {
            let part = Part { sha256: name, size: 1000, offset: range.start as u64, bytes: self.whole[range].to_vec() };
            let device = "box-7".parse().expect("a name");
            put_part(&self.connection, &self.fleet, &device, &part, Timestamp::EPOCH).expect("puts")
        }
    }

    #[test]
    fn parts_resume_where_the_held_bytes_end() {
        let hand = Hand::new();
        let name = Sha256::of(&hand.whole);
        let state = |held, complete| BlobState { sha256: name, held, complete };
        assert_eq!(hand.put(name, 0..400), PartOutcome::Taken(state(400, false)));
        assert_eq!(hand.put(name, 0..400), PartOutcome::Taken(state(400, false)), "a lost answer, sent again");
        assert_eq!(hand.put(name, 700..1000), PartOutcome::Elsewhere(state(400, false)));
        assert_eq!(bytes(&hand.connection, &hand.fleet, name).expect("reads"), None);
        assert_eq!(hand.put(name, 400..1000), PartOutcome::Taken(state(1000, true)));
        assert_eq!(hand.put(name, 400..1000), PartOutcome::Taken(state(1000, true)), "a lost answer, sent again");
        assert_eq!(bytes(&hand.connection, &hand.fleet, name).expect("reads"), Some(hand.whole.clone()));
    }

    #[test]
    fn bytes_that_hash_to_something_else_are_discarded() {
        let hand = Hand::new();
        let lie = Sha256::of(b"something else");
        hand.put(lie, 0..400);
        assert_eq!(hand.put(lie, 400..1000), PartOutcome::HashMismatch);
        assert_eq!(state(&hand.connection, &hand.fleet, lie).expect("reads").held, 0);
    }
    /// A phone that dies at the same byte each time, or a device that only begins.
    #[test]
    fn of_blobs_that_are_only_begun_the_oldest_is_given_up_and_can_begin_again() {
        let hand = Hand::new();
        let name = |number: u32| Sha256::of(&number.to_le_bytes());
        let complete = Sha256::of(&hand.whole);
        hand.put(complete, 0..1000);
        for number in 0..BEGUN_PER_DEVICE_MAX + 10 {
            let part = Part { sha256: name(number), size: 1000, offset: 0, bytes: vec![7; 400] };
            let (device, now) = ("box-7".parse().expect("a name"), Timestamp::from_millis(number.into()));
            put_part(&hand.connection, &hand.fleet, &device, &part, now).expect("puts");
        }
        let held = |sha256| state(&hand.connection, &hand.fleet, sha256).expect("reads").held;
        assert_eq!([held(name(9)), held(name(10)), held(complete)], [0, 400, 1000]);
        let parts = hand.connection.query_row("SELECT count(*) FROM blob_part", [], |row| row.get::<_, u32>(0));
        assert_eq!(parts.expect("counts"), BEGUN_PER_DEVICE_MAX + 1);
        let elsewhere = BlobState { sha256: name(9), held: 0, complete: false };
        assert_eq!(hand.put(name(9), 400..800), PartOutcome::Elsewhere(elsewhere));
    }
}
