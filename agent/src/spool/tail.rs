//! The last chunk of each lane while it still grows.
//!
//! Promise: a chunk grows only as long as nobody outside has seen it: from its first commit until it is offered, is full,
//! or this process ends. A group of a few records then costs no chunk of its own, on the wire and at the gateway. What is in
//! memory here is a copy of what is committed, bounded by [`RECORDS_MAX`] a lane; after anything that failed the copy is
//! given up, and the chunk stays as the file has it.

use std::collections::BTreeMap;

use milepost_proto::{BootId, Lane, Record, SequenceRange};

/// Most records a chunk holds.
pub(super) const RECORDS_MAX: usize = 600;
/// A chunk whose body has this many bytes is full.
const BODY_BYTES_FULL: usize = 4_096;

/// The last chunk of one lane.
#[derive(Debug)]
pub(super) struct Tail {
    /// The boot in which its records were recorded.
    pub(super) boot_id: BootId,
    /// Its sequences.
    pub(super) range: SequenceRange,
    /// Bytes of its body in the file.
    pub(super) body_bytes: usize,
    /// The greatest oldest event time of the lane's chunks before it, milliseconds.
    pub(super) before_ms: i64,
    /// Its records.
    pub(super) records: Vec<Record>,
}

impl Tail {
    fn is_full(&self) -> bool {
        self.records.len() >= RECORDS_MAX || self.body_bytes >= BODY_BYTES_FULL
    }
}

/// The chunks that may still grow, by lane.
#[derive(Debug, Default)]
pub(super) struct Tails {
    lanes: BTreeMap<Lane, Tail>,
}

impl Tails {
    /// Takes the chunk that records of this boot may be added to.
    pub(super) fn take(&mut self, lane: Lane, boot_id: BootId) -> Option<Tail> {
        self.lanes.remove(&lane).filter(|tail| tail.boot_id == boot_id)
    }

    /// Keeps the lane's last chunk, if it may grow on.
    pub(super) fn keep(&mut self, lane: Lane, tail: Tail) {
        if !tail.is_full() {
            self.lanes.insert(lane, tail);
        }
    }

    /// Where the lane's last chunk begins, if it may grow.
    pub(super) fn first_sequence(&self, lane: Lane) -> Option<u64> {
        self.lanes.get(&lane).map(|tail| tail.range.first())
    }

    /// The lane's last chunk stays as it is if any of it lies in `range`.
    pub(super) fn close_in(&mut self, lane: Lane, range: SequenceRange) {
        let meets = |tail: &Tail| tail.range.first() <= range.last() && range.first() <= tail.range.last();
        if self.lanes.get(&lane).is_some_and(meets) {
            self.lanes.remove(&lane);
        }
    }

    /// The lane's last chunk stays as it is.
    pub(super) fn close(&mut self, lane: Lane) {
        self.lanes.remove(&lane);
    }

    /// Every lane's last chunk stays as it is.
    pub(super) fn close_all(&mut self) {
        self.lanes.clear();
    }
}
