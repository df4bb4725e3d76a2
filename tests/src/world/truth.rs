//! What really happened in a world, and every promise that was made about it.
//!
//! Promise: nothing here is learnt from the gateway's files; it is what drivers were told, what agents said they had
//! committed, what receivers said, and what receipts left the gateway. Every breach is kept as a sentence.

use std::collections::{BTreeMap, BTreeSet};

use milepost_proto::{Lane, SequenceRange, SequenceRanges, Sha256, SpoolId, Timestamp, UplinkAnswer};

/// Most breaches that are kept; one is enough to fail.
const BREACHES_MAX: usize = 20;

/// A driver's capture.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CaptureTruth {
    /// The vehicle said that it holds it.
    pub(super) accepted: bool,
    /// It was dated by the phone, which may be long before it was handed over.
    pub(super) phone_dated: bool,
}

/// A position that the reporting policy kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeptPosition {
    pub(super) kept_ms: i64,
    /// It was in memory when the machine came down: the loss window allows for it.
    pub(super) may_be_lost: bool,
}

/// How much happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Power cuts of vehicles.
    pub power_cuts: u64,
    /// Kills of agents.
    pub kills: u64,
    /// Power cuts of the gateway.
    pub gateway_power_cuts: u64,
    /// Kills of the gateway.
    pub gateway_kills: u64,
    /// Writes that a full or failing disk refused.
    pub disk_refusals: u64,
    /// Requests made.
    pub requests: u64,
    /// Captures that a vehicle accepted.
    pub captures: u64,
    /// Photos and signatures that a vehicle accepted whole.
    pub blobs: u64,
    /// Positions given to the reporting policy.
    pub fixes: u64,
    /// Records that reached the gateway.
    pub records: u64,
    /// Records that reached the gateway as a gap, all because a disk refused them.
    pub gap_records: u64,
    /// Milestones that stand in the end.
    pub milestones: u64,
    /// Effects in Odoo in the end.
    pub effects: u64,
    /// Simulated time, seconds.
    pub simulated_s: u64,
}

impl Tally {
    /// Falls of every kind.
    #[must_use]
    pub const fn falls(&self) -> u64 {
        self.power_cuts + self.kills + self.gateway_power_cuts + self.gateway_kills
    }

    /// Adds what happened in another world.
    pub const fn add(&mut self, other: &Self) {
        self.power_cuts += other.power_cuts;
        self.kills += other.kills;
        self.gateway_power_cuts += other.gateway_power_cuts;
        self.gateway_kills += other.gateway_kills;
        self.disk_refusals += other.disk_refusals;
        self.requests += other.requests;
        self.captures += other.captures;
        self.blobs += other.blobs;
        self.fixes += other.fixes;
        self.records += other.records;
        self.gap_records += other.gap_records;
        self.milestones += other.milestones;
        self.effects += other.effects;
        self.simulated_s += other.simulated_s;
    }
}

/// What happened.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) captures: BTreeMap<String, CaptureTruth>,
    /// Whole in a vehicle.
    pub(super) blobs: BTreeSet<Sha256>,
    /// By vehicle and event time, milliseconds.
    pub(super) positions: BTreeMap<(usize, i64), KeptPosition>,
    /// The last sequence that an agent said is committed.
    pub(super) committed: BTreeMap<(SpoolId, Lane), u64>,
    /// What receipts covered that left the gateway.
    pub(super) promised: BTreeMap<(SpoolId, Lane), SequenceRanges>,
    /// How far a spool has told everything, as the gateway has durably heard.
    pub(super) marks: BTreeMap<SpoolId, Timestamp>,
    pub(super) tally: Tally,
    pub(super) breaches: Vec<String>,
    /// Records or captures that are gone.
    pub(super) lost: u64,
    /// Captures, records or effects that are there twice.
    pub(super) doubled: u64,
}

impl Truth {
    /// Notes that a promise was not kept.
    pub(super) fn breach(&mut self, what: String) {
        if self.breaches.len() < BREACHES_MAX {
            self.breaches.push(what);
        }
    }

    /// An agent says that `last` is committed.
    pub(super) fn committed(&mut self, spool_id: SpoolId, lane: Lane, last: u64) {
        let held = self.committed.entry((spool_id, lane)).or_default();
        if last < *held {
            let was = *held;
            self.lost += was - last;
            self.breach(format!("lane {lane} of spool {spool_id} goes back from sequence {was} to {last}"));
        } else {
            *held = last;
        }
    }

    /// An answer left the gateway.
    pub(super) fn promised(&mut self, answer: &UplinkAnswer) {
        for receipt in &answer.receipts {
            let ranges = self.promised.entry((receipt.spool_id, receipt.lane)).or_default();
            receipt.covered().iter().for_each(|range| ranges.insert(range));
        }
    }

    /// Whether a receipt has covered `range`.
    pub(super) fn is_promised(&self, spool_id: SpoolId, lane: Lane, range: SequenceRange) -> bool {
        self.promised.get(&(spool_id, lane)).is_some_and(|ranges| ranges.covers(range))
    }

    /// What a vehicle kept in the last `window_ms` was in memory only, or its commit was refused: it may be lost.
    pub(super) fn may_be_lost(&mut self, vehicle: usize, now_ms: i64, window_ms: i64) {
        let of_vehicle = (vehicle, i64::MIN)..=(vehicle, i64::MAX);
        for (_, position) in self.positions.range_mut(of_vehicle) {
            position.may_be_lost |= position.kept_ms >= now_ms - window_ms;
        }
    }
}
