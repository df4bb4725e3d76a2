//! Visits: presences at a planned stop that count.
//!
//! Promise: being inside a fence is not yet a visit. A presence becomes one by standing there long enough, or because a
//! proof or the driver says so; driving through does not. What decided a visit is kept with it and never changes as
//! later facts are folded, so a milestone drawn from it can be confirmed.

use milepost_proto::Timestamp;
use serde::{Deserialize, Serialize};

use super::clean::{Sighting, seconds_between};
use super::containment::Containment;
use super::fence::Fence;
use super::{FactKey, Rules};

/// Most visits remembered per stop; later ones are not told.
pub const VISITS_MAX: usize = 64;

/// A presence inside a fence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Presence {
    /// The first fix inside.
    pub first: FactKey,
    /// The last fix inside, so far.
    pub last: FactKey,
    /// Whether `first` was the first fix of the vehicle at all, so that it may have come earlier.
    pub unseen_entry: bool,
    /// The visit it became.
    pub visit: Option<usize>,
}

/// What made a presence a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Basis {
    /// The vehicle stood there.
    Dwell,
    /// The driver said so while inside.
    DriverAction,
    /// A proof was captured while inside.
    ProofInside,
    /// A proof was captured shortly after leaving.
    ProofAfter,
    /// A proof was captured; the vehicle was not seen inside.
    ProofAlone,
    /// A proof was captured shortly before the first fix inside.
    ProofBefore,
}

/// One visit to a stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Visit {
    /// The fact that dates its beginning.
    pub opened: FactKey,
    /// The fact that decided that it is one.
    pub decided: FactKey,
    /// What decided it.
    pub basis: Basis,
    /// How sure it was, 0 to 1.
    pub confidence: f64,
    /// No fact after this time changes `opened` or `basis`.
    pub settled_at: Timestamp,
    /// Whether the vehicle's very first fix was inside already.
    pub unseen_entry: bool,
    /// How it ended, if it did.
    pub left: Option<Departure>,
}

/// The end of a visit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Departure {
    /// The last fix inside.
    pub last: FactKey,
    /// The fix that made it sure.
    pub decided: FactKey,
    /// How sure it was, 0 to 1.
    pub confidence: f64,
}

/// The visits to one fence.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Visits {
    containment: Containment,
    /// The first fix inside while it is not yet sure that the vehicle is.
    candidate: Option<(FactKey, bool)>,
    presence: Option<Presence>,
    /// The last presence that was no visit: a proof may still make it one.
    passing: Option<(Presence, Departure)>,
    visits: Vec<Visit>,
}

/// A fix as the visits of one fence see it.
#[derive(Debug, Clone, Copy)]
pub struct Glimpse<'a> {
    /// Which fact.
    pub key: &'a FactKey,
    /// The fix.
    pub sighting: &'a Sighting,
    /// Whether the vehicle is known to stand, so that where the fix lies is drift.
    pub held: bool,
    /// Whether it is the vehicle's first fix at all.
    pub first_ever: bool,
}

impl Visits {
    /// Every visit, in order; the first is number 1.
    #[must_use]
    pub fn all(&self) -> &[Visit] {
        &self.visits
    }

    /// The end of the last visit, or its beginning while it has none.
    #[must_use]
    pub fn last_seen(&self) -> Option<&FactKey> {
        let visit = self.visits.last()?;
        Some(visit.left.as_ref().map_or(&visit.opened, |left| &left.last))
    }

    /// Whether the vehicle is inside.
    #[must_use]
    pub const fn is_present(&self) -> bool {
        self.presence.is_some()
    }

    /// The present presence, if it is not a visit yet.
    #[must_use]
    pub fn undecided(&self) -> Option<&Presence> {
        self.presence.as_ref().filter(|presence| presence.visit.is_none())
    }

    /// Takes a fix.
    pub fn see(&mut self, glimpse: Glimpse<'_>, fence: &Fence, rules: &Rules) {
        if fence.is_far(glimpse.sighting.place, rules.exit_margin_m) && self.presence.is_none() {
            self.candidate = None;
            if !self.containment.is_surely_outside(rules) {
                self.containment.see_far(rules);
            }
            return;
        }
        match &mut self.presence {
            Some(presence) if glimpse.held => presence.last = glimpse.key.clone(),
            Some(_) => self.see_inside(glimpse, fence, rules),
            None => self.see_outside(glimpse, fence, rules),
        }
    }

    fn see_outside(&mut self, glimpse: Glimpse<'_>, fence: &Fence, rules: &Rules) {
        let within = self.containment.see(glimpse.sighting, fence, rules);
        if within && self.candidate.is_none() {
            self.candidate = Some((glimpse.key.clone(), glimpse.first_ever));
        } else if !within && self.containment.is_doubtful() {
            self.candidate = None;
        }
        if self.containment.enters(rules) {
            let (first, unseen_entry) = self.candidate.take().unwrap_or((glimpse.key.clone(), false));
            self.enter(Presence { first, last: glimpse.key.clone(), unseen_entry, visit: None });
        }
    }

    fn see_inside(&mut self, glimpse: Glimpse<'_>, fence: &Fence, rules: &Rules) {
        let within = self.containment.see(glimpse.sighting, fence, rules);
        let Some(presence) = &mut self.presence else { return };
        if within {
            presence.last = glimpse.key.clone();
            return;
        }
        let absent_s = seconds_between(presence.last.event_time, glimpse.sighting.at);
        if self.containment.may_leave(rules) && absent_s >= f64::from(rules.absence_s_min) {
            self.leave(glimpse.key);
        }
    }

    /// A proof that came shortly before is the beginning of this visit.
    fn enter(&mut self, mut presence: Presence) {
        let index = self.visits.len().wrapping_sub(1);
        if let Some(visit) = self.visits.get_mut(index)
            && visit.basis == Basis::ProofAlone
            && presence.last.event_time <= visit.settled_at
        {
            if presence.first < visit.opened {
                visit.opened = presence.first.clone();
                visit.unseen_entry = presence.unseen_entry;
                visit.basis = Basis::ProofInside;
            } else {
                visit.basis = Basis::ProofBefore;
            }
            visit.decided = presence.last.clone();
            visit.settled_at = presence.last.event_time;
            visit.confidence = self.containment.probability();
            presence.visit = Some(index);
        }
        self.presence = Some(presence);
    }

    fn leave(&mut self, decided: &FactKey) {
        let Some(presence) = self.presence.take() else { return };
        let confidence = 1.0 - self.containment.probability();
        let departure = Departure { last: presence.last.clone(), decided: decided.clone(), confidence };
        match presence.visit.and_then(|index| self.visits.get_mut(index)) {
            Some(visit) => visit.left = Some(departure),
            None => self.passing = Some((presence, departure)),
        }
        self.containment.leave();
    }

    /// Makes the present presence a visit; answers its index, also if it was one already.
    pub fn decide(&mut self, by: &FactKey, basis: Basis) -> Option<usize> {
        let presence = self.presence.as_mut()?;
        if presence.visit.is_none() && self.visits.len() < VISITS_MAX {
            presence.visit = Some(self.visits.len());
            self.visits.push(Visit {
                opened: presence.first.clone(),
                decided: by.clone(),
                basis,
                confidence: self.containment.probability(),
                settled_at: by.event_time,
                unseen_entry: presence.unseen_entry,
                left: None,
            });
        }
        presence.visit
    }

    /// The visit that a proof belongs to: the present one, the one just ended, the one its predecessor (`known`) had, or
    /// one of its own that says the vehicle must have been there.
    pub fn prove(&mut self, by: &FactKey, known: Option<usize>, rules: &Rules) -> Option<usize> {
        if self.presence.is_some() {
            return self.decide(by, Basis::ProofInside);
        }
        let lag_s_max = f64::from(rules.pod_lag_s_max);
        let recently = |seen: &FactKey| seconds_between(seen.event_time, by.event_time) <= lag_s_max;
        let recent = self.last_seen().filter(|seen| recently(seen)).map(|_| self.visits.len() - 1);
        let promoted = if known.is_none() { self.promote_passing(by, rules) } else { None };
        promoted.or(recent).or(known).or_else(|| self.imply(by, rules))
    }

    /// A presence too short to count that ended just before the proof did count after all.
    fn promote_passing(&mut self, by: &FactKey, rules: &Rules) -> Option<usize> {
        let (presence, departure) = self.passing.take()?;
        let recent = seconds_between(departure.last.event_time, by.event_time) <= f64::from(rules.pod_lag_s_max);
        let after_the_last = self.visits.last().is_none_or(|visit| visit.opened < presence.first);
        if !recent || !after_the_last || self.visits.len() >= VISITS_MAX {
            return None;
        }
        self.visits.push(Visit {
            opened: presence.first,
            decided: by.clone(),
            basis: Basis::ProofAfter,
            confidence: departure.confidence,
            settled_at: by.event_time,
            unseen_entry: presence.unseen_entry,
            left: Some(departure),
        });
        Some(self.visits.len() - 1)
    }

    fn imply(&mut self, by: &FactKey, rules: &Rules) -> Option<usize> {
        if self.visits.len() >= VISITS_MAX {
            return self.visits.len().checked_sub(1);
        }
        self.visits.push(Visit {
            opened: by.clone(),
            decided: by.clone(),
            basis: Basis::ProofAlone,
            confidence: 0.5,
            settled_at: by.event_time.plus_millis(i64::from(rules.pod_lead_s_max) * 1000),
            unseen_entry: false,
            left: None,
        });
        Some(self.visits.len() - 1)
    }
}
