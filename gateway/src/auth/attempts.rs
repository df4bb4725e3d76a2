//! How often somebody may try a password.
//!
//! Promise: whatever is tried, one name gets [`NAME_BURST_MAX`] quick tries and then one each [`NAME_PERIOD_S`] seconds,
//! one address four times as much, and everybody together a bounded number, because each try costs memory and time.
//! The book of who tried is bounded too: when it is full of recent tries, new names and addresses wait.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::{NotUntil, Quota, RateLimiter};
use milepost_proto::Timestamp;

/// Quick tries per name.
pub const NAME_BURST_MAX: u32 = 5;
/// After those, seconds between tries per name.
pub const NAME_PERIOD_S: u64 = 30;
/// Most names and most addresses remembered at once.
pub const BOOK_ENTRIES_MAX: usize = 10_000;

/// Tells the time; shells pass [`crate::clock::now`].
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

type Limiter = RateLimiter<String, HashMapStateStore<String>, PassedTime, NoOpMiddleware<Nanos>>;

/// The book of recent tries.
pub struct Attempts {
    clock: PassedTime,
    by_name: Limiter,
    by_address: Limiter,
    by_anyone: Limiter,
}

impl Attempts {
    /// An empty book.
    #[must_use]
    pub fn new(clock: &Clock) -> Self {
        let limiter = |burst: u32, period: Duration| {
            let quota = Quota::with_period(period).unwrap_or(Quota::per_minute(NonZeroU32::MIN));
            let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
            Limiter::new(quota.allow_burst(burst), HashMapStateStore::default(), PassedTime(clock.clone()))
        };
        let name_period = Duration::from_secs(NAME_PERIOD_S);
        Self {
            clock: PassedTime(clock.clone()),
            by_name: limiter(NAME_BURST_MAX, name_period),
            by_address: limiter(NAME_BURST_MAX * 4, name_period / 4),
            by_anyone: limiter(NAME_BURST_MAX * 20, name_period / 20),
        }
    }

    /// Notes a try.
    ///
    /// # Errors
    /// The seconds to wait when it must not be looked at.
    pub fn note(&self, name: &str, address: &str) -> Result<(), u64> {
        let now = self.clock.now();
        check(&self.by_address, address, now)?;
        check(&self.by_name, name, now)?;
        check(&self.by_anyone, "", now)
    }
}

fn check(limiter: &Limiter, key: &str, now: Nanos) -> Result<(), u64> {
    if limiter.len() >= BOOK_ENTRIES_MAX {
        limiter.retain_recent();
        if limiter.len() >= BOOK_ENTRIES_MAX {
            return Err(NAME_PERIOD_S);
        }
    }
    limiter.check_key(&key.to_owned()).map_err(|until: NotUntil<Nanos>| until.wait_time_from(now).as_secs() + 1)
}

/// Time passed in, as the limiter wants it.
#[derive(Clone)]
struct PassedTime(Clock);

impl GovernorClock for PassedTime {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let millis = u64::try_from((self.0)().as_millis()).unwrap_or(0);
        Nanos::from(Duration::from_millis(millis))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    fn book() -> (Attempts, Arc<AtomicI64>) {
        let millis = Arc::new(AtomicI64::new(1_700_000_000_000));
        let hand = millis.clone();
        let clock: Clock = Arc::new(move || Timestamp::from_millis(hand.load(Ordering::SeqCst)));
        (Attempts::new(&clock), millis)
    }

    #[test]
    fn a_name_is_slowed_from_wherever_it_is_tried() {
        let (attempts, millis) = book();
        for address in 0..NAME_BURST_MAX {
            assert_eq!(attempts.note("north/ada", &address.to_string()), Ok(()));
        }
        let wait_s = attempts.note("north/ada", "elsewhere").expect_err("slowed");
        assert!((1..=NAME_PERIOD_S + 1).contains(&wait_s), "{wait_s}");
        assert_eq!(attempts.note("north/ben", "elsewhere"), Ok(()));
        millis.fetch_add(i64::try_from(wait_s * 1000).expect("small"), Ordering::SeqCst);
        assert_eq!(attempts.note("north/ada", "elsewhere"), Ok(()));
    }

    #[test]
    fn an_address_is_slowed_whatever_names_it_tries() {
        let (attempts, _) = book();
        let tried = (0..100).filter(|name| attempts.note(&name.to_string(), "10.0.0.9").is_ok()).count();
        assert_eq!(tried, NAME_BURST_MAX as usize * 4);
    }

    #[test]
    fn everybody_together_is_bounded() {
        let (attempts, _) = book();
        let tried = (0..1000).filter(|n: &u32| attempts.note(&n.to_string(), &n.to_string()).is_ok()).count();
        assert_eq!(tried, NAME_BURST_MAX as usize * 20);
    }
}
