//! Folding up to a floor, so that what lies below it is never needed again.
//!
//! Promise: a state kept at a floor, folded on with the facts above it, is the state that folding everything gives: the
//! same facts in the same order. What comes later for a time below the floor changes nothing and retracts nothing; it is
//! for a person to see.

use milepost_proto::{FleetId, Timestamp, VehicleId};
use rusqlite::Connection;

use super::dating::BootClocks;
use super::gather;
use crate::milestone::{Fact, Rules, VehicleState};
use crate::store::fold_floor::{self, Floor};
use crate::store::{StoreResult, column, commit, plan};

/// A floor that can be raised, and the journal position up to which it was folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    /// The floor.
    pub floor: Floor,
    /// Up to where the journal was read.
    pub through: u64,
}

/// Folds `vehicle_id` up to the highest floor it may have, at most `wanted`; nothing when that is not above the one it
/// has.
///
/// # Errors
/// When the store fails, or the kept state does not read.
pub fn fold_to(
    connection: &Connection,
    fleet_id: &FleetId,
    vehicle_id: &VehicleId,
    wanted: Timestamp,
    rules: &Rules,
) -> StoreResult<Option<Raised>> {
    let held = fold_floor::of_vehicle(connection, fleet_id, vehicle_id)?;
    let Some(time) = fold_floor::highest(connection, fleet_id, vehicle_id, wanted)? else { return Ok(None) };
    if held.as_ref().is_some_and(|held| held.time >= time) {
        return Ok(None);
    }
    let through = commit::cursor(connection, fleet_id)?.position;
    let mut state = start(connection, fleet_id, vehicle_id, held.as_ref(), rules)?;
    let mut facts =
        gather::all_of_vehicle(connection, fleet_id, vehicle_id, through, &mut BootClocks::default())?.facts;
    facts.retain(|fact| is_above(fact, held.as_ref()) && fact.key().event_time <= time);
    facts.sort_unstable();
    for fact in &facts {
        state.apply(fact);
    }
    Ok(Some(Raised { floor: Floor { time, state: column::to_bytes(&state)? }, through }))
}

/// The state that the facts above `floor` are folded onto: with the trips and rules of today.
///
/// # Errors
/// When the store fails, or the kept state does not read.
pub fn start(
    connection: &Connection,
    fleet_id: &FleetId,
    vehicle_id: &VehicleId,
    floor: Option<&Floor>,
    rules: &Rules,
) -> StoreResult<VehicleState> {
    let trips = plan::trips_of(connection, fleet_id, vehicle_id)?;
    match floor {
        None => Ok(VehicleState::new(fleet_id, &trips, rules)),
        Some(floor) => Ok(column::from_bytes::<VehicleState>(&floor.state)?.replanned(&trips, rules)),
    }
}

/// Whether `fact` is of the time that can still be folded.
#[must_use]
pub fn is_above(fact: &Fact, floor: Option<&Floor>) -> bool {
    floor.is_none_or(|floor| fact.key().event_time > floor.time)
}
