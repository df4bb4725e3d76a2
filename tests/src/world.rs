//! A world in a box: vehicles, drivers, network, gateway and Odoo in one process, on a clock that jumps from one
//! happening to the next.
//!
//! Promise: the agent's event loop, reporting, spool and wire, and the gateway's inspection, store, fold and outbox
//! decisions are the real ones, on real SQLite files; what surrounds them is the world's, and one seed gives the same run
//! again. What happened is kept apart in the truth, and everything promised is compared with it, at each step where that
//! is cheap and at rest for the whole. (The shape is that of Firezone's simulated tests: simulated ends, a reference, and
//! assertions after each transition.)

mod audit;
pub mod faults;
mod network;
mod odoo;
mod office;
mod phone;
mod route;
mod schedule;
mod truth;
mod vehicle;

use std::path::Path;

use anyhow::Context as _;
use fault_disk::{Fall, FaultDisk, Fault};
use milepost_agent::uplink::outgoing::Outgoing;
use milepost_proto::{BootId, Reading, Record, Timestamp};
use tempfile::TempDir;

use crate::chance::Chance;
use faults::Faults;
use office::Office;
use phone::Phone;
use route::{DAY_MS, Doing, Route};
use schedule::{Happening, Schedule};
pub use truth::Tally;
use truth::{KeptPosition, Truth};
use vehicle::{Agent, Vehicle, Wiring};

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

    /// A receiver has a fix, if there is power.
    fn fix(&mut self, vehicle: usize) {
        let (doing, _) = self.vehicles[vehicle].route.doing(self.now_ms);
        let every_s = if doing == Doing::Parked { 900 } else { self.pace.fix_s };
        self.schedule.put(self.now_ms + every_s * SECOND_MS, Happening::Fix(vehicle));
        if self.now_ms < self.vehicles[vehicle].wiring.fix_from_ms {
            return;
        }
        let position = self.vehicles[vehicle].route.position(self.now_ms);
        let event_time = Timestamp::from_millis(self.now_ms);
        let mut kept = None;
        self.touch(vehicle, |agent| kept = agent.fix(position, event_time));
        if let Some(kept) = kept {
            self.truth.tally.fixes += 1;
            self.kept(vehicle, kept);
        }
    }

    fn kept(&mut self, vehicle: usize, records: impl IntoIterator<Item = Record>) {
        // If it fell while it took them, they may be gone.
        let may_be_lost = self.vehicles[vehicle].agent.is_none();
        for record in records.into_iter().filter(|record| matches!(record.reading, Reading::Position(_))) {
            let position = KeptPosition { kept_ms: self.now_ms, may_be_lost };
            self.truth.positions.insert((vehicle, record.event_time.as_millis()), position);
        }
    }

    fn tick(&mut self, vehicle: usize, life: u64) {
        if self.vehicles[vehicle].life != life || self.vehicles[vehicle].agent.is_none() {
            return;
        }
        let mut released = None;
        self.touch(vehicle, |agent| released = agent.tick());
        self.kept(vehicle, released);
        let parked = self.vehicles[vehicle].route.doing(self.now_ms).0 == Doing::Parked;
        let every_s = if parked { 900 } else { 60 };
        self.schedule.put(self.now_ms + every_s * SECOND_MS, Happening::Tick { vehicle, life });
    }

    fn due(&mut self, vehicle: usize, life: u64) {
        let machine = &mut self.vehicles[vehicle];
        if machine.life == life
            && let Some(agent) = &mut machine.agent
        {
            agent.looks_at_ms = i64::MAX;
            self.touch(vehicle, |_| {});
        }
    }

    /// Lets something happen to an agent, then lets it do what is due, then sees what came of it.
    fn touch(&mut self, vehicle: usize, happens: impl FnOnce(&mut Agent)) {
        let machine = &mut self.vehicles[vehicle];
        let Some(agent) = &mut machine.agent else { return };
        agent.tell_time(&machine.wiring, self.now_ms);
        happens(agent);
        if machine.disk.fallen().is_none() {
            agent.turn(&machine.disk);
        }
        self.after_vehicle(vehicle);
    }

    fn after_vehicle(&mut self, vehicle: usize) {
        self.count_refusals(vehicle);
        let machine = &mut self.vehicles[vehicle];
        if let Some(fall) = machine.disk.fallen() {
            return self.collapse(vehicle, fall);
        }
        let Some(agent) = &mut machine.agent else { return };
        if agent.event_loop.has_ended() {
            self.truth.breach(format!("the spool of vehicle {vehicle} ended although its file is there"));
            return self.collapse(vehicle, Fall::Kill);
        }
        let committed: Vec<_> =
            agent.status.borrow().spool.lanes.iter().map(|lane| (lane.lane, lane.last_sequence)).collect();
        let spool_id = agent.spool_id;
        let sent: Vec<Outgoing> = std::iter::from_fn(|| agent.take_sent()).collect();
        let due_ms = agent.event_loop.due_ms().map(|due_ms| machine.wiring.reaches(due_ms).max(self.now_ms + 1));
        let life = machine.life;
        if let Some(due_ms) = due_ms
            && due_ms < agent.looks_at_ms
        {
            agent.looks_at_ms = due_ms;
            self.schedule.put(due_ms, Happening::Due { vehicle, life });
        }
        committed.into_iter().for_each(|(lane, last)| self.truth.committed(spool_id, lane, last));
        sent.into_iter().for_each(|outgoing| self.post(vehicle, outgoing));
    }

    /// What a disk refused to commit is lost, and said so when it works again.
    fn count_refusals(&mut self, vehicle: usize) {
        let machine = &mut self.vehicles[vehicle];
        let refusals = machine.disk.refusals();
        if refusals > machine.refusals_seen {
            self.truth.tally.disk_refusals += refusals - machine.refusals_seen;
            machine.refusals_seen = refusals;
            self.truth.may_be_lost(vehicle, self.now_ms, self.window_ms());
        }
    }

    /// What a fall may cost: a group that was not committed.
    fn window_ms(&self) -> i64 {
        i64::try_from(self.pace.group_ms).unwrap_or(0) + SLACK_MS
    }

    /// The machine is down: its programs are gone, and the disk is what is left of it.
    fn collapse(&mut self, vehicle: usize, fall: Fall) {
        match fall {
            Fall::Kill => self.truth.tally.kills += 1,
            Fall::PowerCut => self.truth.tally.power_cuts += 1,
        }
        self.truth.may_be_lost(vehicle, self.now_ms, self.window_ms());
        let down_ms = self.within(0, self.faults.down_s_max + 1);
        let machine = &mut self.vehicles[vehicle];
        machine.disk.fall(fall);
        machine.agent = None;
        if let Err(error) = machine.disk.start(&mut || self.chance.number()) {
            self.truth.breach(format!("the disk of vehicle {vehicle} cannot be what is left of it: {error}"));
        }
        if fall == Fall::PowerCut {
            self.rewire(vehicle, down_ms);
        }
        self.schedule.put(self.now_ms + down_ms, Happening::Boot(vehicle));
    }

    /// The machine starts anew in `down_ms`: another boot, another drift, perhaps a clock that lost the time.
    fn rewire(&mut self, vehicle: usize, down_ms: i64) {
        let booted_ms = self.now_ms + down_ms - 2 * SECOND_MS;
        let system_ahead_ms = if self.chance.happens(self.faults.dead_rtc) {
            -booted_ms
        } else if self.chance.happens(self.faults.stepped_clock) {
            self.within(0, 24 * 3_600) - 12 * HOUR_MS
        } else {
            self.within(0, 2) - SECOND_MS
        };
        let drift_ppm = i64::try_from(self.chance.below(2 * self.faults.drift_ppm_max + 1)).unwrap_or(0);
        let fix_after_ms = self.within(2, 40);
        self.vehicles[vehicle].wiring = Wiring {
            boot_id: BootId(self.chance.bytes()),
            booted_ms,
            drift_ppm: drift_ppm - i64::try_from(self.faults.drift_ppm_max).unwrap_or(0),
            system_ahead_ms,
            fix_from_ms: self.now_ms + down_ms + fix_after_ms,
        };
    }

    fn boot(&mut self, vehicle: usize) {
        if self.vehicles[vehicle].agent.is_some() {
            return;
        }
        if self.vehicles[vehicle].life == 0 {
            self.rewire(vehicle, 0);
        }
        if self.chance.happens(self.faults.falls_while_starting) {
            self.arm_vehicle(vehicle, 30);
        }
        let machine = &mut self.vehicles[vehicle];
        let started = machine.start(self.now_ms, &mut self.chance);
        if let Some(fall) = machine.disk.fallen() {
            return self.collapse(vehicle, fall);
        }
        match started {
            Ok(quarantined) => self.booted(vehicle, quarantined),
            Err(error) => {
                if machine.disk.refusals() == machine.refusals_seen {
                    self.truth.breach(format!("vehicle {vehicle} does not start: {error}"));
                }
                self.count_refusals(vehicle);
                self.schedule.put(self.now_ms + 5 * SECOND_MS, Happening::Boot(vehicle));
            }
        }
    }

    fn booted(&mut self, vehicle: usize, quarantined: Option<String>) {
        let machine = &mut self.vehicles[vehicle];
        let life = machine.life;
        let spool_id = machine.agent.as_ref().map(|agent| agent.spool_id);
        let before = std::mem::replace(&mut machine.spool_id, spool_id);
        if before.is_some() && before != spool_id {
            self.truth.lost += 1;
            self.truth.breach(format!("vehicle {vehicle} has another spool than before: {quarantined:?}"));
        }
        self.touch(vehicle, |agent| drop(agent.tick()));
        self.check_spool(vehicle);
        self.after_vehicle(vehicle);
        self.schedule.put(self.now_ms + 3 * SECOND_MS, Happening::Tick { vehicle, life });
    }

    /// Something goes wrong in a vehicle: now, or at one of the next steps of its disk.
    fn vehicle_fault(&mut self, vehicle: usize) {
        self.next_fault(self.faults.vehicle_fault_every_s, Happening::VehicleFault(vehicle));
        let machine = &self.vehicles[vehicle];
        if machine.agent.is_none() {
            return;
        }
        match self.chance.below(4) {
            0 => {
                let fall = if self.chance.happens(0.5) { Fall::PowerCut } else { Fall::Kill };
                self.collapse(vehicle, fall);
            }
            _ => self.arm_vehicle(vehicle, 60),
        }
    }

    fn arm_vehicle(&mut self, vehicle: usize, steps_max: u64) {
        let (steps, fault) = self.draw_fault(steps_max);
        self.vehicles[vehicle].disk.arm(steps, fault);
    }

    fn draw_fault(&mut self, steps_max: u64) -> (u64, Fault) {
        let steps = self.chance.below(steps_max);
        let fault = if self.chance.happens(self.faults.disk_refuses) {
            let refused = 1 + self.chance.below(10);
            if self.chance.happens(0.5) { Fault::Full { steps: refused } } else { Fault::Broken { steps: refused } }
        } else if self.chance.happens(0.6) {
            Fault::Fall(Fall::PowerCut)
        } else {
            Fault::Fall(Fall::Kill)
        };
        (steps, fault)
    }

    fn gateway_fault(&mut self) {
        self.next_fault(self.faults.gateway_fault_every_s, Happening::GatewayFault);
        if self.office.store.is_none() {
            return;
        }
        match self.chance.below(4) {
            0 => {
                let fall = if self.chance.happens(0.5) { Fall::PowerCut } else { Fall::Kill };
                self.office.disk.fall(fall);
                self.collapse_gateway();
            }
            _ => self.arm_gateway(80),
        }
    }

    fn arm_gateway(&mut self, steps_max: u64) {
        let (steps, fault) = self.draw_fault(steps_max);
        self.office.disk.arm(steps, fault);
    }

    /// Sees whether the gateway fell in what it just did.
    fn after_gateway(&mut self) {
        let refusals = self.office.disk.refusals();
        self.truth.tally.disk_refusals += refusals - self.office.refusals_seen;
        self.office.refusals_seen = refusals;
        if self.office.disk.fallen().is_some() {
            self.collapse_gateway();
        }
    }

    fn collapse_gateway(&mut self) {
        match self.office.disk.fallen() {
            Some(Fall::Kill) => self.truth.tally.gateway_kills += 1,
            Some(Fall::PowerCut) => self.truth.tally.gateway_power_cuts += 1,
            None => {}
        }
        self.office.store = None;
        if let Err(error) = self.office.disk.start(&mut || self.chance.number()) {
            self.truth.breach(format!("the gateway's disk cannot be what is left of it: {error}"));
        }
        let down_ms = self.within(0, self.faults.down_s_max + 1);
        self.schedule.put(self.now_ms + down_ms, Happening::GatewayStart);
    }

    /// From here on nothing goes wrong, and nothing new happens.
    fn calm(&mut self) {
        self.faults = Faults::default();
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
    })
}
