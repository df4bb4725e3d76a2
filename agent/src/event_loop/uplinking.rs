//! Carrying out what the uplink decides: building requests, settling answers.

use milepost_proto::uplink::{BLOB_PART_BYTES_MAX, BlobState};
use milepost_proto::{
    BootId, Lane, Reading, Receipt, Sha256, SpoolId, TimeSource, Timestamp, UplinkAnswer, UplinkRequest, wire,
};
use tracing::{error, warn};

use super::EventLoop;
use crate::clock::Clock;
use crate::spool::{Settled, SpoolError};
use crate::uplink::outgoing::{Carrier, Outgoing};
use crate::uplink::sent::Sent;
use crate::uplink::{Action, SendFailure, Waiting};

/// How long a source may take from the event to its observation, milliseconds: the low-water mark stays this far behind.
const SOURCE_LATENCY_MS: f64 = 2_000.0;

/// Requests and what came of them.
pub(super) struct Traffic {
    carrier: Carrier,
    spool_id: SpoolId,
    boot_id: BootId,
    /// What the request under way carries.
    sent: Sent,
    pub(super) settled: u64,
    pub(super) refused: u64,
    pub(super) sent_bytes: u64,
    pub(super) requests: u64,
}

impl Traffic {
    pub(super) fn new(carrier: Carrier, spool_id: SpoolId, boot_id: BootId) -> Self {
        let sent = Sent::default();
        Self { carrier, spool_id, boot_id, sent, settled: 0, refused: 0, sent_bytes: 0, requests: 0 }
    }

    fn send(&mut self, outgoing: Outgoing) {
        self.requests += 1;
        self.sent_bytes += outgoing.bytes() as u64;
        (self.carrier)(outgoing);
    }
}

impl EventLoop {
    /// When the uplink wants to act next, milliseconds on the monotonic clock.
    pub(super) fn next_send_ms(&self, now_ms: u64) -> Option<u64> {
        match self.uplink.poll(self.waiting(), now_ms) {
            Action::Wait(until_ms) => until_ms,
            Action::Request | Action::BlobPart(..) => Some(now_ms),
        }
    }

    /// Does what the uplink wants now, if anything.
    pub(super) async fn send_if_due(&mut self) {
        match self.uplink.poll(self.waiting(), self.clock.monotonic_ms()) {
            Action::Wait(_) => {}
            Action::Request => self.send_request().await,
            Action::BlobPart(sha256, offset) => self.send_part(sha256, offset).await,
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
        Waiting { urgent, telemetry: self.waits(Lane::Telemetry) }
    }

    async fn send_request(&mut self) {
        // Before the offer: what is recorded from here on is later than this, or still in memory.
        let uncommitted = self.recorder.oldest_uncommitted();
        let now_ms = self.clock.monotonic_ms();
        let offered = match self.spool.offer(self.uplink.offer_limits()).await {
            Ok(offered) => offered,
            Err(error) => return self.handle_local_failure(&format!("the spool could not be read: {error}")),
        };
        let waiting = [uncommitted, offered.oldest_left].into_iter().flatten().min();
        let request = UplinkRequest {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            spool_id: self.traffic.spool_id,
            boot_id: self.traffic.boot_id,
            monotonic_ms: now_ms,
            low_water_mark: self.idle_mark.map(|mark| waiting.map_or(mark, |oldest| oldest.min(mark))),
            batches: offered.batches,
            down_link_held: self.trip.held(),
            blob_offers: self.measure.blobs.clone(),
        };
        match wire::encode_request(&request) {
            Ok(envelope) => {
                self.traffic.sent = Sent::of(&request.batches);
                self.traffic.send(Outgoing::Request { spool_id: request.spool_id, envelope });
                self.uplink.handle_requested(offered.more, offered.live_from, now_ms);
            }
            Err(wire::WireFault::TooLarge(_)) => self.uplink.handle_oversize(now_ms, (self.chance)()),
            Err(fault) => self.handle_local_failure(&format!("a request could not be encoded: {fault}")),
        }
    }

    async fn send_part(&mut self, sha256: Sha256, offset: u64) {
        let blob = self.measure.blobs.iter().copied().find(|blob| blob.sha256 == sha256);
        let bytes = self.spool.blob_bytes(sha256, offset, BLOB_PART_BYTES_MAX).await;
        match (blob, bytes) {
            (Some(blob), Ok(bytes)) if !bytes.is_empty() => {
                self.traffic.send(Outgoing::BlobPart { blob, offset, bytes });
                self.uplink.handle_part_sent();
            }
            (_, Err(error)) => self.handle_local_failure(&format!("a photo could not be read: {error}")),
            // The blob has gone since the gateway asked for it: it was settled by another answer.
            _ => {
                let gone = BlobState { sha256, held: offset, complete: true };
                self.uplink.handle_part_taken(gone, offset, self.clock.monotonic_ms(), (self.chance)());
            }
        }
    }

    fn handle_local_failure(&mut self, why: &str) {
        error!("{why}");
        let failure = SendFailure::Broken { why: why.to_owned() };
        self.uplink.handle_failure(&failure, self.clock.monotonic_ms(), (self.chance)());
    }

    /// Settles what the gateway holds and takes what it sends down.
    pub(super) async fn handle_answer(&mut self, answer: UplinkAnswer) {
        self.uplink.handle_answer(&answer, self.clock.monotonic_ms());
        for item in &answer.down_link {
            self.take_down_link(item).await;
        }
        let sent = std::mem::take(&mut self.traffic.sent);
        let receipts = answer.receipts.iter().map(|receipt| sent.concerning(receipt)).collect();
        let settled = self.settle(receipts, answer.blobs).await;
        if let Some(failure) = sent.obstacle(&settled) {
            self.uplink.handle_failure(&failure, self.clock.monotonic_ms(), (self.chance)());
        }
        self.refresh().await;
    }

    /// Notes how much of a blob the gateway holds.
    pub(super) async fn handle_part_taken(&mut self, state: BlobState, offset: u64) {
        self.uplink.handle_part_taken(state, offset, self.clock.monotonic_ms(), (self.chance)());
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
