//! What time it is, from what a receiver, the operating system and the oscillator say.
//!
//! Promise: pure; the clocks' readings are passed in. A clock that a receiver set is carried on the monotonic clock, with
//! a bound that grows with drift, and no step of the operating system's clock moves it. Without a receiver the operating
//! system's clock is used as far as it can be right: one that says 1970, or 2000, or the day its firmware was made, is
//! used for nothing, and time then counts from the boot, on 1970-01-01, where nobody can take it for a date.

use milepost_proto::{TimeQuality, TimeSource, Timestamp};

/// Error bound of a dated fix when it arrives, milliseconds: serial line, sentence and scheduling delays.
pub const FIX_ERROR_MS: u32 = 1_000;
/// Error bound taken for an operating system's clock that is kept right over a network, milliseconds.
pub const SYSTEM_ERROR_MS: u32 = 5_000;
/// Error bound taken for a plausible clock that waits for its network, milliseconds: what a battery-backed one loses in
/// months.
pub const UNSYNCHRONISED_ERROR_MS: u32 = 600_000;
/// Drift of a cheap oscillator, parts per million.
const DRIFT_PPM: u64 = 100;
/// Before this software existed (2024-01-01): a clock or a receiver that says so has certainly not been set. It is no
/// build date, because builds are to come out the same on any day.
pub const PLAUSIBLE_SINCE: Timestamp = Timestamp::from_millis(1_704_067_200_000);
/// Nothing can truthfully give a later date to this software (2044-01-01): by then somebody has built it anew.
pub const PLAUSIBLE_UNTIL: Timestamp = Timestamp::from_millis(2_335_219_200_000);
/// The operating system's clock is slewed by at most 500 ppm; what moves more between two looks was stepped,
/// milliseconds.
const STEP_MS_MIN: u64 = 1_000;

/// Whether the operating system's clock is kept right over a network, as far as the system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronised {
    /// It was, in this boot.
    Yes,
    /// Not yet.
    No,
    /// The system does not say; its clock is believed when it is plausible.
    Unsaid,
}

/// The operating system's clock at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemClock {
    /// What it says.
    pub time: Timestamp,
    /// Whether it is kept right.
    pub synchronised: Synchronised,
}

impl SystemClock {
    /// Whether it can be right; where not, the battery of its clock has died and nothing has set it since.
    #[must_use]
    pub fn is_plausible(self) -> bool {
        (PLAUSIBLE_SINCE..PLAUSIBLE_UNTIL).contains(&self.time)
    }
}

/// The operating system's clock jumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockStep {
    /// What it was ahead of the monotonic clock before, milliseconds.
    pub old_offset_ms: i64,
    /// What it is ahead of it now, milliseconds.
    pub new_offset_ms: i64,
}

/// The estimate of UTC in one boot.
#[derive(Debug, Clone, Default)]
pub struct Estimate {
    last_fix: Option<LastFix>,
    system_offset_ms: Option<i64>,
    steps: u64,
}

#[derive(Debug, Clone, Copy)]
struct LastFix {
    event_time: Timestamp,
    monotonic_ms: u64,
}

impl Estimate {
    /// A receiver gave a date that is believed, at `monotonic_ms`.
    pub const fn set_by_fix(&mut self, event_time: Timestamp, monotonic_ms: u64) {
        self.last_fix = Some(LastFix { event_time, monotonic_ms });
    }

    /// Looks at the operating system's clock; says whether it was stepped since the last look.
    pub fn watch(&mut self, system: SystemClock, monotonic_ms: u64) -> Option<ClockStep> {
        let new_offset_ms = offset_ms(system.time, monotonic_ms);
        let old_offset_ms = self.system_offset_ms.replace(new_offset_ms)?;
        if new_offset_ms.abs_diff(old_offset_ms) < STEP_MS_MIN {
            return None;
        }
        self.steps += 1;
        Some(ClockStep { old_offset_ms, new_offset_ms })
    }

    /// How often the operating system's clock was stepped.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// The time at `monotonic_ms`, and how far it can be trusted.
    #[must_use]
    pub fn at(&self, monotonic_ms: u64, system: SystemClock) -> (Timestamp, TimeQuality) {
        if let Some(fix) = self.last_fix {
            let age_ms = monotonic_ms.saturating_sub(fix.monotonic_ms);
            let error_ms = FIX_ERROR_MS.saturating_add(drift_ms(age_ms));
            let now = fix.event_time.plus_millis(i64::try_from(age_ms).unwrap_or(i64::MAX));
            return (now, TimeQuality { source: TimeSource::Gnss, error_ms });
        }
        if !system.is_plausible() {
            return (after_boot(monotonic_ms), TimeQuality::UNKNOWN);
        }
        let quality = match system.synchronised {
            Synchronised::Yes | Synchronised::Unsaid => {
                TimeQuality { source: TimeSource::Network, error_ms: SYSTEM_ERROR_MS }
            }
            Synchronised::No => TimeQuality {
                source: TimeSource::FreeRunning,
                error_ms: UNSYNCHRONISED_ERROR_MS.saturating_add(drift_ms(monotonic_ms)),
            },
        };
        (system.time, quality)
    }
}

/// What a clock that says `time` is ahead of the monotonic clock, milliseconds.
#[must_use]
pub fn offset_ms(time: Timestamp, monotonic_ms: u64) -> i64 {
    time.as_millis().saturating_sub(i64::try_from(monotonic_ms).unwrap_or(i64::MAX))
}

fn after_boot(monotonic_ms: u64) -> Timestamp {
    Timestamp::EPOCH.plus_millis(i64::try_from(monotonic_ms).unwrap_or(i64::MAX))
}

fn drift_ms(age_ms: u64) -> u32 {
    u32::try_from(age_ms.saturating_mul(DRIFT_PPM) / 1_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    /// 2026-11-24T12:00:00Z.
    const NOON: Timestamp = Timestamp::from_millis(1_795_521_600_000);

    fn says(time: Timestamp, synchronised: Synchronised) -> SystemClock {
        SystemClock { time, synchronised }
    }

    fn check(estimate: &Estimate, monotonic_ms: u64, system: SystemClock, expected: (Timestamp, TimeSource, u32)) {
        let (time, TimeQuality { source, error_ms }) = estimate.at(monotonic_ms, system);
        assert_eq!((time, source, error_ms), expected, "at {monotonic_ms} ms, {system:?}");
    }

    #[test]
    fn without_a_receiver_the_systems_clock_counts_as_far_as_it_can_be_right() {
        use Synchronised::{No, Unsaid, Yes};
        use TimeSource::{FreeRunning, Network};
        let new = Estimate::default();
        check(&new, 9, says(NOON, Yes), (NOON, Network, 5_000));
        check(&new, 9, says(NOON, Unsaid), (NOON, Network, 5_000));
        check(&new, 9, says(NOON, No), (NOON, FreeRunning, 600_000));
        check(&new, 100 * HOUR_MS, says(NOON, No), (NOON, FreeRunning, 636_000));
    }

    #[test]
    fn a_dead_battery_counts_from_the_boot_whatever_its_clock_says() {
        for dead in ["1970-01-01T00:00:09Z", "2000-01-01T00:00:09Z", "2023-06-01T00:00:09Z", "2099-01-01T00:00:00Z"] {
            let system = says(dead.parse().expect("a time"), Synchronised::Yes);
            let expected = (Timestamp::from_millis(9_000), TimeSource::FreeRunning, u32::MAX);
            check(&Estimate::default(), 9_000, system, expected);
        }
    }

    #[test]
    fn a_boot_in_1970_is_over_once_a_receiver_gives_the_date() {
        let mut estimate = Estimate::default();
        let dead = says(Timestamp::from_millis(60_000), Synchronised::No);
        estimate.set_by_fix(NOON, 60_000);
        check(&estimate, 60_000, dead, (NOON, TimeSource::Gnss, 1_000));
        check(&estimate, 70_000, dead, (NOON.plus_millis(10_000), TimeSource::Gnss, 1_001));
    }

    #[test]
    fn drift_adds_up_in_a_tunnel_and_in_a_sleep_alike() {
        let mut estimate = Estimate::default();
        estimate.set_by_fix(NOON, 1_000);
        // The monotonic clock includes sleep, so eight hours parked are eight hours more.
        let later = NOON.plus_millis(8 * 3_600_000);
        check(&estimate, 1_000 + 8 * HOUR_MS, says(later, Synchronised::Yes), (later, TimeSource::Gnss, 3_880));
        estimate.set_by_fix(later, 1_000 + 8 * HOUR_MS);
        check(&estimate, 1_000 + 8 * HOUR_MS, says(later, Synchronised::Yes), (later, TimeSource::Gnss, 1_000));
    }

    #[test]
    fn a_step_is_noticed_and_moves_only_a_clock_that_no_receiver_set() {
        for step_ms in [3_600_000, -3_600_000] {
            let (mut by_system, mut by_fix) = (Estimate::default(), Estimate::default());
            by_fix.set_by_fix(NOON, 1_000);
            for estimate in [&mut by_system, &mut by_fix] {
                assert_eq!(estimate.watch(says(NOON, Synchronised::Yes), 1_000), None, "the first look");
                assert_eq!(estimate.watch(says(NOON.plus_millis(2_000), Synchronised::Yes), 3_000), None);
                let old_offset_ms = NOON.as_millis() - 1_000;
                let step = ClockStep { old_offset_ms, new_offset_ms: old_offset_ms + step_ms };
                let stepped = says(NOON.plus_millis(3_000 + step_ms), Synchronised::Yes);
                assert_eq!(estimate.watch(stepped, 4_000), Some(step));
                assert_eq!(estimate.watch(stepped, 4_001), None, "told once");
                assert_eq!(estimate.steps(), 1);
            }
            let stepped = says(NOON.plus_millis(3_000 + step_ms), Synchronised::Yes);
            check(&by_system, 4_000, stepped, (stepped.time, TimeSource::Network, 5_000));
            check(&by_fix, 4_000, stepped, (NOON.plus_millis(3_000), TimeSource::Gnss, 1_000));
        }
    }

    #[test]
    fn slewing_is_no_step() {
        let mut estimate = Estimate::default();
        // An hour of looks a second apart, each 0.5 ms (500 ppm) ahead of the last.
        for second in 0..3_600_i64 {
            let time = NOON.plus_millis(second * 1_000 + second / 2);
            let monotonic_ms = second.unsigned_abs() * 1_000;
            assert_eq!(estimate.watch(says(time, Synchronised::Yes), monotonic_ms), None);
        }
    }
}
