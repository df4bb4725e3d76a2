//! Pulls orders from Odoo into shipments and trips.
//!
//! Promise: what one look found and where the next goes on are kept in one transaction, so an order is neither skipped
//! nor forgotten by a crash. Trouble with an order becomes a case; trouble with Odoo is logged and tried again, and
//! holds up nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use milepost_proto::{FleetId, Timestamp, VehicleId};
use rusqlite::{Connection, OptionalExtension, params};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::odoo::{
    Capabilities, Connector, Cursor, Finding, ImportedOrders, ImportedShipment, OrderProblem, plate_key, trips,
};
use crate::store::case::{self, Trouble, TroubleKind};
use crate::store::column::{from_json, name, to_json};
use crate::store::plan::{self, Shipment, put_shipment, put_trip};
use crate::store::{Store, StoreResult};

/// Pulls one fleet's orders.
pub struct OrderPull {
    /// Where they go.
    pub store: Store,
    /// Whose they are.
    pub fleet_id: FleetId,
    /// Where they come from.
    pub connector: Arc<Connector>,
    /// Seconds between looks.
    pub poll_s: u32,
}

impl OrderPull {
    /// Pulls until `shutdown`. A look that is broken off then is simply not kept.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.pull_for_ever() => {}
        }
    }

    async fn pull_for_ever(&self) {
        let mut able = None;
        let mut told = Vec::new();
        loop {
            if able.is_none() {
                able = self.probe(&mut told).await;
            }
            let more = match &able {
                Some(able) => self.pull(able).await.unwrap_or_else(|error| {
                    tracing::warn!("orders could not be pulled, will try again: {error:#}");
                    false
                }),
                None => false,
            };
            if !more {
                tokio::time::sleep(Duration::from_secs(u64::from(self.poll_s))).await;
            }
        }
    }

    /// Logs what it finds when that is not what was `told` before, so that an outage is one line and not one per look.
    async fn probe(&self, told: &mut Vec<Finding>) -> Option<Capabilities> {
        let probe = self.connector.probe().await;
        if probe.findings != *told {
            for finding in &probe.findings {
                tracing::info!(grade = ?finding.grade, "Odoo: {}", finding.text);
            }
            told.clone_from(&probe.findings);
        }
        probe.is_usable().then_some(probe.capabilities)
    }

    /// One look; answers whether there is more.
    ///
    /// # Errors
    /// When Odoo or the store fails; the same look is then repeated.
    pub async fn pull(&self, able: &Capabilities) -> anyhow::Result<bool> {
        let fleet = self.fleet_id.clone();
        let cursor = self.store.read(move |connection| cursor(connection, &fleet)).await?;
        let orders = self.connector.poll_orders(able, &cursor).await.context("Odoo")?;
        let more = orders.more;
        let fleet = self.fleet_id.clone();
        self.store.write(move |connection| keep(connection, &fleet, &orders, clock::now())).await?;
        Ok(more)
    }
}

fn keep(connection: &Connection, fleet_id: &FleetId, orders: &ImportedOrders, now: Timestamp) -> StoreResult<()> {
    for shipment in &orders.shipments {
        put_shipment(connection, fleet_id, &known_of(shipment), now)?;
    }
    let vehicles = vehicles_by_plate(connection, fleet_id)?;
    let planned = trips(&orders.shipments, |plate| vehicles.get(&plate_key(plate)).cloned());
    for (vehicle_id, trip) in &planned.trips {
        put_trip(connection, fleet_id, vehicle_id, trip, now)?;
    }
    for trip_id in &orders.ended_trips {
        plan::close_trip(connection, fleet_id, trip_id, now)?;
    }
    for OrderProblem { subject, mend, .. } in orders.problems.iter().chain(&planned.problems) {
        let trouble = Trouble { kind: TroubleKind::Order, subject: subject.clone(), detail: mend.clone() };
        case::meet(connection, fleet_id, &trouble, now)?;
    }
    let sql = "INSERT OR REPLACE INTO order_cursor VALUES (?1, ?2)";
    connection.execute(sql, params![fleet_id.as_str(), to_json(&orders.cursor)?])?;
    Ok(())
}

fn known_of(shipment: &ImportedShipment) -> Shipment {
    Shipment {
        shipment_id: shipment.shipment.clone(),
        reference: Some(shipment.shipment.clone()),
        odoo_picking_id: Some(shipment.picking_id),
        odoo_sale_id: shipment.sale_order.as_ref().map(|(id, _)| *id),
        partner: shipment.partner_name.clone(),
    }
}

fn cursor(connection: &Connection, fleet_id: &FleetId) -> StoreResult<Cursor> {
    let sql = "SELECT cursor FROM order_cursor WHERE fleet_id = ?1";
    let text: Option<String> = connection.query_row(sql, [fleet_id.as_str()], |row| row.get(0)).optional()?;
    text.map_or_else(|| Ok(Cursor::default()), |text| from_json(&text))
}

fn vehicles_by_plate(connection: &Connection, fleet_id: &FleetId) -> StoreResult<BTreeMap<String, VehicleId>> {
    let sql = "SELECT license_plate, vehicle_id FROM vehicle WHERE fleet_id = ?1 AND license_plate IS NOT NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([fleet_id.as_str()])?;
    let mut found = BTreeMap::new();
    while let Some(row) = rows.next()? {
        found.insert(plate_key(&row.get::<_, String>(0)?), name(&row.get::<_, String>(1)?)?);
    }
    Ok(found)
}
