//! Positions worth keeping.
//!
//! Promise: see [`super`]. A position left out is held until the next one, because only then it may turn out to be the
//! last one at a stand, or the last before a long silence; it is then kept before the one that showed it.

use milepost_proto::{Position, Reading, Record};

use super::{Kept, ReportingPolicy};

/// From this speed on a vehicle that stood is moving, cm/s.
const SET_OFF_CMPS: u32 = 100;
/// Up to this speed a vehicle that moved has come to a stand, cm/s.
const STAND_CMPS: u32 = 50;
/// Below this speed a receiver's course is noise, cm/s.
const COURSE_CMPS: u32 = 150;
/// After so many positions in a row that are older than the last one kept, the receiver's clock was set back.
const OLDER_RUN_MAX: u32 = 10;
const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// Follows one vehicle.
#[derive(Debug, Clone)]
pub(super) struct Track {
    policy: ReportingPolicy,
    last: Option<Fix>,
    /// The last position left out since then.
    held: Option<Record>,
    moving: Option<bool>,
    /// How many positions in a row were older than the last one seen.
    older_run: u32,
    out_of_order: u64,
}

/// What is remembered of the last position kept.
#[derive(Debug, Clone)]
struct Fix {
    record_ms: i64,
    position: Position,
}

impl Track {
    pub(super) const fn new(policy: ReportingPolicy) -> Self {
        Self { policy, last: None, held: None, moving: None, older_run: 0, out_of_order: 0 }
    }

    pub(super) const fn out_of_order(&self) -> u64 {
        self.out_of_order
    }

    /// What to keep now that this position was observed.
    pub(super) fn keep(&mut self, record: Record) -> Kept {
        let Some(fix) = Fix::new(&record) else { return Kept::default() };
        if self.is_older(fix.record_ms) {
            self.out_of_order += 1;
            return Kept::default();
        }
        let motion = self.motion(&fix.position);
        let held = if self.releases_held(&fix, motion) { self.release_held() } else { None };
        if motion == Motion::Same && !self.is_worth_keeping(&fix) {
            self.held = Some(record);
            return Kept { held, record: None };
        }
        self.last = Some(fix);
        self.held = None;
        Kept { held, record: Some(record) }
    }

    /// Whether the position left out last is kept after all: it is the last one at a stand, without which the departure
    /// would seem to begin earlier; or leaving it out would make the next interval too long.
    fn releases_held(&self, fix: &Fix, motion: Motion) -> bool {
        motion == Motion::SetOff || self.last.as_ref().is_some_and(|last| fix.millis_since(last) > self.interval_ms())
    }

    /// The position left out last.
    pub(super) const fn held(&self) -> Option<&Record> {
        self.held.as_ref()
    }

    /// The position left out last, kept after all.
    pub(super) fn release_held(&mut self) -> Option<Record> {
        let held = self.held.take()?;
        self.last = Fix::new(&held);
        Some(held)
    }

    fn is_worth_keeping(&self, fix: &Fix) -> bool {
        let Some(last) = &self.last else { return true };
        fix.millis_since(last) >= self.interval_ms()
            || distance_m(&last.position, &fix.position) >= self.policy.distance_m
            || turned_deg(&last.position, &fix.position) >= self.policy.heading_deg
    }

    fn interval_ms(&self) -> i64 {
        i64::from(self.policy.interval_s) * 1_000
    }

    /// Two speeds, so that a vehicle creeping at one of them does not flap.
    fn motion(&mut self, position: &Position) -> Motion {
        let Some(speed_cmps) = position.speed_cmps else { return Motion::Same };
        let moving = match self.moving {
            Some(true) => speed_cmps > STAND_CMPS,
            Some(false) => speed_cmps >= SET_OFF_CMPS,
            None => speed_cmps > STAND_CMPS,
        };
        match (self.moving.replace(moving), moving) {
            (Some(false), true) => Motion::SetOff,
            (Some(true), false) => Motion::CameToStand,
            _ => Motion::Same,
        }
    }

    /// Whether the position is not newer than the last one seen. When many in a row are, the clock was set back, and
    /// the track begins anew.
    fn is_older(&mut self, record_ms: i64) -> bool {
        let held_ms = self.held.as_ref().map(|held| held.event_time.as_millis());
        let latest_ms = held_ms.max(self.last.as_ref().map(|last| last.record_ms));
        if latest_ms.is_none_or(|latest_ms| record_ms > latest_ms) {
            self.older_run = 0;
            return false;
        }
        self.older_run += 1;
        if self.older_run < OLDER_RUN_MAX {
            return true;
        }
        *self = Self { out_of_order: self.out_of_order, ..Self::new(std::mem::take(&mut self.policy)) };
        false
    }
}

impl Fix {
    /// None when the record is no position.
    fn new(record: &Record) -> Option<Self> {
        let Reading::Position(position) = &record.reading else { return None };
        Some(Self { record_ms: record.event_time.as_millis(), position: position.clone() })
    }

    const fn millis_since(&self, earlier: &Self) -> i64 {
        self.record_ms.saturating_sub(earlier.record_ms)
    }
}

/// How the vehicle's motion changed with a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Motion {
    Same,
    SetOff,
    CameToStand,
}

/// Great-circle distance, metres.
pub(crate) fn distance_m(from: &Position, to: &Position) -> f64 {
    let (lat_a, lat_b) = (from.lat_deg().to_radians(), to.lat_deg().to_radians());
    let half_lat = ((lat_b - lat_a) / 2.0).sin();
    let half_lon = ((to.lon_deg() - from.lon_deg()).to_radians() / 2.0).sin();
    let chord = half_lat * half_lat + lat_a.cos() * lat_b.cos() * half_lon * half_lon;
    2.0 * EARTH_RADIUS_M * chord.sqrt().min(1.0).asin()
}

/// How much the course changed, 0 to 180 degrees; none while either is too slow to have one.
fn turned_deg(from: &Position, to: &Position) -> f64 {
    let course = |position: &Position| {
        position.speed_cmps.filter(|speed_cmps| *speed_cmps >= COURSE_CMPS).and(position.course_cdeg)
    };
    match (course(from), course(to)) {
        (Some(from), Some(to)) => {
            let turned_cdeg = from.abs_diff(to);
            f64::from(turned_cdeg.min(36_000_u16.saturating_sub(turned_cdeg))) / 100.0
        }
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use milepost_proto::reading::FixType;
    use milepost_proto::{TimeQuality, Timestamp};
    use proptest::prelude::*;

    use super::*;

    const M_PER_E7: f64 = 0.011_119_493;

    /// A fix `north_m` north of somewhere at this second.
    #[expect(clippy::cast_possible_truncation, reason = "a test drive is a few kilometres long")]
    fn fix(second: i64, north_m: f64, speed_cmps: u32, course_cdeg: u16) -> Record {
        let position = Position {
            lat_e7: (north_m / M_PER_E7) as i32,
            lon_e7: 49_000_000,
            altitude_cm: None,
            speed_cmps: Some(speed_cmps),
            course_cdeg: Some(course_cdeg),
            fix: FixType::Fix3d,
            satellites: None,
            hdop_centi: None,
            accuracy_cm: None,
        };
        Record {
            event_time: Timestamp::from_millis(second * 1_000),
            monotonic_ms: 0,
            time_quality: TimeQuality::UNKNOWN,
            reading: Reading::Position(position),
            seal: None,
        }
    }

    /// The seconds of the records kept.
    fn kept(records: impl IntoIterator<Item = Record>) -> Vec<i64> {
        let mut track = Track::new(ReportingPolicy::default());
        let kept = records.into_iter().flat_map(|record| track.keep(record));
        kept.map(|record| record.event_time.as_millis() / 1_000).collect()
    }

    #[test]
    fn a_parked_vehicle_is_kept_by_interval() {
        assert_eq!(kept((0..31).map(|s| fix(s, 0.0, 0, 0))), [0, 10, 20, 30]);
    }

    #[test]
    fn an_uneven_pace_never_makes_an_interval_too_long() {
        assert_eq!(kept((0..10).map(|n| fix(n * 4, 0.0, 0, 0))), [0, 8, 16, 24, 32]);
    }

    #[test]
    fn a_straight_drive_is_kept_by_distance() {
        assert_eq!(kept((0..10).map(|s| fix(s, s as f64 * 20.1, 2_010, 0))), [0, 3, 6, 9]);
    }

    #[test]
    fn a_turn_is_kept_also_across_north() {
        let turn =
            [fix(0, 0.0, 500, 35_500), fix(1, 5.0, 500, 500), fix(2, 10.0, 500, 1_100), fix(3, 15.0, 500, 1_200)];
        assert_eq!(kept(turn), [0, 2]);
    }

    #[test]
    fn the_points_where_the_vehicle_stops_and_sets_off_are_kept() {
        let drive = (0..3).map(|s| fix(s, s as f64 * 10.0, 1_000, 0));
        let stand = (3..20).map(|s| fix(s, 30.0, 0, 0));
        let depart = (20..22).map(|s| fix(s, 30.0 + (s - 19) as f64, 100, 0));
        assert_eq!(kept(drive.chain(stand).chain(depart)), [0, 3, 13, 19, 20]);
    }

    #[test]
    fn where_the_vehicle_was_before_a_silence_is_kept() {
        assert_eq!(kept([fix(0, 0.0, 0, 0), fix(4, 1.0, 0, 0), fix(3_600, 1.0, 0, 0)]), [0, 4, 3_600]);
    }

    #[test]
    fn the_last_position_is_not_lost_when_no_other_follows() {
        let mut track = Track::new(ReportingPolicy::default());
        let kept: usize = (0..4).map(|s| track.keep(fix(s, 0.0, 0, 0)).into_iter().count()).sum();
        assert_eq!(kept, 1);
        assert_eq!(track.release_held(), Some(fix(3, 0.0, 0, 0)));
        assert_eq!(track.release_held(), None);
    }

    #[test]
    fn a_position_out_of_order_is_left_out_but_a_clock_set_back_is_followed() {
        let strays = [fix(100, 0.0, 0, 0), fix(99, 0.0, 0, 0), fix(100, 0.0, 0, 0), fix(111, 0.0, 0, 0)];
        assert_eq!(kept(strays), [100, 111]);
        let set_back = [fix(1_000, 0.0, 0, 0)].into_iter().chain((0..21).map(|s| fix(s, 0.0, 0, 0)));
        assert_eq!(kept(set_back), [1_000, 9, 19]);
    }

    proptest! {
        #[test]
        fn a_position_left_out_lies_within_the_bounds_of_the_one_kept_before_it(
            steps in proptest::collection::vec((1_i64..15, -60.0..60.0, 0_u32..3_000, 0_u16..36_000), 1..200)
        ) {
            let policy = ReportingPolicy::default();
            let mut track = Track::new(policy.clone());
            let (mut second, mut north_m) = (0, 0.0);
            let mut kept: Vec<Record> = Vec::new();
            let mut left_out: Vec<Record> = Vec::new();
            for (dt, step_m, speed_cmps, course_cdeg) in steps {
                (second, north_m) = (second + dt, north_m + step_m);
                let record = fix(second, north_m, speed_cmps, course_cdeg);
                left_out.push(record.clone());
                kept.extend(track.keep(record));
            }
            prop_assert!(kept.is_sorted_by(|a, b| a.event_time < b.event_time));
            left_out.retain(|record| !kept.contains(record));
            for record in left_out {
                let before = kept.iter().rev().find(|kept| kept.event_time < record.event_time).expect("the first is kept");
                let (Reading::Position(from), Reading::Position(to)) = (&before.reading, &record.reading) else {
                    panic!("positions only");
                };
                prop_assert!(distance_m(from, to) < policy.distance_m);
                prop_assert!(turned_deg(from, to) < policy.heading_deg);
                let elapsed_ms = record.event_time.millis_since(before.event_time);
                prop_assert!(elapsed_ms < i64::from(policy.interval_s) * 1_000);
            }
        }
    }
}
