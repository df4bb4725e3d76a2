//! The one place where the gateway reads a clock; everything else is told the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use milepost_proto::Timestamp;

/// The time now, by the operating system.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
pub fn now() -> Timestamp {
    let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
    };
    Timestamp::from_millis(millis)
}

/// Seconds from `earlier` to `later`; 0 when the clock was set back in between.
#[must_use]
pub fn seconds_between(earlier: Timestamp, later: Timestamp) -> f64 {
    Duration::from_millis(u64::try_from(later.millis_since(earlier)).unwrap_or(0)).as_secs_f64()
}
