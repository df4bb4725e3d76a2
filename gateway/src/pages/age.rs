//! Times as people read them: how long ago, and the clock time behind it.

use std::fmt;

use milepost_proto::Timestamp;

/// An instant beside the time at which it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// RFC 3339, for machines.
    pub iso: String,
    /// Date and time of day to the second, UTC.
    pub clock: String,
    /// The same without the date, if that is the date on which it is looked at.
    pub short: String,
    /// How long ago.
    pub ago: Ago,
}

impl Moment {
    /// `then`, looked at `now`.
    #[must_use]
    pub fn new(then: Timestamp, now: Timestamp) -> Self {
        let iso = then.to_string();
        let clock = iso.get(..19).unwrap_or(&iso).replacen('T', " ", 1);
        let today = now.to_string();
        let short = match clock.split_once(' ') {
            Some((date, time)) if today.starts_with(date) => time.to_owned(),
            _ => clock.clone(),
        };
        Self { clock, short, ago: Ago(now.millis_since(then)), iso }
    }
}

/// A length of time, in milliseconds, worded as "3 min ago"; negative is in the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ago(pub i64);

const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 60 * MINUTE_S;
const DAY_S: u64 = 24 * HOUR_S;
/// A year of 365 days is near enough for a word.
const YEAR_S: u64 = 365 * DAY_S;

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.unsigned_abs() / 1000;
        let (count, unit) = match seconds {
            0..5 => return f.write_str("now"),
            5..MINUTE_S => (seconds, "s"),
            MINUTE_S..HOUR_S => (seconds / MINUTE_S, "min"),
            HOUR_S..DAY_S => (seconds / HOUR_S, "h"),
            DAY_S..YEAR_S => (seconds / DAY_S, "d"),
            _ => (seconds / YEAR_S, "y"),
        };
        if self.0 < 0 { write!(f, "in {count} {unit}") } else { write!(f, "{count} {unit} ago") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_worded_in_their_largest_unit() {
        let check = |seconds: i64, words: &str| assert_eq!(Ago(seconds * 1000).to_string(), words);
        check(4, "now");
        check(-4, "now");
        check(59, "59 s ago");
        check(60, "1 min ago");
        check(3 * 60 + 59, "3 min ago");
        check(3600, "1 h ago");
        check(36 * 3600, "1 d ago");
        check(400 * 86_400, "1 y ago");
        check(-600, "in 10 min");
    }

    #[test]
    fn the_clock_time_is_utc_to_the_second() {
        let moment = Moment::new(Timestamp::from_millis(1_622_548_800_250), Timestamp::from_millis(1_622_548_980_000));
        assert_eq!(moment.clock, "2021-06-01 12:00:00");
        assert_eq!(moment.ago.to_string(), "2 min ago");
        assert_eq!(moment.short, "12:00:00");
        let next_day =
            Moment::new(Timestamp::from_millis(1_622_548_800_250), Timestamp::from_millis(1_622_635_200_000));
        assert_eq!(next_day.short, "2021-06-01 12:00:00");
    }
}
