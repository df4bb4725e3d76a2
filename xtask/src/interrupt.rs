//! Ctrl-C and SIGTERM as a wish, not as a death.
//!
//! Promise: once an [`Interrupt`] exists the process is no longer ended by those signals; every wait of a chore returns
//! an error instead, so that what was started is stopped and what was written is removed on the ordinary way out.

use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const LOOK_AT_CHILD_EVERY: Duration = Duration::from_millis(25);

/// Knows whether the chore has been asked to stop.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt {
    asked: Arc<(Mutex<bool>, Condvar)>,
}

impl Interrupt {
    /// Takes over SIGINT and SIGTERM for the rest of the process's life.
    pub(crate) fn install() -> Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM]).context("failed to listen for Ctrl-C")?;
        let asked = Arc::new((Mutex::new(false), Condvar::new()));
        let bell = Arc::clone(&asked);
        std::thread::spawn(move || {
            for _ in signals.forever() {
                *bell.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
                bell.1.notify_all();
            }
        });
        Ok(Self { asked })
    }

    /// Lets `duration` pass, or fails at once when the chore was asked to stop.
    pub(crate) fn wait(&self, duration: Duration) -> Result<()> {
        let (asked, bell) = &*self.asked;
        let guard = asked.lock().unwrap_or_else(PoisonError::into_inner);
        let (guard, _) =
            bell.wait_timeout_while(guard, duration, |asked| !*asked).unwrap_or_else(PoisonError::into_inner);
        if *guard {
            bail!("interrupted");
        }
        Ok(())
    }

    /// Blocks until the chore is asked to stop.
    pub(crate) fn wait_for_ever(&self) {
        while self.wait(Duration::from_secs(3600)).is_ok() {}
    }

    /// Runs `command` to its end; when asked to stop meanwhile, sends it SIGTERM and fails.
    pub(crate) fn run(&self, command: &mut Command) -> Result<ExitStatus> {
        let child =
            command.spawn().with_context(|| format!("failed to start {}", command.get_program().to_string_lossy()))?;
        self.wait_for(child)
    }

    /// Waits for `child` as [`Interrupt::run`] does.
    pub(crate) fn wait_for(&self, mut child: Child) -> Result<ExitStatus> {
        loop {
            if let Some(status) = child.try_wait().context("failed to wait for a child process")? {
                self.wait(Duration::ZERO)?;
                return Ok(status);
            }
            if let Err(interrupted) = self.wait(LOOK_AT_CHILD_EVERY) {
                // The child may have ended by the same Ctrl-C; then there is nobody to signal.
                let _ = kill_process(Pid::from_child(&child), Signal::TERM);
                child.wait().context("failed to wait for a child process")?;
                return Err(interrupted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(already: bool) -> Interrupt {
        Interrupt { asked: Arc::new((Mutex::new(already), Condvar::new())) }
    }

    #[test]
    fn a_child_is_waited_for_and_its_status_returned() {
        let status = asked(false).run(Command::new("sh").args(["-c", "exit 7"])).expect("runs");
        assert_eq!(status.code(), Some(7));
    }

    #[test]
    fn being_asked_to_stop_ends_the_child_and_is_an_error() {
        let error = asked(true).run(Command::new("sleep").arg("3600")).expect_err("interrupted");
        assert_eq!(error.to_string(), "interrupted");
    }
}
