//! Cleaning: which fixes are worth believing.
//!
//! Promise: a fix that passes is on Earth, states or is given an error within the rules, repeats nothing and was
//! reachable from the fix before it; one that does not pass has the [`Outcome`] that says why. A vehicle that really is
//! where nobody could have driven (a ferry, a tow, a first fix that was wrong) is believed after a few fixes agree.

use milepost_proto::Timestamp;
use serde::{Deserialize, Serialize};

use super::fact::Fix;
use super::place::Place;
use super::{Outcome, Rules};

/// A fix that passed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// When.
    pub at: Timestamp,
    /// Where.
    pub place: Place,
    /// How far off it may be (about 68 %), metres.
    pub accuracy_m: f64,
    /// Stated speed over ground, metres per second.
    pub speed_mps: Option<f64>,
}

/// What cleaning remembers: the last fix that passed, and the jumps since.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Cleaner {
    last: Option<Sighting>,
    suspect: Option<Sighting>,
    agreeing: u32,
}

impl Cleaner {
    /// Whether any fix passed yet.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        self.last.is_none()
    }

    /// Judges the next fix.
    ///
    /// # Errors
    /// The outcome of a fix that does not pass.
    pub fn judge(&mut self, at: Timestamp, fix: Fix, rules: &Rules) -> Result<Sighting, Outcome> {
        let sighting = sighting(at, fix, rules)?;
        if let Some(last) = self.last {
            if last.at == at && last.place == sighting.place {
                return Err(Outcome::Duplicate);
            }
            if !reachable(&last, &sighting, rules) && !self.agrees(sighting, rules) {
                return Err(Outcome::Jump);
            }
        }
        *self = Self { last: Some(sighting), suspect: None, agreeing: 0 };
        Ok(sighting)
    }

    /// Whether enough jumps in a row, this one included, agree on where the vehicle is.
    fn agrees(&mut self, sighting: Sighting, rules: &Rules) -> bool {
        let with_the_last = self.suspect.is_some_and(|suspect| reachable(&suspect, &sighting, rules));
        self.agreeing = if with_the_last { self.agreeing.saturating_add(1) } else { 1 };
        self.suspect = Some(sighting);
        self.agreeing >= rules.jump_agreeing_min
    }
}

fn sighting(at: Timestamp, fix: Fix, rules: &Rules) -> Result<Sighting, Outcome> {
    let place = Place::from_e7(fix.lat_e7, fix.lon_e7);
    if place.lat.abs() > 90.0 || place.lon.abs() > 180.0 || (fix.lat_e7, fix.lon_e7) == (0, 0) {
        return Err(Outcome::OutOfRange);
    }
    let accuracy_m = accuracy_m(fix, rules);
    if accuracy_m > rules.accuracy_m_max {
        return Err(Outcome::Inaccurate);
    }
    let speed_mps = fix.speed_cmps.map(|speed| f64::from(speed) / 100.0);
    Ok(Sighting { at, place, accuracy_m: accuracy_m.max(rules.accuracy_m_min), speed_mps })
}

/// A stated error of zero is a receiver that does not know it.
fn accuracy_m(fix: Fix, rules: &Rules) -> f64 {
    match (fix.accuracy_cm, fix.hdop_centi) {
        (Some(accuracy), _) if accuracy > 0 => f64::from(accuracy) / 100.0,
        (_, Some(hdop)) if hdop > 0 => f64::from(hdop) / 100.0 * rules.accuracy_m_per_hdop,
        _ => rules.accuracy_m_default,
    }
}

/// Within what the fastest vehicle drives in the time between, or in a second where two receivers share one.
fn reachable(from: &Sighting, to: &Sighting, rules: &Rules) -> bool {
    let seconds = seconds_between(from.at, to.at).max(1.0);
    let error_m = 2.0 * (from.accuracy_m + to.accuracy_m);
    from.place.distance_m(to.place) <= rules.jump_speed_mps_max * seconds + error_m
}

/// Seconds from `from` to `to`.
#[expect(clippy::cast_precision_loss, reason = "exact below 285 000 years")]
pub(super) fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.millis_since(from) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(north_m: f64, accuracy_cm: Option<u32>) -> Fix {
        #[expect(clippy::cast_possible_truncation, reason = "a few degrees")]
        let lat_e7 = (470_000_000.0 + north_m / super::super::place::M_PER_DEGREE * 1e7) as i32;
        Fix { lat_e7, lon_e7: 80_000_000, speed_cmps: None, accuracy_cm, hdop_centi: None }
    }

    fn check(fixes: &[(i64, Fix)], expected: &[Option<Outcome>]) {
        let mut cleaner = Cleaner::default();
        let judge = |&(at_s, fix): &(i64, Fix)| {
            cleaner.judge(Timestamp::from_millis(at_s * 1000), fix, &Rules::default()).err()
        };
        assert_eq!(fixes.iter().map(judge).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_not_on_earth_or_far_too_vague_is_dropped() {
        let nowhere = Fix { lat_e7: 0, lon_e7: 0, ..fix(0.0, None) };
        let beyond = Fix { lat_e7: 910_000_000, ..fix(0.0, None) };
        let vague = fix(0.0, Some(30_000));
        check(
            &[(0, nowhere), (1, beyond), (2, vague), (3, fix(0.0, Some(300)))],
            &[Some(Outcome::OutOfRange), Some(Outcome::OutOfRange), Some(Outcome::Inaccurate), None],
        );
    }

    #[test]
    fn one_jump_is_dropped_and_several_that_agree_are_believed() {
        let jump = Some(Outcome::Jump);
        check(&[(0, fix(0.0, None)), (1, fix(9000.0, None)), (2, fix(20.0, None))], &[None, jump, None]);
        let away = |at_s: i64| (at_s, fix(9000.0 + f64::from(u32::try_from(at_s).expect("small")), None));
        check(&[(0, fix(0.0, None)), away(1), away(2), away(3), away(4)], &[None, jump, jump, None, None]);
    }

    #[test]
    fn the_same_place_at_the_same_time_is_one_fix() {
        check(
            &[(0, fix(0.0, None)), (0, fix(0.0, None)), (1, fix(0.0, None))],
            &[None, Some(Outcome::Duplicate), None],
        );
    }

    /// Unknown is not perfect: a void accuracy gets the default error, never an error of zero.
    #[test]
    fn a_void_accuracy_is_given_the_default() {
        let rules = Rules::default();
        let of = |accuracy_cm, hdop_centi| accuracy_m(Fix { accuracy_cm, hdop_centi, ..fix(0.0, None) }, &rules);
        assert_eq!(of(None, None), rules.accuracy_m_default);
        assert_eq!(of(Some(0), Some(0)), rules.accuracy_m_default);
        assert_eq!(of(None, Some(200)), 10.0);
        assert_eq!(of(Some(450), Some(200)), 4.5);
    }
}
