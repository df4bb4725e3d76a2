//! A world in a box: vehicles, drivers, network, gateway and Odoo in one process, on a clock that jumps from one
//! happening to the next.
//!
//! Promise: the agent's event loop, reporting, spool and wire, and the gateway's inspection, store, fold and outbox
//! decisions are the real ones, on real SQLite files; what surrounds them is the world's, and one seed gives the same run
//! again. What happened is kept apart in the truth, and everything promised is compared with it, at each step where that
//! is cheap and at rest for the whole. (The shape is that of Firezone's simulated tests: simulated ends, a reference, and
//! assertions after each transition.)

mod audit;
mod falls;
pub mod faults;
mod network;
mod odoo;
mod office;
mod phone;
mod route;
mod schedule;
mod step;
mod truth;
mod vehicle;

use std::path::Path;

use anyhow::Context as _;
use fault_disk::FaultDisk;
use milepost_proto::BootId;
use tempfile::TempDir;

use crate::chance::Chance;
use faults::Faults;
use office::Office;
use phone::Phone;
use route::{DAY_MS, Route};
use schedule::{Happening, Schedule};
pub use truth::Tally;
use truth::Truth;
pub use vehicle::once;
use vehicle::{Vehicle, Wiring};

/// When a world begins: a Monday, 05:00 UTC.
const BEGAN_MS: i64 = 1_772_427_600_000;
const SECOND_MS: i64 = 1_000;
const HOUR_MS: i64 = 3_600 * SECOND_MS;
/// Longest time that everything may take to come to rest once nothing goes wrong any more, hours.
const REST_HOURS_MAX: i64 = 48;
/// Longest that what is due may be late by the world's rounding and the clocks' drift, milliseconds.
const SLACK_MS: i64 = 1_000;

/// How often things happen in a world: finer is closer to life and slower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Time between fixes, seconds.
    pub fix_s: i64,
    /// The agent's `group_ms`.
    pub group_ms: u64,
    /// The agent's `gather_ms`.
    pub gather_ms: u64,
    /// The agent's `heartbeat_s`.
    pub heartbeat_s: u64,
}

impl Pace {
    /// For short worlds.
    pub const FINE: Self = Self { fix_s: 5, group_ms: 1_000, gather_ms: 5_000, heartbeat_s: 30 };
    /// For weeks of whole fleets.
    pub const COARSE: Self = Self { fix_s: 30, group_ms: 5_000, gather_ms: 60_000, heartbeat_s: 900 };
}

/// What world to build.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scenario {
    /// Everything follows from it.
    pub seed: u64,
    /// How many vehicles.
    pub vehicles: usize,
    /// How long things go wrong, hours.
    pub hours: u32,
    /// How often things happen.
    pub pace: Pace,
    /// What goes wrong.
    pub faults: Faults,
}

/// What a world ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Promises that were not kept, in sentences.
    pub breaches: Vec<String>,
    /// Captures, records or blobs that are gone.
    pub lost: u64,
    /// Captures, records or effects that are there twice.
    pub doubled: u64,
    /// How much happened.
    pub tally: Tally,
    /// A number that follows from everything that happened, in order.
    pub trace: u64,
}

/// The world.
struct World {
    _folder: TempDir,
    now_ms: i64,
    end_ms: i64,
    days: u64,
    pace: Pace,
    faults: Faults,
    chance: Chance,
    schedule: Schedule,
    vehicles: Vec<Vehicle>,
    phones: Vec<Phone>,
    office: Office,
    odoo: odoo::Effects,
    truth: Truth,
    letters: u64,
    trace: u64,
}

/// Runs a world to its end and compares it with the truth.
///
/// # Errors
/// When its folders cannot be made.
pub fn run(scenario: &Scenario) -> anyhow::Result<Outcome> {
    let mut world = World::new(scenario)?;
    world.begin();
    world.live_until(world.end_ms);
    world.calm();
    world.come_to_rest();
    world.audit();
    Ok(world.outcome())
}

impl World {
    fn new(scenario: &Scenario) -> anyhow::Result<Self> {
        // Memory, where there is some for files: nothing here is about a real disk.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }?;
        let office_folder = folder.path().join("gateway");
        std::fs::create_dir(&office_folder)?;
        let office = Office {
            disk: FaultDisk::new(&office_folder),
            folder: office_folder,
            fleet_id: "acme".parse().context("a fleet's name")?,
            rules: milepost_gateway::milestone::Rules::default(),
            policy: milepost_gateway::outbox::decide::Policy::default(),
            store: None,
            life: 0,
            in_flight: 0,
            strays: true,
            last_answers: std::collections::BTreeMap::new(),
            refusals_seen: 0,
        };
        let vehicles = (0..scenario.vehicles).map(|number| new_vehicle(number, folder.path(), &scenario.pace));
        let end_ms = BEGAN_MS + i64::from(scenario.hours) * HOUR_MS;
        Ok(Self {
            vehicles: vehicles.collect::<anyhow::Result<_>>()?,
            _folder: folder,
            now_ms: BEGAN_MS,
            end_ms,
            days: (end_ms - BEGAN_MS).unsigned_abs().div_ceil(DAY_MS.unsigned_abs()),
            pace: scenario.pace,
            faults: scenario.faults,
            chance: Chance::new(scenario.seed),
            schedule: Schedule::default(),
            phones: std::iter::repeat_with(Phone::default).take(scenario.vehicles).collect(),
            office,
            odoo: odoo::Effects::new(),
            truth: Truth::default(),
            letters: 0,
            trace: 0,
        })
    }

    fn begin(&mut self) {
        self.schedule.put(self.now_ms, Happening::GatewayStart);
        let lies = self.faults.syncs_are_lies;
        for vehicle in 0..self.vehicles.len() {
            self.vehicles[vehicle].disk.lie_about_sync(lies);
            let boots_ms = self.within(1, 30);
            self.schedule.put(self.now_ms + boots_ms, Happening::Boot(vehicle));
            let fix_ms = self.now_ms + self.within(1, 6);
            self.schedule.put(fix_ms, Happening::Fix(vehicle));
            self.schedule.put(fix_ms, Happening::Capture(vehicle));
            self.next_fault(self.faults.vehicle_fault_every_s, Happening::VehicleFault(vehicle));
            self.next_fault(self.faults.offline_every_s, Happening::Offline(vehicle));
        }
        self.next_fault(self.faults.gateway_fault_every_s, Happening::GatewayFault);
        for day in 0..self.days {
            let over_ms = i64::try_from(day + 1).unwrap_or(1) * DAY_MS - HOUR_MS;
            self.schedule.put(BEGAN_MS + over_ms, Happening::CloseTrips { day });
        }
    }

    /// Has something of which the mean time between two is `mean_s` happen next.
    fn next_fault(&mut self, mean_s: u64, happening: Happening) {
        if mean_s > 0 {
            let after_ms = self.within(0, 2 * mean_s);
            self.schedule.put(self.now_ms + after_ms, happening);
        }
    }

    fn live_until(&mut self, end_ms: i64) {
        while let Some((at_ms, happening)) = self.schedule.next_before(end_ms) {
            self.now_ms = self.now_ms.max(at_ms);
            self.happen(happening);
        }
        self.now_ms = end_ms;
    }

    fn happen(&mut self, happening: Happening) {
        self.note(&happening);
        match happening {
            Happening::Fix(vehicle) => self.fix(vehicle),
            Happening::Tick { vehicle, life } => self.tick(vehicle, life),
            Happening::Due { vehicle, life } => self.due(vehicle, life),
            Happening::Capture(vehicle) => self.capture(vehicle),
            Happening::Phone(vehicle) => self.phone(vehicle),
            Happening::VehicleFault(vehicle) => self.vehicle_fault(vehicle),
            Happening::Boot(vehicle) => self.boot(vehicle),
            Happening::Offline(vehicle) => {
                self.vehicles[vehicle].offline_until_ms = self.now_ms + self.within(1, self.faults.offline_s_max);
                self.next_fault(self.faults.offline_every_s, Happening::Offline(vehicle));
            }
            Happening::Arrival(letter) => self.arrive(&letter),
            Happening::Answer { vehicle, life, letter, outcome } => self.answer(vehicle, life, letter, *outcome),
            Happening::GatewayFault => self.gateway_fault(),
            Happening::GatewayStart => self.start_gateway(),
            Happening::Fold => self.fold(),
            Happening::Outbox => self.outbox(),
            Happening::OdooSearch { life, row } => self.odoo_search(life, row),
            Happening::OdooCommit { key } => self.odoo_commit(key),
            Happening::OdooEnd { life, row, settlement } => self.odoo_end(life, &row, &settlement),
            Happening::CloseTrips { day } => self.close_trips(day),
        }
    }

    /// Mixes what happens into the trace (FNV-1a).
    fn note(&mut self, happening: &Happening) {
        let what = format!("{} {:?}", self.now_ms, std::mem::discriminant(happening));
        let vehicle = match happening {
            Happening::Fix(vehicle) | Happening::Phone(vehicle) | Happening::Boot(vehicle) => *vehicle as u64,
            Happening::Due { vehicle, .. } | Happening::Answer { vehicle, .. } => *vehicle as u64,
            Happening::Arrival(letter) => letter.number,
            _ => 0,
        };
        for byte in what.bytes().chain(vehicle.to_le_bytes()) {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }

    /// From here on nothing goes wrong, and nothing new happens.
    fn calm(&mut self) {
        self.faults = Faults::NONE;
        self.office.disk.mend();
        self.schedule.put(self.now_ms + SECOND_MS, Happening::GatewayStart);
        for vehicle in 0..self.vehicles.len() {
            self.vehicles[vehicle].disk.mend();
            self.vehicles[vehicle].offline_until_ms = 0;
            self.schedule.put(self.now_ms + SECOND_MS, Happening::Boot(vehicle));
            self.schedule.put(self.now_ms + SECOND_MS, Happening::Phone(vehicle));
        }
    }

    fn come_to_rest(&mut self) {
        let deadline_ms = self.now_ms + REST_HOURS_MAX * HOUR_MS;
        // Long enough for what was in memory to be committed and offered.
        self.rest_for(5 * 60 * SECOND_MS);
        while !self.rests() {
            if self.now_ms > deadline_ms {
                let waiting: Vec<usize> = self.phones.iter().map(|phone| phone.waiting.len()).collect();
                let gateway = self.gateway_rests();
                self.truth.lost += 1;
                return self.truth.breach(format!(
                    "{REST_HOURS_MAX} h after the last fault something still waits: phones {waiting:?}, gateway at rest: {gateway}"
                ));
            }
            self.rest_for(60 * SECOND_MS);
        }
        self.rest_for(60 * SECOND_MS);
    }

    /// Lives on, without new fixes, captures and faults.
    fn rest_for(&mut self, length_ms: i64) {
        let end_ms = self.now_ms + length_ms;
        while let Some((at_ms, happening)) = self.schedule.next_before(end_ms) {
            self.now_ms = self.now_ms.max(at_ms);
            let is_new = matches!(
                happening,
                Happening::Fix(_)
                    | Happening::Capture(_)
                    | Happening::VehicleFault(_)
                    | Happening::GatewayFault
                    | Happening::Offline(_)
            );
            if !is_new {
                self.happen(happening);
            }
        }
        self.now_ms = end_ms;
    }

    fn rests(&self) -> bool {
        let is_empty = |machine: &Vehicle| {
            machine.agent.as_ref().is_some_and(|agent| {
                let status = agent.status.borrow();
                status.spool.blobs_waiting == 0 && status.spool.lanes.iter().all(|lane| lane.waiting == 0)
            })
        };
        self.phones.iter().all(|phone| phone.waiting.is_empty())
            && self.vehicles.iter().all(is_empty)
            && self.gateway_rests()
    }

    fn outcome(mut self) -> Outcome {
        self.truth.tally.simulated_s = (self.now_ms - BEGAN_MS).unsigned_abs() / 1_000;
        let Truth { breaches, lost, doubled, tally, .. } = self.truth;
        Outcome { breaches, lost, doubled, tally, trace: self.trace }
    }
}

fn new_vehicle(number: usize, folder: &Path, pace: &Pace) -> anyhow::Result<Vehicle> {
    let device = format!("truck-{number}");
    let folder = folder.join(&device);
    std::fs::create_dir(&folder)?;
    Ok(Vehicle {
        device: device.parse().context("a device's name")?,
        disk: FaultDisk::new(&folder),
        config: vehicle::config(&device, &folder, pace)?,
        route: Route::new(number, BEGAN_MS),
        life: 0,
        agent: None,
        offline_until_ms: 0,
        wiring: Wiring { boot_id: BootId([0; 16]), booted_ms: 0, drift_ppm: 0, system_ahead_ms: 0, fix_from_ms: 0 },
        spool_id: None,
        refusals_seen: 0,
        refused_ms: i64::MIN,
    })
}
