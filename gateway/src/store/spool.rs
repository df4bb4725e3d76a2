//! Which devices were heard, in which spool, and how far they have told everything.
//!
//! Promise: a device has at most one open spool, the one it last said a mark of; what it salvaged of an earlier spool comes
//! without one and leaves the open spool open. A mark that did not move is no change, so a heartbeat costs the fold nothing.

use milepost_proto::FleetId;
use rusqlite::{Connection, params};

use super::StoreResult;
use super::accept::Arrival;
use super::column::millis;

/// Notes that the device of `arrival` was heard, in which spool, and how far it has told everything.
///
/// # Errors
/// When the store fails.
pub fn note(connection: &Connection, arrival: &Arrival) -> StoreResult<()> {
    let fleet = arrival.fleet_id.as_str();
    let device = arrival.device_id.as_str();
    let now = arrival.received_at.as_millis();
    let mark = millis(arrival.low_water_mark);
    connection
        .prepare_cached(
            "UPDATE device SET last_seen_at = ?3, first_seen_at = coalesce(first_seen_at, ?3)
                WHERE fleet_id = ?1 AND device_id = ?2",
        )?
        .execute(params![fleet, device, now])?;
    if mark.is_none() && another_is_open(connection, arrival)? {
        return note_aside(connection, arrival);
    }
    let change = next_mark_change(connection, &arrival.fleet_id)?;
    // A device writes to one spool at a time: hearing it in this one closes the others.
    connection
        .prepare_cached(
            "UPDATE spool SET open = 0, mark_change = ?4
                WHERE fleet_id = ?1 AND device_id = ?2 AND spool_id <> ?3 AND open = 1",
        )?
        .execute(params![fleet, device, arrival.spool_id.0, change])?;
    connection
        .prepare_cached(
            "INSERT INTO spool VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8, ?8)
                ON CONFLICT (fleet_id, device_id, spool_id) DO UPDATE SET
                    mark_change = CASE WHEN low_water_mark IS excluded.low_water_mark AND open = 1
                        THEN mark_change ELSE excluded.mark_change END,
                    open = 1, low_water_mark = excluded.low_water_mark, agent_version = excluded.agent_version,
                    boot_id = excluded.boot_id, last_seen_at = excluded.last_seen_at",
        )?
        .execute(params![
            fleet,
            device,
            arrival.spool_id.0,
            mark,
            change,
            arrival.agent_version,
            arrival.boot_id.0,
            now
        ])?;
    Ok(())
}

/// Whether the device is known to write to another spool than the one of `arrival`.
fn another_is_open(connection: &Connection, arrival: &Arrival) -> StoreResult<bool> {
    let sql = "SELECT 1 FROM spool WHERE fleet_id = ?1 AND device_id = ?2 AND spool_id <> ?3 AND open = 1";
    let of = params![arrival.fleet_id.as_str(), arrival.device_id.as_str(), arrival.spool_id.0];
    Ok(connection.prepare_cached(sql)?.exists(of)?)
}

/// Notes a spool that says nothing of its mark, which no vehicle waits for.
fn note_aside(connection: &Connection, arrival: &Arrival) -> StoreResult<()> {
    connection
        .prepare_cached(
            "INSERT INTO spool VALUES (?1, ?2, ?3, 0, NULL, 0, ?4, ?5, ?6, ?6)
                ON CONFLICT (fleet_id, device_id, spool_id) DO UPDATE SET last_seen_at = excluded.last_seen_at",
        )?
        .execute(params![
            arrival.fleet_id.as_str(),
            arrival.device_id.as_str(),
            arrival.spool_id.0,
            arrival.agent_version,
            arrival.boot_id.0,
            arrival.received_at.as_millis()
        ])?;
    Ok(())
}

fn next_mark_change(connection: &Connection, fleet_id: &FleetId) -> StoreResult<i64> {
    let sql = "SELECT coalesce(max(mark_change), 0) + 1 FROM spool WHERE fleet_id = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([fleet_id.as_str()], |row| row.get(0))?)
}
