//! What a failure leads to: a smaller request, a wait, another gateway, or a stop.
//!
//! Promise: every kind of [`SendFailure`] is dealt with in one match; whatever it is, no record is let go of.

use super::gateways::Turn;
use super::narrowing::Narrowed;
use super::slot::{Cargo, State};
use super::{SendFailure, Stopped, Ticket, Uplink, blob_queue};

/// How long to wait before asking again when no gateway will have this device, milliseconds.
const STOPPED_MS: u64 = 60_000;
/// How long a chunk that was refused alone waits for its next trial, milliseconds; up to twice that.
const ALONE_MS: u64 = 1_000;

impl Uplink {
    /// A request brought no answer, or none that helps. `chance` is uniform in 0..1.
    pub fn handle_failure(&mut self, ticket: Ticket, failure: &SendFailure, now_ms: u64, chance: f64) {
        match failure {
            SendFailure::Refused { .. } | SendFailure::TooLarge | SendFailure::Uncovered => {
                self.handle_refused(ticket, failure, now_ms, chance);
            }
            SendFailure::Denied { .. } | SendFailure::Outdated { .. } | SendFailure::NoGateway { .. } => {
                self.turn(ticket, &failure.to_string(), true, 0, now_ms, chance);
            }
            SendFailure::Busy { retry_after_ms } => {
                self.turn(ticket, &failure.to_string(), false, *retry_after_ms, now_ms, chance);
            }
            SendFailure::Unreachable { .. } | SendFailure::Broken { .. } => {
                let track = self.track(ticket.slot);
                track.narrowing.handle_link_failure(track.load);
                self.turn(ticket, &failure.to_string(), false, 0, now_ms, chance);
            }
        }
    }

    /// Something in the request is at fault, or the gateway is.
    fn handle_refused(&mut self, ticket: Ticket, failure: &SendFailure, now_ms: u64, chance: f64) {
        let why = failure.to_string();
        let track = self.track(ticket.slot);
        match track.cargo {
            Cargo::BlobPart(sha256) => {
                track.state = State::Waiting { until_ms: now_ms, why };
                return self.blobs.handle_refused(sha256, now_ms);
            }
            Cargo::Salvaged => {
                track.state = State::Waiting { until_ms: now_ms, why };
                self.salvage_rests_until_ms = now_ms + blob_queue::REST_MS;
                return;
            }
            Cargo::Urgent | Cargo::Telemetry | Cargo::Nothing => {}
        }
        let load = track.load;
        let pause_ms = match track.narrowing.handle_refused(load, &why) {
            Narrowed::Nothing => {
                self.acquit();
                let why = format!("it refuses even a request without records: {why}");
                return self.turn(ticket, &why, true, 0, now_ms, chance);
            }
            // An answer that says nothing may be a passing fault of the gateway, which haste does not mend.
            _ if *failure == SendFailure::Uncovered => track.backoff.handle_failure(now_ms, chance),
            Narrowed::Smaller | Narrowed::Ask => 0,
            Narrowed::Alone => ALONE_MS + share(ALONE_MS, chance),
        };
        track.state = State::Waiting { until_ms: now_ms + pause_ms, why };
    }

    /// The gateway, or the way to it, failed: waits, turns to the next gateway, or stops.
    fn turn(&mut self, ticket: Ticket, why: &str, is_final: bool, wait_ms: u64, now_ms: u64, chance: f64) {
        // After an outage the newest chunk is the present, whatever was the present before it.
        self.live_from = u64::MAX;
        self.blobs.forget();
        let asked_whether_it_is_back = ticket.gateway != self.gateways.current();
        let turn = self.gateways.handle_failure(ticket.gateway, why, is_final, now_ms, chance);
        let track = self.track(ticket.slot);
        track.more = false;
        if asked_whether_it_is_back {
            track.state = State::Waiting { until_ms: now_ms, why: why.to_owned() };
            return;
        }
        let backoff_ms = track.backoff.handle_failure(now_ms, chance);
        let pause_ms = if turn == Turn::Next { 0 } else { backoff_ms.max(wait_ms) };
        track.state = State::Waiting { until_ms: now_ms + pause_ms, why: why.to_owned() };
        match turn {
            Turn::Stay => {}
            Turn::Next | Turn::Around => self.acquit(),
            Turn::Hopeless => {
                self.acquit();
                self.stopped = Some(Stopped { until_ms: now_ms + STOPPED_MS, why: why.to_owned() });
            }
        }
    }

    /// Another gateway, or none: what the last one refused is not suspected any more.
    pub(super) fn acquit(&mut self) {
        self.urgent.narrowing.acquit();
        self.bulk.narrowing.acquit();
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a second, in milliseconds"
)]
fn share(of_ms: u64, chance: f64) -> u64 {
    (of_ms as f64 * chance.clamp(0.0, 1.0)) as u64
}
