//! Which dates of a receiver to believe.
//!
//! Promise: a date that no receiver can truthfully give moves no clock. One that the agent's clock agrees with is believed;
//! one that contradicts it only when the receiver insists: [`AGAINST_GNSS`] dates in a row that agree with each other
//! where a receiver set the clock (it takes more than a flash of interference to move it), [`AGAINST_OTHERS`] where
//! nobody did or the network. A receiver that lost count of the weeks (the GPS week number starts again every 1,024
//! weeks) is corrected only where the agent's clock proves it. Cold starts say 1980, 1999, 2000 or the day their firmware
//! was made.

use milepost_proto::{TimeQuality, TimeSource, Timestamp};

use crate::clock::estimate::{PLAUSIBLE_SINCE, PLAUSIBLE_UNTIL};
use crate::source::fault::Fault;

/// Times of receivers this close to each other agree, milliseconds: more than leap seconds (18, while a cold receiver does not know
/// them), and than what a recording played fast may skip; less than a wrong time zone.
const AGREED_MS_MAX: u64 = 600_000;
/// A clock this close, milliseconds, tells which 1,024 weeks it is; one that no receiver set may be a time zone off, and
/// gives way at once.
const SAME_DAY_MS_MAX: u64 = 86_400_000;
/// How often a receiver must insist against a clock that a receiver set.
const AGAINST_GNSS: u32 = 10;
/// How often against any other clock.
const AGAINST_OTHERS: u32 = 2;
/// 1,024 weeks.
const ROLLOVER_MS: i64 = 1_024 * 7 * 86_400_000;

/// What one receiver's dates are worth, in the order in which they come.
#[derive(Debug, Clone, Default)]
pub(super) struct Dates {
    /// The last date that contradicted the clock, and how many in a row agreed with it.
    doubted: Option<(Timestamp, u32)>,
}

/// A date that is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dated {
    pub(super) event_time: Timestamp,
    /// Whether the receiver was weeks behind.
    pub(super) rolled_over: bool,
}

impl Dates {
    /// The time to use, by a clock that says `now`; otherwise why it is not believed: implausible where the clock is to
    /// be preferred, unconfirmed where nobody knows yet.
    pub(super) fn judge(&mut self, said: Timestamp, now: Timestamp, quality: TimeQuality) -> Result<Dated, Fault> {
        let known = quality.error_ms < u32::MAX;
        let behind =
            [0, 1, 2].into_iter().find(|times| known && is_same_day(now, said.plus_millis(times * ROLLOVER_MS)));
        let rolled_over = behind.is_some_and(|times| times > 0);
        let said = said.plus_millis(behind.unwrap_or(0) * ROLLOVER_MS);
        let believed = quality.source != TimeSource::Gnss || agree(now, said);
        if behind.is_some() && believed {
            self.doubted = None;
            return Ok(Dated { event_time: said, rolled_over });
        }
        if behind.is_none() && !(PLAUSIBLE_SINCE..PLAUSIBLE_UNTIL).contains(&said) {
            return Err(Fault::ImplausibleDate);
        }
        let (times_min, fault) = match quality.source {
            TimeSource::Gnss => (AGAINST_GNSS, Fault::ImplausibleDate),
            TimeSource::Network | TimeSource::FreeRunning => (AGAINST_OTHERS, Fault::UnconfirmedDate),
        };
        let times = self.doubted.filter(|(doubted, _)| agree(*doubted, said)).map_or(1, |(_, times)| times + 1);
        self.doubted = (times < times_min).then_some((said, times));
        if times < times_min { Err(fault) } else { Ok(Dated { event_time: said, rolled_over }) }
    }
}

fn agree(one: Timestamp, other: Timestamp) -> bool {
    one.millis_since(other).unsigned_abs() < AGREED_MS_MAX
}

fn is_same_day(one: Timestamp, other: Timestamp) -> bool {
    one.millis_since(other).unsigned_abs() < SAME_DAY_MS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("time")
    }

    /// Judges `said`, one after the other, by a clock that stands at `now` (none: it was never set).
    fn check(now: Option<&str>, said: &[&str], expected: &[&str]) {
        let quality = TimeQuality { source: TimeSource::Network, error_ms: 5_000 };
        let quality = now.map_or(TimeQuality::UNKNOWN, |_| quality);
        let now = now.map_or(Timestamp::EPOCH, time);
        let mut dates = Dates::default();
        let judged = said.iter().map(|said| match dates.judge(time(said), now, quality) {
            Ok(Dated { event_time, rolled_over: false }) => event_time.to_string()[..10].to_owned(),
            Ok(Dated { event_time, rolled_over: true }) => format!("rolled {}", &event_time.to_string()[..10]),
            Err(fault) => fault.as_str().to_owned(),
        });
        assert_eq!(judged.collect::<Vec<_>>(), expected, "{said:?} at {now}");
    }

    #[test]
    fn a_date_is_believed_when_the_clock_agrees_or_when_it_was_said_twice() {
        check(Some("2026-11-24T12:00:00Z"), &["2026-11-24T11:59:59Z"], &["2026-11-24"]);
        check(
            Some("2026-11-24T12:00:00Z"),
            &["2026-06-01T12:00:00Z", "2026-06-01T12:00:01Z"],
            &["unconfirmed_date", "2026-06-01"],
        );
        check(
            None,
            &["2026-06-01T12:00:00Z", "2027-06-01T12:00:01Z", "2026-06-01T12:00:02Z", "2026-06-01T12:00:03Z"],
            &["unconfirmed_date", "unconfirmed_date", "unconfirmed_date", "2026-06-01"],
        );
    }

    #[test]
    fn a_cold_start_is_not_believed_however_often_it_is_said() {
        for said in ["1980-01-06T00:00:00Z", "1999-08-22T00:00:00Z", "2000-01-01T00:00:00Z", "2079-12-31T00:00:00Z"] {
            check(None, &[said, said], &["implausible_date", "implausible_date"]);
        }
        check(Some("2026-11-24T12:00:00Z"), &["1980-01-06T00:00:00Z"], &["implausible_date"]);
    }

    #[test]
    fn lost_weeks_are_added_only_where_the_clock_proves_it() {
        check(Some("2026-11-24T12:00:00Z"), &["2007-04-10T12:00:01Z"], &["rolled 2026-11-24"]);
        check(Some("2026-11-24T12:00:00Z"), &["1987-08-25T12:00:01Z"], &["rolled 2026-11-24"]);
        check(Some("2026-11-24T12:00:00Z"), &["2007-04-13T12:00:01Z"], &["implausible_date"]);
        check(None, &["2007-04-10T12:00:01Z", "2007-04-10T12:00:02Z"], &["implausible_date", "implausible_date"]);
    }

    #[test]
    fn a_recording_is_believed_where_the_clock_runs_with_it() {
        check(Some("2019-10-31T23:08:47Z"), &["2019-10-31T23:08:50Z"], &["2019-10-31"]);
    }

    /// Which of these dates are believed by a clock that a receiver set to day 0; `days` counts from there.
    fn believed_against_gnss(days: &[i64]) -> Vec<bool> {
        let now = time("2026-11-24T12:00:00Z");
        let quality = TimeQuality { source: TimeSource::Gnss, error_ms: 1_000 };
        let mut dates = Dates::default();
        days.iter().map(|day| dates.judge(now.plus_millis(day * 86_400_000), now, quality).is_ok()).collect()
    }

    #[test]
    fn a_receiver_must_insist_against_a_clock_that_a_receiver_set() {
        for day in [-300, 300, 3_000] {
            let expected: Vec<bool> = (1..=10).map(|times| times == 10).collect();
            assert_eq!(believed_against_gnss(&[day; 10]), expected, "{day}");
        }
    }

    /// Which of these times are believed by a clock that a receiver set to noon; `seconds` counts from there.
    fn believed_seconds(source: TimeSource, seconds: &[i64]) -> Vec<bool> {
        let now = time("2026-11-24T12:00:00Z");
        let mut dates = Dates::default();
        let mut believes = |second: &i64| {
            dates.judge(now.plus_millis(second * 1_000), now, TimeQuality { source, error_ms: 1_000 }).is_ok()
        };
        seconds.iter().map(&mut believes).collect()
    }

    #[test]
    fn a_receiver_that_jumps_by_an_hour_must_insist_too_and_leap_seconds_pass() {
        let tenth: Vec<bool> = (1..=10).map(|times| times == 10).collect();
        for seconds in [-3_600, 3_600] {
            assert_eq!(believed_seconds(TimeSource::Gnss, &[seconds; 10]), tenth, "{seconds}");
            assert_eq!(believed_seconds(TimeSource::Network, &[seconds; 2]), [true, true], "a wrong time zone");
        }
        assert_eq!(believed_seconds(TimeSource::Gnss, &[0, 1, -3_600, 2]), [true, true, false, true], "one jump back");
        assert_eq!(believed_seconds(TimeSource::Gnss, &[-1, 1, 18, 0]), [true; 4], "leap seconds");
    }

    #[test]
    fn both_rollovers_are_known_by_a_clock_that_a_receiver_set() {
        let day = 1_024 * 7;
        assert_eq!(believed_against_gnss(&[-day, -2 * day]), [true, true]);
        assert_eq!(believed_against_gnss(&[-day - 2, -3 * day, day]), [false, false, false]);
    }

    #[test]
    fn a_true_date_in_between_begins_the_doubt_anew() {
        let days = [vec![300; 9], vec![0], vec![300; 9]].concat();
        assert_eq!(believed_against_gnss(&days).iter().filter(|believed| **believed).count(), 1);
    }

    #[test]
    fn dates_that_contradict_each_other_too_are_never_believed() {
        let days: Vec<i64> = (1..50).map(|n| n * 100).collect();
        assert!(!believed_against_gnss(&days).contains(&true));
    }
}
