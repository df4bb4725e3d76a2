//! Values that are kept when they change.
//!
//! Promise: at most a given number of keys is followed; one beyond is refused and counted, never followed at another's
//! expense, so what was followed once stays complete.

use std::collections::BTreeMap;

use milepost_proto::Timestamp;

use super::{NAMES_MAX, ReportingPolicy};

/// States that are kept on every change.
#[derive(Debug, Clone)]
pub(super) struct Changes<K, V> {
    last: BTreeMap<K, V>,
    keys_max: usize,
    refused: u64,
}

impl<K: Ord, V: PartialEq> Changes<K, V> {
    pub(super) const fn new(keys_max: usize) -> Self {
        Self { last: BTreeMap::new(), keys_max, refused: 0 }
    }

    /// Whether `value` differs from the last one of `key`.
    pub(super) fn keep(&mut self, key: K, value: V) -> bool {
        if !self.last.contains_key(&key) && self.last.len() >= self.keys_max {
            self.refused += 1;
            return false;
        }
        let changed = self.last.get(&key) != Some(&value);
        self.last.insert(key, value);
        changed
    }

    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }
}

/// Signals that are kept when they change enough, and now and then.
#[derive(Debug, Clone)]
pub(super) struct Levels {
    last: BTreeMap<String, Level>,
    interval_ms: u64,
    change_share: f64,
    refused: u64,
}

/// The last value kept of one signal.
#[derive(Debug, Clone, Copy)]
struct Level {
    event_time: Timestamp,
    value: f64,
}

impl Levels {
    pub(super) fn new(policy: ReportingPolicy) -> Self {
        Self {
            last: BTreeMap::new(),
            interval_ms: u64::from(policy.signal_interval_s) * 1_000,
            change_share: policy.signal_change_percent / 100.0,
            refused: 0,
        }
    }

    /// Whether this value is worth keeping. A clock that stepped back keeps it too, and counts from there.
    pub(super) fn keep(&mut self, event_time: Timestamp, name: &str, value: f64) -> bool {
        let level = Level { event_time, value };
        if let Some(last) = self.last.get_mut(name) {
            let due = event_time.millis_since(last.event_time).unsigned_abs() >= self.interval_ms;
            let change = (value - last.value).abs();
            let keep = due || (change > 0.0 && change >= self.change_share * last.value.abs());
            if keep {
                *last = level;
            }
            return keep;
        }
        if self.last.len() >= NAMES_MAX {
            self.refused += 1;
            return false;
        }
        self.last.insert(name.to_owned(), level);
        true
    }

    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_signal_left_out_is_within_its_share_of_the_last_kept(values in proptest::collection::vec(-1e6..1e6, 1..200)) {
            let policy = ReportingPolicy::default();
            let mut levels = Levels::new(policy);
            let mut last: Option<(Timestamp, f64)> = None;
            for (value, second) in values.into_iter().zip(0_i64..) {
                let now = Timestamp::from_millis(second * 1_000);
                if levels.keep(now, "signal", value) {
                    last = Some((now, value));
                }
                let (time, kept) = last.expect("the first is kept");
                prop_assert!((value - kept).abs() <= kept.abs() * policy.signal_change_percent / 100.0);
                prop_assert!(now.millis_since(time) < i64::from(policy.signal_interval_s) * 1_000);
            }
        }
    }
}
