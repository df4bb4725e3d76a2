//! One of the two requests that may be under way at once: how it stands, and what the next one may carry.

use milepost_proto::Sha256;

use super::backoff::Backoff;
use super::narrowing::{Load, Narrowing};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// Evidence and events.
    Urgent,
    /// Telemetry, photos and requests without records.
    Bulk,
}

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cargo {
    /// Evidence and events.
    Urgent,
    /// Telemetry.
    Telemetry,
    /// What was salvaged from an earlier spool.
    Salvaged,
    /// No records: it asks for news and moves the low-water mark.
    Nothing,
    /// Part of this blob.
    BlobPart(Sha256),
}

/// How a slot stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing is under way.
    Idle,
    /// A request is.
    Sending,
    /// Nothing before this time, milliseconds on the monotonic clock.
    Waiting {
        /// Until when.
        until_ms: u64,
        /// Why, in a sentence.
        why: String,
    },
}

/// A slot.
#[derive(Debug, Clone)]
pub struct Track {
    /// How it stands.
    pub state: State,
    /// Whether its last request went by the spare connection.
    pub spare: bool,
    /// What its last request carried.
    pub load: Load,
    /// What kind of request that was.
    pub cargo: Cargo,
    /// Its own waits: one request that hangs must not make the other wait.
    pub backoff: Backoff,
    /// What its next request may carry.
    pub narrowing: Narrowing,
    /// More waits than its last request could carry.
    pub more: bool,
    /// When its last request was made, milliseconds; absent before the first.
    pub last_request_ms: Option<u64>,
}

impl Track {
    /// A slot that has not sent anything and never waits longer than `retry_ms_max`.
    #[must_use]
    pub fn new(retry_ms_max: u64) -> Self {
        Self {
            state: State::Idle,
            spare: false,
            load: Load::default(),
            cargo: Cargo::Nothing,
            backoff: Backoff::new(retry_ms_max),
            narrowing: Narrowing::default(),
            more: false,
            last_request_ms: None,
        }
    }

    /// Until when nothing is to be sent; absent when something may be, `u64::MAX` while a request is under way.
    #[must_use]
    pub const fn busy_until(&self, now_ms: u64) -> Option<u64> {
        match self.state {
            State::Sending => Some(u64::MAX),
            State::Waiting { until_ms, .. } if now_ms < until_ms => Some(until_ms),
            State::Waiting { .. } | State::Idle => None,
        }
    }

    /// Whether a wait has just come to its end.
    #[must_use]
    pub const fn retries(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    /// Something left.
    pub fn handle_sent(&mut self, spare: bool, cargo: Cargo, load: Load) {
        (self.state, self.spare, self.cargo, self.load) = (State::Sending, spare, cargo, load);
    }

    /// It was answered.
    pub fn succeed(&mut self, now_ms: u64) {
        self.state = State::Idle;
        self.backoff.handle_success(now_ms);
    }
}
