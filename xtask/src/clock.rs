//! The one place where the chores read a clock or let time pass.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Measures how long a chore has been running, and says so in front of every line of progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    started: Instant,
}

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Time since the start.
    pub(crate) fn elapsed(self) -> Duration {
        self.started.elapsed()
    }

    /// Prints one line of progress with the elapsed seconds in front.
    pub(crate) fn say(self, progress: &str) {
        eprintln!("[{:5.1} s] {progress}", self.elapsed().as_secs_f32());
    }
}

/// The year now, UTC, by mean years: wrong by hours around New Year, which throw-away certificates do not notice.
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
pub(crate) fn year() -> i32 {
    const MEAN_YEAR_S: u64 = 31_556_952;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    1970 + i32::try_from(since_1970.as_secs() / MEAN_YEAR_S).unwrap_or(0)
}

/// Lets at most `duration` pass between two looks at another process, which offers nothing to wait on.
pub(crate) fn pause(duration: Duration) {
    std::thread::park_timeout(duration);
}

/// The time now, by the operating system.
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
pub(crate) fn unix_now() -> milepost_proto::Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    milepost_proto::Timestamp::from_millis(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}
