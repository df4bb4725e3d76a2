//! Milestones as they stand, and every revision that ever stood.

use milepost_proto::{FleetId, Timestamp};
use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::{ROWS_MAX, readable, rows, time};
use crate::milestone::Milestone;
use crate::store::StoreResult;

/// A milestone and when it became known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MilestoneRow {
    /// What happened.
    #[serde(flatten)]
    pub milestone: Milestone,
    /// The vehicle it happened with.
    pub vehicle: String,
    /// When the gateway knew this revision.
    pub known_at: Timestamp,
}

/// A place in the feed of milestones: everything up to it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPlace {
    /// Seen up to this time of becoming known.
    pub known_at: Timestamp,
    /// At that time, seen up to this id; empty for "nothing of it yet".
    pub milestone_id: String,
}

/// The milestones that became known last, newest first.
///
/// # Errors
/// The store's.
pub fn latest(connection: &Connection, fleet: &FleetId, count_max: u32) -> StoreResult<Vec<MilestoneRow>> {
    let statement = connection.prepare_cached(
        "SELECT body, vehicle_id, known_at FROM milestone WHERE fleet_id = ?1
         ORDER BY known_at DESC, event_time DESC LIMIT ?2",
    )?;
    Ok(rows(statement, params![fleet.as_str(), count_max.min(ROWS_MAX)], standing)?.into_iter().flatten().collect())
}

/// The milestones that became known after `place`, oldest first, at most [`ROWS_MAX`].
///
/// # Errors
/// The store's.
pub fn after(connection: &Connection, fleet: &FleetId, place: &FeedPlace) -> StoreResult<Vec<MilestoneRow>> {
    let statement = connection.prepare_cached(
        "SELECT body, vehicle_id, known_at FROM milestone
         WHERE fleet_id = ?1 AND known_at >= ?2 AND (known_at, milestone_id) > (?2, ?3)
         ORDER BY known_at, milestone_id LIMIT ?4",
    )?;
    let params = params![fleet.as_str(), place.known_at.as_millis(), place.milestone_id, ROWS_MAX];
    Ok(rows(statement, params, standing)?.into_iter().flatten().collect())
}

/// Every revision of every milestone of a shipment, by event time, then revision. The last of each id is the one that
/// stands.
///
/// # Errors
/// The store's.
pub fn history(connection: &Connection, fleet: &FleetId, shipment_id: &str) -> StoreResult<Vec<MilestoneRow>> {
    let statement = connection.prepare_cached(
        "SELECT body, vehicle_id, known_at FROM (
             SELECT m.body, m.vehicle_id, m.known_at, m.event_time, m.milestone_id, m.revision FROM milestone m
             WHERE m.fleet_id = ?1 AND m.shipment_id = ?2
             UNION
             SELECT h.body, m.vehicle_id, h.known_at, m.event_time, h.milestone_id, h.revision FROM milestone m
             JOIN milestone_history h ON h.fleet_id = m.fleet_id AND h.milestone_id = m.milestone_id
             WHERE m.fleet_id = ?1 AND m.shipment_id = ?2 AND h.revision <> m.revision)
         ORDER BY event_time, milestone_id, revision LIMIT ?3",
    )?;
    Ok(rows(statement, params![fleet.as_str(), shipment_id, ROWS_MAX], standing)?.into_iter().flatten().collect())
}

fn standing(row: &Row<'_>) -> rusqlite::Result<Option<MilestoneRow>> {
    let milestone = readable("milestone", row.get_ref("body")?.as_str()?);
    let (vehicle, known_at) = (row.get("vehicle_id")?, time(row, "known_at")?);
    Ok(milestone.map(|milestone| MilestoneRow { milestone, vehicle, known_at }))
}
