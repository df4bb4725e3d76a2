//! A service that runs beside the chore and never outlives it.
//!
//! Promise: the process is stopped, by its pid, when the [`Service`] is dropped; the kernel stops it when the chore
//! itself is killed; what it printed is in its log file, and the end of that log is in the error when it does not start.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::clock::{Stopwatch, pause};
use crate::interrupt::Interrupt;

const LOOK_EVERY: Duration = Duration::from_millis(50);
const STOP_PATIENCE: Duration = Duration::from_secs(15);
const LOG_LINES_SHOWN_MAX: usize = 15;

/// Whose account a service runs under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// The account the chore runs under.
    Own,
    /// The named account; takes root.
    Named(&'static str),
}

/// A running service; see the file's promise.
#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    child: Child,
    log: PathBuf,
    stop_signal: Signal,
}

impl Service {
    /// Starts `program` with `arguments`; it is stopped with `stop_signal`, the one it takes as "now, but tidily".
    ///
    /// Call it from a thread that lives as long as the service: the kernel ties the service's life to that thread.
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        arguments: &[&str],
        account: Account,
        log: &Path,
        stop_signal: Signal,
    ) -> Result<Self> {
        let output = fs::File::create(log).with_context(|| format!("failed to create {}", log.display()))?;
        let errors = output.try_clone().context("failed to share a log file")?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(account.arguments())
            .arg("--")
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // Ctrl-C goes to the chore alone, which then stops its services in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("failed to start {name} by setpriv (package util-linux)"))?;
        Ok(Self { name, child, log: log.to_path_buf(), stop_signal })
    }

    /// Waits until `ready` says so; fails when the service ends first, takes longer than `patience`, or on Ctrl-C.
    pub(crate) fn wait_until(
        &mut self,
        interrupt: &Interrupt,
        patience: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<()> {
        let watch = Stopwatch::start();
        while !ready() {
            if let Some(status) = self.child.try_wait().context("failed to look at a service")? {
                bail!("{} ended while starting ({status}):\n{}", self.name, self.log_tail());
            }
            if watch.elapsed() > patience {
                bail!("{} did not start within {} s:\n{}", self.name, patience.as_secs(), self.log_tail());
            }
            interrupt.wait(LOOK_EVERY)?;
        }
        Ok(())
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN_MAX)..].join("\n")
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        // It can only fail because the process is gone, which is what is wanted.
        let _ = kill_process(Pid::from_child(&self.child), self.stop_signal);
        let watch = Stopwatch::start();
        while !self.has_ended() && watch.elapsed() < STOP_PATIENCE {
            pause(LOOK_EVERY);
        }
        if !self.has_ended() {
            eprintln!("warning: {} (pid {}) did not stop; killing it", self.name, self.pid());
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Account {
    fn arguments(self) -> Vec<String> {
        match self {
            Self::Own => Vec::new(),
            Self::Named(account) => {
                vec![format!("--reuid={account}"), format!("--regid={account}"), "--init-groups".to_owned()]
            }
        }
    }

    /// `program` run to its end under this account.
    pub(crate) fn command(self, program: &Path) -> Command {
        match self {
            Self::Own => Command::new(program),
            Self::Named(_) => {
                let mut command = Command::new("setpriv");
                command.args(self.arguments()).arg("--").arg(program);
                command
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str, folder: &Path) -> Service {
        let log = folder.join("log");
        Service::start("shell", Path::new("sh"), &["-c", script], Account::Own, &log, Signal::TERM).expect("starts")
    }

    #[test]
    fn a_dropped_service_is_gone() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let service = start("exec sleep 3600", folder.path());
        let process = PathBuf::from(format!("/proc/{}", service.pid()));
        assert!(process.exists());
        drop(service);
        assert!(!process.exists());
    }

    #[test]
    fn a_service_that_ends_while_starting_is_an_error_with_its_log() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut service = start("echo port taken; exit 1", folder.path());
        let interrupt = Interrupt::install().expect("signals");
        let error = service.wait_until(&interrupt, Duration::from_secs(30), || false).expect_err("it ended");
        assert!(error.to_string().contains("port taken"), "{error}");
    }
}
