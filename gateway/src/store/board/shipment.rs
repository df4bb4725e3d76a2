//! Shipments and how far they have come.

use milepost_proto::{FleetId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::{ROWS_MAX, rows, time_if_known};
use crate::milestone::MilestoneKind;
use crate::store::StoreResult;

/// A shipment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShipmentRow {
    /// Unique in its fleet.
    pub shipment_id: String,
    /// What people call it.
    pub reference: Option<String>,
    /// Who gets it.
    pub consignee: Option<String>,
    /// Where it goes.
    pub address: Option<String>,
    /// The trip that carries it.
    pub trip_id: Option<String>,
    /// From when it may be delivered.
    pub window_from: Option<Timestamp>,
    /// Until when it should be.
    pub window_to: Option<Timestamp>,
    /// What became of it: the last outcome if there is one, otherwise the last thing that happened.
    pub standing: Option<MilestoneKind>,
    /// When its last milestone happened.
    pub last_event_time: Option<Timestamp>,
}

const COLUMNS: &str = "
    k.shipment_id, s.reference, coalesce(s.partner, p.name) AS consignee, p.address, p.trip_id,
    p.window_from, p.window_to,
    (SELECT m.kind FROM milestone m
        WHERE m.fleet_id = ?1 AND m.shipment_id = k.shipment_id AND m.status <> 'retracted'
        ORDER BY m.kind IN ('delivery.completed', 'delivery.partial', 'delivery.failed', 'delivery.refused',
            'delivery.damaged', 'returned') DESC, m.event_time DESC LIMIT 1) AS standing,
    (SELECT max(m.event_time) FROM milestone m
        WHERE m.fleet_id = ?1 AND m.shipment_id = k.shipment_id AND m.status <> 'retracted') AS last_event_time";

const JOINS: &str = "
    LEFT JOIN shipment s ON s.fleet_id = ?1 AND s.shipment_id = k.shipment_id
    LEFT JOIN stop p ON p.fleet_id = ?1 AND (p.trip_id, p.stop_id) = (
        SELECT q.trip_id, q.stop_id FROM stop q WHERE q.fleet_id = ?1 AND q.shipment_id = k.shipment_id
        ORDER BY q.kind = 'delivery' DESC, q.trip_id DESC, q.position DESC LIMIT 1)";

/// The shipments of orders and of planned stops: those something happened to last come first.
///
/// # Errors
/// The store's.
pub fn shipments(connection: &Connection, fleet: &FleetId) -> StoreResult<Vec<ShipmentRow>> {
    let statement = connection.prepare_cached(&format!(
        "WITH k (shipment_id) AS (
             SELECT shipment_id FROM shipment WHERE fleet_id = ?1
             UNION SELECT shipment_id FROM stop WHERE fleet_id = ?1 AND shipment_id IS NOT NULL)
         SELECT {COLUMNS} FROM k {JOINS}
         ORDER BY last_event_time IS NULL, last_event_time DESC, k.shipment_id LIMIT ?2"
    ))?;
    rows(statement, params![fleet.as_str(), ROWS_MAX], shipment_row)
}

/// One shipment, if the fleet has it.
///
/// # Errors
/// The store's.
pub fn shipment(connection: &Connection, fleet: &FleetId, shipment_id: &str) -> StoreResult<Option<ShipmentRow>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM (SELECT ?2 AS shipment_id) k {JOINS}
         WHERE s.shipment_id IS NOT NULL OR p.stop_id IS NOT NULL OR standing IS NOT NULL"
    ))?;
    Ok(statement.query_row(params![fleet.as_str(), shipment_id], shipment_row).optional()?)
}

fn shipment_row(row: &Row<'_>) -> rusqlite::Result<ShipmentRow> {
    let standing: Option<String> = row.get("standing")?;
    Ok(ShipmentRow {
        shipment_id: row.get("shipment_id")?,
        reference: row.get("reference")?,
        consignee: row.get("consignee")?,
        address: row.get("address")?,
        trip_id: row.get("trip_id")?,
        window_from: time_if_known(row, "window_from")?,
        window_to: time_if_known(row, "window_to")?,
        standing: standing.and_then(|kind| super::readable("milestone kind", &format!("\"{kind}\""))),
        last_event_time: time_if_known(row, "last_event_time")?,
    })
}
