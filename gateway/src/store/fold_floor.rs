//! How far back a vehicle can be folded again.
//!
//! Promise: whatever happened up to a vehicle's floor is folded into the state kept with it, so its milestones stand
//! without the journal, and nothing that comes later changes them. A floor only rises. The state is kept in postcard:
//! once a store has floors, a change to the engine's state needs a migration that rewrites them.

use milepost_proto::{FleetId, Timestamp, VehicleId};
use rusqlite::{Connection, OptionalExtension, params};

use super::StoreResult;
use super::column::whole;
use super::mark;

/// Room left below the first thing of open work, milliseconds: a day, so that how the vehicle got there can be folded.
const ROOM_MS: i64 = 24 * 60 * 60 * 1000;

/// A vehicle's floor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Floor {
    /// Facts up to this event time are settled.
    pub time: Timestamp,
    /// The engine's state after them, in postcard.
    pub state: Vec<u8>,
}

/// The floor of `vehicle_id`, if it has one.
///
/// # Errors
/// When the store fails.
pub fn of_vehicle(connection: &Connection, fleet_id: &FleetId, vehicle_id: &VehicleId) -> StoreResult<Option<Floor>> {
    let sql = "SELECT floor_time, state FROM fold_floor WHERE fleet_id = ?1 AND vehicle_id = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([fleet_id.as_str(), vehicle_id.as_str()], |row| {
        Ok(Floor { time: Timestamp::from_millis(row.get(0)?), state: row.get(1)? })
    });
    Ok(found.optional()?)
}

/// Raises the floor of `vehicle_id`, unless something of the time below it arrived after journal position `through`, up
/// to which `floor` was folded. Answers whether it did.
///
/// # Errors
/// When the store fails.
pub fn raise(
    connection: &Connection,
    fleet_id: &FleetId,
    vehicle_id: &VehicleId,
    floor: &Floor,
    through: u64,
    now: Timestamp,
) -> StoreResult<bool> {
    let sql = "SELECT 1 FROM chunk c CROSS JOIN lane l USING (lane_id)
        WHERE c.position > ?1 AND l.fleet_id = ?2 AND c.first_event_time <= ?3 AND l.device_id IN
            (SELECT device_id FROM assignment WHERE fleet_id = ?2 AND vehicle_id = ?4)";
    let row = params![whole(through), fleet_id.as_str(), floor.time.as_millis(), vehicle_id.as_str()];
    if connection.prepare_cached(sql)?.exists(row)? {
        return Ok(false);
    }
    let sql = "INSERT INTO fold_floor VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
        floor_time = excluded.floor_time, state = excluded.state, raised_at = excluded.raised_at
        WHERE excluded.floor_time > floor_time";
    let row = params![fleet_id.as_str(), vehicle_id.as_str(), floor.time.as_millis(), floor.state, now.as_millis()];
    Ok(connection.prepare_cached(sql)?.execute(row)? > 0)
}

/// The highest floor that `vehicle_id` may have, at most `wanted`; nothing while something about it is undecided.
///
/// The rule: what can still be told is not settled (the vehicle's low-water mark), nor is what belongs to a trip that is
/// open or whose shipments are still owed an effect, with a day before its first milestone or window; and while a case
/// is open about the vehicle, one of its devices or one of its shipments, nothing of it is.
///
/// # Errors
/// When the store fails.
pub fn highest(
    connection: &Connection,
    fleet_id: &FleetId,
    vehicle_id: &VehicleId,
    wanted: Timestamp,
) -> StoreResult<Option<Timestamp>> {
    if has_open_case(connection, fleet_id, vehicle_id)? {
        return Ok(None);
    }
    let Some(mark) = mark::of_vehicle(connection, fleet_id, vehicle_id)? else { return Ok(None) };
    let sql = "SELECT min(coalesce(
            (SELECT min(m.event_time) FROM milestone m WHERE m.fleet_id = t.fleet_id AND m.trip_id = t.trip_id),
            t.updated_at), coalesce(t.starts_at, t.updated_at)) AS began
        FROM trip t WHERE t.fleet_id = ?1 AND t.vehicle_id = ?2 AND (t.state = 'open' OR EXISTS (
            SELECT 1 FROM stop s JOIN outbox o ON o.fleet_id = s.fleet_id AND o.shipment_id = s.shipment_id
            WHERE s.fleet_id = t.fleet_id AND s.trip_id = t.trip_id AND o.state <> 'done'))
        ORDER BY began LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let began: Option<i64> =
        statement.query_row([fleet_id.as_str(), vehicle_id.as_str()], |row| row.get(0)).optional()?;
    let open_work = began.map_or(Timestamp::MAX, |began| Timestamp::from_millis(began.saturating_sub(ROOM_MS)));
    Ok(Some(wanted.min(mark).min(open_work)))
}

fn has_open_case(connection: &Connection, fleet_id: &FleetId, vehicle_id: &VehicleId) -> StoreResult<bool> {
    let sql = "SELECT 1 FROM exception_case e WHERE e.fleet_id = ?1 AND e.closed_at IS NULL AND (
        e.subject = ?2
        OR EXISTS (SELECT 1 FROM assignment a WHERE a.fleet_id = ?1 AND a.vehicle_id = ?2
            AND (e.subject = a.device_id OR substr(e.subject, 1, length(a.device_id) + 1) = a.device_id || '/'))
        OR EXISTS (SELECT 1 FROM trip t JOIN stop s USING (fleet_id, trip_id) WHERE t.fleet_id = ?1
            AND t.vehicle_id = ?2 AND s.shipment_id = e.subject))";
    Ok(connection.prepare_cached(sql)?.exists([fleet_id.as_str(), vehicle_id.as_str()])?)
}
