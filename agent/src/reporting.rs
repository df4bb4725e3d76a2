//! Which observations are worth keeping.
//!
//! Promise, to whoever later asks what happened: thinning has a bound. Every position left out lies within
//! `distance_m` of the last one kept, within `interval_s` of it, and on its course within `heading_deg`; the points
//! where the vehicle came to a stand and where it set off are kept, so arrival and departure times survive. A signal
//! left out is within `signal_change_percent` of the last one kept, or within the bounds it was given itself. Positions are kept in the order of their times, unless
//! the receiver's clock itself was set back. Memory is bounded whatever the vehicle sends.
//!
//! The rule is a dead band around the last record kept. At most one record is held back, until the next one.

use std::collections::BTreeMap;

use milepost_proto::{Reading, Record};

mod change;
mod track;

use change::{Changes, Levels};
use track::Track;
pub(crate) use track::distance_m;

/// Most names of signals, and of switches, that are followed; a name beyond is not kept, and counted.
pub const NAMES_MAX: usize = 1_024;
/// Most trouble codes that are followed.
pub const CODES_MAX: usize = 1_024;

/// `[reporting]`: when an observation is kept although little changed, and how much must change otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportingPolicy {
    /// A position is kept at least this often, seconds.
    pub interval_s: u32,
    /// A position is kept when the vehicle moved this far since the last one kept, metres.
    pub distance_m: f64,
    /// A position is kept when the course changed this much since the last one kept, degrees.
    pub heading_deg: f64,
    /// A signal is kept at least this often, seconds.
    pub signal_interval_s: u32,
    /// A signal is kept when it changed this much of its last kept value, percent.
    pub signal_change_percent: f64,
    /// Signals with a policy of their own, by name.
    pub signals: BTreeMap<String, SignalPolicy>,
}

/// `[[signal]]`: where one signal departs from the general rule.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SignalPolicy {
    /// How much must change.
    pub change: Option<ChangeRule>,
    /// It is kept at least this often, seconds.
    pub interval_s: Option<u32>,
}

/// How much a signal must change to be kept before its interval is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ChangeRule {
    /// This much of its last kept value, percent.
    Percent(f64),
    /// This much, in its unit; 0 for any change.
    By(f64),
    /// No change is enough: the signal is kept at its interval's rate.
    Never,
}

impl Default for ReportingPolicy {
    fn default() -> Self {
        Self {
            interval_s: 10,
            distance_m: 50.0,
            heading_deg: 15.0,
            signal_interval_s: 30,
            signal_change_percent: 10.0,
            signals: BTreeMap::new(),
        }
    }
}

/// What was not followed or not usable, since the agent started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refused {
    /// Positions older than one already kept.
    pub out_of_order: u64,
    /// Signals and switches whose names no longer fitted [`NAMES_MAX`], and trouble codes beyond [`CODES_MAX`].
    pub too_many: u64,
}

/// Decides what is kept.
#[derive(Debug, Clone)]
pub struct Reporter {
    track: Track,
    levels: Levels,
    switches: Changes<String, bool>,
    codes: Changes<Code, (u8, bool)>,
}

/// A trouble code of a control unit: source address, parameter, failure mode.
type Code = (u8, u32, u8);

impl Reporter {
    /// Nothing kept yet.
    #[must_use]
    pub fn new(policy: ReportingPolicy) -> Self {
        Self {
            levels: Levels::new(&policy),
            track: Track::new(policy),
            switches: Changes::new(NAMES_MAX),
            codes: Changes::new(CODES_MAX),
        }
    }

    /// What to keep now that `record` was observed: an earlier one that was held back, the record, both or neither.
    #[must_use]
    pub fn keep(&mut self, record: Record) -> Kept {
        let keep = match &record.reading {
            Reading::Position(_) => return self.track.keep(record),
            Reading::Signal(signal) => self.levels.keep(record.event_time, &signal.name, signal.value),
            Reading::Switch(switch) => self.switches.keep(switch.name.clone(), switch.on),
            Reading::Diagnostic(code) => {
                self.codes.keep((code.source_address, code.spn, code.fmi), (code.occurrence, code.active))
            }
            Reading::Pod(_) | Reading::DriverAction(_) | Reading::DriverException(_) | Reading::Health(_) => true,
        };
        Kept { held: None, record: keep.then_some(record) }
    }

    /// The position held back, when no next one is to be expected: at shutdown, or when its source is lost.
    #[must_use]
    pub fn release(&mut self) -> Option<Record> {
        self.track.release_held()
    }

    /// The position held back, which may still be kept.
    #[must_use]
    pub const fn held(&self) -> Option<&Record> {
        self.track.held()
    }

    /// What was refused so far.
    #[must_use]
    pub const fn refused(&self) -> Refused {
        Refused {
            out_of_order: self.track.out_of_order(),
            too_many: self.levels.refused() + self.switches.refused() + self.codes.refused(),
        }
    }
}

/// The records to keep, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Kept {
    held: Option<Record>,
    record: Option<Record>,
}

impl IntoIterator for Kept {
    type Item = Record;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Record>, std::option::IntoIter<Record>>;

    fn into_iter(self) -> Self::IntoIter {
        self.held.into_iter().chain(self.record)
    }
}

#[cfg(test)]
mod tests {
    use milepost_proto::reading::{Diagnostic, Health, Signal, Switch};
    use milepost_proto::{TimeQuality, Timestamp};

    use super::*;

    fn record(second: i64, reading: Reading) -> Record {
        let event_time = Timestamp::from_millis(second * 1_000);
        Record { event_time, monotonic_ms: 0, time_quality: TimeQuality::UNKNOWN, reading, seal: None }
    }

    /// How many of these readings, a second apart, are kept.
    fn kept(readings: impl IntoIterator<Item = Reading>) -> Vec<usize> {
        let mut reporter = Reporter::new(ReportingPolicy::default());
        let seconds = readings.into_iter().zip(0_i64..);
        seconds.map(|(reading, second)| reporter.keep(record(second, reading)).into_iter().count()).collect()
    }

    #[test]
    fn switches_and_trouble_codes_are_kept_on_change_only() {
        let switch = |on| Reading::Switch(Switch { name: "ignition".to_owned(), on });
        assert_eq!(kept([switch(true), switch(true), switch(false), switch(false)]), [1, 0, 1, 0]);
        let code = |spn, occurrence| {
            Reading::Diagnostic(Diagnostic { source_address: 0, spn, fmi: 3, occurrence, active: true })
        };
        assert_eq!(kept([code(91, 1), code(91, 1), code(92, 1), code(91, 1), code(91, 2)]), [1, 0, 1, 0, 1]);
    }

    #[test]
    fn a_signal_is_kept_by_change_of_its_own_and_by_interval() {
        let signal = |name: &str, value| Reading::Signal(Signal { name: name.to_owned(), value, unit: String::new() });
        assert_eq!(
            kept([signal("a", 100.0), signal("b", 1.0), signal("a", 109.0), signal("a", 110.0), signal("b", 1.05)]),
            [1, 1, 0, 1, 0]
        );
        let still: usize = kept((0..61).map(|_| signal("a", 5.0))).iter().sum();
        assert_eq!(still, 3, "at 0, 30 and 60 s");
    }

    #[test]
    fn evidence_and_health_are_always_kept() {
        let started = || Reading::Health(Health::Started { version: String::new() });
        assert_eq!(kept([started(), started()]), [1, 1]);
    }

    #[test]
    fn names_beyond_the_maximum_are_counted_and_cost_no_memory() {
        let mut reporter = Reporter::new(ReportingPolicy::default());
        for n in 0..NAMES_MAX + 5 {
            let signal = Signal { name: format!("signal-{n}"), value: 1.0, unit: String::new() };
            let kept = reporter.keep(record(0, Reading::Signal(signal))).into_iter().count();
            assert_eq!(kept, usize::from(n < NAMES_MAX));
        }
        assert_eq!(reporter.refused(), Refused { out_of_order: 0, too_many: 5 });
    }
}
