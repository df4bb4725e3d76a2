//! What a device should hold, and how new it is.
//!
//! Promise: the version of an item rises with every change of its body and never otherwise, and overtakes whatever
//! version the device says it holds, so a restored gateway is not ignored for having forgotten how far it had counted.

use milepost_proto::uplink::DownLinkKind;
use milepost_proto::{DeviceId, DownLinkItem, FleetId, Sha256, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::StoreResult;
use super::column::{count, whole};
use super::roster::{assignments, vehicle_at};

/// The id of the item that carries the trip a vehicle is on.
const TRIP_ITEM: &str = "trip";

/// The items `device_id` should take, given those it holds as `(id, version)`.
///
/// # Errors
/// When the store fails.
pub fn newer_than(
    connection: &Connection,
    fleet_id: &FleetId,
    device_id: &DeviceId,
    held: &[(String, u64)],
    now: Timestamp,
) -> StoreResult<Vec<DownLinkItem>> {
    let held_version = held.iter().find(|(id, _)| id == TRIP_ITEM).map(|&(_, version)| version);
    let known = known_item(connection, fleet_id, device_id)?;
    let wanted = current_trip(connection, fleet_id, device_id, now)?;
    if known.is_none() && wanted.is_none() && held_version.is_none() {
        return Ok(Vec::new());
    }
    let body = wanted.unwrap_or_default();
    let sha256 = Sha256::of(body.as_bytes());
    let version = match known {
        Some((version, known_sha256)) if known_sha256 == sha256 && held_version.is_none_or(|held| held <= version) => {
            version
        }
        known => known.map_or(0, |(version, _)| version).max(held_version.unwrap_or(0)).saturating_add(1),
    };
    if held_version == Some(version) {
        return Ok(Vec::new());
    }
    if known != Some((version, sha256)) {
        put_item(connection, fleet_id, device_id, version, sha256, &body, now)?;
    }
    let item =
        DownLinkItem { id: TRIP_ITEM.to_owned(), kind: DownLinkKind::Trip, version, sha256, body: body.into_bytes() };
    Ok(vec![item])
}

/// The plan of the first open trip of the vehicle that the device serves now.
fn current_trip(
    connection: &Connection,
    fleet_id: &FleetId,
    device_id: &DeviceId,
    now: Timestamp,
) -> StoreResult<Option<String>> {
    let assignments = assignments(connection, fleet_id, device_id)?;
    let Some(vehicle_id) = vehicle_at(&assignments, now) else { return Ok(None) };
    let sql = "SELECT plan FROM trip WHERE fleet_id = ?1 AND vehicle_id = ?2 AND state = 'open'
        ORDER BY starts_at, trip_id LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([fleet_id.as_str(), vehicle_id.as_str()], |row| row.get(0)).optional()?)
}

fn known_item(connection: &Connection, fleet_id: &FleetId, device_id: &DeviceId) -> StoreResult<Option<(u64, Sha256)>> {
    let sql = "SELECT version, sha256 FROM down_link WHERE fleet_id = ?1 AND device_id = ?2 AND item_id = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([fleet_id.as_str(), device_id.as_str(), TRIP_ITEM], |row| {
        Ok((count(row.get(0)?), Sha256(row.get(1)?)))
    });
    Ok(found.optional()?)
}

fn put_item(
    connection: &Connection,
    fleet_id: &FleetId,
    device_id: &DeviceId,
    version: u64,
    sha256: Sha256,
    body: &str,
    now: Timestamp,
) -> StoreResult<()> {
    let sql = "INSERT OR REPLACE INTO down_link VALUES (?1, ?2, ?3, ?4, 'trip', ?5, ?6, ?7)";
    connection.prepare_cached(sql)?.execute(params![
        fleet_id.as_str(),
        device_id.as_str(),
        TRIP_ITEM,
        whole(version),
        sha256.0,
        body.as_bytes(),
        now.as_millis()
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migration::migrate;
    use crate::store::plan::{close_trip, put_trip};
    use crate::store::roster::{Assignment, Duty, assign};

    #[test]
    fn a_device_is_sent_its_trip_once_per_change() {
        let mut connection = Connection::open_in_memory().expect("opens");
        migrate(&mut connection).expect("migrates");
        let fleet: FleetId = "north".parse().expect("a name");
        let device: DeviceId = "box-7".parse().expect("a name");
        let now = Timestamp::EPOCH;
        let ask = |held: &[(String, u64)]| newer_than(&connection, &fleet, &device, held, now).expect("reads");
        let held = |version| [("trip".to_owned(), version)];
        assert_eq!(ask(&[]), [], "nothing planned, nothing to say");

        let truck = "truck-7".parse().expect("a name");
        let duty = Duty::Vehicle("truck-7".parse().expect("a name"));
        assign(&connection, &fleet, &device, &[Assignment { valid_from: None, valid_to: None, duty }])
            .expect("assigns");
        put_trip(&connection, &fleet, &truck, &serde_json::from_str(r#"{"id":"T1","stops":[]}"#).expect("a trip"), now)
            .expect("puts");
        let sent = ask(&[]);
        assert_eq!((sent[0].version, sent[0].body.as_slice()), (1, br#"{"id":"T1","stops":[]}"#.as_slice()));
        assert_eq!(ask(&[]), sent, "asked again before it was taken");
        assert_eq!(ask(&held(1)), []);
        assert_eq!(ask(&held(9))[0].version, 10, "a gateway that forgot overtakes");

        close_trip(&connection, &fleet, "T1", now).expect("closes");
        let cleared = ask(&held(10));
        assert_eq!((cleared[0].version, cleared[0].body.len()), (11, 0), "an empty body takes the trip away");
    }
}
