//! Vehicles that must be folded again from the journal because a plan or an assignment changed.
//!
//! Promise: a request made while an earlier one is being carried out is not lost, because only the requests that were
//! read are removed, in the transaction that holds their result.

use milepost_proto::{FleetId, VehicleId};
use rusqlite::Connection;

use super::StoreResult;
use super::column::name;

/// Most requests read at once; the rest wait for the next round.
const REQUESTS_MAX: i64 = 1000;

/// Asks for `vehicle_id` to be folded again.
///
/// # Errors
/// When the store fails.
pub fn ask(connection: &Connection, fleet_id: &FleetId, vehicle_id: &VehicleId, why: &str) -> StoreResult<()> {
    let sql = "INSERT INTO refold_due (fleet_id, vehicle_id, why) VALUES (?1, ?2, ?3)";
    connection.prepare_cached(sql)?.execute([fleet_id.as_str(), vehicle_id.as_str(), why])?;
    Ok(())
}

/// The requests so far, as `(id, vehicle)`.
///
/// # Errors
/// When the store fails.
pub fn due(connection: &Connection, fleet_id: &FleetId) -> StoreResult<Vec<(i64, VehicleId)>> {
    let sql = "SELECT id, vehicle_id FROM refold_due WHERE fleet_id = ?1 ORDER BY id LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(rusqlite::params![fleet_id.as_str(), REQUESTS_MAX])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((row.get(0)?, name(&row.get::<_, String>(1)?)?));
    }
    Ok(found)
}

/// Removes requests that were carried out.
///
/// # Errors
/// When the store fails.
pub fn done(connection: &Connection, ids: &[i64]) -> StoreResult<()> {
    let mut statement = connection.prepare_cached("DELETE FROM refold_due WHERE id = ?1")?;
    for id in ids {
        statement.execute([id])?;
    }
    Ok(())
}
