//! Low-water marks: how far a device has told everything, and what that says of its vehicle.
//!
//! Promise: a vehicle's mark is the least of the open spools that may still tell something of it, and absent while one
//! of them cannot say. A device that has moved on to another vehicle no longer holds back the one it left, once it has
//! told everything up to the day it left.

use milepost_proto::{DeviceId, FleetId, Timestamp, VehicleId};
use rusqlite::Connection;

use super::column::{name, time};
use super::roster::{self, Assignment, Duty};
use super::{StoreFault, StoreResult};

/// Most changes of marks read at once; the rest wait for the next round.
const CHANGES_MAX: i64 = 1000;

/// The devices whose mark moved after `change`, and the change up to which that is so.
///
/// # Errors
/// When the store fails.
pub fn moved_after(connection: &Connection, fleet_id: &FleetId, change: i64) -> StoreResult<(Vec<DeviceId>, i64)> {
    let sql = "SELECT device_id, mark_change FROM spool WHERE fleet_id = ?1 AND mark_change > ?2
        ORDER BY mark_change LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(rusqlite::params![fleet_id.as_str(), change, CHANGES_MAX])?;
    let mut devices = Vec::new();
    let mut last = change;
    while let Some(row) = rows.next()? {
        devices.push(name(&row.get::<_, String>(0)?)?);
        last = row.get(1)?;
    }
    Ok((devices, last))
}

/// The low-water mark of `vehicle_id`; absent when it is not known.
///
/// # Errors
/// When the store fails.
pub fn of_vehicle(
    connection: &Connection,
    fleet_id: &FleetId,
    vehicle_id: &VehicleId,
) -> StoreResult<Option<Timestamp>> {
    let mut spools = Vec::new();
    for device_id in roster::devices_of(connection, fleet_id, vehicle_id)? {
        let assignments = roster::assignments(connection, fleet_id, &device_id)?;
        let until = service_end(&assignments, vehicle_id);
        spools.extend(open_marks(connection, fleet_id, &device_id)?.into_iter().map(|mark| (mark, until)));
    }
    Ok(least(&spools))
}

/// The least mark, given each open spool's mark and until when its device serves the vehicle.
fn least(spools: &[(Option<Timestamp>, Option<Timestamp>)]) -> Option<Timestamp> {
    if spools.is_empty() {
        return None;
    }
    let mut mark = Timestamp::MAX;
    for &(spool_mark, until) in spools {
        let spool_mark = spool_mark?;
        if until.is_none_or(|until| spool_mark < until) {
            mark = mark.min(spool_mark);
        }
    }
    Some(mark)
}

/// The end of a device's last service of `vehicle_id`; absent when it serves it until further notice.
fn service_end(assignments: &[Assignment], vehicle_id: &VehicleId) -> Option<Timestamp> {
    let serves = |assignment: &&Assignment| assignment.duty == Duty::Vehicle(vehicle_id.clone());
    let ends: Option<Vec<Timestamp>> =
        assignments.iter().filter(serves).map(|assignment| assignment.valid_to).collect();
    ends?.into_iter().max()
}

fn open_marks(
    connection: &Connection,
    fleet_id: &FleetId,
    device_id: &DeviceId,
) -> StoreResult<Vec<Option<Timestamp>>> {
    let sql = "SELECT low_water_mark FROM spool WHERE fleet_id = ?1 AND device_id = ?2 AND open = 1";
    let mut statement = connection.prepare_cached(sql)?;
    let marks = statement.query_map([fleet_id.as_str(), device_id.as_str()], |row| Ok(time(row.get(0)?)))?;
    marks.collect::<Result<_, _>>().map_err(StoreFault::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_open_spool_that_still_serves_decides() {
        let at = |millis| Some(Timestamp::from_millis(millis));
        let check = |spools: &[_], expected| assert_eq!(least(spools), expected, "{spools:?}");
        check(&[], None);
        check(&[(at(5), None), (at(3), None)], at(3));
        check(&[(at(5), None), (None, None)], None);
        check(&[(at(5), None), (at(3), at(3))], at(5));
        check(&[(at(5), None), (at(2), at(3))], at(2));
    }
}
