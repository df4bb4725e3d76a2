//! One step of a vehicle's agent: something happens to it, it does what is due, and the world sees what came of it.
//!
//! Promise: after each step it is noted what the agent says it has committed, what it sends and when it wants to act next;
//! if its machine came down in the middle, nothing of what it said afterwards counts.

use fault_disk::Fall;
use milepost_agent::uplink::outgoing::Outgoing;
use milepost_proto::{Reading, Record, Timestamp};

use super::route::Doing;
use super::schedule::Happening;
use super::truth::KeptPosition;
use super::vehicle::Agent;
use super::{SECOND_MS, SLACK_MS, World};

impl World {
    /// A receiver has a fix, if there is power.
    pub(super) fn fix(&mut self, vehicle: usize) {
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

    pub(super) fn kept(&mut self, vehicle: usize, records: impl IntoIterator<Item = Record>) {
        // If it fell, or its disk refused, while it took them, they may be gone.
        let machine = &self.vehicles[vehicle];
        let may_be_lost = machine.agent.is_none() || machine.refused_ms == self.now_ms;
        for record in records.into_iter().filter(|record| matches!(record.reading, Reading::Position(_))) {
            let position = KeptPosition { kept_ms: self.now_ms, may_be_lost };
            self.truth.positions.insert((vehicle, record.event_time.as_millis()), position);
        }
    }

    pub(super) fn tick(&mut self, vehicle: usize, life: u64) {
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

    pub(super) fn due(&mut self, vehicle: usize, life: u64) {
        let machine = &mut self.vehicles[vehicle];
        if machine.life == life
            && let Some(agent) = &mut machine.agent
        {
            agent.looks_at_ms = i64::MAX;
            self.touch(vehicle, |_| {});
        }
    }

    /// Lets something happen to an agent, then lets it do what is due, then sees what came of it.
    pub(super) fn touch(&mut self, vehicle: usize, happens: impl FnOnce(&mut Agent)) {
        let machine = &mut self.vehicles[vehicle];
        let Some(agent) = &mut machine.agent else { return };
        agent.tell_time(&machine.wiring, self.now_ms);
        happens(agent);
        if machine.disk.fallen().is_none() {
            agent.turn(&machine.disk);
        }
        self.after_vehicle(vehicle);
    }

    pub(super) fn after_vehicle(&mut self, vehicle: usize) {
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
    pub(super) fn count_refusals(&mut self, vehicle: usize) {
        let machine = &mut self.vehicles[vehicle];
        let refusals = machine.disk.refusals();
        if refusals > machine.refusals_seen {
            self.truth.tally.disk_refusals += refusals - machine.refusals_seen;
            machine.refusals_seen = refusals;
            machine.refused_ms = self.now_ms;
            self.truth.may_be_lost(vehicle, self.now_ms, self.window_ms());
        }
    }

    /// What a fall may cost: a group that was not committed.
    pub(super) fn window_ms(&self) -> i64 {
        i64::try_from(self.pace.group_ms).unwrap_or(0) + SLACK_MS
    }
}
