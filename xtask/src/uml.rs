//! A Linux kernel as an ordinary process (user-mode Linux), for what the machine's own kernel lacks: CAN, and disks that
//! lose their power.
//!
//! Promise: a script runs as root in a kernel of its own, with the host's files to read and one folder to write. Nothing
//! of the host can change but that folder, and the kernel is gone when [`run`] returns, however the script behaves.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::apt::{self, Need};
use crate::clock::{Stopwatch, pause};
use crate::interrupt::Interrupt;
use crate::program;

const NEED: Need = Need { packages: &PACKAGES, autostarts: None };
const PACKAGES: [&str; 7] =
    ["user-mode-linux", "can-utils", "socat", "iproute2", "busybox-static", "dmsetup", "e2fsprogs"];
const PROGRAMS: [&str; 7] = ["linux.uml", "canplayer", "socat", "ip", "busybox", "dmsetup", "mkfs.ext4"];
const INIT: &str = include_str!("uml/init.sh");
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the kernel may take to end when it is asked to.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// What the kernel believes to run on.
#[derive(Debug, Clone, Copy)]
pub struct Hardware<'a> {
    /// Its memory, MiB.
    pub memory_mib: u32,
    /// Files that it sees as `/dev/ubda`, `/dev/ubdb` and so on.
    pub disks: &'a [&'a Path],
}

impl Default for Hardware<'_> {
    fn default() -> Self {
        Self { memory_mib: 256, disks: &[] }
    }
}

/// How a script ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit status; absent when the kernel did not boot or the time was up.
    pub code: Option<i32>,
    /// What it printed, or what the kernel printed when it did not get that far.
    pub log: String,
}

/// The kernel, installed first if it is missing; nothing where Debian has none (it exists for x86 only).
pub(crate) fn find_or_install(interrupt: &Interrupt, watch: Stopwatch) -> Result<Option<PathBuf>> {
    if !cfg!(target_arch = "x86_64") {
        return Ok(None);
    }
    apt::ensure(NEED, interrupt, watch, || PROGRAMS.iter().all(|name| program::find(name).is_some()).then_some(()))?;
    Ok(program::find(PROGRAMS[0]))
}

/// Runs `script` in the kernel; in it `work` is `/mnt`.
///
/// # Errors
/// When the folder cannot be written, or the kernel cannot be started.
pub fn run(kernel: &Path, work: &Path, script: &str, limit: Duration) -> Result<Outcome> {
    run_on(Hardware::default(), kernel, work, script, limit)
}

/// Runs `script` as [`run`] does, in a kernel with this hardware.
///
/// # Errors
/// As [`run`].
pub fn run_on(hardware: Hardware<'_>, kernel: &Path, work: &Path, script: &str, limit: Duration) -> Result<Outcome> {
    let work = work.canonicalize().with_context(|| format!("failed to find {}", work.display()))?;
    for (name, text) in [("init.sh", INIT), ("script.sh", script)] {
        fs::write(work.join(name), text).with_context(|| format!("failed to write {name}"))?;
    }
    fs::set_permissions(work.join("init.sh"), fs::Permissions::from_mode(0o755))
        .context("failed to make init.sh executable")?;
    let read = |name: &str| fs::read_to_string(work.join(name)).ok();
    for stale in ["code", "guest.log"] {
        // Of an earlier run in this folder, if there was one.
        let _ = fs::remove_file(work.join(stale));
    }
    let mut child = start(hardware, kernel, &work)?;
    let watch = Stopwatch::start();
    while watch.elapsed() < limit && child.try_wait().context("failed to wait for the kernel")?.is_none() {
        pause(LOOK_EVERY);
    }
    end(&mut child)?;
    let code = read("code").and_then(|code| code.trim().parse().ok());
    let log = read("guest.log").or_else(|| read("boot.log")).unwrap_or_default();
    Ok(Outcome { code, log })
}

fn start(hardware: Hardware<'_>, kernel: &Path, work: &Path) -> Result<Child> {
    let boot_log = fs::File::create(work.join("boot.log")).context("failed to write boot.log")?;
    let work = work.to_str().context("the work folder's path is not text")?;
    let mut command = Command::new(kernel);
    command
        .arg(format!("mem={}M", hardware.memory_mib))
        .args(hardware.disks.iter().enumerate().map(|(n, disk)| format!("ubd{n}={}", disk.display())))
        .args(["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "con=null", "con0=fd:0,fd:1"])
        .args([format!("init={work}/init.sh"), format!("WORK={work}"), format!("uml_dir={work}/uml")])
        .stdin(Stdio::null())
        .stderr(boot_log.try_clone().context("failed to write boot.log")?)
        .stdout(boot_log)
        .process_group(0);
    command.spawn().with_context(|| format!("failed to start {}", kernel.display()))
}

/// Ends the kernel and the processes it made, if it has not ended by itself.
fn end(child: &mut Child) -> Result<()> {
    let pid = Pid::from_child(child);
    let watch = Stopwatch::start();
    while child.try_wait().context("failed to wait for the kernel")?.is_none() {
        if watch.elapsed() > END_PATIENCE {
            // Its own group: the kernel runs each process of the guest as one of the host.
            kill_process_group(pid, Signal::KILL).context("failed to end the kernel")?;
            child.wait().context("failed to wait for the kernel")?;
            return Ok(());
        }
        // It may have ended in the meantime.
        let _ = kill_process(pid, Signal::TERM);
        pause(LOOK_EVERY);
    }
    Ok(())
}
