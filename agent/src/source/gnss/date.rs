//! Which dates of a receiver to believe.
//!
//! Promise: a date is believed when the agent's clock agrees with it, or when the receiver insists: twice in a row, and ten
//! times against a clock that a receiver set; never before this software existed. A receiver that lost count of the weeks (the GPS week number starts again
//! every 1,024 weeks) is corrected only where the agent's clock proves the correction. Cold starts say 1980, 1999, 2000
//! or the day their firmware was made.

use milepost_proto::{TimeQuality, TimeSource, Timestamp};

use crate::source::fault::Fault;

/// No receiver can truthfully give an earlier date to this software (2024-01-01).
const DATES_SINCE: Timestamp = Timestamp::from_millis(1_704_067_200_000);
/// Nor a later one (2044-01-01): by then somebody has built it anew.
const DATES_UNTIL: Timestamp = Timestamp::from_millis(2_335_219_200_000);
/// A clock within this of a date agrees with it.
const AGREED_MS_MAX: u64 = 86_400_000;
/// A date at most this long after the one before it confirms that.
const FOLLOWS_MS_MAX: i64 = 600_000;
/// So many dates in a row, each confirming the one before, are believed against a clock that a receiver set.
const INSISTING_MIN: u32 = 10;
/// So many against any other clock.
const CONFIRMED_MIN: u32 = 2;
/// 1,024 weeks.
const ROLLOVER_MS: i64 = 1_024 * 7 * 86_400_000;

/// What one receiver's dates are worth.
#[derive(Debug, Clone, Default)]
pub(super) struct Dates {
    previous: Option<Timestamp>,
    /// How many in a row, the previous one included, each confirmed the one before.
    run: u32,
}

/// A date that is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dated {
    pub(super) event_time: Timestamp,
    /// Whether the receiver was weeks behind.
    pub(super) rolled_over: bool,
}

impl Dates {
    /// The time to use, by a clock that says `now`; otherwise why it is not believed.
    pub(super) fn judge(&mut self, said: Timestamp, now: Timestamp, quality: TimeQuality) -> Result<Dated, Fault> {
        let follows = |previous: Timestamp| (0..=FOLLOWS_MS_MAX).contains(&said.millis_since(previous));
        self.run = if self.previous.replace(said).is_some_and(follows) { self.run.saturating_add(1) } else { 1 };
        let run_min = if quality.source == TimeSource::Gnss { INSISTING_MIN } else { CONFIRMED_MIN };
        let known = matches!(quality.source, TimeSource::Gnss | TimeSource::Network);
        let agrees = |time: &Timestamp| known && now.millis_since(*time).unsigned_abs() < AGREED_MS_MAX;
        let rolled = [1, 2].map(|times| said.plus_millis(times * ROLLOVER_MS)).into_iter().find(agrees);
        if agrees(&said) {
            Ok(Dated { event_time: said, rolled_over: false })
        } else if let Some(event_time) = rolled {
            Ok(Dated { event_time, rolled_over: true })
        } else if !(DATES_SINCE..DATES_UNTIL).contains(&said) {
            Err(Fault::ImplausibleDate)
        } else if self.run >= run_min {
            Ok(Dated { event_time: said, rolled_over: false })
        } else {
            Err(Fault::UnconfirmedDate)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("time")
    }

    /// Judges `said`, one after the other, by a clock that stands at `now` (none: it was never set).
    fn check(now: Option<&str>, said: &[&str], expected: &[&str]) {
        let source = now.map_or(TimeSource::FreeRunning, |_| TimeSource::Network);
        let now = now.map_or(Timestamp::EPOCH, time);
        let mut dates = Dates::default();
        let judged =
            said.iter().map(|said| match dates.judge(time(said), now, TimeQuality { source, error_ms: 5_000 }) {
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
    fn a_clock_that_a_receiver_set_is_contradicted_only_by_one_that_insists() {
        let quality = TimeQuality { source: TimeSource::Gnss, error_ms: 1_000 };
        let (now, year_ms) = (time("2026-11-24T12:00:00Z"), 365 * 86_400_000);
        let mut dates = Dates::default();
        let mut believes = |said: Timestamp| dates.judge(said, now, quality).is_ok();
        let other = |second: i64| now.plus_millis(year_ms + second * 1_000);
        assert!((1..10).all(|second| !believes(other(second))));
        assert!(believes(now), "the true date in between begins the doubt anew");
        assert!((11..20).all(|second| !believes(other(second))));
        assert!(believes(other(20)));
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
}
