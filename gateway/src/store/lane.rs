//! Lanes by number, so that a chunk's row does not repeat the names of its fleet, device and spool.
//!
//! Promise: a lane's number never changes and is never given to another lane; it is known to this file and to SQL only,
//! and whatever leaves the store carries the names.

use rusqlite::{Connection, OptionalExtension, params};

use super::StoreResult;
use super::lane_range::LaneKey;

/// A lane's number in this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneId(pub i64);

/// The number of `key`, if anything of it was ever kept.
///
/// # Errors
/// When the store fails.
pub fn find(connection: &Connection, key: &LaneKey) -> StoreResult<Option<LaneId>> {
    let sql = "SELECT lane_id FROM lane WHERE fleet_id = ?1 AND device_id = ?2 AND spool_id = ?3 AND lane = ?4";
    let (fleet, device, spool, lane) = columns(key);
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row(params![fleet, device, spool, lane], |row| row.get(0)).optional()?;
    Ok(found.map(LaneId))
}

/// The number of `key`, given now if it has none yet.
///
/// # Errors
/// When the store fails.
pub fn find_or_add(connection: &Connection, key: &LaneKey) -> StoreResult<LaneId> {
    if let Some(found) = find(connection, key)? {
        return Ok(found);
    }
    let sql = "INSERT INTO lane (fleet_id, device_id, spool_id, lane) VALUES (?1, ?2, ?3, ?4)";
    let (fleet, device, spool, lane) = columns(key);
    connection.prepare_cached(sql)?.execute(params![fleet, device, spool, lane])?;
    Ok(LaneId(connection.last_insert_rowid()))
}

fn columns(key: &LaneKey) -> (&str, &str, [u8; 16], &'static str) {
    (key.fleet_id.as_str(), key.device_id.as_str(), key.spool_id.0, key.lane.as_str())
}
