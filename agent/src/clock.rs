//! The one place where the agent reads clocks; everything else is told the time.
//!
//! Promise: [`Clock::monotonic_ms`] never goes back within a boot. [`Clock::wall`] is the best estimate of UTC: the last
//! dated fix carried forward on the monotonic clock, otherwise the operating system's clock; with it comes how far it
//! can be trusted. In a replay the clocks run ×N faster from the recording's own start, so that recorded inputs, driver
//! captures and low-water marks share one time line.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use milepost_proto::{TimeQuality, TimeSource, Timestamp};

/// Error bound of a dated fix when it arrives: serial line, sentence and scheduling delays.
const FIX_ERROR_MS: u32 = 1_000;
/// Error bound taken for an operating system's clock that looks set.
const SYSTEM_ERROR_MS: u32 = 5_000;
/// Drift of a cheap oscillator, parts per million.
const DRIFT_PPM: u64 = 100;
/// Before this software existed (2024-01-01): a clock or a receiver that says so has certainly not been set.
pub(crate) const PLAUSIBLE_SINCE: Timestamp = Timestamp::from_millis(1_704_067_200_000);

/// Clocks of one process; clones share the estimate.
#[derive(Clone)]
pub struct Clock {
    started: Instant,
    pace: Pace,
    last_fix: Arc<Mutex<Option<LastFix>>>,
}

#[derive(Clone)]
enum Pace {
    /// The device's own clocks.
    Real,
    /// A recording that began at this time runs this many times faster.
    Replay { began: Timestamp, speed: f64 },
    /// Whoever made it says what time it is.
    Told(Arc<ToldTime>),
}

/// The clocks of a simulated device, set by hand.
#[derive(Debug, Default)]
pub struct ToldTime {
    /// Milliseconds on the monotonic clock since boot.
    pub monotonic_ms: AtomicU64,
    /// What the operating system's clock says, milliseconds since the Unix epoch.
    pub system_ms: AtomicI64,
}

#[derive(Clone, Copy)]
struct LastFix {
    event_time: Timestamp,
    monotonic_ms: u64,
}

impl Clock {
    /// The device's clocks.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
    pub fn system() -> Self {
        Self { started: Instant::now(), pace: Pace::Real, last_fix: Arc::default() }
    }

    /// A recording's clock: it is `began` now, and time runs `speed` times faster.
    #[must_use]
    pub fn replay(began: Timestamp, speed: f64) -> Self {
        Self { pace: Pace::Replay { began, speed: speed.max(0.01) }, ..Self::system() }
    }

    /// The clocks of a simulated device that has just booted.
    #[must_use]
    pub fn told(told: Arc<ToldTime>) -> Self {
        Self { pace: Pace::Told(told), ..Self::system() }
    }

    /// How many times faster than real time this clock runs.
    #[must_use]
    pub fn speed(&self) -> f64 {
        match &self.pace {
            Pace::Real | Pace::Told(_) => 1.0,
            Pace::Replay { speed, .. } => *speed,
        }
    }

    /// Real milliseconds since the device booted (since the process started where the system does not say).
    #[must_use]
    pub fn monotonic_ms(&self) -> u64 {
        match &self.pace {
            Pace::Told(told) => told.monotonic_ms.load(Ordering::Relaxed),
            Pace::Real | Pace::Replay { .. } => u64::try_from(since_boot().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The best estimate of UTC, and how far it can be trusted.
    #[must_use]
    pub fn wall(&self) -> (Timestamp, TimeQuality) {
        match &self.pace {
            Pace::Replay { began, speed } => {
                let elapsed_ms = self.started.elapsed().as_secs_f64() * speed * 1e3;
                #[expect(clippy::cast_possible_truncation, reason = "float to integer casts saturate")]
                let now = began.plus_millis(elapsed_ms as i64);
                (now, TimeQuality { source: TimeSource::Gnss, error_ms: FIX_ERROR_MS })
            }
            Pace::Real | Pace::Told(_) => self.estimate(),
        }
    }

    /// A receiver gave a dated fix just now.
    pub fn discipline(&self, event_time: Timestamp) {
        let fix = LastFix { event_time, monotonic_ms: self.monotonic_ms() };
        *self.last_fix.lock().unwrap_or_else(PoisonError::into_inner) = Some(fix);
    }

    fn estimate(&self) -> (Timestamp, TimeQuality) {
        let last_fix = *self.last_fix.lock().unwrap_or_else(PoisonError::into_inner);
        match last_fix {
            Some(fix) => {
                let age_ms = self.monotonic_ms().saturating_sub(fix.monotonic_ms);
                let drift_ms = u32::try_from(age_ms * DRIFT_PPM / 1_000_000).unwrap_or(u32::MAX);
                let now = fix.event_time.plus_millis(i64::try_from(age_ms).unwrap_or(i64::MAX));
                (now, TimeQuality { source: TimeSource::Gnss, error_ms: FIX_ERROR_MS.saturating_add(drift_ms) })
            }
            None => {
                let now = self.system_time();
                let plausible = now >= PLAUSIBLE_SINCE;
                let quality = TimeQuality { source: TimeSource::Network, error_ms: SYSTEM_ERROR_MS };
                (now, if plausible { quality } else { TimeQuality::UNKNOWN })
            }
        }
    }

    fn system_time(&self) -> Timestamp {
        match &self.pace {
            Pace::Told(told) => Timestamp::from_millis(told.system_ms.load(Ordering::Relaxed)),
            Pace::Real | Pace::Replay { .. } => system_time(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
fn system_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Time since the device booted, including sleep.
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or_default(), u32::try_from(now.tv_nsec).unwrap_or_default())
}
