//! When frames happened, on the agent's clock.
//!
//! Promise: frames read together keep the intervals at which the kernel received them. The kernel stamps by the operating
//! system's clock, which in a vehicle may be years off; only differences of stamps are used. The last frame before the
//! socket ran empty has just arrived, and ties the stamps to the agent's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use milepost_proto::{TimeQuality, TimeSource, Timestamp};

/// Relates the kernel's stamps to the agent's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Arrivals {
    /// What to add to a stamp, milliseconds.
    offset_ms: Option<i64>,
}

impl Arrivals {
    /// The frame with this stamp arrived just now, which is `wall` on the agent's clock. Only a clock that follows a
    /// receiver is worth it: an observation with a time of its own is taken to be dated by one.
    pub(super) fn anchor(&mut self, stamp: SystemTime, (now, quality): (Timestamp, TimeQuality)) {
        let by_receiver = quality.source == TimeSource::Gnss;
        self.offset_ms = by_receiver.then(|| now.millis_since(timestamp(stamp)));
    }

    /// When the frame with this stamp arrived; nothing while the agent's clock knows no better than that it is read now.
    pub(super) fn event_time(&self, stamp: SystemTime) -> Option<Timestamp> {
        self.offset_ms.map(|offset_ms| timestamp(stamp).plus_millis(offset_ms))
    }
}

fn timestamp(stamp: SystemTime) -> Timestamp {
    let since = stamp.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn stamp(millis: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(millis)
    }

    #[test]
    fn intervals_are_the_kernels_and_the_time_is_the_agents() {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.event_time(stamp(5)), None, "no anchor yet");
        let now = Timestamp::from_millis(1_800_000_000_000);
        arrivals.anchor(stamp(1_050), (now, TimeQuality { source: TimeSource::Gnss, error_ms: 1_000 }));
        assert_eq!(arrivals.event_time(stamp(1_000)), Some(now.plus_millis(-50)));
        assert_eq!(arrivals.event_time(stamp(1_050)), Some(now));
        assert_eq!(arrivals.event_time(stamp(1_075)), Some(now.plus_millis(25)), "not yet read to the end");
    }

    #[test]
    fn a_clock_without_a_receiver_lends_no_time() {
        let mut arrivals = Arrivals::default();
        arrivals.anchor(stamp(1), (Timestamp::EPOCH, TimeQuality { source: TimeSource::Network, error_ms: 5_000 }));
        assert_eq!(arrivals.event_time(stamp(1)), None);
    }
}
