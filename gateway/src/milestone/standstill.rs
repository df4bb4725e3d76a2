//! Standstill: whether the vehicle stands, where, and since when.
//!
//! Promise: noise of a parked receiver moves nothing. A stay is a run of fixes near one place (the stay-point rule); a
//! single fix elsewhere does not end it, and while the ignition is off or the wheels are known to stand, no fix does
//! unless the vehicle is clearly somewhere else.

use milepost_proto::Timestamp;
use serde::{Deserialize, Serialize};

use super::Rules;
use super::clean::{Sighting, seconds_between};
use super::place::Place;

/// Fixes a mean is taken over: later ones weigh this much for ever, so a stay follows a slow drift.
const MEAN_FIXES_MAX: u32 = 256;

/// A run of fixes near one place.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stay {
    /// The mean of its fixes.
    pub place: Place,
    /// Its first fix.
    pub since: Timestamp,
    /// Its last fix.
    pub until: Timestamp,
    fixes: u32,
}

/// What standstill remembers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Standstill {
    stay: Option<Stay>,
    /// The stay that begins if the vehicle does not come back.
    next: Option<Stay>,
    /// Fixes in a row away from the stay.
    away: u32,
    ignition_off: bool,
    wheels: Option<(Timestamp, f64)>,
}

impl Stay {
    const fn at(sighting: &Sighting) -> Self {
        Self { place: sighting.place, since: sighting.at, until: sighting.at, fixes: 1 }
    }

    /// Seconds from its first fix, or from `from` if that is later, to its last.
    #[must_use]
    pub fn seconds_since(&self, from: Timestamp) -> f64 {
        seconds_between(self.since.max(from), self.until)
    }

    /// Whether it is long enough to be a stay and not a moment in traffic.
    #[must_use]
    pub fn is_established(&self, rules: &Rules) -> bool {
        self.seconds_since(self.since) >= f64::from(rules.dwell_s_min)
    }

    fn is_near(&self, sighting: &Sighting, rules: &Rules) -> bool {
        self.place.distance_m(sighting.place) <= rules.still_radius_m + sighting.accuracy_m
    }

    fn extend(&mut self, sighting: &Sighting) {
        self.fixes = self.fixes.saturating_add(1);
        self.place = self.place.towards(sighting.place, 1.0 / f64::from(self.fixes.min(MEAN_FIXES_MAX)));
        self.until = sighting.at;
    }
}

impl Standstill {
    /// The present stay, however short.
    #[must_use]
    pub const fn stay(&self) -> Option<&Stay> {
        self.stay.as_ref()
    }

    /// The ignition was switched.
    pub const fn ignition(&mut self, on: bool) {
        self.ignition_off = !on;
    }

    /// The wheels turned at `mps` metres per second.
    pub const fn wheels(&mut self, at: Timestamp, mps: f64) {
        self.wheels = Some((at, mps));
    }

    /// Whether the vehicle is known to stand by other means than its fixes, so that this fix is drift.
    #[must_use]
    pub fn holds(&self, sighting: &Sighting, rules: &Rules) -> bool {
        let stands = match self.wheel_speed_mps(sighting.at, rules) {
            Some(speed) => speed < rules.wheel_still_mps_max,
            None => self.ignition_off,
        };
        stands && self.stay.is_some_and(|stay| stay.place.distance_m(sighting.place) <= rules.lock_break_m)
    }

    /// Takes the next fix; answers with the established stay that it ended, if it ended one.
    pub fn see(&mut self, sighting: &Sighting, rules: &Rules) -> Option<Stay> {
        let Some(mut stay) = self.stay else {
            self.stay = Some(Stay::at(sighting));
            return None;
        };
        let established = stay.is_established(rules);
        if self.holds(sighting, rules) {
            stay.until = sighting.at;
        } else if !established && self.is_moving(sighting, rules) {
            stay = Stay::at(sighting);
        } else if stay.is_near(sighting, rules) {
            stay.extend(sighting);
        } else {
            return self.go_away(stay, sighting, rules);
        }
        self.stay = Some(stay);
        self.come_back();
        None
    }

    const fn come_back(&mut self) {
        self.next = None;
        self.away = 0;
    }

    /// One fix away may be noise; the second ends a short stay, and an absence an established one.
    fn go_away(&mut self, stay: Stay, sighting: &Sighting, rules: &Rules) -> Option<Stay> {
        self.away = self.away.saturating_add(1);
        match &mut self.next {
            Some(next) if next.is_near(sighting, rules) => next.extend(sighting),
            next => *next = Some(Stay::at(sighting)),
        }
        let established = stay.is_established(rules);
        let absent = seconds_between(stay.until, sighting.at) >= f64::from(rules.absence_s_min);
        if self.away < 2 || (established && !absent) {
            return None;
        }
        self.stay = self.next;
        self.come_back();
        established.then_some(stay)
    }

    fn is_moving(&self, sighting: &Sighting, rules: &Rules) -> bool {
        let speed = self.wheel_speed_mps(sighting.at, rules).or(sighting.speed_mps);
        speed.is_some_and(|speed| speed >= rules.moving_speed_mps_min)
    }

    fn wheel_speed_mps(&self, at: Timestamp, rules: &Rules) -> Option<f64> {
        let (turned_at, speed) = self.wheels?;
        (seconds_between(turned_at, at) <= f64::from(rules.wheel_age_s_max)).then_some(speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(second, metres north, stated speed)`; answers since when the vehicle stands, in seconds.
    fn since(standstill: &mut Standstill, fixes: &[(i64, f64, f64)]) -> i64 {
        for &(at_s, north_m, speed) in fixes {
            let sighting = Sighting {
                at: Timestamp::from_millis(at_s * 1000),
                place: Place { lat: 47.0 + north_m / super::super::place::M_PER_DEGREE, lon: 8.0 },
                accuracy_m: 5.0,
                speed_mps: Some(speed),
            };
            standstill.see(&sighting, &Rules::default());
        }
        standstill.stay().expect("it was seen").since.as_millis() / 1000
    }

    #[test]
    fn one_fix_away_moves_nothing_and_two_end_a_short_stay() {
        assert_eq!(since(&mut Standstill::default(), &[(0, 0.0, 0.0), (10, 90.0, 0.0), (20, 0.0, 0.0)]), 0);
        assert_eq!(since(&mut Standstill::default(), &[(0, 0.0, 0.0), (10, 90.0, 0.0), (20, 95.0, 0.0)]), 10);
    }

    #[test]
    fn an_established_stay_outlasts_a_short_absence() {
        let parked = [(0, 0.0, 0.0), (60, 0.0, 0.0), (70, 90.0, 0.0), (80, 90.0, 0.0)];
        assert_eq!(since(&mut Standstill::default(), &parked), 0);
        let mut standstill = Standstill::default();
        since(&mut standstill, &parked);
        assert_eq!(since(&mut standstill, &[(90, 90.0, 0.0)]), 70, "absent for 30 s");
    }

    #[test]
    fn a_stated_speed_begins_the_standstill_anew() {
        assert_eq!(since(&mut Standstill::default(), &[(0, 0.0, 8.0), (1, 8.0, 8.0), (2, 12.0, 1.0)]), 1);
    }

    #[test]
    fn wheels_that_stand_hold_against_drift_but_not_against_a_ferry() {
        let mut standstill = Standstill::default();
        since(&mut standstill, &[(0, 0.0, 0.0)]);
        standstill.ignition(false);
        assert_eq!(since(&mut standstill, &[(60, 150.0, 0.0), (70, 160.0, 0.0)]), 0);
        assert_eq!(since(&mut standstill, &[(80, 900.0, 0.0), (90, 900.0, 0.0), (120, 900.0, 0.0)]), 80);
    }
}
