//! How machines come down and start again.
//!
//! Promise: a fall happens at a moment or at a step of the disk, also while starting; what is left of the disk is what a
//! power cut or a kill leaves; and every fall is counted.

use fault_disk::{Fall, Fault};
use milepost_proto::BootId;

use super::schedule::Happening;
use super::vehicle::Wiring;
use super::{HOUR_MS, SECOND_MS, World};

impl World {
    /// The machine is down: its programs are gone, and the disk is what is left of it.
    pub(super) fn collapse(&mut self, vehicle: usize, fall: Fall) {
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
    pub(super) fn rewire(&mut self, vehicle: usize, down_ms: i64) {
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

    pub(super) fn boot(&mut self, vehicle: usize) {
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
            Ok(quarantined) => self.booted(vehicle, quarantined.as_deref()),
            Err(error) => {
                if machine.disk.refusals() == machine.refusals_seen {
                    self.truth.breach(format!("vehicle {vehicle} does not start: {error}"));
                }
                self.count_refusals(vehicle);
                self.schedule.put(self.now_ms + 5 * SECOND_MS, Happening::Boot(vehicle));
            }
        }
    }

    pub(super) fn booted(&mut self, vehicle: usize, quarantined: Option<&str>) {
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
    pub(super) fn vehicle_fault(&mut self, vehicle: usize) {
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

    pub(super) fn arm_vehicle(&mut self, vehicle: usize, steps_max: u64) {
        let (steps, fault) = self.draw_fault(steps_max);
        self.vehicles[vehicle].disk.arm(steps, fault);
    }

    pub(super) fn draw_fault(&mut self, steps_max: u64) -> (u64, Fault) {
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

    pub(super) fn gateway_fault(&mut self) {
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

    pub(super) fn arm_gateway(&mut self, steps_max: u64) {
        let (steps, fault) = self.draw_fault(steps_max);
        self.office.disk.arm(steps, fault);
    }

    /// Sees whether the gateway fell in what it just did.
    pub(super) fn after_gateway(&mut self) {
        let refusals = self.office.disk.refusals();
        self.truth.tally.disk_refusals += refusals - self.office.refusals_seen;
        self.office.refusals_seen = refusals;
        if self.office.disk.fallen().is_some() {
            self.collapse_gateway();
        }
    }

    pub(super) fn collapse_gateway(&mut self) {
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
}
