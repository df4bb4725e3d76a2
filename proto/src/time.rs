//! Instants and how far they can be trusted.
//!
//! Promise: a [`Timestamp`] is UTC in milliseconds, prints as RFC 3339 with exactly three decimals, and never comes
//! from a clock in this crate. [`TimeQuality`] says who vouches for it and how wrong it may be.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since the Unix epoch, UTC. Text form: `2021-06-01T12:00:00.000Z`; in postcard a plain integer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The first instant that can be printed with a four-digit year: the start of year 1.
const MILLIS_MIN: i64 = -62_135_596_800_000;
/// The last, just before the end of year 9999.
const MILLIS_MAX: i64 = 253_402_200_000_000;

/// The text is not an RFC 3339 instant within years 0001 to 9999.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a time such as 2021-06-01T12:00:00.000Z")]
pub struct InvalidTimestamp {
    text: String,
}

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// The latest instant that exists here; as a low-water mark it means "nothing earlier can still arrive".
    pub const MAX: Self = Self(MILLIS_MAX);

    /// The instant `millis` milliseconds after the Unix epoch, clamped to what can be printed.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        if millis > MILLIS_MAX {
            Self(MILLIS_MAX)
        } else if millis < MILLIS_MIN {
            Self(MILLIS_MIN)
        } else {
            Self(millis)
        }
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This instant moved by `millis`, clamped.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this instant; negative when `earlier` is later.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        text.parse::<jiff::Timestamp>()
            .map(|instant| Self::from_millis(instant.as_millisecond()))
            .map_err(|_| InvalidTimestamp { text: text.chars().take(40).collect() })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Self::from_millis)
        }
    }
}

/// Who vouches for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeSource {
    /// A satellite receiver with a dated fix.
    Gnss,
    /// The operating system's clock, synchronised over a network.
    Network,
    /// Nobody: the device's own oscillator since it was last told the time, if ever.
    FreeRunning,
}

/// Who vouches for a time, and the largest error it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimeQuality {
    /// Who vouches for it.
    pub source: TimeSource,
    /// Largest error either way, in milliseconds; `u32::MAX` when nobody knows.
    pub error_ms: u32,
}

impl TimeQuality {
    /// Nobody vouches for this time.
    pub const UNKNOWN: Self = Self { source: TimeSource::FreeRunning, error_ms: u32::MAX };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_three_decimals() {
        let instant = Timestamp::from_millis(1_622_548_800_250);
        assert_eq!(instant.to_string(), "2021-06-01T12:00:00.250Z");
        assert_eq!("2021-06-01T14:00:00.25+02:00".parse(), Ok(instant));
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00.000Z");
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn extremes_stay_printable() {
        assert_eq!(Timestamp::from_millis(i64::MAX), Timestamp::MAX);
        assert!(Timestamp::MAX.to_string().starts_with("9999-"));
        assert_eq!(Timestamp::from_millis(i64::MIN).to_string(), "0001-01-01T00:00:00.000Z");
    }

    #[test]
    fn json_is_text_and_postcard_is_a_number() {
        let instant = Timestamp::from_millis(1000);
        assert_eq!(serde_json::to_string(&instant).expect("json"), "\"1970-01-01T00:00:01.000Z\"");
        assert_eq!(postcard::to_stdvec(&instant).expect("postcard").len(), 2);
    }
}
