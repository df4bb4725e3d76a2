//! One vehicle's fold.

use milepost_proto::{FleetId, Timestamp, Trip};
use serde::{Deserialize, Serialize};

use super::{Fact, FactKey, Milestone, Outcome, OutcomeCounts, Rules};

/// Everything the engine remembers of one vehicle: a function of the facts folded so far, its trips and the rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VehicleState {
    fleet: FleetId,
    rules: Rules,
    head: Option<FactKey>,
    counts: OutcomeCounts,
}

impl VehicleState {
    /// A vehicle of which nothing is known yet but its trips.
    #[must_use]
    pub fn new(fleet: &FleetId, _trips: &[Trip], rules: &Rules) -> Self {
        Self { fleet: fleet.clone(), rules: rules.clone(), head: None, counts: OutcomeCounts::default() }
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
        self.head = Some(fact.key().clone());
        self.counts.add(Outcome::Used);
        Outcome::Used
    }

    /// What stands now, by event time: revision 0, status provisional, or confirmed where everything that decided it
    /// lies before the low-water mark.
    #[must_use]
    pub const fn standing(&self, _low_water_mark: Option<Timestamp>) -> Vec<Milestone> {
        Vec::new()
    }
}
