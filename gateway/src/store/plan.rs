//! The planned work: trips, their stops and shipments.
//!
//! Promise: a trip that is put again unchanged changes nothing; a changed one gets the next version and has its vehicle
//! (and the one it was taken from) folded again.

use milepost_proto::plan::StopKind;
use milepost_proto::{FleetId, Sha256, Timestamp, Trip, VehicleId};
use rusqlite::{Connection, OptionalExtension, params};

use super::column::{from_json, millis, name, to_json};
use super::{StoreResult, refold};

/// Puts `trip` on `vehicle_id`. Answers its version, from 1.
///
/// # Errors
/// When the store fails.
pub fn put_trip(
    connection: &Connection,
    fleet_id: &FleetId,
    vehicle_id: &VehicleId,
    trip: &Trip,
    now: Timestamp,
) -> StoreResult<i64> {
    let plan = to_json(trip)?;
    let sha256 = Sha256::of(plan.as_bytes());
    let held = held_trip(connection, fleet_id, &trip.id)?;
    if let Some(held) = &held {
        if held.sha256 == sha256 && held.vehicle_id == *vehicle_id {
            return Ok(held.version);
        }
        refold::ask(connection, fleet_id, &held.vehicle_id, "its plan changed")?;
    }
    let version = held.map_or(1, |held| held.version + 1);
    let starts_at = trip.stops.iter().filter_map(|stop| stop.window).map(|[from, _]| from).min();
    let sql = "INSERT INTO trip (fleet_id, trip_id, vehicle_id, version, state, starts_at, plan, sha256, updated_at)
        VALUES (?1, ?2, ?3, ?4, 'open', ?5, ?6, ?7, ?8)
        ON CONFLICT (fleet_id, trip_id) DO UPDATE SET vehicle_id = excluded.vehicle_id, version = excluded.version,
            starts_at = excluded.starts_at, plan = excluded.plan, sha256 = excluded.sha256,
            updated_at = excluded.updated_at";
    connection.execute(
        sql,
        params![
            fleet_id.as_str(),
            trip.id,
            vehicle_id.as_str(),
            version,
            millis(starts_at),
            plan,
            sha256.0,
            now.as_millis()
        ],
    )?;
    put_stops(connection, fleet_id, trip, now)?;
    refold::ask(connection, fleet_id, vehicle_id, "its plan changed")?;
    Ok(version)
}

/// Closes a trip: its vehicle is no longer sent it, its milestones stay. False when there is none open of that id.
///
/// # Errors
/// When the store fails.
pub fn close_trip(connection: &Connection, fleet_id: &FleetId, trip_id: &str, now: Timestamp) -> StoreResult<bool> {
    let sql = "UPDATE trip SET state = 'closed', updated_at = ?3
        WHERE fleet_id = ?1 AND trip_id = ?2 AND state = 'open'";
    Ok(connection.execute(sql, params![fleet_id.as_str(), trip_id, now.as_millis()])? > 0)
}

/// Every trip ever put on `vehicle_id`, closed ones too, because their milestones stand.
///
/// # Errors
/// When the store fails.
pub fn trips_of(connection: &Connection, fleet_id: &FleetId, vehicle_id: &VehicleId) -> StoreResult<Vec<Trip>> {
    let sql = "SELECT plan FROM trip WHERE fleet_id = ?1 AND vehicle_id = ?2 ORDER BY starts_at, trip_id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([fleet_id.as_str(), vehicle_id.as_str()])?;
    let mut trips = Vec::new();
    while let Some(row) = rows.next()? {
        trips.push(from_json(&row.get::<_, String>(0)?)?);
    }
    Ok(trips)
}

/// What others know of a shipment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shipment {
    /// Its id here.
    pub shipment_id: String,
    /// What people call it, such as `WH/OUT/00042`.
    pub reference: Option<String>,
    /// Odoo's `stock.picking` id.
    pub odoo_picking_id: Option<i64>,
    /// Odoo's `sale.order` id.
    pub odoo_sale_id: Option<i64>,
    /// The consignee.
    pub partner: Option<String>,
}

/// Records what is known of a shipment; what is absent here stays as it was.
///
/// # Errors
/// When the store fails.
pub fn put_shipment(
    connection: &Connection,
    fleet_id: &FleetId,
    shipment: &Shipment,
    now: Timestamp,
) -> StoreResult<()> {
    let sql = "INSERT INTO shipment (fleet_id, shipment_id, reference, odoo_picking_id, odoo_sale_id, partner,
            state, updated_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'released', ?7)
        ON CONFLICT (fleet_id, shipment_id) DO UPDATE SET
            reference = coalesce(excluded.reference, reference),
            odoo_picking_id = coalesce(excluded.odoo_picking_id, odoo_picking_id),
            odoo_sale_id = coalesce(excluded.odoo_sale_id, odoo_sale_id),
            partner = coalesce(excluded.partner, partner), updated_at = excluded.updated_at";
    let Shipment { shipment_id, reference, odoo_picking_id, odoo_sale_id, partner } = shipment;
    connection.execute(
        sql,
        params![fleet_id.as_str(), shipment_id, reference, odoo_picking_id, odoo_sale_id, partner, now.as_millis()],
    )?;
    Ok(())
}

/// What is known of the shipment `shipment_id`.
///
/// # Errors
/// When the store fails.
pub fn shipment(connection: &Connection, fleet_id: &FleetId, shipment_id: &str) -> StoreResult<Option<Shipment>> {
    let sql = "SELECT reference, odoo_picking_id, odoo_sale_id, partner FROM shipment
        WHERE fleet_id = ?1 AND shipment_id = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([fleet_id.as_str(), shipment_id], |row| {
        Ok(Shipment {
            shipment_id: shipment_id.to_owned(),
            reference: row.get(0)?,
            odoo_picking_id: row.get(1)?,
            odoo_sale_id: row.get(2)?,
            partner: row.get(3)?,
        })
    });
    Ok(found.optional()?)
}

struct HeldTrip {
    version: i64,
    vehicle_id: VehicleId,
    sha256: Sha256,
}

fn held_trip(connection: &Connection, fleet_id: &FleetId, trip_id: &str) -> StoreResult<Option<HeldTrip>> {
    let sql = "SELECT version, vehicle_id, sha256 FROM trip WHERE fleet_id = ?1 AND trip_id = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([fleet_id.as_str(), trip_id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let vehicle_id = name(&row.get::<_, String>(1)?)?;
    Ok(Some(HeldTrip { version: row.get(0)?, vehicle_id, sha256: Sha256(row.get(2)?) }))
}

fn put_stops(connection: &Connection, fleet_id: &FleetId, trip: &Trip, now: Timestamp) -> StoreResult<()> {
    let fleet = fleet_id.as_str();
    connection.execute("DELETE FROM stop WHERE fleet_id = ?1 AND trip_id = ?2", [fleet, &trip.id])?;
    let mut insert =
        connection.prepare_cached("INSERT INTO stop VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")?;
    for (position, stop) in (1_i64..).zip(&trip.stops) {
        let [from, to] = stop.window.map_or([None; 2], |window| window.map(|time| Some(time.as_millis())));
        insert.execute(params![
            fleet,
            trip.id,
            stop.id,
            position,
            kind_word(stop.kind),
            stop.shipment,
            stop.name,
            stop.address,
            stop.lat,
            stop.lon,
            from,
            to
        ])?;
        if let Some(shipment_id) = &stop.shipment {
            put_shipment(
                connection,
                fleet_id,
                &Shipment { shipment_id: shipment_id.clone(), ..Shipment::default() },
                now,
            )?;
        }
    }
    Ok(())
}

const fn kind_word(kind: StopKind) -> &'static str {
    match kind {
        StopKind::Pickup => "pickup",
        StopKind::Delivery => "delivery",
        StopKind::Depot => "depot",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migration::migrate;

    #[test]
    fn a_trip_put_again_unchanged_keeps_its_version_and_asks_for_nothing() {
        let mut connection = Connection::open_in_memory().expect("opens");
        migrate(&mut connection).expect("migrates");
        let (fleet, truck): (FleetId, VehicleId) =
            ("north".parse().expect("a name"), "truck-7".parse().expect("a name"));
        let mut trip: Trip = serde_json::from_str(
            r#"{"id":"T1","stops":[{"id":"S1","kind":"delivery","shipment":"P1","lat":47,"lon":8}]}"#,
        )
        .expect("a trip");
        let put = |trip: &Trip| put_trip(&connection, &fleet, &truck, trip, Timestamp::EPOCH).expect("puts");
        assert_eq!((put(&trip), put(&trip)), (1, 1));
        assert_eq!(refold::due(&connection, &fleet).expect("reads").len(), 1);
        trip.stops[0].lat = 48.0;
        assert_eq!(put(&trip), 2);
        assert_eq!(trips_of(&connection, &fleet, &truck).expect("reads"), [trip]);
        assert!(shipment(&connection, &fleet, "P1").expect("reads").is_some());
    }
}
