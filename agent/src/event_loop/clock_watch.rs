//! When to record what time it is.
//!
//! Promise: pure. Whoever has the records of a boot can date all of them as soon as the clock was known once in it: the
//! first time, and whenever what the clock goes by changes by more than its bound, the agent says which time belongs to
//! which moment of the boot. A clock that will not rest costs one record a minute at most.

use milepost_proto::reading::Health;
use milepost_proto::{TimeQuality, TimeSource, Timestamp};

use crate::clock::estimate::{ClockStep, offset_ms};

/// Least time between two records of the same kind, milliseconds; what comes in between is told by the next one.
const SAME_MS_MIN: u64 = 60_000;

/// What was recorded last.
#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    set: Option<Set>,
    step_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Set {
    monotonic_ms: u64,
    utc: Timestamp,
    source: TimeSource,
}

impl ClockWatch {
    /// What to record now, at `monotonic_ms`, by a clock that says `utc`; `step` is what the system's clock just did.
    pub(super) fn look(
        &mut self,
        monotonic_ms: u64,
        (utc, quality): (Timestamp, TimeQuality),
        step: Option<ClockStep>,
    ) -> Vec<Health> {
        [self.stepped(monotonic_ms, step), self.set(monotonic_ms, utc, quality)].into_iter().flatten().collect()
    }

    /// When the clock was last recorded as set, milliseconds on the monotonic clock.
    pub(super) fn set_ms(&self) -> Option<u64> {
        self.set.map(|set| set.monotonic_ms)
    }

    fn stepped(&mut self, monotonic_ms: u64, step: Option<ClockStep>) -> Option<Health> {
        let ClockStep { old_offset_ms, new_offset_ms } = step?;
        if self.step_ms.is_some_and(|told_ms| monotonic_ms.saturating_sub(told_ms) < SAME_MS_MIN) {
            return None;
        }
        self.step_ms = Some(monotonic_ms);
        Some(Health::ClockStepped { old_offset_ms, new_offset_ms })
    }

    fn set(&mut self, monotonic_ms: u64, utc: Timestamp, quality: TimeQuality) -> Option<Health> {
        let TimeQuality { source, error_ms } = quality;
        if error_ms == u32::MAX || self.set.is_some_and(|set| set.still_holds(monotonic_ms, utc, quality)) {
            return None;
        }
        let before = self.set.map(|set| set.at(monotonic_ms));
        self.set = Some(Set { monotonic_ms, utc, source });
        Some(Health::ClockSet { monotonic_ms, utc, source, error_ms, before })
    }
}

impl Set {
    /// The time at `monotonic_ms` by what was recorded.
    fn at(self, monotonic_ms: u64) -> Timestamp {
        let offset_ms = offset_ms(self.utc, self.monotonic_ms);
        Timestamp::from_millis(offset_ms.saturating_add(i64::try_from(monotonic_ms).unwrap_or(i64::MAX)))
    }

    fn still_holds(self, monotonic_ms: u64, utc: Timestamp, quality: TimeQuality) -> bool {
        let moved_ms = utc.millis_since(self.at(monotonic_ms)).unsigned_abs();
        let is_recent = monotonic_ms.saturating_sub(self.monotonic_ms) < SAME_MS_MIN;
        quality.source == self.source && (is_recent || moved_ms <= u64::from(quality.error_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_795_521_600_000);
    const NETWORK: TimeQuality = TimeQuality { source: TimeSource::Network, error_ms: 5_000 };
    const GNSS: TimeQuality = TimeQuality { source: TimeSource::Gnss, error_ms: 1_000 };

    /// At (monotonic s) the clock is (ms) ahead of noon plus that; the `before` of each record, ms ahead likewise.
    fn check(looks: &[(u64, i64, TimeQuality)], expected: &[(u64, Option<i64>)]) {
        let mut watch = ClockWatch::default();
        let even = |s: u64| NOON.plus_millis(i64::try_from(s * 1_000).expect("fits"));
        let mut told = Vec::new();
        for &(s, ahead_ms, quality) in looks {
            for health in watch.look(s * 1_000, (even(s).plus_millis(ahead_ms), quality), None) {
                let Health::ClockSet { monotonic_ms, before, .. } = health else { panic!("{health:?}") };
                told.push((monotonic_ms / 1_000, before.map(|before| before.millis_since(even(s)))));
            }
        }
        assert_eq!(told, expected, "{looks:?}");
    }

    #[test]
    fn the_first_known_time_of_a_boot_is_recorded_and_an_unknown_one_never() {
        check(&[(1, 0, TimeQuality::UNKNOWN), (2, 0, TimeQuality::UNKNOWN)], &[]);
        check(&[(1, 0, TimeQuality::UNKNOWN), (2, 0, GNSS), (3, 0, GNSS), (300, 900, GNSS)], &[(2, None)]);
    }

    #[test]
    fn a_better_source_and_a_change_beyond_the_bound_are_recorded_with_what_was_before() {
        check(&[(1, 7_000, NETWORK), (2, 0, GNSS)], &[(1, None), (2, Some(7_000))]);
        check(&[(1, 0, GNSS), (90, 1_500, GNSS), (91, 1_500, GNSS)], &[(1, None), (90, Some(0))]);
        check(&[(1, 0, NETWORK), (90, 3_600_000, NETWORK)], &[(1, None), (90, Some(0))]);
    }

    #[test]
    fn a_clock_that_will_not_rest_is_recorded_once_a_minute() {
        let restless: Vec<_> = (0..180).map(|s| (s, i64::from(s % 2 == 0) * 9_000, GNSS)).collect();
        check(&restless, &[(0, None), (61, Some(9_000)), (122, Some(0))]);
    }

    #[test]
    fn steps_are_recorded_once_a_minute() {
        let step = ClockStep { old_offset_ms: 1, new_offset_ms: 3_600_001 };
        let mut watch = ClockWatch::default();
        let mut told = |s: u64| watch.look(s * 1_000, (NOON, TimeQuality::UNKNOWN), Some(step)).len();
        assert_eq!([told(1), told(2), told(60), told(61)], [1, 0, 0, 1]);
    }
}
