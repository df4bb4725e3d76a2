//! Waiting after failures: exponential with full jitter, so that a fleet that lost its gateway does not return in step.
//!
//! Promise: the wait is uniform in `0..=min(max, 1 s × 2^failures)`, never 0 twice in a row for long, and the count of
//! failures is forgotten only after [`STABLE_MS`] without one, so a link that flaps does not reset it with every success.
//! (Full jitter: M. Brooker, "Exponential Backoff and Jitter", 2015.)

/// How long a link must work before its failures are forgotten, milliseconds.
pub const STABLE_MS: u64 = 30_000;
const FIRST_MS: u64 = 1_000;
const DOUBLINGS_MAX: u32 = 16;

/// How often it failed, and since when it works.
#[derive(Debug, Clone)]
pub struct Backoff {
    max_ms: u64,
    /// Since the link was last stable: what the wait grows with.
    failures: u32,
    /// Since the last success: what people are shown.
    in_a_row: u32,
    works_since_ms: Option<u64>,
}

impl Backoff {
    /// A backoff that never waits longer than `max_ms`.
    #[must_use]
    pub const fn new(max_ms: u64) -> Self {
        Self { max_ms, failures: 0, in_a_row: 0, works_since_ms: None }
    }

    /// It worked.
    pub fn handle_success(&mut self, now_ms: u64) {
        self.in_a_row = 0;
        let since_ms = *self.works_since_ms.get_or_insert(now_ms);
        if now_ms.saturating_sub(since_ms) >= STABLE_MS {
            self.failures = 0;
        }
    }

    /// It failed; gives the wait in milliseconds. `chance` is uniform in 0..1.
    pub fn handle_failure(&mut self, now_ms: u64, chance: f64) -> u64 {
        self.handle_stability(now_ms);
        let ceiling_ms = self.max_ms.min(FIRST_MS << self.failures.min(DOUBLINGS_MAX));
        self.failures = self.failures.saturating_add(1);
        self.in_a_row = self.in_a_row.saturating_add(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a wait of at most hours, in milliseconds"
        )]
        let wait_ms = (ceiling_ms as f64 * chance.clamp(0.0, 1.0)) as u64;
        wait_ms
    }

    /// Failures since the last success.
    #[must_use]
    pub const fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    fn handle_stability(&mut self, now_ms: u64) {
        if self.works_since_ms.take().is_some_and(|since_ms| now_ms.saturating_sub(since_ms) >= STABLE_MS) {
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_its_maximum() {
        let mut backoff = Backoff::new(5_000);
        let waits: Vec<u64> = (0..5).map(|_| backoff.handle_failure(0, 1.0)).collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 5_000, 5_000]);
        assert_eq!(Backoff::new(5_000).handle_failure(0, 0.25), 250);
    }

    #[test]
    fn only_a_stable_link_forgets_failures() {
        let mut backoff = Backoff::new(60_000);
        backoff.handle_failure(0, 1.0);
        backoff.handle_failure(0, 1.0);
        backoff.handle_success(1_000);
        assert_eq!(backoff.in_a_row(), 0);
        assert_eq!(backoff.handle_failure(2_000, 1.0), 4_000, "a success in between changes nothing");
        backoff.handle_success(3_000);
        backoff.handle_success(3_000 + STABLE_MS);
        assert_eq!(backoff.handle_failure(4_000 + STABLE_MS, 1.0), 1_000);
    }

    #[test]
    fn very_many_failures_do_not_overflow() {
        let mut backoff = Backoff::new(60_000);
        assert_eq!((0..1_000).map(|_| backoff.handle_failure(0, 1.0)).max(), Some(60_000));
    }
}
