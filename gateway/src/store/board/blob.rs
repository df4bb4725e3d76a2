//! The bytes of a photo or signature.

use milepost_proto::{FleetId, Sha256};
use rusqlite::{Connection, params};

use super::rows;
use crate::store::StoreResult;

/// Largest blob that a page shows, in bytes; a larger one is treated as not there.
pub const BLOB_BYTES_MAX: u32 = 32 * 1024 * 1024;

/// The blob's bytes, if the fleet holds all of them.
///
/// # Errors
/// The store's.
pub fn blob(connection: &Connection, fleet: &FleetId, sha256: Sha256) -> StoreResult<Option<Vec<u8>>> {
    let statement = connection.prepare_cached(
        "SELECT p.bytes FROM blob b JOIN blob_part p ON p.fleet_id = b.fleet_id AND p.sha256 = b.sha256
         WHERE b.fleet_id = ?1 AND b.sha256 = ?2 AND b.complete = 1 AND b.size <= ?3 ORDER BY p.at_byte",
    )?;
    let parts = rows(statement, params![fleet.as_str(), sha256.0, BLOB_BYTES_MAX], |row| row.get::<_, Vec<u8>>(0))?;
    Ok((!parts.is_empty()).then(|| parts.concat()))
}

/// Whether the fleet holds all of the blob.
///
/// # Errors
/// The store's.
pub fn is_held(connection: &Connection, fleet: &FleetId, sha256: Sha256) -> StoreResult<bool> {
    let mut statement = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM blob WHERE fleet_id = ?1 AND sha256 = ?2 AND complete = 1)")?;
    Ok(statement.query_row(params![fleet.as_str(), sha256.0], |row| row.get(0))?)
}
