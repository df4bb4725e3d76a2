//! Values that are kept when they change.
//!
//! Promise: at most a given number of keys is followed; one beyond is refused and counted, never followed at another's
//! expense, so what was followed once stays complete.

use std::collections::BTreeMap;

use milepost_proto::Timestamp;

use super::{ChangeRule, NAMES_MAX, ReportingPolicy, SignalPolicy};

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
    policies: BTreeMap<String, SignalPolicy>,
    rule: Rule,
    refused: u64,
}

/// The last value kept of one signal, and when the next one is.
#[derive(Debug, Clone, Copy)]
struct Level {
    event_time: Timestamp,
    value: f64,
    rule: Rule,
}

/// When a value is kept.
#[derive(Debug, Clone, Copy)]
struct Rule {
    interval_ms: u64,
    change: ChangeRule,
}

impl Rule {
    fn of(self, policy: SignalPolicy) -> Self {
        Self {
            interval_ms: policy.interval_s.map_or(self.interval_ms, |interval_s| u64::from(interval_s) * 1_000),
            change: policy.change.unwrap_or(self.change),
        }
    }
}

impl Level {
    fn is_enough(&self, value: f64) -> bool {
        let change = (value - self.value).abs();
        match self.rule.change {
            ChangeRule::Percent(percent) => change > 0.0 && change >= percent / 100.0 * self.value.abs(),
            ChangeRule::By(deadband) => change > 0.0 && change >= deadband,
            ChangeRule::Never => false,
        }
    }
}

impl Levels {
    pub(super) fn new(policy: &ReportingPolicy) -> Self {
        let rule = Rule {
            interval_ms: u64::from(policy.signal_interval_s) * 1_000,
            change: ChangeRule::Percent(policy.signal_change_percent),
        };
        Self { last: BTreeMap::new(), policies: policy.signals.clone(), rule, refused: 0 }
    }

    /// Whether this value is worth keeping. A clock that stepped back keeps it too, and counts from there.
    pub(super) fn keep(&mut self, event_time: Timestamp, name: &str, value: f64) -> bool {
        if let Some(last) = self.last.get_mut(name) {
            let due = event_time.millis_since(last.event_time).unsigned_abs() >= last.rule.interval_ms;
            let keep = due || last.is_enough(value);
            if keep {
                *last = Level { event_time, value, ..*last };
            }
            return keep;
        }
        if self.last.len() >= NAMES_MAX {
            self.refused += 1;
            return false;
        }
        let rule = self.policies.get(name).map_or(self.rule, |policy| self.rule.of(*policy));
        self.last.insert(name.to_owned(), Level { event_time, value, rule });
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

    /// Which of these values, a second apart, are kept.
    fn check(change: Option<ChangeRule>, interval_s: Option<u32>, values: &[f64], expected: &[f64]) {
        let policy = SignalPolicy { change, interval_s };
        let signals = BTreeMap::from([("signal".to_owned(), policy)]);
        let mut levels = Levels::new(&ReportingPolicy { signals, ..ReportingPolicy::default() });
        let mut seconds = values.iter().zip(0_i64..);
        let mut keep = |value: f64, second: i64| levels.keep(Timestamp::from_millis(second * 1_000), "signal", value);
        let kept: Vec<_> =
            seconds.by_ref().filter(|(value, second)| keep(**value, *second)).map(|kept| *kept.0).collect();
        assert_eq!(kept, expected, "{policy:?}");
        assert!(levels.keep(Timestamp::EPOCH, "other", 1.0) && !levels.keep(Timestamp::EPOCH, "other", 1.01));
    }

    #[test]
    fn a_signal_with_a_policy_of_its_own_follows_it_and_no_other_does() {
        let values = [100.0, 100.0, 100.5, 102.0, 103.0, 120.0];
        check(None, None, &values, &[100.0, 120.0]);
        check(Some(ChangeRule::By(0.0)), None, &values, &[100.0, 100.5, 102.0, 103.0, 120.0]);
        check(Some(ChangeRule::By(2.0)), None, &values, &[100.0, 102.0, 120.0]);
        check(Some(ChangeRule::Never), None, &values, &[100.0]);
        check(Some(ChangeRule::Never), Some(2), &values, &[100.0, 100.5, 103.0]);
        check(None, Some(4), &values, &[100.0, 103.0, 120.0]);
    }

    proptest! {
        #[test]
        fn a_signal_left_out_is_within_its_share_of_the_last_kept(values in proptest::collection::vec(-1e6..1e6, 1..200)) {
            let policy = ReportingPolicy::default();
            let mut levels = Levels::new(&policy);
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
