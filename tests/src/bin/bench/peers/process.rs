//! A rival's process, and what the kernel says that it used.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// The kernel's clock ticks per second, as programs see them on every Linux.
const TICKS_PER_S: f64 = 100.0;

/// A running process; killed when dropped.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `command`, quietly: what it prints goes to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let output = File::options().append(true).create(true).open(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        Self::spawn(command)
    }

    /// Starts `command`, whose input and output are its caller's.
    pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("failed to start {:?}", command.get_program()))?;
        Ok(Self { child })
    }

    /// The process as the standard library has it.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// What it used so far.
    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.child.id()).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What a process used since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usage {
    /// Most memory resident at once, MiB.
    pub(crate) resident_mib_max: f64,
    /// Processor time, seconds.
    pub(crate) cpu_s: f64,
    /// Bytes it caused to be written to the disk: pages made dirty, so a page written twice before the disk saw it counts
    /// once, and the file system's own journal not at all.
    pub(crate) device_bytes: u64,
}

impl Usage {
    /// Of the process `pid`.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
        Self::parse(&read("status")?, &read("stat")?, &read("io")?)
    }

    fn parse(status: &str, stat: &str, io: &str) -> Option<Self> {
        let field = |text: &str, name: &str| -> Option<u64> {
            text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
        };
        // The name, in brackets, may hold spaces; user and system time are the 12th and 13th fields after it.
        let after_name: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let ticks: f64 = [after_name.get(11)?, after_name.get(12)?].iter().filter_map(|n| n.parse::<f64>().ok()).sum();
        let written = field(io, "write_bytes:")?;
        let cancelled = field(io, "cancelled_write_bytes:")?;
        Some(Self {
            resident_mib_max: field(status, "VmHWM:")? as f64 / 1024.0,
            cpu_s: ticks / TICKS_PER_S,
            device_bytes: written.saturating_sub(cancelled),
        })
    }

    /// Both, one after the other.
    pub(crate) fn and_then(self, next: Self) -> Self {
        Self {
            resident_mib_max: self.resident_mib_max.max(next.resident_mib_max),
            cpu_s: self.cpu_s + next.cpu_s,
            device_bytes: self.device_bytes + next.device_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_as_the_kernel_writes_it() {
        let stat = "12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 5 6 7";
        let io = "rchar: 1\nwchar: 2\nwrite_bytes: 8192\ncancelled_write_bytes: 4096\n";
        let usage = Usage::parse("Name:\tx\nVmHWM:\t 2048 kB\n", stat, io).expect("reads");
        assert_eq!(usage, Usage { resident_mib_max: 2.0, cpu_s: 2.0, device_bytes: 4_096 });
        let both = usage.and_then(Usage { resident_mib_max: 1.0, cpu_s: 1.0, device_bytes: 1 });
        assert_eq!(both, Usage { resident_mib_max: 2.0, cpu_s: 3.0, device_bytes: 4_097 });
        assert!(Usage::of(std::process::id()).is_some_and(|usage| usage.resident_mib_max > 0.0));
    }
}
