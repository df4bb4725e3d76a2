//! What to send, when, and why not: the uplink's decisions, without any I/O.
//!
//! Promise: one request is under way at a time; after a failure the wait grows with full jitter and shrinks again only
//! once the link has been stable; a gateway that will not have this device stops the sending with one clear reason, and
//! is asked again only now and then. Nothing here forgets a record: what was not covered by a receipt is offered again.

pub mod backoff;
pub mod classify;
pub mod client;
pub mod outgoing;
pub mod sent;

use milepost_proto::uplink::BlobState;
use milepost_proto::{Sha256, UplinkAnswer};

use backoff::Backoff;
pub use classify::SendFailure;

use crate::status::UplinkHealth;

/// Bytes of chunk bodies in one request, before compression.
const REQUEST_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Below this a request is never halved any more.
const REQUEST_BYTES_MIN: usize = 4 * 1024;
/// How long to wait before asking a gateway again that will not have this device, milliseconds.
const STOPPED_MS: u64 = 60_000;

/// When to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UplinkPolicy {
    /// Telemetry alone is gathered this long before it is sent, milliseconds.
    pub gather_ms: u64,
    /// A request without records is made after this long, milliseconds.
    pub heartbeat_ms: u64,
    /// Longest wait after failures, milliseconds.
    pub retry_ms_max: u64,
}

/// What waits in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Anything in the evidence or event lane.
    pub urgent: bool,
    /// Anything in the telemetry lane.
    pub telemetry: bool,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Make a request with whatever waits, or with nothing.
    Request,
    /// Send the part of a blob that begins at this offset.
    BlobPart(Sha256, u64),
    /// Nothing before this time, milliseconds on the monotonic clock; absent while a request is under way.
    Wait(Option<u64>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Idle,
    Sending,
    Waiting { until_ms: u64, why: String },
    Stopped { until_ms: u64, why: String },
}

/// The uplink's state.
#[derive(Debug)]
pub struct Uplink {
    policy: UplinkPolicy,
    state: State,
    backoff: Backoff,
    /// When the last request was made; absent before the first.
    last_request_ms: Option<u64>,
    last_receipt_ms: Option<u64>,
    /// More waited than the last request could carry.
    more: bool,
    request_bytes: usize,
    live_from: u64,
    blobs_wanted: Vec<BlobState>,
}

impl Uplink {
    /// An uplink that has not sent anything.
    #[must_use]
    pub const fn new(policy: UplinkPolicy) -> Self {
        Self {
            policy,
            state: State::Idle,
            backoff: Backoff::new(policy.retry_ms_max),
            last_request_ms: None,
            last_receipt_ms: None,
            more: false,
            request_bytes: REQUEST_BYTES_MAX,
            live_from: u64::MAX,
            blobs_wanted: Vec::new(),
        }
    }

    /// What to do at `now_ms`.
    #[must_use]
    pub fn poll(&self, waiting: Waiting, now_ms: u64) -> Action {
        match &self.state {
            State::Sending => Action::Wait(None),
            State::Waiting { until_ms, .. } | State::Stopped { until_ms, .. } if now_ms < *until_ms => {
                Action::Wait(Some(*until_ms))
            }
            State::Waiting { .. } | State::Stopped { .. } => Action::Request,
            State::Idle if waiting.urgent || self.more => Action::Request,
            State::Idle => match self.blobs_wanted.first() {
                Some(blob) => Action::BlobPart(blob.sha256, blob.held),
                None => self.poll_unhurried(waiting, now_ms),
            },
        }
    }

    fn poll_unhurried(&self, waiting: Waiting, now_ms: u64) -> Action {
        let pause_ms = if waiting.telemetry { self.policy.gather_ms } else { self.policy.heartbeat_ms };
        match self.last_request_ms.map(|last_ms| last_ms + pause_ms) {
            Some(due_ms) if now_ms < due_ms => Action::Wait(Some(due_ms)),
            _ => Action::Request,
        }
    }

    /// How much the next request may offer.
    #[must_use]
    pub const fn offer_limits(&self) -> crate::spool::OfferLimits {
        crate::spool::OfferLimits { bytes_max: self.request_bytes, live_from: self.live_from }
    }

    /// The next request does not fit the wire: it is made smaller, without a wait as long as that is possible. `chance` is
    /// uniform in 0..1.
    pub fn handle_oversize(&mut self, now_ms: u64, chance: f64) {
        if self.request_bytes > REQUEST_BYTES_MIN {
            self.request_bytes = (self.request_bytes / 2).max(REQUEST_BYTES_MIN);
        } else {
            self.handle_failure(&SendFailure::TooLarge, now_ms, chance);
        }
    }

    /// A request was sent; `more` waits than it carries, and telemetry's present begins at `live_from`.
    pub fn handle_requested(&mut self, more: bool, live_from: u64, now_ms: u64) {
        self.state = State::Sending;
        self.last_request_ms = Some(now_ms);
        self.more = more;
        self.live_from = live_from;
    }

    /// Part of a blob was sent.
    pub fn handle_part_sent(&mut self) {
        self.state = State::Sending;
    }

    /// The gateway answered a request.
    pub fn handle_answer(&mut self, answer: &UplinkAnswer, now_ms: u64) {
        self.succeed(now_ms);
        if !answer.receipts.is_empty() {
            self.last_receipt_ms = Some(now_ms);
        }
        self.request_bytes = (self.request_bytes * 2).min(REQUEST_BYTES_MAX);
        self.blobs_wanted = answer.blobs.iter().copied().filter(|blob| !blob.complete).collect();
    }

    /// The gateway answered the part of a blob that began at `offset`. If it then holds no more than before, sending on
    /// would go on for ever; `chance` is uniform in 0..1.
    pub fn handle_part_taken(&mut self, state: BlobState, offset: u64, now_ms: u64, chance: f64) {
        if !state.complete && state.held <= offset {
            let why = format!("it holds no more of blob {} after another part of it", state.sha256);
            return self.handle_failure(&SendFailure::Broken { why }, now_ms, chance);
        }
        self.succeed(now_ms);
        self.blobs_wanted.retain(|wanted| wanted.sha256 != state.sha256);
        if !state.complete {
            self.blobs_wanted.insert(0, state);
        }
    }

    fn succeed(&mut self, now_ms: u64) {
        self.state = State::Idle;
        self.backoff.handle_success(now_ms);
    }

    /// A request brought no answer. `chance` is uniform in 0..1.
    pub fn handle_failure(&mut self, failure: &SendFailure, now_ms: u64, chance: f64) {
        let backoff_ms = self.backoff.handle_failure(now_ms, chance);
        let why = failure.to_string();
        // After an outage the newest chunk is the present, whatever was the present before it.
        self.live_from = u64::MAX;
        self.more = false;
        self.blobs_wanted.clear();
        self.state = match failure {
            SendFailure::Denied { .. } | SendFailure::Unreadable { .. } => {
                State::Stopped { until_ms: now_ms + STOPPED_MS, why }
            }
            SendFailure::TooLarge => {
                self.request_bytes = (self.request_bytes / 2).max(REQUEST_BYTES_MIN);
                State::Waiting { until_ms: now_ms + backoff_ms, why }
            }
            SendFailure::Busy { retry_after_ms } => {
                State::Waiting { until_ms: now_ms + (*retry_after_ms).max(backoff_ms), why }
            }
            SendFailure::Unreachable { .. } | SendFailure::Broken { .. } => {
                State::Waiting { until_ms: now_ms + backoff_ms, why }
            }
        };
    }

    /// What it is doing, for people.
    #[must_use]
    pub const fn health(&self) -> UplinkHealth {
        match self.state {
            State::Idle => UplinkHealth::Idle,
            State::Sending => UplinkHealth::Sending,
            State::Waiting { .. } => UplinkHealth::Waiting,
            State::Stopped { .. } => UplinkHealth::Stopped,
        }
    }

    /// Why it does not send, and until when.
    #[must_use]
    pub fn obstacle(&self) -> Option<(&str, u64)> {
        match &self.state {
            State::Waiting { until_ms, why } | State::Stopped { until_ms, why } => Some((why, *until_ms)),
            State::Idle | State::Sending => None,
        }
    }

    /// When the last receipt came, milliseconds on the monotonic clock.
    #[must_use]
    pub const fn last_receipt_ms(&self) -> Option<u64> {
        self.last_receipt_ms
    }

    /// Failures in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.backoff.in_a_row()
    }
}

#[cfg(test)]
mod tests {
    use milepost_proto::{Lane, Receipt, SpoolId};

    use super::*;

    const POLICY: UplinkPolicy = UplinkPolicy { gather_ms: 5_000, heartbeat_ms: 30_000, retry_ms_max: 60_000 };
    const NOTHING: Waiting = Waiting { urgent: false, telemetry: false };
    const TELEMETRY: Waiting = Waiting { urgent: false, telemetry: true };
    const URGENT: Waiting = Waiting { urgent: true, telemetry: true };

    fn answer() -> UplinkAnswer {
        let receipt = Receipt {
            spool_id: SpoolId([0; 16]),
            lane: Lane::Event,
            through: 1,
            accepted: Vec::new(),
            refused: Vec::new(),
        };
        UplinkAnswer { receipts: vec![receipt], down_link: Vec::new(), blobs: Vec::new() }
    }

    fn idle_since(now_ms: u64) -> Uplink {
        let mut uplink = Uplink::new(POLICY);
        uplink.handle_requested(false, 1, now_ms);
        uplink.handle_answer(&answer(), now_ms);
        uplink
    }

    fn unreachable() -> SendFailure {
        SendFailure::Unreachable { why: "no route".to_owned() }
    }

    #[test]
    fn evidence_goes_at_once_telemetry_gathers_and_silence_ends_in_a_heartbeat() {
        let uplink = idle_since(1_000);
        assert_eq!(uplink.poll(URGENT, 1_001), Action::Request);
        assert_eq!(uplink.poll(TELEMETRY, 1_001), Action::Wait(Some(6_000)));
        assert_eq!(uplink.poll(TELEMETRY, 6_000), Action::Request);
        assert_eq!(uplink.poll(NOTHING, 6_000), Action::Wait(Some(31_000)));
        assert_eq!(uplink.poll(NOTHING, 31_000), Action::Request);
    }

    #[test]
    fn one_request_at_a_time_and_a_backlog_without_pauses() {
        let mut uplink = idle_since(0);
        uplink.handle_requested(true, 1, 10);
        assert_eq!(uplink.poll(URGENT, 99_999), Action::Wait(None));
        uplink.handle_answer(&answer(), 20);
        assert_eq!(uplink.poll(TELEMETRY, 20), Action::Request);
    }

    #[test]
    fn a_failure_waits_and_makes_the_newest_chunk_the_present() {
        let mut uplink = idle_since(0);
        uplink.handle_requested(false, 7, 10);
        assert_eq!(uplink.offer_limits().live_from, 7);
        uplink.handle_failure(&unreachable(), 20, 0.5);
        assert_eq!(uplink.offer_limits().live_from, u64::MAX);
        let Action::Wait(Some(until_ms)) = uplink.poll(URGENT, 20) else { panic!("does not wait") };
        assert_eq!(uplink.poll(URGENT, until_ms), Action::Request);
        assert_eq!(uplink.health(), UplinkHealth::Waiting);
    }

    #[test]
    fn a_gateway_that_will_not_have_us_is_asked_again_only_now_and_then() {
        let mut uplink = idle_since(0);
        uplink.handle_failure(&SendFailure::Denied { why: "revoked".to_owned() }, 1_000, 0.0);
        assert_eq!(uplink.health(), UplinkHealth::Stopped);
        assert_eq!(uplink.poll(URGENT, 1_001), Action::Wait(Some(61_000)));
        assert!(uplink.obstacle().expect("an obstacle").0.contains("revoked"));
    }

    #[test]
    fn too_large_halves_and_success_grows_again() {
        let mut uplink = idle_since(0);
        let full = uplink.offer_limits().bytes_max;
        uplink.handle_failure(&SendFailure::TooLarge, 0, 0.0);
        assert_eq!(uplink.offer_limits().bytes_max, full / 2);
        for _ in 0..40 {
            uplink.handle_failure(&SendFailure::TooLarge, 0, 0.0);
        }
        assert_eq!(uplink.offer_limits().bytes_max, REQUEST_BYTES_MIN);
        uplink.handle_answer(&answer(), 0);
        assert_eq!(uplink.offer_limits().bytes_max, REQUEST_BYTES_MIN * 2);
    }

    #[test]
    fn a_request_that_does_not_fit_shrinks_at_once_and_waits_when_it_cannot() {
        let mut uplink = idle_since(0);
        while uplink.offer_limits().bytes_max > REQUEST_BYTES_MIN {
            uplink.handle_oversize(0, 0.5);
            assert_eq!((uplink.poll(URGENT, 0), uplink.failures()), (Action::Request, 0));
        }
        uplink.handle_oversize(0, 0.5);
        assert_eq!(uplink.poll(URGENT, 0), Action::Wait(Some(500)));
    }

    #[test]
    fn wanted_blobs_are_sent_from_where_the_gateway_left_off() {
        let mut uplink = idle_since(0);
        let sha256 = Sha256::of(b"photo");
        let blobs = vec![BlobState { sha256, held: 100, complete: false }];
        uplink.handle_answer(&UplinkAnswer { blobs, ..answer() }, 0);
        assert_eq!(uplink.poll(NOTHING, 0), Action::BlobPart(sha256, 100));
        assert_eq!(uplink.poll(URGENT, 0), Action::Request, "records before photos");
        uplink.handle_part_taken(BlobState { sha256, held: 200, complete: false }, 100, 1, 0.5);
        assert_eq!(uplink.poll(NOTHING, 1), Action::BlobPart(sha256, 200));
        uplink.handle_part_taken(BlobState { sha256, held: 300, complete: true }, 200, 2, 0.5);
        assert!(matches!(uplink.poll(NOTHING, 2), Action::Wait(Some(_))));
    }

    #[test]
    fn a_gateway_that_takes_nothing_of_a_blob_is_not_sent_it_without_pause() {
        let mut uplink = idle_since(0);
        let sha256 = Sha256::of(b"photo");
        let blobs = vec![BlobState { sha256, held: 100, complete: false }];
        uplink.handle_answer(&UplinkAnswer { blobs, ..answer() }, 0);
        uplink.handle_part_taken(BlobState { sha256, held: 0, complete: false }, 100, 1, 0.5);
        assert_eq!(uplink.health(), UplinkHealth::Waiting);
        assert!(matches!(uplink.poll(NOTHING, 1), Action::Wait(Some(_))));
    }
}
