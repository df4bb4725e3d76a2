//! `replay`: the engine alone, offline. For tuning fences, for what-if, and to see that order does not matter.
//!
//! Promise: what is printed depends on the set of usable lines and on the plan, not on the order of the lines nor on
//! the seed. A line that cannot be used is reported with its number and its mend, and the others count all the same.

mod records;
mod shuffle;

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use anyhow::{Context, bail};
use milepost_proto::{DeviceId, FleetId, Plan, Timestamp, Trip};
use serde::Serialize;

use crate::milestone::stays::stays;
use crate::milestone::{Fact, Milestone, OutcomeCounts, Refold, Rules, VehicleState, revise};

use shuffle::{Chance, deliver_shuffled};

/// The fleet that milestone ids of a replay are derived from: `plan.json` names none.
const FLEET: &str = "replay";

/// Replays `records` (`records.jsonl`) against `plan` (the text of a `plan.json`) and writes the standing milestones to
/// `out` as JSON lines, by event time; without a plan, the stays. Everything is confirmed: after the end of the file
/// nothing can arrive. With `shuffle`, the records are delivered in an order, in batches and with copies that follow
/// from that seed. Lines that cannot be used are reported to `faults`.
///
/// # Errors
/// When the plan cannot be used, or reading or writing fails.
pub fn run(
    plan: Option<&str>,
    records: impl BufRead,
    shuffle: Option<u64>,
    out: &mut impl Write,
    faults: &mut impl Write,
) -> anyhow::Result<()> {
    let plan = plan.map(read_plan).transpose()?;
    let facts = records::read(records, faults).context("failed to read the records")?;
    let devices: Vec<DeviceId> = facts.iter().map(|fact| fact.key().device.clone()).collect();
    let mut vehicles = vehicles(plan.as_ref(), devices, faults)?;
    deliver(facts, shuffle, &mut vehicles);
    if plan.is_some() {
        write_milestones(&vehicles, out)?;
    } else {
        write_stays(&vehicles, out)?;
    }
    report(&vehicles, faults)
}

fn read_plan(text: &str) -> anyhow::Result<Plan> {
    let plan: Plan = serde_json::from_str(text).context("the plan is not a plan.json")?;
    let mistakes = plan.check();
    if !mistakes.is_empty() {
        bail!("the plan cannot be used:\n  {}", mistakes.join("\n  "));
    }
    Ok(plan)
}

type Vehicles = BTreeMap<DeviceId, Refold>;

/// One fold per device that has records, with the trips it drives.
fn vehicles(plan: Option<&Plan>, mut devices: Vec<DeviceId>, faults: &mut impl Write) -> anyhow::Result<Vehicles> {
    devices.sort();
    devices.dedup();
    let fleet: FleetId = FLEET.parse()?;
    let trips = plan.map_or(&[][..], |plan| &plan.trips);
    for trip in trips {
        report_trip(trip, &devices, faults)?;
    }
    let only = devices.len() == 1;
    let fold = |device: DeviceId| {
        let drives = |trip: &&Trip| trip.device.as_deref().map_or(only, |name| name == device.as_str());
        let trips: Vec<Trip> = trips.iter().filter(drives).cloned().collect();
        let refold = Refold::new(VehicleState::new(&fleet, &trips, &Rules::default()));
        (device, refold)
    };
    Ok(devices.into_iter().map(fold).collect())
}

fn report_trip(trip: &Trip, devices: &[DeviceId], faults: &mut impl Write) -> anyhow::Result<()> {
    match &trip.device {
        None if devices.len() > 1 => {
            let count = devices.len();
            writeln!(faults, "plan: trip {:?} names no device and there are {count}; add \"device\"", trip.id)?;
        }
        Some(name) if devices.iter().all(|device| device.as_str() != name) => {
            writeln!(faults, "plan: trip {:?} is driven by {name:?}, which has no records; check the name", trip.id)?;
        }
        _ => {}
    }
    Ok(())
}

fn deliver(facts: Vec<Fact>, shuffle: Option<u64>, vehicles: &mut Vehicles) {
    match shuffle {
        Some(seed) => deliver_shuffled(facts, &mut Chance::from_seed(seed), vehicles),
        None => deliver_batch(facts, vehicles),
    }
}

/// Hands each vehicle its facts of one batch.
fn deliver_batch(batch: Vec<Fact>, vehicles: &mut Vehicles) {
    let mut parts: BTreeMap<DeviceId, Vec<Fact>> = BTreeMap::new();
    for fact in batch {
        parts.entry(fact.key().device.clone()).or_default().push(fact);
    }
    for (device, part) in parts {
        if let Some(refold) = vehicles.get_mut(&device) {
            refold.deliver(part);
        }
    }
}

fn write_milestones(vehicles: &Vehicles, out: &mut impl Write) -> anyhow::Result<()> {
    let standing = vehicles.values().flat_map(|refold| refold.state().standing(Some(Timestamp::MAX)));
    let mut milestones: Vec<Milestone> = revise(&[], standing.collect());
    milestones.sort_by(|one, other| {
        (one.event_time, one.kind, &one.milestone_id).cmp(&(other.event_time, other.kind, &other.milestone_id))
    });
    milestones.iter().try_for_each(|milestone| write_line(milestone, out))
}

#[derive(Serialize)]
struct StayLine<'a> {
    kind: &'static str,
    device: &'a DeviceId,
    lat: f64,
    lon: f64,
    arrived: Timestamp,
    departed: Timestamp,
}

fn write_stays(vehicles: &Vehicles, out: &mut impl Write) -> anyhow::Result<()> {
    let to_e7 = |degrees: f64| (degrees * 1e7).round() / 1e7;
    for (device, refold) in vehicles {
        for stay in stays(refold.facts(), &Rules::default()) {
            let (lat, lon) = (to_e7(stay.place.lat), to_e7(stay.place.lon));
            write_line(&StayLine { kind: "stay", device, lat, lon, arrived: stay.since, departed: stay.until }, out)?;
        }
    }
    Ok(())
}

fn write_line(line: &impl Serialize, out: &mut impl Write) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, line).context("failed to write a line")?;
    out.write_all(b"\n").context("failed to write a line")
}

/// What became of the facts that were not simply folded.
fn report(vehicles: &Vehicles, faults: &mut impl Write) -> anyhow::Result<()> {
    for (device, refold) in vehicles {
        let counts: &OutcomeCounts = refold.state().counts();
        let parts: Vec<String> = counts
            .iter()
            .filter(|&(_, count)| count > 0)
            .map(|(outcome, count)| format!("{} {count}", outcome.as_str()))
            .collect();
        writeln!(faults, "{device}: {}", parts.join(", "))?;
    }
    Ok(())
}
