//! Feeds a [`VehicleState`] facts in any order.
//!
//! Promise: after any sequence of deliveries the state equals the one folded from the sorted set of everything
//! delivered. What comes in order is folded on top; what comes late makes the fold start again.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use milepost_proto::{FleetId, Trip};

use super::{Fact, FactKey, FactKind, Rules, VehicleState};

/// What a delivery led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Everything was known already.
    Known,
    /// Everything new came after the head and was folded on top.
    Advanced,
    /// Something came before the head: the state was folded again.
    Refolded,
}

/// A state folded from `facts`, in whatever order and number of copies they come.
#[must_use]
pub fn refold(fleet: &FleetId, trips: &[Trip], rules: &Rules, facts: impl IntoIterator<Item = Fact>) -> VehicleState {
    let mut refold = Refold::new(VehicleState::new(fleet, trips, rules));
    refold.deliver(facts);
    refold.state
}

/// A set of facts and the state folded from it.
#[derive(Debug, Clone)]
pub struct Refold {
    empty: VehicleState,
    state: VehicleState,
    facts: BTreeMap<FactKey, FactKind>,
}

impl Refold {
    /// No facts yet; `empty` is the state to start from.
    #[must_use]
    pub fn new(empty: VehicleState) -> Self {
        Self { state: empty.clone(), empty, facts: BTreeMap::new() }
    }

    /// The state folded from everything delivered.
    #[must_use]
    pub const fn state(&self) -> &VehicleState {
        &self.state
    }

    /// Everything delivered, in order.
    pub fn facts(&self) -> impl Iterator<Item = Fact> {
        self.facts.iter().map(|(key, kind)| Fact::new(key.clone(), kind.clone()))
    }

    /// Takes facts in any order. Of two different facts with one key the lesser stands, whichever came first.
    pub fn deliver(&mut self, facts: impl IntoIterator<Item = Fact>) -> Delivery {
        let mut fresh = BTreeMap::new();
        let mut late = false;
        for fact in facts {
            if let Some(key) = self.keep(fact) {
                late |= self.state.head().is_some_and(|head| key <= *head);
                fresh.insert(key, ());
            }
        }
        if late {
            self.state = self.empty.clone();
            for (key, kind) in &self.facts {
                self.state.apply(&Fact::new(key.clone(), kind.clone()));
            }
            return Delivery::Refolded;
        }
        for (key, ()) in &fresh {
            if let Some(kind) = self.facts.get(key) {
                self.state.apply(&Fact::new(key.clone(), kind.clone()));
            }
        }
        if fresh.is_empty() { Delivery::Known } else { Delivery::Advanced }
    }

    /// The fact's key if the set changed.
    fn keep(&mut self, fact: Fact) -> Option<FactKey> {
        let key = fact.key().clone();
        match self.facts.entry(key.clone()) {
            Entry::Vacant(place) => {
                place.insert(fact.kind);
                Some(key)
            }
            Entry::Occupied(mut place) if fact.kind < *place.get() => {
                place.insert(fact.kind);
                Some(key)
            }
            Entry::Occupied(_) => None,
        }
    }
}
