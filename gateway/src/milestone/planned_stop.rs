//! A stop of a trip as it is served: its fence, its visits, its proofs.
//!
//! Promise: of several proofs for one shipment the highest revision stands, and of equal ones the first, so a delivery
//! is never both completed and failed.

use milepost_proto::driver_app::{ActionKind, Outcome as PodOutcome};
use milepost_proto::plan::StopKind;
use milepost_proto::{Stop, Timestamp, Trip};
use serde::{Deserialize, Serialize};

use super::fact::Proof;
use super::fence::Fence;
use super::visit::{Basis, Glimpse, Visits};
use super::{FactKey, Outcome, Rules};

/// Most shipments proved at one stop.
pub const PROOFS_MAX: usize = 64;

/// One stop and what happened there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStop {
    /// Its trip.
    pub trip: String,
    /// Its id in the trip.
    pub id: String,
    /// The shipment it serves, if it serves one.
    pub shipment: Option<String>,
    /// What happens there.
    pub kind: StopKind,
    /// Its fence.
    pub fence: Fence,
    window: Option<[Timestamp; 2]>,
    /// The visits to it.
    pub visits: Visits,
    /// The standing proof of each shipment, in the order in which they were first proved.
    pub proofs: Vec<HeldProof>,
}

/// The proof that stands for one shipment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldProof {
    /// The shipment.
    pub shipment: String,
    /// What became of it.
    pub outcome: PodOutcome,
    /// Why, where it was not completed.
    pub reason: Option<String>,
    /// Its revision.
    pub revision: u32,
    /// Which fact.
    pub key: FactKey,
    /// The visit it belongs to.
    pub visit: Option<usize>,
}

impl PlannedStop {
    /// A stop that nobody has been to.
    #[must_use]
    pub fn new(trip: &Trip, stop: &Stop) -> Self {
        Self {
            trip: trip.id.clone(),
            id: stop.id.clone(),
            shipment: stop.shipment.clone(),
            kind: stop.kind,
            fence: Fence::of(stop),
            window: stop.window,
            visits: Visits::default(),
            proofs: Vec::new(),
        }
    }

    /// How well it fits a proof of `shipment`, better ones first; nothing when the proof is about another stop.
    #[must_use]
    pub fn fit(&self, stop: &str, shipment: &str, at: Timestamp, rules: &Rules) -> Option<u8> {
        let other_time = u8::from(!self.is_due(at, rules));
        (self.id == stop).then(|| match &self.shipment {
            Some(served) if served == shipment => other_time,
            None => 2 + other_time,
            Some(_) => 4 + other_time,
        })
    }

    /// Takes a fix. A visit far from the stop's time window, or a day after the stop was served, is not a visit to this
    /// stop; one that began is seen to its end.
    pub fn see(&mut self, glimpse: Glimpse<'_>, rules: &Rules) {
        if self.is_due(glimpse.sighting.at, rules) || self.visits.is_present() {
            self.visits.see(glimpse, &self.fence, rules);
        }
    }

    /// Takes a proof.
    pub fn prove(&mut self, by: &FactKey, proof: &Proof, rules: &Rules) -> Outcome {
        let held = self.proofs.iter().position(|held| held.shipment == proof.shipment);
        let known = match held.map(|index| &self.proofs[index]) {
            Some(held) if held.revision >= proof.revision => return Outcome::Duplicate,
            Some(held) => held.visit,
            None if self.proofs.len() >= PROOFS_MAX => return Outcome::Unused,
            None => None,
        };
        let held_proof = HeldProof {
            shipment: proof.shipment.clone(),
            outcome: proof.outcome,
            reason: proof.reason.clone(),
            revision: proof.revision,
            key: by.clone(),
            visit: self.visits.prove(by, known, rules),
        };
        match held {
            Some(index) => self.proofs[index] = held_proof,
            None => self.proofs.push(held_proof),
        }
        Outcome::Used
    }

    /// Takes what the driver says they do here: it makes a presence a visit, but never puts a vehicle where it is not.
    pub fn hear(&mut self, by: &FactKey, action: ActionKind) -> Outcome {
        let says_present = matches!(action, ActionKind::Arrived | ActionKind::Loading | ActionKind::Unloading);
        if says_present && self.visits.undecided().is_some() {
            self.visits.decide(by, Basis::DriverAction);
            Outcome::Used
        } else {
            Outcome::Unused
        }
    }

    /// Near its time window, if it has one, and not long after a visit.
    fn is_due(&self, at: Timestamp, rules: &Rules) -> bool {
        let slack_ms = i64::from(rules.window_slack_s) * 1000;
        let in_window =
            |[from, to]: [Timestamp; 2]| from.plus_millis(-slack_ms) <= at && at <= to.plus_millis(slack_ms);
        let revisit_ms = i64::from(rules.revisit_s_max) * 1000;
        self.window.is_none_or(in_window)
            && self.visits.last_seen().is_none_or(|seen| at <= seen.event_time.plus_millis(revisit_ms))
    }
}
