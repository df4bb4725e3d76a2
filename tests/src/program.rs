//! The product's own binaries as child processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use crate::wait;

/// A running binary; killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts one of the workspace's binaries; what it prints is appended to `log`.
    ///
    /// # Errors
    /// When it has not been built, or does not start.
    pub fn start(binary: &str, arguments: &[&str], log: &Path) -> anyhow::Result<Self> {
        Self::start_in(&[], binary, arguments, log)
    }

    /// Starts one of the workspace's binaries with these variables besides its parent's.
    ///
    /// # Errors
    /// As [`Program::start`].
    pub fn start_in(
        environment: &[(String, String)],
        binary: &str,
        arguments: &[&str],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let output = File::options().append(true).create(true).open(log)?;
        let child = Command::new(path(binary)?)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("failed to start {binary}"))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Ends it as a power cut or the kernel's memory killer would: SIGKILL.
    pub fn kill(&mut self) {
        // It may just have ended by itself, which the next start will show.
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Asks it to end (SIGTERM) and gives how it did.
    ///
    /// # Panics
    /// When it has not ended after ten seconds.
    pub fn terminate(&mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        wait::until("the process to end", Duration::from_secs(10), || self.child.try_wait().ok().flatten())
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How a binary that ran to its end did.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; absent when a signal ended it.
    pub code: Option<i32>,
    /// What it printed for programs.
    pub out: String,
    /// What it printed for people.
    pub err: String,
}

/// Runs one of the workspace's binaries to its end.
///
/// # Errors
/// When it has not been built, or does not start.
pub fn run(binary: &str, arguments: &[&str]) -> anyhow::Result<Ended> {
    let output = Command::new(path(binary)?).args(arguments).stdin(Stdio::null()).output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) })
}

/// Where a binary of the workspace is.
///
/// # Errors
/// When it has not been built.
pub fn path(binary: &str) -> anyhow::Result<PathBuf> {
    let folder = match std::env::var_os("MILEPOST_BIN_DIR") {
        Some(folder) => PathBuf::from(folder),
        // A test runs from target/<profile>/deps.
        None => std::env::current_exe()?.ancestors().nth(2).context("no target folder")?.to_owned(),
    };
    let path = folder.join(binary);
    anyhow::ensure!(path.exists(), "{} is not there: run `cargo build --workspace` first", path.display());
    Ok(path)
}
