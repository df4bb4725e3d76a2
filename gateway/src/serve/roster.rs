//! Takes the configured vehicles, devices and plan into the store.
//!
//! Promise: an unchanged configuration changes nothing; a device that was revoked by command stays revoked although the
//! file still lists it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use milepost_proto::{DeviceId, FleetId, Plan, Trip, VehicleId};
use rusqlite::Connection;

use crate::clock;
use crate::config::Config;
use crate::store::plan::put_trip;
use crate::store::roster::{self, Assignment, Standing};
use crate::store::{Store, StoreResult};

/// Takes in what `config` says.
///
/// # Errors
/// When the plan cannot be used or the store fails.
pub async fn apply(store: &Store, config: &Config) -> anyhow::Result<()> {
    let plan = config.plan.as_deref().map(read_plan).transpose()?;
    let trips = plan.map(|plan| assign_trips(plan, config)).transpose()?.unwrap_or_default();
    let config = config.clone();
    store.write(move |connection| put(connection, &config, &trips)).await.context("failed to take in the roster")
}

/// The plan at `path`, checked.
///
/// # Errors
/// When it cannot be read or has mistakes, all of them.
pub fn read_plan(path: &Path) -> anyhow::Result<Plan> {
    let text = std::fs::read_to_string(path).with_context(|| format!("plan: cannot read {}", path.display()))?;
    let plan: Plan =
        serde_json::from_str(&text).with_context(|| format!("plan: {} does not read as a plan", path.display()))?;
    let mistakes = plan.check();
    anyhow::ensure!(mistakes.is_empty(), "plan {}: {}", path.display(), mistakes.join("; "));
    Ok(plan)
}

/// Each trip with the vehicle that its device serves.
///
/// # Errors
/// When a trip names no device, or one that serves no vehicle.
pub fn assign_trips(plan: Plan, config: &Config) -> anyhow::Result<Vec<(VehicleId, Trip)>> {
    let assignments = by_device(config);
    let now = clock::now();
    let assign = |trip: Trip| {
        let id = &trip.id;
        let device = trip.device.as_deref().with_context(|| format!("plan: trip {id:?} names no device"))?;
        let device: DeviceId = device.parse().with_context(|| format!("plan: trip {id:?}: device {device:?}"))?;
        let serves = assignments.get(&device).and_then(|assignments| roster::vehicle_at(assignments, now));
        let vehicle = serves.with_context(|| {
            format!("plan: trip {id:?}: device {device} has no [[device]] entry with a vehicle now")
        })?;
        Ok((vehicle.clone(), trip))
    };
    plan.trips.into_iter().map(assign).collect()
}

fn put(connection: &Connection, config: &Config, trips: &[(VehicleId, Trip)]) -> StoreResult<()> {
    let (fleet, now) = (&config.fleet, clock::now());
    for vehicle in &config.vehicles {
        roster::put_vehicle(connection, fleet, &vehicle.id, vehicle.license_plate.as_deref())?;
    }
    for (device_id, assignments) in by_device(config) {
        if roster::standing(connection, fleet, &device_id)? == Standing::Unknown {
            roster::add_device(connection, fleet, &device_id, now)?;
        }
        put_served(connection, fleet, &assignments)?;
        roster::assign(connection, fleet, &device_id, &assignments)?;
    }
    for (vehicle_id, trip) in trips {
        put_trip(connection, fleet, vehicle_id, trip, now)?;
    }
    Ok(())
}

fn put_served(connection: &Connection, fleet_id: &FleetId, assignments: &[Assignment]) -> StoreResult<()> {
    for assignment in assignments {
        if let roster::Duty::Vehicle(vehicle_id) = &assignment.duty {
            roster::put_vehicle(connection, fleet_id, vehicle_id, None)?;
        }
    }
    Ok(())
}

fn by_device(config: &Config) -> BTreeMap<DeviceId, Vec<Assignment>> {
    let mut assignments: BTreeMap<DeviceId, Vec<Assignment>> = BTreeMap::new();
    for device in &config.devices {
        assignments.entry(device.id.clone()).or_default().push(device.assignment.clone());
    }
    for of_device in assignments.values_mut() {
        of_device.sort_by_key(|assignment| assignment.valid_from);
    }
    assignments
}
