//! What follows from the journal, moved in one step.
//!
//! Promise: vehicle state, milestones with their history, the effects owed for them and the cursor of a fleet change
//! together or not at all, so a gateway that dies anywhere goes on exactly where the last commit left it.

use milepost_proto::{FleetId, Timestamp, VehicleId};
use rusqlite::{Connection, OptionalExtension, params};

use super::boot_clock::{self, BootMoment};
use super::case::{self, Trouble};
use super::column::{count, from_json, millis, time, to_json, whole};
use super::{StoreFault, StoreResult, outbox, refold};
use crate::effect::Effect;
use crate::milestone::{Milestone, Status};

/// How far a fleet's journal is folded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    /// Journal rows up to here are folded.
    pub position: u64,
    /// Changes of low-water marks up to here are applied.
    pub mark_change: i64,
    /// The rules everything was folded with, as JSON; empty before the first fold.
    pub rules: String,
}

/// The result of folding some rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Fold {
    /// Whose.
    pub fleet_id: FleetId,
    /// How far the journal is folded with it.
    pub cursor: Cursor,
    /// Requests to fold again that are carried out with it.
    pub refolds_done: Vec<i64>,
    /// Vehicles to fold again later: something of theirs arrived late.
    pub refolds_asked: Vec<VehicleId>,
    /// What devices learned of their clocks.
    pub moments: Vec<BootMoment>,
    /// The vehicles that changed.
    pub vehicles: Vec<VehicleFold>,
    /// What was met on the way.
    pub troubles: Vec<Trouble>,
}

/// One vehicle's part of a fold.
#[derive(Debug, Clone, PartialEq)]
pub struct VehicleFold {
    /// Which vehicle.
    pub vehicle_id: VehicleId,
    /// Its state.
    pub row: VehicleRow,
    /// The revisions to announce, oldest first.
    pub revisions: Vec<Milestone>,
    /// The effects owed for them.
    pub effects: Vec<Effect>,
}

/// A vehicle's state as kept.
#[derive(Debug, Clone, PartialEq)]
pub struct VehicleRow {
    /// The engine's state, in postcard: JSON would change the last bits of its numbers.
    pub state: Vec<u8>,
    /// Event time of the last fact in it.
    pub head_time: Option<Timestamp>,
    /// The low-water mark its milestones were derived with.
    pub low_water_mark: Option<Timestamp>,
    /// Where it last was: latitude and longitude in degrees, and when.
    pub place: Option<(f64, f64, Timestamp)>,
}

/// How far the journal of a fleet is folded.
///
/// # Errors
/// When the store fails.
pub fn cursor(connection: &Connection, fleet_id: &FleetId) -> StoreResult<Cursor> {
    let sql = "SELECT position, mark_change, rules FROM cursor WHERE fleet_id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([fleet_id.as_str()], |row| {
        Ok(Cursor { position: count(row.get(0)?), mark_change: row.get(1)?, rules: row.get(2)? })
    });
    Ok(found.optional()?.unwrap_or_default())
}

/// The state of `vehicle_id` as kept.
///
/// # Errors
/// When the store fails.
pub fn vehicle_row(
    connection: &Connection,
    fleet_id: &FleetId,
    vehicle_id: &VehicleId,
) -> StoreResult<Option<VehicleRow>> {
    let sql = "SELECT state, head_time, low_water_mark, lat, lon, position_time FROM vehicle_state
        WHERE fleet_id = ?1 AND vehicle_id = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([fleet_id.as_str(), vehicle_id.as_str()], |row| {
        let place: (Option<f64>, Option<f64>, Option<i64>) = (row.get(3)?, row.get(4)?, row.get(5)?);
        let place = match place {
            (Some(lat), Some(lon), Some(at)) => Some((lat, lon, Timestamp::from_millis(at))),
            _ => None,
        };
        Ok(VehicleRow { state: row.get(0)?, head_time: time(row.get(1)?), low_water_mark: time(row.get(2)?), place })
    });
    Ok(found.optional()?)
}

/// The vehicles that have a state.
///
/// # Errors
/// When the store fails.
pub fn folded_vehicles(connection: &Connection, fleet_id: &FleetId) -> StoreResult<Vec<VehicleId>> {
    let mut statement = connection.prepare_cached("SELECT vehicle_id FROM vehicle_state WHERE fleet_id = ?1")?;
    let mut rows = statement.query([fleet_id.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(super::column::name(&row.get::<_, String>(0)?)?);
    }
    Ok(found)
}

/// The milestones of `vehicle_id` as last told: those of its trips, whichever vehicle told them before the trip became
/// its own, so that a name goes on being revised and is never begun anew.
///
/// # Errors
/// When the store fails.
pub fn milestones_of(
    connection: &Connection,
    fleet_id: &FleetId,
    vehicle_id: &VehicleId,
) -> StoreResult<Vec<Milestone>> {
    let sql = "SELECT body FROM milestone WHERE fleet_id = ?1
            AND trip_id IN (SELECT trip_id FROM trip WHERE fleet_id = ?1 AND vehicle_id = ?2)
        ORDER BY milestone_id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([fleet_id.as_str(), vehicle_id.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(from_json(&row.get::<_, String>(0)?)?);
    }
    Ok(found)
}

/// Moves everything in `fold`.
///
/// # Errors
/// When the store fails; nothing has then moved.
pub fn commit(connection: &Connection, fold: &Fold, now: Timestamp) -> StoreResult<()> {
    let fleet_id = &fold.fleet_id;
    for vehicle in &fold.vehicles {
        put_vehicle_row(connection, fleet_id, vehicle, now)?;
        for milestone in &vehicle.revisions {
            put_milestone(connection, fleet_id, &vehicle.vehicle_id, milestone, now)?;
        }
        for effect in &vehicle.effects {
            outbox::put(connection, fleet_id, effect, now)?;
        }
    }
    boot_clock::keep(connection, fleet_id, &fold.moments)?;
    for trouble in &fold.troubles {
        case::meet(connection, fleet_id, trouble, now)?;
    }
    refold::done(connection, &fold.refolds_done)?;
    for vehicle_id in &fold.refolds_asked {
        refold::ask(connection, fleet_id, vehicle_id, "something arrived late")?;
    }
    let Cursor { position, mark_change, rules } = &fold.cursor;
    connection.prepare_cached("INSERT OR REPLACE INTO cursor VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        fleet_id.as_str(),
        whole(*position),
        mark_change,
        rules
    ])?;
    Ok(())
}

fn put_vehicle_row(
    connection: &Connection,
    fleet_id: &FleetId,
    vehicle: &VehicleFold,
    now: Timestamp,
) -> StoreResult<()> {
    let VehicleRow { state, head_time, low_water_mark, place } = &vehicle.row;
    let sql = "INSERT OR REPLACE INTO vehicle_state VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    connection.prepare_cached(sql)?.execute(params![
        fleet_id.as_str(),
        vehicle.vehicle_id.as_str(),
        state,
        millis(*head_time),
        millis(*low_water_mark),
        place.map(|(lat, _, _)| lat),
        place.map(|(_, lon, _)| lon),
        place.map(|(_, _, at)| at.as_millis()),
        now.as_millis()
    ])?;
    Ok(())
}

fn put_milestone(
    connection: &Connection,
    fleet_id: &FleetId,
    vehicle_id: &VehicleId,
    milestone: &Milestone,
    now: Timestamp,
) -> StoreResult<()> {
    let body = to_json(milestone)?;
    let status = status_word(milestone.status);
    let sql = "INSERT OR REPLACE INTO milestone
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    connection.prepare_cached(sql)?.execute(params![
        fleet_id.as_str(),
        milestone.milestone_id,
        vehicle_id.as_str(),
        milestone.revision,
        status,
        milestone.kind.as_str(),
        milestone.trip,
        milestone.stop,
        milestone.shipment,
        milestone.visit_no,
        milestone.event_time.as_millis(),
        now.as_millis(),
        body
    ])?;
    let sql = "INSERT INTO milestone_history VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    connection.prepare_cached(sql)?.execute(params![
        fleet_id.as_str(),
        milestone.milestone_id,
        milestone.revision,
        status,
        milestone.event_time.as_millis(),
        now.as_millis(),
        body
    ])?;
    Ok(())
}

/// The status's word in SQL and pages.
#[must_use]
pub const fn status_word(status: Status) -> &'static str {
    match status {
        Status::Provisional => "provisional",
        Status::Confirmed => "confirmed",
        Status::Corrected => "corrected",
        Status::Retracted => "retracted",
    }
}

/// Has every folded vehicle folded again when `rules` are not those it was folded with.
///
/// # Errors
/// When the store fails.
pub fn note_rules(connection: &Connection, fleet_id: &FleetId, rules: &str) -> StoreResult<()> {
    let held = cursor(connection, fleet_id)?;
    if held.rules == rules {
        return Ok(());
    }
    for vehicle_id in folded_vehicles(connection, fleet_id)? {
        refold::ask(connection, fleet_id, &vehicle_id, "the rules changed")?;
    }
    connection
        .execute(
            "INSERT OR REPLACE INTO cursor VALUES (?1, ?2, ?3, ?4)",
            params![fleet_id.as_str(), whole(held.position), held.mark_change, rules],
        )
        .map_err(StoreFault::from)?;
    Ok(())
}
