//! Telemetry waiting for its group's commit.
//!
//! Promise: a group is committed when it is old or large enough, or at once when asked (ignition off, shutdown), and
//! never holds more than [`GROUP_RECORDS_MAX`]. What it holds when the power goes is the loss window.

use milepost_proto::{Record, Timestamp};

use super::oldest_event_time;

/// Most records a group holds before it is committed whatever its age.
pub const GROUP_RECORDS_MAX: usize = 1_000;

/// Records that will be committed together.
#[derive(Debug, Default)]
pub struct Group {
    records: Vec<Record>,
    opened_ms: u64,
}

impl Group {
    /// Adds a record at `now_ms` on the monotonic clock.
    pub fn push(&mut self, record: Record, now_ms: u64) {
        if self.records.is_empty() {
            self.opened_ms = now_ms;
        }
        self.records.push(record);
    }

    /// When the group must be committed, milliseconds on the monotonic clock; absent while it is empty.
    #[must_use]
    pub fn due_ms(&self, group_ms: u64) -> Option<u64> {
        match self.records.len() {
            0 => None,
            GROUP_RECORDS_MAX.. => Some(self.opened_ms),
            _ => Some(self.opened_ms + group_ms),
        }
    }

    /// The earliest event it holds.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        (!self.records.is_empty()).then(|| oldest_event_time(&self.records))
    }

    /// Takes what it holds, leaving it empty.
    pub fn take(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }
}
