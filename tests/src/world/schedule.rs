//! What will happen when: the world jumps from one to the next.
//!
//! Promise: what is due at the same moment happens in the order in which it was put, so a run repeats exactly.

use std::collections::BTreeMap;

use milepost_agent::uplink::SendFailure;
use milepost_agent::uplink::outgoing::Parcel;
use milepost_gateway::effect::Settlement;
use milepost_gateway::store::outbox::OutboxRow;

/// Most that may be due later.
const DUE_MAX: usize = 100_000;

/// Something that happens.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    /// A vehicle's receiver has a fix, if there is power.
    Fix(usize),
    /// Time passes for a vehicle: its agent's second has passed.
    Tick { vehicle: usize, life: u64 },
    /// Something is due in a vehicle's agent.
    Due { vehicle: usize, life: u64 },
    /// A driver captures something.
    Capture(usize),
    /// A driver's phone sends what it holds.
    Phone(usize),
    /// Something goes wrong in a vehicle.
    VehicleFault(usize),
    /// A vehicle starts.
    Boot(usize),
    /// A vehicle leaves coverage.
    Offline(usize),
    /// A request reaches the gateway.
    Arrival(Box<Letter>),
    /// A request of a vehicle ends for it.
    Answer { vehicle: usize, life: u64, letter: u64, outcome: Box<Reply> },
    /// Something goes wrong at the gateway.
    GatewayFault,
    /// The gateway starts.
    GatewayStart,
    /// The gateway folds what it holds.
    Fold,
    /// The gateway looks what it owes to Odoo.
    Outbox,
    /// Odoo looks whether it has the effect, for a gateway in this life.
    OdooSearch { life: u64, row: Box<OutboxRow> },
    /// Odoo commits an effect.
    OdooCommit { key: String },
    /// An attempt at Odoo ends for a gateway in this life.
    OdooEnd { life: u64, row: Box<OutboxRow>, settlement: Settlement },
    /// The trips of a day are over.
    CloseTrips { day: u64 },
}

/// A request under way.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub(super) vehicle: usize,
    pub(super) life: u64,
    pub(super) number: u64,
    pub(super) content: Parcel,
    /// A copy that the network made: nobody waits for its answer.
    pub(super) is_copy: bool,
}

/// How a request ended for the vehicle.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// Bytes that should be an answer.
    Answer(Vec<u8>),
    /// A part was taken.
    Part(milepost_proto::uplink::BlobState, u64),
    /// Nothing usable.
    Failure(SendFailure),
}

/// The future.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    due: BTreeMap<(i64, u64), Happening>,
    put: u64,
}

impl Schedule {
    /// Has something happen at `at_ms`.
    pub(super) fn put(&mut self, at_ms: i64, happening: Happening) {
        self.put += 1;
        self.due.insert((at_ms, self.put), happening);
        assert!(self.due.len() < DUE_MAX, "a queue of the world grows without bound");
    }

    /// What happens next, unless it is after `end_ms`.
    pub(super) fn next_before(&mut self, end_ms: i64) -> Option<(i64, Happening)> {
        let entry = self.due.first_entry().filter(|entry| entry.key().0 < end_ms)?;
        let at_ms = entry.key().0;
        Some((at_ms, entry.remove()))
    }
}
