//! Which photo or signature goes next, and from where.
//!
//! Promise: only what the gateway asked for is sent, from where it left off; a blob whose parts it refuses rests for
//! [`REST_MS`] while the others go on, and stays in the spool.

use milepost_proto::Sha256;
use milepost_proto::uplink::{BLOB_OFFERS_MAX, BlobOffer, BlobState};

use super::budget::Budget;

/// How long a refused blob rests, milliseconds.
pub const REST_MS: u64 = 3_600_000;
/// Most blobs that are remembered as refused.
const RESTING_MAX: usize = 64;

/// Blobs between offer and receipt.
#[derive(Debug, Clone, Default)]
pub struct BlobQueue {
    /// What the latest request offered.
    offered: Vec<BlobOffer>,
    wanted: Vec<BlobState>,
    resting: Vec<(Sha256, u64)>,
}

impl BlobQueue {
    /// Those of `waiting` that a request may offer now.
    pub fn offer(&mut self, waiting: &[BlobOffer], budget: &Budget, now_ms: u64) -> Vec<BlobOffer> {
        self.resting.retain(|(_, until_ms)| now_ms < *until_ms);
        let rests = |sha256: Sha256| self.resting.iter().any(|(resting, _)| *resting == sha256);
        let may_go = |blob: &&BlobOffer| budget.allows_blob(blob.size) && !rests(blob.sha256);
        self.offered = waiting.iter().filter(may_go).take(BLOB_OFFERS_MAX).copied().collect();
        self.offered.clone()
    }

    /// The next part to send: of which blob, and from which byte.
    #[must_use]
    pub fn next(&self, budget: &Budget) -> Option<(BlobOffer, u64)> {
        self.wanted.iter().find_map(|wanted| {
            let blob = self.offered.iter().find(|offered| offered.sha256 == wanted.sha256)?;
            budget.allows_blob(blob.size).then_some((*blob, wanted.held))
        })
    }

    /// The gateway told what it holds of what was offered.
    pub fn handle_states(&mut self, states: &[BlobState]) {
        self.wanted = states.iter().filter(|state| !state.complete).take(BLOB_OFFERS_MAX).copied().collect();
    }

    /// The gateway took a part.
    pub fn handle_taken(&mut self, state: BlobState) {
        self.wanted.retain(|wanted| wanted.sha256 != state.sha256);
        if !state.complete {
            self.wanted.insert(0, state);
        }
    }

    /// The gateway refused a part: the others go on.
    pub fn handle_refused(&mut self, sha256: Sha256, now_ms: u64) {
        self.wanted.retain(|wanted| wanted.sha256 != sha256);
        if self.resting.len() == RESTING_MAX {
            self.resting.remove(0);
        }
        self.resting.push((sha256, now_ms + REST_MS));
    }

    /// Nothing is wanted until the gateway says so again.
    pub fn forget(&mut self) {
        self.wanted.clear();
    }

    /// How many rest after a refusal.
    #[must_use]
    pub const fn resting(&self) -> usize {
        self.resting.len()
    }
}
