//! Containment: how sure we are that the vehicle is inside a fence.
//!
//! Promise: every fix says as much as its error allows, one fix never says everything, and a vehicle at the edge does
//! not flap. It is a Schmitt trigger over accumulated log-odds: entering is judged at the fence, leaving at the fence
//! moved outward by a margin.

use serde::{Deserialize, Serialize};

use super::Rules;
use super::clean::Sighting;
use super::fence::Fence;

/// The logistic function with this slope is within 0.01 of the normal distribution's (the usual 1.702 approximation).
const LOGIT_PER_SIGMA: f64 = 1.702;

/// How sure we are, in log-odds, and which side we have settled on.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Containment {
    log_odds: f64,
    inside: bool,
}

impl Containment {
    /// Whether the vehicle is taken to be inside.
    #[must_use]
    pub const fn is_inside(&self) -> bool {
        self.inside
    }

    /// The probability that it is inside.
    #[must_use]
    pub fn probability(&self) -> f64 {
        1.0 / (1.0 + (-self.log_odds).exp())
    }

    /// Whether nothing speaks for being inside.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.log_odds <= 0.0
    }

    /// Takes a fix; answers whether it lies within the edge that counts at present.
    pub fn see(&mut self, sighting: &Sighting, fence: &Fence, rules: &Rules) -> bool {
        let margin_m = if self.inside { rules.exit_margin_m } else { 0.0 };
        let beyond_m = fence.distance_m(sighting.place) - margin_m;
        self.weigh(-LOGIT_PER_SIGMA * beyond_m / sighting.accuracy_m, rules);
        beyond_m <= 0.0
    }

    /// Takes a fix that is nowhere near.
    pub fn see_far(&mut self, rules: &Rules) {
        self.weigh(-rules.fix_log_odds_max, rules);
    }

    /// Whether it is as sure as can be that the vehicle is outside, so that another far fix changes nothing.
    #[must_use]
    pub fn is_surely_outside(&self, rules: &Rules) -> bool {
        !self.inside && self.log_odds <= rules.log_odds_min
    }

    /// Enters if sure enough; answers whether it did just now.
    pub fn enters(&mut self, rules: &Rules) -> bool {
        let enters = !self.inside && self.log_odds >= rules.enter_log_odds;
        self.inside |= enters;
        enters
    }

    /// Whether it is sure enough of being outside to leave.
    #[must_use]
    pub fn may_leave(&self, rules: &Rules) -> bool {
        self.inside && self.log_odds <= rules.leave_log_odds
    }

    /// Settles on outside.
    pub const fn leave(&mut self) {
        self.inside = false;
    }

    fn weigh(&mut self, says: f64, rules: &Rules) {
        let says = says.clamp(-rules.fix_log_odds_max, rules.fix_log_odds_max);
        self.log_odds = (self.log_odds + says).clamp(rules.log_odds_min, rules.log_odds_max);
    }
}

#[cfg(test)]
mod tests {
    use milepost_proto::Timestamp;

    use super::super::place::{M_PER_DEGREE, Place};
    use super::*;

    /// Sees fixes at metres north of the centre of a fence of 50 m; answers where it settles after each.
    fn check(fixes: &[(f64, f64)], expected: &[bool]) {
        let stop = r#"{"id":"S","kind":"delivery","lat":47,"lon":8,"radius_m":50}"#;
        let fence = Fence::of(&serde_json::from_str(stop).expect("a stop"));
        let rules = Rules::default();
        let mut containment = Containment::default();
        let settles = |&(north_m, accuracy_m): &(f64, f64)| {
            let place = Place { lat: 47.0 + north_m / M_PER_DEGREE, lon: 8.0 };
            containment.see(&Sighting { at: Timestamp::EPOCH, place, accuracy_m, speed_mps: None }, &fence, &rules);
            containment.enters(&rules);
            if containment.may_leave(&rules) {
                containment.leave();
            }
            containment.is_inside()
        };
        assert_eq!(fixes.iter().map(settles).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn good_fixes_decide_at_once_and_vague_ones_by_their_number() {
        check(&[(0.0, 5.0)], &[true]);
        check(&[(0.0, 120.0), (0.0, 120.0)], &[false, true]);
    }

    /// Entering at the fence, leaving 30 m beyond it.
    #[test]
    fn the_edge_lies_outward_for_leaving() {
        check(&[(55.0, 3.0), (55.0, 3.0)], &[false, false]);
        check(&[(45.0, 3.0), (75.0, 3.0), (75.0, 3.0), (75.0, 3.0)], &[true, true, true, true]);
        check(&[(0.0, 3.0), (0.0, 3.0), (90.0, 3.0), (90.0, 3.0)], &[true, true, true, false]);
    }
}
