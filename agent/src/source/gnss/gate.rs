//! Which fixes are good enough, by the source's policy.
//!
//! Promise: without a policy every fix passes. A value that the receiver does not give is never held against a fix. A
//! vehicle that really was carried off is refused at most [`ELSEWHERE_MIN`] − 1 times.

use milepost_proto::reading::FixType;
use milepost_proto::{Position, Timestamp};

use crate::reporting::distance_m;
use crate::source::fault::Fault;

/// After so many fixes in a row that agree with each other, it is the fix before them that was wrong.
const ELSEWHERE_MIN: u32 = 3;
/// How far apart fixes of a vehicle that stands may lie.
const STRAY_M_MAX: f64 = 50.0;

/// What a fix must be like. Absent: anything goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FixPolicy {
    /// The least it must be, in the order estimated, 2D, 3D, differential, RTK float, RTK fixed.
    pub fix_min: Option<FixType>,
    /// Largest horizontal dilution of precision, hundredths.
    pub hdop_centi_max: Option<u16>,
    /// Largest horizontal error, centimetres.
    pub accuracy_cm_max: Option<u32>,
    /// Fewest satellites.
    pub satellites_min: Option<u8>,
    /// Fastest that the vehicle can get from one fix to the next, metres per second.
    pub jump_mps_max: Option<u32>,
}

/// Lets fixes pass or not.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    policy: FixPolicy,
    passed: Option<Seen>,
    /// The latest fix that was too far away, and how many in a row agree with it.
    elsewhere: Option<(Seen, u32)>,
}

#[derive(Debug, Clone)]
struct Seen {
    position: Position,
    at: Timestamp,
}

impl Gate {
    pub(super) const fn new(policy: FixPolicy) -> Self {
        Self { policy, passed: None, elsewhere: None }
    }

    /// Whether this fix is wanted; otherwise why not.
    pub(super) fn pass(&mut self, position: &Position, at: Timestamp) -> Result<(), Fault> {
        if !self.policy.is_met_by(position) {
            return Err(Fault::PoorFix);
        }
        let Some(mps_max) = self.policy.jump_mps_max else { return Ok(()) };
        let seen = Seen { position: position.clone(), at };
        if self.passed.as_ref().is_some_and(|passed| !seen.is_in_reach_of(passed, mps_max)) {
            let agreed = self.elsewhere.take().filter(|(there, _)| seen.is_in_reach_of(there, mps_max));
            let agreed = agreed.map_or(1, |(_, agreed)| agreed + 1);
            if agreed < ELSEWHERE_MIN {
                self.elsewhere = Some((seen, agreed));
                return Err(Fault::Jump);
            }
        }
        self.passed = Some(seen);
        self.elsewhere = None;
        Ok(())
    }
}

impl FixPolicy {
    fn is_met_by(&self, position: &Position) -> bool {
        let at_most = |given: Option<u32>, max: Option<u32>| given.zip(max).is_none_or(|(given, max)| given <= max);
        let satellites = position.satellites.zip(self.satellites_min);
        self.fix_min.is_none_or(|fix_min| merit(position.fix) >= merit(fix_min))
            && at_most(position.hdop_centi.map(u32::from), self.hdop_centi_max.map(u32::from))
            && at_most(position.accuracy_cm, self.accuracy_cm_max)
            && satellites.is_none_or(|(given, min)| given >= min)
    }
}

impl Seen {
    fn is_in_reach_of(&self, earlier: &Self, mps_max: u32) -> bool {
        let seconds = self.at.millis_since(earlier.at).unsigned_abs() as f64 / 1e3;
        distance_m(&earlier.position, &self.position) <= STRAY_M_MAX + seconds * f64::from(mps_max)
    }
}

/// Orders fixes by what they are worth.
const fn merit(fix: FixType) -> u8 {
    match fix {
        FixType::Estimated => 0,
        FixType::Fix2d => 1,
        FixType::Fix3d => 2,
        FixType::Dgps => 3,
        FixType::RtkFloat => 4,
        FixType::RtkFixed => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(lat_e7: i32) -> Position {
        Position {
            lat_e7,
            lon_e7: 50_000_000,
            altitude_cm: None,
            speed_cmps: None,
            course_cdeg: None,
            fix: FixType::Fix3d,
            satellites: Some(6),
            hdop_centi: Some(150),
            accuracy_cm: Some(400),
        }
    }

    #[test]
    fn every_limit_counts_by_itself_and_only_for_what_the_receiver_says() {
        let none = FixPolicy::default();
        for (policy, good) in [
            (none, true),
            (FixPolicy { fix_min: Some(FixType::Fix3d), ..none }, true),
            (FixPolicy { fix_min: Some(FixType::Dgps), ..none }, false),
            (FixPolicy { hdop_centi_max: Some(150), ..none }, true),
            (FixPolicy { hdop_centi_max: Some(149), ..none }, false),
            (FixPolicy { accuracy_cm_max: Some(400), ..none }, true),
            (FixPolicy { accuracy_cm_max: Some(399), ..none }, false),
            (FixPolicy { satellites_min: Some(6), ..none }, true),
            (FixPolicy { satellites_min: Some(7), ..none }, false),
        ] {
            let expected = if good { Ok(()) } else { Err(Fault::PoorFix) };
            assert_eq!(Gate::new(policy).pass(&position(0), Timestamp::EPOCH), expected, "{policy:?}");
        }
        let strict = FixPolicy {
            hdop_centi_max: Some(1),
            accuracy_cm_max: Some(1),
            satellites_min: Some(99),
            ..FixPolicy::default()
        };
        let silent = Position { hdop_centi: None, accuracy_cm: None, satellites: None, ..position(0) };
        assert_eq!(Gate::new(strict).pass(&silent, Timestamp::EPOCH), Ok(()));
    }

    /// Which of these latitudes, in metres and a second apart, pass at 50 m/s at most.
    fn passed(metres: &[i32]) -> Vec<bool> {
        let mut gate = Gate::new(FixPolicy { jump_mps_max: Some(50), ..FixPolicy::default() });
        let fixes = metres.iter().zip(0_i64..);
        fixes.map(|(m, s)| gate.pass(&position(m * 90), Timestamp::from_millis(s * 1_000)).is_ok()).collect()
    }

    #[test]
    fn a_stray_fix_is_refused_and_the_drive_goes_on() {
        assert_eq!(passed(&[0, 30, 5_000, 90, 120]), [true, true, false, true, true]);
        assert_eq!(passed(&[0, 5_000, -5_000, 9_000, 120]), [true, false, false, false, true]);
    }

    #[test]
    fn a_vehicle_that_was_carried_off_is_believed_the_third_time() {
        assert_eq!(passed(&[0, 5_000, 5_030, 5_060, 5_090]), [true, false, false, true, true]);
    }

    #[test]
    fn time_without_a_fix_gives_room() {
        let mut gate = Gate::new(FixPolicy { jump_mps_max: Some(50), ..FixPolicy::default() });
        assert_eq!(gate.pass(&position(0), Timestamp::EPOCH), Ok(()));
        assert_eq!(gate.pass(&position(5_000 * 90), Timestamp::from_millis(120_000)), Ok(()));
    }
}
