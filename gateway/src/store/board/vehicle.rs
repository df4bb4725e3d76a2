//! Vehicles and the stops of their open trips, for the board and its map.

use milepost_proto::plan::StopKind;
use milepost_proto::{FleetId, Timestamp};
use rusqlite::{Connection, params};
use serde::Serialize;

use super::{ROWS_MAX, rows, time_if_known};
use crate::store::StoreResult;

/// A vehicle as it was last known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VehicleRow {
    /// Its name.
    pub vehicle_id: String,
    /// What its plate says.
    pub license_plate: Option<String>,
    /// Last known latitude, degrees.
    pub lat: Option<f64>,
    /// Last known longitude, degrees.
    pub lon: Option<f64>,
    /// When it was there.
    pub position_time: Option<Timestamp>,
    /// Nothing of this vehicle from before this can still arrive.
    pub low_water_mark: Option<Timestamp>,
    /// When one of its devices was last heard.
    pub heard_at: Option<Timestamp>,
    /// Its open trip, the earliest if there are several.
    pub trip_id: Option<String>,
}

/// Every vehicle that is known or was ever heard.
///
/// # Errors
/// The store's.
pub fn vehicles(connection: &Connection, fleet: &FleetId, now: Timestamp) -> StoreResult<Vec<VehicleRow>> {
    let statement = connection.prepare_cached(
        "WITH known (vehicle_id) AS (
             SELECT vehicle_id FROM vehicle WHERE fleet_id = ?1
             UNION SELECT vehicle_id FROM vehicle_state WHERE fleet_id = ?1
             UNION SELECT vehicle_id FROM assignment WHERE fleet_id = ?1 AND vehicle_id IS NOT NULL)
         SELECT k.vehicle_id, v.license_plate, s.lat, s.lon, s.position_time, s.low_water_mark,
             (SELECT max(d.last_seen_at) FROM assignment a
                 JOIN device d ON d.fleet_id = a.fleet_id AND d.device_id = a.device_id
                 WHERE a.fleet_id = ?1 AND a.vehicle_id = k.vehicle_id
                     AND a.valid_from <= ?2 AND coalesce(a.valid_to > ?2, 1)) AS heard_at,
             (SELECT t.trip_id FROM trip t WHERE t.fleet_id = ?1 AND t.vehicle_id = k.vehicle_id AND t.state = 'open'
                 ORDER BY t.starts_at, t.trip_id LIMIT 1) AS trip_id
         FROM known k
         LEFT JOIN vehicle v ON v.fleet_id = ?1 AND v.vehicle_id = k.vehicle_id
         LEFT JOIN vehicle_state s ON s.fleet_id = ?1 AND s.vehicle_id = k.vehicle_id
         ORDER BY k.vehicle_id LIMIT ?3",
    )?;
    rows(statement, params![fleet.as_str(), now.as_millis(), ROWS_MAX], |row| {
        Ok(VehicleRow {
            vehicle_id: row.get("vehicle_id")?,
            license_plate: row.get("license_plate")?,
            lat: row.get("lat")?,
            lon: row.get("lon")?,
            position_time: time_if_known(row, "position_time")?,
            low_water_mark: time_if_known(row, "low_water_mark")?,
            heard_at: time_if_known(row, "heard_at")?,
            trip_id: row.get("trip_id")?,
        })
    })
}

/// A stop of an open trip.
#[derive(Debug, Clone, PartialEq)]
pub struct StopRow {
    /// Its trip.
    pub trip_id: String,
    /// Place in the trip, from 1.
    pub position: u32,
    /// What happens there.
    pub kind: StopKind,
    /// Name of the place or consignee.
    pub name: Option<String>,
    /// Latitude, degrees.
    pub lat: f64,
    /// Longitude, degrees.
    pub lon: f64,
    /// Whether a milestone says that the vehicle got there.
    pub reached: bool,
}

/// The stops of every open trip, trip by trip in planned order.
///
/// # Errors
/// The store's.
pub fn open_stops(connection: &Connection, fleet: &FleetId) -> StoreResult<Vec<StopRow>> {
    let statement = connection.prepare_cached(
        "SELECT p.trip_id, p.position, p.kind, p.name, p.lat, p.lon,
             EXISTS (SELECT 1 FROM milestone m WHERE m.fleet_id = ?1 AND m.vehicle_id = t.vehicle_id
                 AND m.trip_id = p.trip_id AND m.stop_id = p.stop_id AND m.status <> 'retracted') AS reached
         FROM trip t JOIN stop p ON p.fleet_id = t.fleet_id AND p.trip_id = t.trip_id
         WHERE t.fleet_id = ?1 AND t.state = 'open'
         ORDER BY t.starts_at DESC, p.trip_id, p.position LIMIT ?2",
    )?;
    rows(statement, params![fleet.as_str(), ROWS_MAX], |row| {
        Ok(StopRow {
            trip_id: row.get("trip_id")?,
            position: row.get("position")?,
            kind: match row.get_ref("kind")?.as_str()? {
                "pickup" => StopKind::Pickup,
                "delivery" => StopKind::Delivery,
                _ => StopKind::Depot,
            },
            name: row.get("name")?,
            lat: row.get("lat")?,
            lon: row.get("lon")?,
            reached: row.get("reached")?,
        })
    })
}
