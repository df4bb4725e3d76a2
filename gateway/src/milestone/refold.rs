//! Feeds a [`VehicleState`] facts in any order.
//!
//! Promise: after any sequence of deliveries the state equals the one folded from the sorted set of everything
//! delivered. What comes in order is folded on top; what comes late makes the fold start again.

use std::collections::{BTreeMap, BTreeSet};

use milepost_proto::{FleetId, Trip};

use super::{Fact, FactKey, Rules, VehicleState};

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
    facts: BTreeMap<FactKey, Fact>,
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
    pub fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.facts.values()
    }

    /// Takes facts in any order. Of two different facts with one key the lesser stands, whichever came first.
    pub fn deliver(&mut self, facts: impl IntoIterator<Item = Fact>) -> Delivery {
        let fresh: BTreeSet<FactKey> = facts.into_iter().filter_map(|fact| self.keep(fact)).collect();
        let Some(first) = fresh.first() else { return Delivery::Known };
        if self.state.head().is_some_and(|head| first <= head) {
            self.state = self.empty.clone();
            for fact in self.facts.values() {
                self.state.apply(fact);
            }
            return Delivery::Refolded;
        }
        for fact in fresh.iter().filter_map(|key| self.facts.get(key)) {
            self.state.apply(fact);
        }
        Delivery::Advanced
    }

    /// Adds a fact to the set; answers its key if that changed the set.
    fn keep(&mut self, fact: Fact) -> Option<FactKey> {
        let key = fact.key().clone();
        match self.facts.get(&key) {
            Some(held) if *held <= fact => None,
            _ => {
                self.facts.insert(key.clone(), fact);
                Some(key)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use milepost_proto::{Lane, SpoolId, Timestamp};

    use super::*;
    use crate::milestone::FactKind;

    fn fact(at_s: i64, on: bool) -> Fact {
        let key = FactKey {
            event_time: Timestamp::from_millis(at_s * 1000),
            device: "truck-7".parse().expect("name"),
            spool: SpoolId([0; 16]),
            lane: Lane::Event,
            sequence: 1,
        };
        Fact::new(key, FactKind::Ignition { on })
    }

    fn check(batches: &[&[Fact]], expected: &[Delivery]) {
        let fleet = "acme".parse().expect("name");
        let mut refold = Refold::new(VehicleState::new(&fleet, &[], &Rules::default()));
        let deliveries: Vec<Delivery> = batches.iter().map(|batch| refold.deliver(batch.to_vec())).collect();
        assert_eq!(deliveries, expected);
        let all = batches.iter().flat_map(|batch| batch.to_vec());
        assert_eq!(*refold.state(), super::refold(&fleet, &[], &Rules::default(), all));
    }

    #[test]
    fn only_what_comes_late_makes_the_fold_start_again() {
        use Delivery::{Advanced, Known, Refolded};
        check(&[&[fact(3, true), fact(1, true)], &[fact(4, false), fact(3, true)]], &[Advanced, Advanced]);
        check(&[&[fact(3, true)], &[fact(3, true)], &[fact(2, true)]], &[Advanced, Known, Refolded]);
    }

    #[test]
    fn of_two_facts_with_one_key_the_lesser_stands() {
        use Delivery::{Advanced, Known, Refolded};
        check(&[&[fact(1, true)], &[fact(1, false)]], &[Advanced, Refolded]);
        check(&[&[fact(1, false)], &[fact(1, true)]], &[Advanced, Known]);
    }
}
