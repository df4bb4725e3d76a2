//! Devices, and which vehicle or site each serves when.
//!
//! Promise: a revoked device stays revoked until someone adds it again; applying an unchanged roster changes nothing;
//! changing an assignment has every vehicle it touches folded again.

use milepost_proto::{DeviceId, FleetId, SiteId, Timestamp, VehicleId};
use rusqlite::{Connection, OptionalExtension, params};

use super::column::{millis, name, time};
use super::{StoreResult, refold};

/// Whether a device may hand anything over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was added and not revoked.
    Known,
    /// Someone revoked it.
    Revoked,
    /// Nobody ever added it.
    Unknown,
}

/// What a device serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Duty {
    /// It rides in a vehicle.
    Vehicle(VehicleId),
    /// It stands at a depot or yard.
    Site(SiteId),
}

/// What a device serves, from (inclusive) to (exclusive) in event time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// From when; absent: it has always been so.
    pub valid_from: Option<Timestamp>,
    /// Until when; absent: until further notice.
    pub valid_to: Option<Timestamp>,
    /// What it serves.
    pub duty: Duty,
}

impl Assignment {
    /// Whether it holds at `time`.
    #[must_use]
    pub fn holds_at(&self, time: Timestamp) -> bool {
        self.valid_from.is_none_or(|from| from <= time) && self.valid_to.is_none_or(|to| time < to)
    }
}

/// The vehicle a device with these assignments served at `time`.
#[must_use]
pub fn vehicle_at(assignments: &[Assignment], time: Timestamp) -> Option<&VehicleId> {
    assignments.iter().filter(|assignment| assignment.holds_at(time)).find_map(|assignment| match &assignment.duty {
        Duty::Vehicle(vehicle_id) => Some(vehicle_id),
        Duty::Site(_) => None,
    })
}

/// Adds a device, or lets a revoked one in again.
///
/// # Errors
/// When the store fails.
pub fn add_device(
    connection: &Connection,
    fleet_id: &FleetId,
    device_id: &DeviceId,
    now: Timestamp,
) -> StoreResult<()> {
    let sql = "INSERT INTO device (fleet_id, device_id, state, added_at) VALUES (?1, ?2, 'known', ?3)
        ON CONFLICT (fleet_id, device_id) DO UPDATE SET state = 'known'";
    connection.execute(sql, params![fleet_id.as_str(), device_id.as_str(), now.as_millis()])?;
    Ok(())
}

/// Revokes a device; false when there is none of that name.
///
/// # Errors
/// When the store fails.
pub fn revoke_device(connection: &Connection, fleet_id: &FleetId, device_id: &DeviceId) -> StoreResult<bool> {
    let sql = "UPDATE device SET state = 'revoked' WHERE fleet_id = ?1 AND device_id = ?2";
    Ok(connection.execute(sql, [fleet_id.as_str(), device_id.as_str()])? > 0)
}

/// Whether a device may hand anything over.
///
/// # Errors
/// When the store fails.
pub fn standing(connection: &Connection, fleet_id: &FleetId, device_id: &DeviceId) -> StoreResult<Standing> {
    let sql = "SELECT state FROM device WHERE fleet_id = ?1 AND device_id = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let state: Option<String> =
        statement.query_row([fleet_id.as_str(), device_id.as_str()], |row| row.get(0)).optional()?;
    Ok(match state.as_deref() {
        Some("known") => Standing::Known,
        Some(_) => Standing::Revoked,
        None => Standing::Unknown,
    })
}

/// One device, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRow {
    /// Its name.
    pub device_id: String,
    /// `known` or `revoked`.
    pub state: String,
    /// When it was last heard.
    pub last_seen_at: Option<Timestamp>,
}

/// All devices of a fleet, by name.
///
/// # Errors
/// When the store fails.
pub fn devices(connection: &Connection, fleet_id: &FleetId) -> StoreResult<Vec<DeviceRow>> {
    let sql = "SELECT device_id, state, last_seen_at FROM device WHERE fleet_id = ?1 ORDER BY device_id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([fleet_id.as_str()], |row| {
        Ok(DeviceRow { device_id: row.get(0)?, state: row.get(1)?, last_seen_at: time(row.get(2)?) })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What `device_id` served and serves, oldest first.
///
/// # Errors
/// When the store fails.
pub fn assignments(connection: &Connection, fleet_id: &FleetId, device_id: &DeviceId) -> StoreResult<Vec<Assignment>> {
    let sql = "SELECT valid_from, valid_to, vehicle_id, site_id FROM assignment
        WHERE fleet_id = ?1 AND device_id = ?2 ORDER BY valid_from";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([fleet_id.as_str(), device_id.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (vehicle, site): (Option<String>, Option<String>) = (row.get(2)?, row.get(3)?);
        let duty = match vehicle {
            Some(vehicle) => Duty::Vehicle(name(&vehicle)?),
            None => Duty::Site(name(&site.unwrap_or_default())?),
        };
        let from: i64 = row.get(0)?;
        let valid_from = time((from != ALWAYS).then_some(from));
        found.push(Assignment { valid_from, valid_to: time(row.get(1)?), duty });
    }
    Ok(found)
}

/// Replaces what `device_id` serves; does nothing when it is already so.
///
/// # Errors
/// When the store fails.
pub fn assign(
    connection: &Connection,
    fleet_id: &FleetId,
    device_id: &DeviceId,
    wanted: &[Assignment],
) -> StoreResult<()> {
    let held = assignments(connection, fleet_id, device_id)?;
    if held == wanted {
        return Ok(());
    }
    let key = [fleet_id.as_str(), device_id.as_str()];
    connection.execute("DELETE FROM assignment WHERE fleet_id = ?1 AND device_id = ?2", key)?;
    for Assignment { valid_from, valid_to, duty } in wanted {
        let (vehicle, site) = match duty {
            Duty::Vehicle(vehicle_id) => (Some(vehicle_id.as_str()), None),
            Duty::Site(site_id) => (None, Some(site_id.as_str())),
        };
        let from = millis(*valid_from).unwrap_or(ALWAYS);
        let row = params![key[0], key[1], from, millis(*valid_to), vehicle, site];
        connection.execute("INSERT INTO assignment VALUES (?1, ?2, ?3, ?4, ?5, ?6)", row)?;
    }
    for assignment in held.iter().chain(wanted) {
        if let Duty::Vehicle(vehicle_id) = &assignment.duty {
            refold::ask(connection, fleet_id, vehicle_id, "an assignment changed")?;
        }
    }
    Ok(())
}

/// Makes a vehicle known, with its licence plate where there is one.
///
/// # Errors
/// When the store fails.
pub fn put_vehicle(
    connection: &Connection,
    fleet_id: &FleetId,
    vehicle_id: &VehicleId,
    license_plate: Option<&str>,
) -> StoreResult<()> {
    let sql = "INSERT INTO vehicle (fleet_id, vehicle_id, license_plate) VALUES (?1, ?2, ?3)
        ON CONFLICT (fleet_id, vehicle_id)
        DO UPDATE SET license_plate = coalesce(excluded.license_plate, license_plate)";
    connection.execute(sql, params![fleet_id.as_str(), vehicle_id.as_str(), license_plate])?;
    Ok(())
}

/// The devices that ever served `vehicle_id`.
///
/// # Errors
/// When the store fails.
pub fn devices_of(connection: &Connection, fleet_id: &FleetId, vehicle_id: &VehicleId) -> StoreResult<Vec<DeviceId>> {
    let sql = "SELECT DISTINCT device_id FROM assignment WHERE fleet_id = ?1 AND vehicle_id = ?2 ORDER BY device_id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([fleet_id.as_str(), vehicle_id.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(name(&row.get::<_, String>(0)?)?);
    }
    Ok(found)
}

const ALWAYS: i64 = i64::MIN;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migration::migrate;

    fn names() -> (FleetId, DeviceId, VehicleId) {
        ("north".parse().expect("a name"), "box-7".parse().expect("a name"), "truck-7".parse().expect("a name"))
    }

    #[test]
    fn an_assignment_is_resolved_by_event_time_and_ends_before_its_end() {
        let (_, _, truck) = names();
        let at = Timestamp::from_millis;
        let van: VehicleId = "van-1".parse().expect("a name");
        let moved = [
            Assignment { valid_from: None, valid_to: Some(at(100)), duty: Duty::Vehicle(truck.clone()) },
            Assignment { valid_from: Some(at(100)), valid_to: None, duty: Duty::Vehicle(van.clone()) },
        ];
        assert_eq!(vehicle_at(&moved, at(99)), Some(&truck));
        assert_eq!(vehicle_at(&moved, at(100)), Some(&van));
        let depot =
            [Assignment { valid_from: None, valid_to: None, duty: Duty::Site("yard".parse().expect("a name")) }];
        assert_eq!(vehicle_at(&depot, at(0)), None);
    }

    #[test]
    fn an_unchanged_roster_asks_for_no_refold() {
        let mut connection = Connection::open_in_memory().expect("opens");
        migrate(&mut connection).expect("migrates");
        let (fleet, device, truck) = names();
        let wanted = [Assignment { valid_from: None, valid_to: None, duty: Duty::Vehicle(truck) }];
        for _ in 0..2 {
            assign(&connection, &fleet, &device, &wanted).expect("assigns");
        }
        assert_eq!(assignments(&connection, &fleet, &device).expect("reads"), wanted);
        assert_eq!(refold::due(&connection, &fleet).expect("reads").len(), 1);
    }

    #[test]
    fn a_revoked_device_stays_out_until_it_is_added_again() {
        let mut connection = Connection::open_in_memory().expect("opens");
        migrate(&mut connection).expect("migrates");
        let (fleet, device, _) = names();
        let standing = || standing(&connection, &fleet, &device).expect("reads");
        assert_eq!(standing(), Standing::Unknown);
        add_device(&connection, &fleet, &device, Timestamp::EPOCH).expect("adds");
        assert_eq!(standing(), Standing::Known);
        assert!(revoke_device(&connection, &fleet, &device).expect("revokes"));
        assert_eq!(standing(), Standing::Revoked);
    }
}
