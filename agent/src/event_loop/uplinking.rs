//! Carrying out what the uplink decides: building requests, settling answers.

use milepost_proto::uplink::{BLOB_PART_BYTES_MAX, BlobOffer, BlobState};
use milepost_proto::{
    Batch, BootId, Lane, Reading, Receipt, SpoolId, TimeSource, Timestamp, UplinkAnswer, UplinkRequest, wire,
};
use tracing::{error, warn};

use super::EventLoop;
use crate::clock::Clock;
use crate::event::Uplinked;
use crate::spool::{Scope, Settled, SpoolError};
use crate::uplink::budget::Tally;
use crate::uplink::link_file::LinkFile;
use crate::uplink::narrowing::{Load, Poison};
use crate::uplink::outgoing::{Carrier, Outgoing, Parcel};
use crate::uplink::sent::Sent;
use crate::uplink::{Action, Cargo, SendFailure, Slot, Ticket, Waiting};

/// How long a source may take from the event to its observation, milliseconds: the low-water mark stays this far behind.
const SOURCE_LATENCY_MS: f64 = 2_000.0;
/// How often what was sent today is kept, milliseconds: what a power cut makes free of charge.
const TALLY_EVERY_MS: u64 = 60_000;

/// Requests and what came of them.
pub(super) struct Traffic {
    carrier: Carrier,
    spool_id: SpoolId,
    boot_id: BootId,
    /// What the requests under way carry.
    sent_urgent: Sent,
    sent_bulk: Sent,
    pub(super) link_file: LinkFile,
    kept_tally: Tally,
    kept_ms: u64,
    pub(super) settled: u64,
    pub(super) refused: u64,
    pub(super) set_aside: u64,
    pub(super) sent_bytes: u64,
    pub(super) requests: u64,
}

impl Traffic {
    pub(super) fn new(carrier: Carrier, spool_id: SpoolId, boot_id: BootId, link_file: LinkFile) -> Self {
        Self {
            carrier,
            spool_id,
            boot_id,
            sent_urgent: Sent::default(),
            sent_bulk: Sent::default(),
            link_file,
            kept_tally: Tally::default(),
            kept_ms: 0,
            settled: 0,
            refused: 0,
            set_aside: 0,
            sent_bytes: 0,
            requests: 0,
        }
    }

    const fn sent(&mut self, slot: Slot) -> &mut Sent {
        match slot {
            Slot::Urgent => &mut self.sent_urgent,
            Slot::Bulk => &mut self.sent_bulk,
        }
    }

    fn send(&mut self, ticket: Ticket, parcel: Parcel) {
        self.requests += 1;
        self.sent_bytes += parcel.bytes() as u64;
        (self.carrier)(Outgoing { ticket, parcel });
    }
}

/// Chunks for a request, and how things stand without them.
struct Offered {
    spool_id: SpoolId,
    batches: Vec<Batch>,
    /// Whether more of the same kind waits.
    more: bool,
    /// The low-water mark that goes with them.
    mark: Option<Timestamp>,
    /// Where telemetry's present begins.
    live_from: Option<u64>,
}

impl EventLoop {
    /// When the uplink wants to act next, milliseconds on the monotonic clock.
    pub(super) fn next_send_ms(&self, now_ms: u64) -> Option<u64> {
        match self.uplink.poll(self.waiting(), now_ms) {
            Action::Wait(until_ms) => until_ms,
            Action::Request(..) | Action::BlobPart(..) | Action::Quarantine(_) => Some(now_ms),
        }
    }

    /// Does what the uplink wants now, if anything.
    pub(super) async fn send_if_due(&mut self) {
        match self.uplink.poll(self.waiting(), self.clock.monotonic_ms()) {
            Action::Wait(_) => {}
            Action::Request(ticket, cargo) => self.send_request(ticket, cargo).await,
            Action::BlobPart(ticket, blob, offset) => self.send_part(ticket, blob, offset).await,
            Action::Quarantine(poison) => self.quarantine(poison).await,
        }
    }

    /// Goes on from what was sent today before a restart.
    pub(super) async fn restore_tally(&mut self) {
        match self.spool.tally().await {
            Ok(tally) => {
                self.traffic.kept_tally = tally;
                self.uplink.restore(tally);
            }
            Err(error) => warn!("what was sent today before this start is not known: {error}"),
        }
    }

    /// A second has passed: tells the uplink the time and the link, and keeps what was sent.
    pub(super) async fn handle_uplink_time(&mut self) {
        let now_ms = self.clock.monotonic_ms();
        let link = self.traffic.link_file.class(now_ms);
        let (now, quality) = self.clock.wall();
        let vouched = (quality.error_ms < u32::MAX).then_some(now);
        self.uplink.handle_time(vouched, &self.measure.blobs, link);
        if now_ms.saturating_sub(self.traffic.kept_ms) >= TALLY_EVERY_MS {
            self.traffic.kept_ms = now_ms;
            self.keep_tally().await;
        }
    }

    /// Keeps what was sent today, where it decides anything.
    pub(super) async fn keep_tally(&mut self) {
        let tally = self.uplink.budget().tally();
        if !self.config.gateway.budget.holds_anything() || tally == self.traffic.kept_tally {
            return;
        }
        match self.spool.keep_tally(tally).await {
            Ok(()) => self.traffic.kept_tally = tally,
            Err(error) => warn!("what was sent today was not kept: {error}"),
        }
    }

    /// Everything that sources said so far is in the recorder's memory or in the spool.
    pub fn handle_caught_up(&mut self) {
        // The mark must not pass what a clock set just now dates, before that is recorded.
        self.note_clock();
        let has_receiver = self.config.sources.iter().any(|source| source.kind.is_receiver());
        self.idle_mark = idle_mark(&self.clock, has_receiver);
    }

    fn waiting(&self) -> Waiting {
        let urgent = self.waits(Lane::Evidence) || self.waits(Lane::Event);
        Waiting { urgent, telemetry: self.waits(Lane::Telemetry), salvaged: self.measure.oldest_salvaged.is_some() }
    }

    async fn send_request(&mut self, ticket: Ticket, cargo: Cargo) {
        let now_ms = self.clock.monotonic_ms();
        let offered = match self.offer(ticket.slot, cargo).await {
            Ok(offered) => offered,
            Err(error) => {
                return self.handle_local_failure(ticket.slot, &format!("the spool could not be read: {error}"));
            }
        };
        let load = if cargo == Cargo::Salvaged { Load::default() } else { Load::of(&offered.batches) };
        let request = UplinkRequest {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            spool_id: offered.spool_id,
            boot_id: self.traffic.boot_id,
            monotonic_ms: now_ms,
            low_water_mark: offered.mark,
            batches: offered.batches,
            down_link_held: self.trip.held(),
            blob_offers: self.uplink.offer_blobs(&self.measure.blobs, now_ms),
        };
        match wire::encode_request(&request) {
            Ok(envelope) => {
                *self.traffic.sent(ticket.slot) = Sent::of(&request.batches);
                if let Some(live_from) = offered.live_from {
                    self.uplink.handle_live_from(live_from);
                }
                self.uplink.handle_requested(ticket, cargo, load, offered.more, envelope.len(), now_ms);
                self.traffic.send(ticket, Parcel::Request { spool_id: request.spool_id, envelope });
            }
            Err(fault) if load.chunks > 0 => {
                self.uplink.handle_unsendable(ticket.slot, load, &fault.to_string());
            }
            Err(fault) => {
                self.handle_local_failure(ticket.slot, &format!("a request could not be encoded: {fault}"));
            }
        }
    }

    async fn offer(&mut self, slot: Slot, cargo: Cargo) -> Result<Offered, SpoolError> {
        let limits = self.uplink.offer_limits(slot);
        let scope = match cargo {
            Cargo::Urgent => Scope::Urgent,
            Cargo::Telemetry => Scope::Telemetry,
            Cargo::Nothing | Cargo::BlobPart(_) => Scope::Nothing,
            Cargo::Salvaged => {
                let salvaged = self.spool.offer_salvaged(limits.bytes_max).await?;
                let (spool_id, batches) = salvaged
                    .map_or((self.traffic.spool_id, Vec::new()), |salvaged| (salvaged.spool_id, salvaged.batches));
                // An earlier spool says no mark: the open one waits for what was salvaged of it.
                return Ok(Offered { spool_id, batches, more: false, mark: None, live_from: None });
            }
        };
        // Before the offer: what is recorded from here on is later than this, or still in memory.
        let uncommitted = self.recorder.oldest_uncommitted();
        let offered = self.spool.offer_of(scope, limits).await?;
        let waiting = [uncommitted, offered.oldest_left, self.measure.oldest_salvaged].into_iter().flatten().min();
        Ok(Offered {
            spool_id: self.traffic.spool_id,
            batches: offered.batches,
            more: offered.more,
            mark: self.idle_mark.map(|mark| waiting.map_or(mark, |oldest| oldest.min(mark))),
            live_from: (scope == Scope::Telemetry).then_some(offered.live_from),
        })
    }

    async fn send_part(&mut self, ticket: Ticket, blob: BlobOffer, offset: u64) {
        match self.spool.blob_bytes(blob.sha256, offset, BLOB_PART_BYTES_MAX).await {
            Ok(bytes) if !bytes.is_empty() => {
                self.uplink.handle_part_sent(ticket, blob.sha256, bytes.len());
                self.traffic.send(ticket, Parcel::BlobPart { blob, offset, bytes });
            }
            Err(error) => self.handle_local_failure(ticket.slot, &format!("a photo could not be read: {error}")),
            // The blob has gone since the gateway asked for it: it was settled by another answer.
            Ok(_) => self.uplink.handle_blob_gone(blob.sha256),
        }
    }

    async fn quarantine(&mut self, poison: Poison) {
        let Poison { lane, range, ref why } = poison;
        error!("{lane} {range} is set aside, a gap takes its place: {why}");
        let slot = if lane == Lane::Telemetry { Slot::Bulk } else { Slot::Urgent };
        match self.spool.quarantine(poison, self.clock.wall().0).await {
            Ok(()) => {
                self.traffic.set_aside += range.count();
                self.uplink.handle_set_aside();
            }
            Err(error) => {
                self.handle_local_failure(slot, &format!("a refused chunk could not be set aside: {error}"));
            }
        }
        self.refresh().await;
    }

    fn handle_local_failure(&mut self, slot: Slot, why: &str) {
        error!("{why}");
        self.uplink.handle_local_failure(slot, why, self.clock.monotonic_ms(), (self.chance)());
    }

    /// Takes what came of a request.
    pub(super) async fn handle_uplinked(&mut self, ticket: Ticket, result: Result<Uplinked, SendFailure>) {
        match result {
            Ok(Uplinked::Answer(answer)) => self.handle_answer(ticket, answer).await,
            Ok(Uplinked::Part(state, offset)) => self.handle_part_taken(ticket, state, offset).await,
            Err(failure) => self.uplink.handle_failure(ticket, &failure, self.clock.monotonic_ms(), (self.chance)()),
        }
    }

    /// Settles what the gateway holds and takes what it sends down.
    async fn handle_answer(&mut self, ticket: Ticket, answer: UplinkAnswer) {
        let now_ms = self.clock.monotonic_ms();
        self.uplink.handle_answer(ticket, &answer, now_ms);
        for item in &answer.down_link {
            self.take_down_link(item).await;
        }
        let sent = std::mem::take(self.traffic.sent(ticket.slot));
        let receipts = answer.receipts.iter().map(|receipt| sent.concerning(receipt)).collect();
        let settled = self.settle(receipts, answer.blobs).await;
        match sent.obstacle(&settled) {
            Some(failure) => self.uplink.handle_failure(ticket, &failure, now_ms, (self.chance)()),
            None => self.uplink.handle_taken(ticket),
        }
        self.refresh().await;
    }

    /// Notes how much of a blob the gateway holds.
    async fn handle_part_taken(&mut self, ticket: Ticket, state: BlobState, offset: u64) {
        self.uplink.handle_part_taken(ticket, state, offset, self.clock.monotonic_ms(), (self.chance)());
        // A blob that could not be let go of is offered again.
        self.settle(Vec::new(), vec![state]).await.ok();
        self.refresh().await;
    }

    async fn take_down_link(&mut self, item: &milepost_proto::DownLinkItem) {
        let Some(taken) = self.trip.handle(item) else { return };
        if taken.is_in_use()
            && let Err(error) = self.spool.keep_down_link(item.clone()).await
        {
            warn!("{} version {} is in use but was not kept: {error}", item.id, item.version);
        }
        self.recorder.record(Reading::Health(taken.into_health(item)));
    }

    /// Lets go of what the gateway holds; what could not be let go of is offered again.
    async fn settle(&mut self, receipts: Vec<Receipt>, blobs: Vec<BlobState>) -> Result<Settled, SpoolError> {
        for refusal in receipts.iter().flat_map(|receipt| &receipt.refused) {
            error!("the gateway refused records {}: {}", refusal.range, refusal.reason);
        }
        let result = self.spool.settle(receipts, blobs).await;
        match &result {
            Ok(settled) => {
                self.traffic.settled += settled.settled;
                self.traffic.refused += settled.refused;
            }
            Err(error) => error!("a receipt could not be applied: {error}"),
        }
        result
    }
}

/// The low-water mark of a spool in which nothing waits: the clock, less its error, less what sources may still hold.
/// Absent while nobody knows the time; and a vehicle with a receiver waits for it, because an operating system's clock may
/// have been set far ahead, and what the receiver dates later would then lie before the mark.
fn idle_mark(clock: &Clock, has_receiver: bool) -> Option<Timestamp> {
    let (now, quality) = clock.wall();
    let is_known = quality.error_ms < u32::MAX && (!has_receiver || quality.source == TimeSource::Gnss);
    #[expect(clippy::cast_possible_truncation, reason = "a few seconds times a replay's speed")]
    let latency_ms = (SOURCE_LATENCY_MS * clock.speed()) as i64;
    is_known.then(|| now.plus_millis(-i64::from(quality.error_ms) - latency_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vehicle_with_a_receiver_claims_no_mark_before_its_first_dated_fix() {
        let clock = Clock::system();
        assert_eq!(idle_mark(&clock, true), None);
        assert!(idle_mark(&clock, false).is_some(), "a depot has no receiver to wait for");
        let fix = Timestamp::from_millis(1_800_000_000_000);
        clock.discipline(fix);
        let mark = idle_mark(&clock, true).expect("a mark");
        assert!((-60_000..=-3_000).contains(&mark.millis_since(clock.wall().0)), "{mark}");
    }
}
