//! How much one device may ask for.
//!
//! Promise: a device that asks for more than its allowance is told when to come again, before its body is read, and
//! nobody else notices. Only devices that were let in are remembered, so strangers cannot make this grow; one that was
//! silent long enough to have its whole allowance again is forgotten.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use milepost_proto::{DeviceId, FleetId};

use super::peer::Peer;
use crate::config::LimitsSection;

/// Devices remembered before those with a whole allowance are forgotten.
const REMEMBERED_MAX: usize = 16_384;

type Sender = (FleetId, DeviceId);
type Limiter<C> = RateLimiter<Sender, DashMapStateStore<Sender>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// The allowances of all devices.
pub struct Allowances<C: Clock = DefaultClock> {
    requests: Limiter<C>,
    bytes: Limiter<C>,
    clock: C,
}

impl Allowances<DefaultClock> {
    /// Allowances by `limits`.
    #[must_use]
    pub fn new(limits: &LimitsSection) -> Self {
        Self::with_clock(limits, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Allowances<C> {
    fn with_clock(limits: &LimitsSection, clock: C) -> Self {
        let quota = |per_s, burst| Quota::per_second(at_least_one(per_s)).allow_burst(at_least_one(burst));
        let limiter = |quota| RateLimiter::new(quota, DashMapStateStore::default(), clock.clone());
        Self {
            requests: limiter(quota(limits.requests_per_s, limits.requests_burst)),
            bytes: limiter(quota(limits.bytes_per_s, limits.bytes_burst)),
            clock: clock.clone(),
        }
    }

    /// Takes one request with a body of `bytes` from the allowance of `peer`.
    ///
    /// # Errors
    /// After how long there is enough again.
    pub fn take(&self, peer: &Peer, bytes: usize) -> Result<(), Duration> {
        if self.requests.len() > REMEMBERED_MAX {
            self.requests.retain_recent();
            self.bytes.retain_recent();
        }
        let sender = (peer.fleet_id.clone(), peer.device_id.clone());
        let wait = |at: governor::NotUntil<C::Instant>| at.wait_time_from(self.clock.now());
        self.requests.check_key(&sender).map_err(wait)?;
        let bytes = at_least_one(u32::try_from(bytes).unwrap_or(u32::MAX));
        // A body beyond the burst is beyond every body's bound too: it is refused for its size when it is read.
        self.bytes.check_key_n(&sender, bytes).unwrap_or(Ok(())).map_err(wait)
    }
}

const fn at_least_one(count: u32) -> NonZeroU32 {
    match NonZeroU32::new(count) {
        Some(count) => count,
        None => NonZeroU32::MIN,
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn peer(device: &str) -> Peer {
        Peer {
            fleet_id: "north".parse().expect("a name"),
            device_id: device.parse().expect("a name"),
            public_key: Vec::new(),
            earlier_keys: Vec::new(),
        }
    }

    fn allowances(clock: &FakeRelativeClock) -> Allowances<FakeRelativeClock> {
        let limits = LimitsSection {
            requests_per_s: 2,
            requests_burst: 4,
            bytes_per_s: 1000,
            bytes_burst: 5000,
            ..LimitsSection::default()
        };
        Allowances::with_clock(&limits, clock.clone())
    }

    #[test]
    fn requests_are_allowed_in_a_burst_and_then_at_their_rate() {
        let clock = FakeRelativeClock::default();
        let allowances = allowances(&clock);
        let (noisy, quiet) = (peer("noisy"), peer("quiet"));
        let allowed = |peer: &Peer| (0..10).filter(|_| allowances.take(peer, 1).is_ok()).count();
        assert_eq!(allowed(&noisy), 4);
        assert_eq!(allowances.take(&noisy, 1), Err(Duration::from_millis(500)), "told when");
        assert_eq!(allowances.take(&quiet, 1), Ok(()), "nobody else notices");
        clock.advance(Duration::from_secs(1));
        assert_eq!(allowed(&noisy), 2);
    }

    #[test]
    fn bytes_are_allowed_likewise_and_what_can_never_pass_is_left_to_its_bound() {
        let clock = FakeRelativeClock::default();
        let allowances = allowances(&clock);
        let noisy = peer("noisy");
        assert_eq!(allowances.take(&noisy, 4000), Ok(()));
        assert_eq!(allowances.take(&noisy, 3000), Err(Duration::from_secs(2)));
        clock.advance(Duration::from_secs(2));
        assert_eq!(allowances.take(&noisy, 3000), Ok(()));
        assert_eq!(allowances.take(&noisy, 5001), Ok(()));
    }
}
