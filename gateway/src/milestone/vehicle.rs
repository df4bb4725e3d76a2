//! One vehicle's fold.
//!
//! Promise: folding the same facts in the order of their keys gives the same state, to the last bit, and the state can
//! be kept and taken up again anywhere in between. What it remembers is bounded by the planned stops, not by the facts.

use milepost_proto::{FleetId, Timestamp, Trip};
use serde::{Deserialize, Serialize};

use super::assignment::belongs;
use super::clean::Cleaner;
use super::fact::{Fix, Proof};
use super::planned_stop::PlannedStop;
use super::standing::{Telling, stop_milestones};
use super::standstill::Standstill;
use super::visit::{Basis, Glimpse, Presence};
use super::{Fact, FactKey, FactKind, Milestone, Outcome, OutcomeCounts, Rules};

/// Everything the engine remembers of one vehicle: a function of the facts folded so far, its trips and the rules.
///
/// A snapshot must keep its numbers to the last bit, or a fold taken up from it may part ways with one from the start:
/// postcard does, `serde_json` does not unless its `float_roundtrip` is on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VehicleState {
    fleet: FleetId,
    rules: Rules,
    head: Option<FactKey>,
    counts: OutcomeCounts,
    cleaner: Cleaner,
    standstill: Standstill,
    stops: Vec<PlannedStop>,
}

impl VehicleState {
    /// A vehicle of which nothing is known yet but its trips. Their order does not matter.
    #[must_use]
    pub fn new(fleet: &FleetId, trips: &[Trip], rules: &Rules) -> Self {
        let mut trips: Vec<&Trip> = trips.iter().collect();
        trips.sort_by(|one, other| one.id.cmp(&other.id));
        let stops = trips.iter().flat_map(|trip| trip.stops.iter().map(|stop| PlannedStop::new(trip, stop))).collect();
        Self {
            fleet: fleet.clone(),
            rules: rules.clone(),
            head: None,
            counts: OutcomeCounts::default(),
            cleaner: Cleaner::default(),
            standstill: Standstill::default(),
            stops,
        }
    }

    /// The same vehicle with the trips and rules of today: what happened at a stop stays with it, stops that are new
    /// begin empty, and stops that are planned no more are forgotten.
    #[must_use]
    pub fn replanned(mut self, trips: &[Trip], rules: &Rules) -> Self {
        let mut held = std::mem::take(&mut self.stops);
        let mut stops = Self::new(&self.fleet, trips, rules).stops;
        for stop in &mut stops {
            if let Some(same) = held.iter().position(|one| one.trip == stop.trip && one.id == stop.id) {
                let before = held.swap_remove(same);
                (stop.visits, stop.proofs) = (before.visits, before.proofs);
            }
        }
        Self { stops, rules: rules.clone(), ..self }
    }

    /// The last fact folded.
    #[must_use]
    pub const fn head(&self) -> Option<&FactKey> {
        self.head.as_ref()
    }

    /// How many of the folded facts had each outcome.
    #[must_use]
    pub const fn counts(&self) -> &OutcomeCounts {
        &self.counts
    }

    /// Folds one fact, which must come after [`VehicleState::head`]; the head itself is a `Duplicate` and anything
    /// before it `Stale`, and neither changes the state.
    pub fn apply(&mut self, fact: &Fact) -> Outcome {
        match self.head.as_ref().map(|head| fact.key().cmp(head)) {
            Some(std::cmp::Ordering::Less) => return Outcome::Stale,
            Some(std::cmp::Ordering::Equal) => return Outcome::Duplicate,
            Some(std::cmp::Ordering::Greater) | None => self.head = Some(fact.key().clone()),
        }
        let outcome = self.fold(fact);
        self.counts.add(outcome);
        outcome
    }

    /// What stands now, by event time: revision 0, status provisional, or confirmed where everything that decided it
    /// lies before the low-water mark.
    #[must_use]
    pub fn standing(&self, low_water_mark: Option<Timestamp>) -> Vec<Milestone> {
        let telling = Telling { fleet: &self.fleet, rules: &self.rules, low_water_mark };
        let mut milestones: Vec<Milestone> =
            self.stops.iter().flat_map(|stop| stop_milestones(stop, telling)).collect();
        milestones.sort_by(|one, other| {
            (one.event_time, one.kind, &one.milestone_id).cmp(&(other.event_time, other.kind, &other.milestone_id))
        });
        milestones
    }

    fn fold(&mut self, fact: &Fact) -> Outcome {
        let key = fact.key();
        match &fact.kind {
            FactKind::Fix(fix) => self.see(key, *fix),
            FactKind::Pod(proof) => self.prove(key, proof),
            FactKind::DriverAction { stop, action } => {
                let stop = stop.as_deref().and_then(|id| self.stops.iter_mut().find(|stop| stop.id == id));
                stop.map_or(Outcome::Unplanned, |stop| stop.hear(key, *action))
            }
            FactKind::Ignition { on } => {
                self.standstill.ignition(*on);
                Outcome::Used
            }
            FactKind::WheelSpeed { cmps } => {
                self.standstill.wheels(key.event_time, f64::from(*cmps) / 100.0);
                Outcome::Used
            }
            FactKind::Odometer { .. } => Outcome::Unused,
        }
    }

    fn see(&mut self, key: &FactKey, fix: Fix) -> Outcome {
        let first_ever = self.cleaner.is_fresh();
        let sighting = match self.cleaner.judge(key.event_time, fix, &self.rules) {
            Ok(sighting) => sighting,
            Err(outcome) => return outcome,
        };
        let held = self.standstill.holds(&sighting, &self.rules);
        self.standstill.see(&sighting, &self.rules);
        let glimpse = Glimpse { key, sighting: &sighting, held, first_ever };
        for stop in &mut self.stops {
            stop.see(glimpse, &self.rules);
        }
        self.dwell(key);
        Outcome::Used
    }

    /// Standing long enough inside makes a visit.
    fn dwell(&mut self, key: &FactKey) {
        let Some(stay) = self.standstill.stay().copied() else { return };
        let dwell_s_min = f64::from(self.rules.dwell_s_min);
        let stood = |presence: &Presence| stay.seconds_since(presence.first.event_time) >= dwell_s_min;
        let visits = |index: &usize| {
            let presence = self.stops.get(*index).and_then(|stop| stop.visits.undecided());
            presence.is_some_and(|presence| stood(presence) && belongs(&self.stops, *index, presence, &stay))
        };
        let decided: Vec<usize> = (0..self.stops.len()).filter(visits).collect();
        for index in decided {
            self.stops[index].visits.decide(key, Basis::Dwell);
        }
    }

    /// The same stop and shipment may be on several trips; the one whose window fits, then the first, takes the proof.
    fn prove(&mut self, key: &FactKey, proof: &Proof) -> Outcome {
        let fit = |stop: &PlannedStop| stop.fit(&proof.stop, &proof.shipment, key.event_time, &self.rules);
        let fits = self.stops.iter().enumerate().filter_map(|(index, stop)| Some((fit(stop)?, index)));
        match fits.min() {
            Some((_, index)) => self.stops[index].prove(key, proof, &self.rules),
            None => Outcome::Unplanned,
        }
    }
}
