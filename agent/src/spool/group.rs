//! Telemetry waiting for its group's commit.
//!
//! Promise: a group is committed when it is old or large enough, whichever comes first, or at once when asked (ignition
//! off, low voltage, shutdown), and never holds more than [`GROUP_RECORDS_MAX`]. What it holds when the power goes is the
//! loss window.

use milepost_proto::{Record, Timestamp};

use super::oldest_event_time;

/// Most records a group holds before it is committed whatever its age and size.
pub const GROUP_RECORDS_MAX: usize = 4_096;

/// When a group is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupLimits {
    /// Longest that its first record waits, milliseconds.
    pub ms: u64,
    /// Most bytes of its records in postcard.
    pub bytes: u64,
}

/// Records that will be committed together.
#[derive(Debug)]
pub struct Group {
    limits: GroupLimits,
    records: Vec<Record>,
    bytes: u64,
    opened_ms: u64,
}

impl Group {
    /// An empty group.
    #[must_use]
    pub const fn new(limits: GroupLimits) -> Self {
        Self { limits, records: Vec::new(), bytes: 0, opened_ms: 0 }
    }

    /// Adds a record at `now_ms` on the monotonic clock.
    pub fn push(&mut self, record: Record, now_ms: u64) {
        if self.records.is_empty() {
            self.opened_ms = now_ms;
        }
        // What has no size in postcard is refused when it is sealed.
        self.bytes += postcard::experimental::serialized_size(&record).unwrap_or_default() as u64;
        self.records.push(record);
    }

    /// When the group must be committed, milliseconds on the monotonic clock; absent while it is empty.
    #[must_use]
    pub fn due_ms(&self) -> Option<u64> {
        let is_full = self.bytes >= self.limits.bytes || self.records.len() >= GROUP_RECORDS_MAX;
        let waits_ms = if is_full { 0 } else { self.limits.ms };
        (!self.records.is_empty()).then(|| self.opened_ms.saturating_add(waits_ms))
    }

    /// The group must be committed at the latest `ms` after its first record, if that is sooner.
    #[must_use]
    pub fn due_within_ms(&self, ms: u64) -> Option<u64> {
        self.due_ms().map(|due_ms| due_ms.min(self.opened_ms.saturating_add(ms)))
    }

    /// The earliest event it holds.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        (!self.records.is_empty()).then(|| oldest_event_time(&self.records))
    }

    /// Takes what it holds, leaving it empty.
    pub fn take(&mut self) -> Vec<Record> {
        self.bytes = 0;
        std::mem::take(&mut self.records)
    }
}

#[cfg(test)]
mod tests {
    use milepost_proto::reading::Signal;
    use milepost_proto::{Reading, TimeQuality};

    use super::*;

    fn record(event_ms: i64) -> Record {
        let signal = Signal { name: "a".repeat(20), value: 1.0, unit: String::new() };
        Record {
            event_time: Timestamp::from_millis(event_ms),
            monotonic_ms: 0,
            time_quality: TimeQuality { error_ms: 0, ..TimeQuality::UNKNOWN },
            reading: Reading::Signal(signal),
            seal: None,
        }
    }

    #[test]
    fn a_group_is_due_when_it_is_old_or_large_whichever_is_first() {
        let mut group = Group::new(GroupLimits { ms: 1_000, bytes: 100 });
        assert_eq!(group.due_ms(), None);
        group.push(record(7), 500);
        group.push(record(5), 900);
        assert_eq!((group.due_ms(), group.due_within_ms(100)), (Some(1_500), Some(600)));
        assert_eq!(group.oldest(), Some(Timestamp::from_millis(5)));
        group.push(record(9), 950);
        assert_eq!(group.due_ms(), Some(500), "three records of more than 33 bytes");
        assert_eq!(group.take().len(), 3);
        group.push(record(9), 2_000);
        assert_eq!(group.due_ms(), Some(3_000), "the next one begins anew");
    }

    #[test]
    fn a_group_never_holds_more_than_so_many_records() {
        let mut group = Group::new(GroupLimits { ms: u64::MAX, bytes: u64::MAX });
        for n in 0..4_095 {
            group.push(record(n), 1);
        }
        assert_eq!(group.due_ms(), Some(u64::MAX));
        group.push(record(0), 1);
        assert_eq!(group.due_ms(), Some(1));
    }
}
