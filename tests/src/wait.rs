//! Waiting for what other processes do.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(20);

/// Waits until `condition` gives something; panics, naming `what`, when it has not within `limit`.
///
/// # Panics
/// When the time is up.
pub fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = now() + limit;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(now() < deadline, "waited {limit:?} in vain for {what}");
        pause(EVERY);
    }
}

/// As [`until`], for a plain condition.
pub fn until_true(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    until(what, limit, || condition().then_some(()));
}

/// The monotonic clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "tests of other processes live in real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Lets other processes work for a while.
#[expect(clippy::disallowed_methods, reason = "tests of other processes live in real time")]
pub fn pause(length: Duration) {
    std::thread::sleep(length);
}
