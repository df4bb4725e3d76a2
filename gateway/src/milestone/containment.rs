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
