//! What to send, when, where to, and why not: the uplink's decisions, without any I/O.
//!
//! ```text
//!  evidence, events ─► urgent slot ─┐                 ┌─► first gateway ◄─ asked again now and then
//!  telemetry, photos ─► bulk slot ──┴─► one in use ───┴─► next, when it fails
//! ```
//!
//! Promise: at most two requests are under way, one of each slot, and a chunk is never in both, because each slot has its
//! own lanes: a large request that hangs keeps no proof of delivery waiting. After a failure a slot's wait grows with full
//! jitter and shrinks again only once its link has been stable. A chunk that no gateway takes is set aside and the rest goes
//! on; a gateway that will not have this device stops the sending with one clear reason, and is asked again only now and
//! then. Nothing here forgets a record: what was not covered by a receipt is offered again.

pub mod backoff;
pub mod blob_queue;
pub mod budget;
pub mod classify;
pub mod client;
mod failing;
pub mod gateways;
pub mod link_file;
pub mod narrowing;
pub mod outgoing;
pub mod sent;
pub mod slot;

use milepost_proto::uplink::{BlobOffer, BlobState};
use milepost_proto::{Sha256, Timestamp, UplinkAnswer};

use blob_queue::BlobQueue;
use budget::{Budget, BudgetPolicy, LinkClass, Spent, Tally};
pub use classify::SendFailure;
use gateways::Gateways;
use narrowing::{Load, Poison};
pub use slot::{Cargo, Slot};
use slot::{State, Track};

use crate::spool::OfferLimits;
use crate::status::UplinkHealth;

/// Most chunks set aside one after the other while the gateway takes nothing at all.
const SET_ASIDE_MAX: u32 = 3;
/// How long a slot waits that has set aside that many, milliseconds.
const SET_ASIDE_WAIT_MS: u64 = 60_000;

/// When to send, and where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UplinkPolicy {
    /// Telemetry alone is gathered this long before it is sent, milliseconds.
    pub gather_ms: u64,
    /// A request without records is made after this long, milliseconds.
    pub heartbeat_ms: u64,
    /// Longest wait after failures, milliseconds.
    pub retry_ms_max: u64,
    /// How many gateways there are.
    pub gateways: usize,
    /// What may be sent over which link.
    pub budget: BudgetPolicy,
}

/// What waits in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Anything in the evidence or event lane.
    pub urgent: bool,
    /// Anything in the telemetry lane.
    pub telemetry: bool,
    /// Anything salvaged from an earlier spool.
    pub salvaged: bool,
}

/// Which request this is: what comes of it carries the same ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Which of the two requests that may be under way.
    pub slot: Slot,
    /// The gateway's place in the configuration.
    pub gateway: usize,
    /// Whether it goes by the spare connection, because another request is under way on the usual one.
    pub spare: bool,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make a request.
    Request(Ticket, Cargo),
    /// Send the part of a blob that begins at this offset.
    BlobPart(Ticket, BlobOffer, u64),
    /// Set a chunk aside, with a gap in its place.
    Quarantine(Poison),
    /// Nothing before this time, milliseconds on the monotonic clock; absent while only an event can bring it.
    Wait(Option<u64>),
}

/// What one slot wants.
enum Wish {
    Do(Action),
    At(u64),
    Never,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stopped {
    until_ms: u64,
    why: String,
}

/// The uplink's state.
#[derive(Debug)]
pub struct Uplink {
    policy: UplinkPolicy,
    urgent: Track,
    bulk: Track,
    gateways: Gateways,
    budget: Budget,
    blobs: BlobQueue,
    stopped: Option<Stopped>,
    /// To be set aside.
    poison: Option<Poison>,
    /// Chunks set aside since a gateway last took one.
    set_aside: u32,
    /// When a request was last made; absent before the first.
    last_request_ms: Option<u64>,
    last_receipt_ms: Option<u64>,
    live_from: u64,
    /// Until when nothing salvaged is sent, because it was refused.
    salvage_rests_until_ms: u64,
}

impl Uplink {
    /// An uplink that has not sent anything.
    #[must_use]
    pub fn new(policy: UplinkPolicy) -> Self {
        Self {
            policy,
            urgent: Track::new(policy.retry_ms_max),
            bulk: Track::new(policy.retry_ms_max),
            gateways: Gateways::new(policy.gateways),
            budget: Budget::new(policy.budget, Tally::default()),
            blobs: BlobQueue::default(),
            stopped: None,
            poison: None,
            set_aside: 0,
            last_request_ms: None,
            last_receipt_ms: None,
            live_from: u64::MAX,
            salvage_rests_until_ms: 0,
        }
    }

    /// What to do at `now_ms`.
    #[must_use]
    pub fn poll(&self, waiting: Waiting, now_ms: u64) -> Action {
        if let Some(poison) = &self.poison {
            return Action::Quarantine(poison.clone());
        }
        if let Some(stopped) = self.stopped.as_ref().filter(|stopped| now_ms < stopped.until_ms) {
            return Action::Wait(Some(stopped.until_ms));
        }
        match (self.poll_urgent(waiting, now_ms), self.poll_bulk(waiting, now_ms)) {
            (Wish::Do(action), _) | (_, Wish::Do(action)) => action,
            (Wish::At(one_ms), Wish::At(other_ms)) => Action::Wait(Some(one_ms.min(other_ms))),
            (Wish::At(at_ms), Wish::Never) | (Wish::Never, Wish::At(at_ms)) => Action::Wait(Some(at_ms)),
            (Wish::Never, Wish::Never) => Action::Wait(None),
        }
    }

    fn poll_urgent(&self, waiting: Waiting, now_ms: u64) -> Wish {
        match self.urgent.busy_until(now_ms) {
            Some(u64::MAX) => Wish::Never,
            Some(_) if !waiting.urgent => Wish::Never,
            Some(until_ms) => Wish::At(until_ms),
            None if self.urgent.narrowing.wants_answer_without() => self.wish(Slot::Urgent, Cargo::Nothing),
            None if waiting.urgent => self.wish(Slot::Urgent, Cargo::Urgent),
            None => Wish::Never,
        }
    }

    fn poll_bulk(&self, waiting: Waiting, now_ms: u64) -> Wish {
        let telemetry = waiting.telemetry && self.budget.telemetry_bytes_left() > 0;
        let cargo = if telemetry { Cargo::Telemetry } else { Cargo::Nothing };
        match self.bulk.busy_until(now_ms) {
            Some(u64::MAX) => Wish::Never,
            Some(until_ms) => Wish::At(until_ms),
            None if self.bulk.narrowing.wants_answer_without() => self.wish(Slot::Bulk, Cargo::Nothing),
            None if self.gateways.return_due_ms().is_some_and(|due_ms| due_ms <= now_ms) => {
                let ticket = Ticket { gateway: 0, ..self.ticket(Slot::Bulk) };
                Wish::Do(Action::Request(ticket, Cargo::Nothing))
            }
            None if self.bulk.retries() || (self.bulk.more && telemetry) => self.wish(Slot::Bulk, cargo),
            None => match self.blobs.next(&self.budget) {
                Some((blob, offset)) => Wish::Do(Action::BlobPart(self.ticket(Slot::Bulk), blob, offset)),
                None => self.poll_unhurried(waiting, telemetry, now_ms),
            },
        }
    }

    fn poll_unhurried(&self, waiting: Waiting, telemetry: bool, now_ms: u64) -> Wish {
        let since = |last_ms: Option<u64>, pause_ms: u64| last_ms.map_or(now_ms, |last_ms| last_ms + pause_ms);
        let gathered_ms = since(self.bulk.last_request_ms, self.policy.gather_ms);
        let quiet_ms = since(self.last_request_ms, self.policy.heartbeat_ms);
        if telemetry && gathered_ms <= now_ms {
            return self.wish(Slot::Bulk, Cargo::Telemetry);
        }
        if waiting.salvaged && self.salvage_rests_until_ms <= now_ms {
            return self.wish(Slot::Bulk, Cargo::Salvaged);
        }
        // A request that is under way asks for news already.
        let is_asking = self.urgent.state == State::Sending;
        if quiet_ms <= now_ms && !is_asking {
            return self.wish(Slot::Bulk, Cargo::Nothing);
        }
        let due = [telemetry.then_some(gathered_ms), (!is_asking).then_some(quiet_ms), self.gateways.return_due_ms()];
        due.into_iter().flatten().min().map_or(Wish::Never, Wish::At)
    }

    const fn wish(&self, slot: Slot, cargo: Cargo) -> Wish {
        Wish::Do(Action::Request(self.ticket(slot), cargo))
    }

    const fn ticket(&self, slot: Slot) -> Ticket {
        let other = match slot {
            Slot::Urgent => &self.bulk,
            Slot::Bulk => &self.urgent,
        };
        Ticket { slot, gateway: self.gateways.current(), spare: matches!(other.state, State::Sending) && !other.spare }
    }

    const fn track(&mut self, slot: Slot) -> &mut Track {
        match slot {
            Slot::Urgent => &mut self.urgent,
            Slot::Bulk => &mut self.bulk,
        }
    }

    /// How much the next request of `slot` may offer.
    #[must_use]
    pub fn offer_limits(&self, slot: Slot) -> OfferLimits {
        let (narrowing, left) = match slot {
            Slot::Urgent => (&self.urgent.narrowing, u64::MAX),
            Slot::Bulk => (&self.bulk.narrowing, self.budget.telemetry_bytes_left()),
        };
        let left = usize::try_from(left).unwrap_or(usize::MAX).max(1);
        let live_from = if narrowing.is_looking() { 1 } else { self.live_from };
        OfferLimits { bytes_max: narrowing.bytes_max().min(left), live_from }
    }

    /// Those of the blobs that wait which a request may offer now.
    pub fn offer_blobs(&mut self, waiting: &[BlobOffer], now_ms: u64) -> Vec<BlobOffer> {
        self.blobs.offer(waiting, &self.budget, now_ms)
    }

    /// A second has passed: what time it is, if anybody vouches for it, which blobs wait, and what the link is.
    pub fn handle_time(&mut self, now: Option<Timestamp>, blobs: &[BlobOffer], link: Option<LinkClass>) {
        self.budget.handle_link(link);
        self.budget.handle_time(now, blobs);
    }

    /// What was sent today before a restart.
    pub const fn restore(&mut self, tally: Tally) {
        self.budget.restore(tally);
    }

    /// A request with `load` cannot be put on the wire: the next one carries less, and a chunk that fits none is set aside.
    pub fn handle_unsendable(&mut self, slot: Slot, load: Load, why: &str) {
        if load.chunks > 1 {
            self.track(slot).narrowing.handle_refused(load, why);
        } else if let Some((lane, range)) = load.first {
            self.poison = Some(Poison { lane, range, why: format!("it cannot be sent: {why}") });
        }
    }

    /// A request of `bytes` was sent; `more` of its kind waits than it carries.
    pub fn handle_requested(
        &mut self,
        ticket: Ticket,
        cargo: Cargo,
        load: Load,
        more: bool,
        bytes: usize,
        now_ms: u64,
    ) {
        let spent = if cargo == Cargo::Telemetry { Spent::Telemetry } else { Spent::Urgent };
        self.budget.handle_sent(spent, bytes);
        self.last_request_ms = Some(now_ms);
        let track = self.track(ticket.slot);
        track.handle_sent(ticket.spare, cargo, load);
        track.last_request_ms = Some(now_ms);
        track.more = more;
    }

    /// Telemetry's present begins here after an offer.
    pub const fn handle_live_from(&mut self, live_from: u64) {
        if !self.bulk.narrowing.is_looking() {
            self.live_from = live_from;
        }
    }

    /// Part of a blob, of `bytes`, was sent.
    pub fn handle_part_sent(&mut self, ticket: Ticket, sha256: Sha256, bytes: usize) {
        self.budget.handle_sent(Spent::Blobs, bytes);
        self.track(ticket.slot).handle_sent(ticket.spare, Cargo::BlobPart(sha256), Load::default());
    }

    /// A gateway answered a request. What it did for what the request carried is told by [`Uplink::handle_taken`] or
    /// [`Uplink::handle_failure`].
    pub fn handle_answer(&mut self, ticket: Ticket, answer: &UplinkAnswer, now_ms: u64) {
        self.succeed(ticket, now_ms);
        if !answer.receipts.is_empty() {
            self.last_receipt_ms = Some(now_ms);
        }
        self.blobs.handle_states(&answer.blobs);
        let track = self.track(ticket.slot);
        if track.load.chunks == 0
            && let Some(poison) = track.narrowing.handle_answer_without()
        {
            self.set_aside(ticket.slot, poison, now_ms);
        }
    }

    fn set_aside(&mut self, slot: Slot, poison: Poison, now_ms: u64) {
        if self.set_aside < SET_ASIDE_MAX {
            self.set_aside += 1;
            self.poison = Some(poison);
            return;
        }
        let why = format!("the gateway refuses one chunk after the other ({}); ask operations why", poison.why);
        self.track(slot).state = State::Waiting { until_ms: now_ms + SET_ASIDE_WAIT_MS, why };
    }

    /// The gateway took what the request carried.
    pub fn handle_taken(&mut self, ticket: Ticket) {
        let track = self.track(ticket.slot);
        let load = track.load;
        track.narrowing.handle_taken(load);
        if load.chunks > 0 {
            self.set_aside = 0;
        }
    }

    /// A chunk was set aside.
    pub fn handle_set_aside(&mut self) {
        self.poison = None;
    }

    /// The gateway answered the part of a blob that began at `offset`. If it then holds no more than before, sending on
    /// would go on for ever; `chance` is uniform in 0..1.
    pub fn handle_part_taken(&mut self, ticket: Ticket, state: BlobState, offset: u64, now_ms: u64, chance: f64) {
        if !state.complete && state.held <= offset {
            let why = format!("it holds no more of blob {} after another part of it", state.sha256);
            return self.handle_failure(ticket, &SendFailure::Broken { why }, now_ms, chance);
        }
        self.succeed(ticket, now_ms);
        self.blobs.handle_taken(state);
    }

    /// A blob that the gateway wants has gone: it was settled by another answer.
    pub fn handle_blob_gone(&mut self, sha256: Sha256) {
        self.blobs.handle_taken(BlobState { sha256, held: 0, complete: true });
    }

    fn succeed(&mut self, ticket: Ticket, now_ms: u64) {
        self.stopped = None;
        let before = self.gateways.current();
        self.gateways.handle_answer(ticket.gateway);
        if self.gateways.current() != before {
            self.acquit();
        }
        self.track(ticket.slot).succeed(now_ms);
    }

    /// Something on this side failed before a request could be made. `chance` is uniform in 0..1.
    pub fn handle_local_failure(&mut self, slot: Slot, why: &str, now_ms: u64, chance: f64) {
        let track = self.track(slot);
        let backoff_ms = track.backoff.handle_failure(now_ms, chance);
        track.state = State::Waiting { until_ms: now_ms + backoff_ms, why: why.to_owned() };
        self.poison = None;
    }

    /// What it is doing, for people.
    #[must_use]
    pub fn health(&self) -> UplinkHealth {
        let any = |is: fn(&State) -> bool| is(&self.urgent.state) || is(&self.bulk.state);
        if self.stopped.is_some() {
            UplinkHealth::Stopped
        } else if any(|state| matches!(state, State::Waiting { .. })) {
            UplinkHealth::Waiting
        } else if any(|state| *state == State::Sending) {
            UplinkHealth::Sending
        } else {
            UplinkHealth::Idle
        }
    }

    /// Why it does not send, and until when.
    #[must_use]
    pub fn obstacle(&self) -> Option<(&str, u64)> {
        if let Some(stopped) = &self.stopped {
            return Some((&stopped.why, stopped.until_ms));
        }
        [&self.urgent.state, &self.bulk.state].into_iter().find_map(|state| match state {
            State::Waiting { until_ms, why } => Some((why.as_str(), *until_ms)),
            State::Idle | State::Sending => None,
        })
    }

    /// When the last receipt came, milliseconds on the monotonic clock.
    #[must_use]
    pub const fn last_receipt_ms(&self) -> Option<u64> {
        self.last_receipt_ms
    }

    /// Failures in a row, of the slot that has more.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.urgent.backoff.in_a_row().max(self.bulk.backoff.in_a_row())
    }

    /// Which gateway is in use, and what each complained of last.
    #[must_use]
    pub const fn gateways(&self) -> &Gateways {
        &self.gateways
    }

    /// What was sent today, and what waits because of the link.
    #[must_use]
    pub const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Photos whose parts the gateway refused, which rest.
    #[must_use]
    pub const fn blobs_resting(&self) -> usize {
        self.blobs.resting()
    }
}

#[cfg(test)]
mod tests;
