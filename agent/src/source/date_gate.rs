//! Which of a receiver's dates are believed.
//!
//! Promise: a date that no receiver can truthfully give moves no clock, and neither does a single one that contradicts the
//! clock which the receiver set before (a week rollover, a flash of interference). Only a run of dates that agree with
//! each other puts a clock right that was set wrongly.

use milepost_proto::{TimeSource, Timestamp};

use crate::clock::{Clock, PLAUSIBLE_SINCE};

/// Dates this close to each other agree.
const AGREED_MS_MAX: u64 = 86_400_000;
/// So many dates in a row that agree with each other are believed against the clock.
const AGREEING_MIN: u32 = 10;

/// Judges the dates of one receiver, in the order in which they come.
#[derive(Debug, Clone, Default)]
pub struct DateGate {
    /// The last date that contradicted the clock, and how many in a row agreed with it.
    doubted: Option<(Timestamp, u32)>,
}

impl DateGate {
    /// Whether `event_time` is the receiver's time, as far as `clock` can tell. An earlier date than this software is
    /// believed where the clock already stands there (a replayed recording).
    pub fn believes(&mut self, event_time: Timestamp, clock: &Clock) -> bool {
        let (now, quality) = clock.wall();
        let is_set = quality.source == TimeSource::Gnss;
        if is_set && agree(now, event_time) {
            self.doubted = None;
            return true;
        }
        event_time >= PLAUSIBLE_SINCE && (!is_set || self.insists(event_time))
    }

    fn insists(&mut self, event_time: Timestamp) -> bool {
        let run = match self.doubted {
            Some((doubted, run)) if agree(doubted, event_time) => run + 1,
            _ => 1,
        };
        self.doubted = (run < AGREEING_MIN).then_some((event_time, run));
        run >= AGREEING_MIN
    }
}

fn agree(one: Timestamp, other: Timestamp) -> bool {
    one.millis_since(other).unsigned_abs() < AGREED_MS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR_MS: i64 = 365 * 86_400_000;
    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn set_clock() -> Clock {
        let clock = Clock::system();
        clock.discipline(NOW);
        clock
    }

    #[test]
    fn the_first_date_sets_a_clock_that_nobody_set_unless_it_is_before_this_software() {
        let check = |date: Timestamp, expected| {
            assert_eq!(DateGate::default().believes(date, &Clock::system()), expected, "{date}");
        };
        check(NOW, true);
        check(PLAUSIBLE_SINCE, true);
        check(PLAUSIBLE_SINCE.plus_millis(-1), false);
        check(Timestamp::EPOCH, false);
    }

    #[test]
    fn a_date_that_contradicts_the_clock_is_believed_only_when_the_receiver_insists() {
        for offset_ms in [-YEAR_MS, YEAR_MS, 1024 * 7 * 86_400_000] {
            let (clock, mut gate) = (set_clock(), DateGate::default());
            let believed = |gate: &mut DateGate| gate.believes(NOW.plus_millis(offset_ms), &clock);
            assert!((1..AGREEING_MIN).all(|_| !believed(&mut gate)));
            assert!(believed(&mut gate), "{offset_ms}");
        }
    }

    #[test]
    fn a_true_date_in_between_begins_the_doubt_anew() {
        let (clock, mut gate) = (set_clock(), DateGate::default());
        for _ in 0..3 {
            assert!((2..AGREEING_MIN).all(|_| !gate.believes(NOW.plus_millis(YEAR_MS), &clock)));
            assert!(gate.believes(NOW, &clock));
        }
    }

    #[test]
    fn dates_that_contradict_each_other_too_are_never_believed() {
        let (clock, mut gate) = (set_clock(), DateGate::default());
        assert!((1..100).all(|n| !gate.believes(NOW.plus_millis(n * YEAR_MS), &clock)));
    }

    #[test]
    fn a_recording_of_earlier_years_is_believed_in_its_own_time() {
        let began = Timestamp::from_millis(1_622_548_800_000);
        let clock = Clock::replay(began, 60.0);
        assert!(DateGate::default().believes(began, &clock));
        assert!(!DateGate::default().believes(Timestamp::EPOCH, &clock));
    }
}
