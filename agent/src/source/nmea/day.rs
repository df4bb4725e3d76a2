//! Calendar days as receivers write them.
//!
//! Promise: a day that does not exist is a fault. Two-digit years mean 1980 to 2079, the span in which a satellite
//! receiver can have said them.

use milepost_proto::Timestamp;

use crate::source::fault::Fault;

use super::field::{Field, digits};

/// Milliseconds in a day.
const DAY_MS: i64 = 86_400_000;

/// A day, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(i64);

impl Day {
    /// RMC's `ddmmyy`.
    pub(super) fn from_ddmmyy(field: &[u8]) -> Field<Self> {
        if field.is_empty() {
            return Ok(None);
        }
        if field.len() != 6 {
            return Err(Fault::Unparsed);
        }
        let (Some(day), Some(month), Some(year)) = (digits(&field[..2]), digits(&field[2..4]), digits(&field[4..]))
        else {
            return Err(Fault::Unparsed);
        };
        let year = if year >= 80 { 1900 + year } else { 2000 + year };
        Self::new(year, month, day).map(Some)
    }

    /// The day of this calendar date.
    pub(super) fn new(year: u32, month: u32, day: u32) -> Result<Self, Fault> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days_in_month = match month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => 0,
        };
        if !(1980..=2999).contains(&year) || day == 0 || day > days_in_month {
            return Err(Fault::OutOfRange);
        }
        Ok(Self(days_since_1970(year.into(), month.into(), day.into())))
    }

    /// This day moved by `days`.
    pub(super) const fn plus(self, days: i64) -> Self {
        Self(self.0 + days)
    }

    /// The instant `time_of_day_ms` after this day's midnight, UTC.
    pub(super) fn at(self, time_of_day_ms: u32) -> Timestamp {
        Timestamp::from_millis(self.0 * DAY_MS).plus_millis(time_of_day_ms.into())
    }
}

/// Counts from 1 March, so that the leap day is a year's last.
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_year = 365 * year + year / 4 - year / 100 + year / 400;
    let before_month = (153 * month + 2) / 5;
    // 719,468 days lie between 1 March of year 0 and 1 January 1970.
    before_year + before_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_agree_with_the_calendar() {
        for (field, expected) in [
            ("311214", Some("2014-12-31T00:00:00.000Z")),
            ("290220", Some("2020-02-29T00:00:00.000Z")),
            ("010300", Some("2000-03-01T00:00:00.000Z")),
            ("060180", Some("1980-01-06T00:00:00.000Z")),
            ("311279", Some("2079-12-31T00:00:00.000Z")),
            ("290221", None),
            ("320121", None),
            ("001321", None),
            ("0a0121", None),
            ("10121", None),
        ] {
            let day = Day::from_ddmmyy(field.as_bytes()).ok().flatten().map(|day| day.at(0).to_string());
            assert_eq!(day.as_deref(), expected, "{field}");
        }
    }
}
