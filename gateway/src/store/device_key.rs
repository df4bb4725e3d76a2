//! The keys devices sign their evidence with.
//!
//! Promise: evidence that waited in a vehicle while its certificate was renewed is judged by the key that signed it. A
//! key gets here only with a certificate that the TLS layer verified against the fleet's CA.

use milepost_proto::{DeviceId, FleetId, Timestamp};
use rusqlite::{Connection, params};

use super::StoreResult;

/// Most keys of one device that are tried, the newest ones.
const KEYS_MAX: i64 = 4;

/// Remembers `public_key` as one of the device's.
///
/// # Errors
/// When the store fails.
pub fn note(
    connection: &Connection,
    fleet_id: &FleetId,
    device_id: &DeviceId,
    public_key: &[u8],
    now: Timestamp,
) -> StoreResult<()> {
    let sql = "INSERT INTO device_key VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    let row = params![fleet_id.as_str(), device_id.as_str(), public_key, now.as_millis()];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// The newest keys of `device_id` that were noted.
///
/// # Errors
/// When the store fails.
pub fn noted(connection: &Connection, fleet_id: &FleetId, device_id: &DeviceId) -> StoreResult<Vec<Vec<u8>>> {
    let sql = "SELECT public_key FROM device_key WHERE fleet_id = ?1 AND device_id = ?2
        ORDER BY first_seen_at DESC LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let keys = statement.query_map(params![fleet_id.as_str(), device_id.as_str(), KEYS_MAX], |row| row.get(0))?;
    Ok(keys.collect::<Result<_, _>>()?)
}
