//! The one place where the agent reads clocks; everything else is told the time.
//!
//! Promise: [`Clock::monotonic_ms`] never goes back within a boot and counts while the device sleeps. [`Clock::wall`] is
//! the best estimate of UTC ([`estimate`] says how it is made); with it comes how far it can be trusted. In a replay the
//! clocks run ×N faster from the recording's own start, so that recorded inputs, driver captures and low-water marks
//! share one time line.

pub mod estimate;

use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use milepost_proto::{TimeQuality, TimeSource, Timestamp};

use estimate::{ClockStep, Estimate, FIX_ERROR_MS, Synchronised, SystemClock};

/// Where systemd-timesyncd says that it runs, and, by a file in it, that it has set the clock in this boot. Asking the
/// kernel (`adjtimex`) takes unsafe code, which this program has none of.
const TIMESYNC_FOLDER: &str = "/run/systemd/timesync";

/// Clocks of one process; clones share the estimate.
#[derive(Clone)]
pub struct Clock {
    started: Instant,
    pace: Pace,
    estimate: Arc<Mutex<Estimate>>,
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

impl Clock {
    /// The device's clocks.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
    pub fn system() -> Self {
        Self { started: Instant::now(), pace: Pace::Real, estimate: Arc::default() }
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
            Pace::Real | Pace::Told(_) => self.estimate().at(self.monotonic_ms(), self.system_clock()),
        }
    }

    /// A receiver gave a dated fix just now.
    pub fn discipline(&self, event_time: Timestamp) {
        let monotonic_ms = self.monotonic_ms();
        self.estimate().set_by_fix(event_time, monotonic_ms);
    }

    /// Looks whether the operating system's clock was stepped since the last look. A replay has no such clock.
    #[must_use]
    pub fn watch(&self) -> Option<ClockStep> {
        match &self.pace {
            Pace::Replay { .. } => None,
            Pace::Real | Pace::Told(_) => self.estimate().watch(self.system_clock(), self.monotonic_ms()),
        }
    }

    /// How often the operating system's clock was seen to step.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.estimate().steps()
    }

    /// Whether the operating system's clock says a time that cannot be: its battery has died and nothing has set it.
    #[must_use]
    pub fn battery_is_suspect(&self) -> bool {
        !matches!(self.pace, Pace::Replay { .. }) && !self.system_clock().is_plausible()
    }

    fn estimate(&self) -> MutexGuard<'_, Estimate> {
        self.estimate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn system_clock(&self) -> SystemClock {
        match &self.pace {
            Pace::Told(told) => SystemClock {
                time: Timestamp::from_millis(told.system_ms.load(Ordering::Relaxed)),
                synchronised: Synchronised::Unsaid,
            },
            Pace::Real | Pace::Replay { .. } => SystemClock { time: system_time(), synchronised: synchronised() },
        }
    }
}

fn synchronised() -> Synchronised {
    let folder = Path::new(TIMESYNC_FOLDER);
    if folder.join("synchronized").exists() {
        Synchronised::Yes
    } else if folder.exists() {
        Synchronised::No
    } else {
        Synchronised::Unsaid
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
