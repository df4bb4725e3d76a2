//! The rig on the host: a kernel with a logged disk, the run, the cuts, and what they showed.
//!
//! Promise: nothing of the host is touched but a scratch folder, and no privilege is needed; what is missing is named with
//! what installs it. [`Syncs::Ignored`] is the control: the same agent, the same run, but its syncs do nothing, as with
//! SQLite's `synchronous=OFF`; a rig that sees no loss then sees nothing.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use xtask::uml::{self, Hardware};

use super::tally::Tally;
use crate::{guest, preload, program};

/// The disk; ext4 needs room for its journal.
const DISK_BYTES: u64 = 16 << 20;
/// Everything ever written to it.
const LOG_BYTES: u64 = 1 << 30;
/// The images and what is in them are kept in the guest's memory.
const MEMORY_MIB: u32 = 512;
/// A run takes about a minute; a guest that has not finished by then, on however busy a machine, never will.
const LIMIT: Duration = Duration::from_secs(900);
const SCRIPT: &str = include_str!("rig.sh");
/// A library whose syncs do nothing.
const UNSYNCED: &str = include_str!("unsynced.c");

/// What becomes of the agent's syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syncs {
    /// They reach the disk.
    Kept,
    /// They do nothing.
    Ignored,
}

/// Runs the agent, cuts the power at every moment of the run, and tells what was found; nothing where there is no
/// user-mode kernel.
///
/// # Errors
/// When the rig itself fails, with all that was printed.
pub fn run(syncs: Syncs, seed: u64) -> anyhow::Result<Option<Tally>> {
    let Some(kernel) = guest::kernel() else { return Ok(None) };
    let _turn = guest::turn();
    let folder = tempfile::tempdir()?;
    let work = folder.path();
    for binary in ["milepost-agent", "milepost-gateway", "power-cut"] {
        fs::copy(program::path(binary)?, work.join(binary))?;
    }
    make_disk(work)?;
    let preload = match syncs {
        Syncs::Kept => "",
        Syncs::Ignored => {
            preload::compile(UNSYNCED, work, "unsynced")?;
            "/mnt/unsynced.so"
        }
    };
    let sectors = DISK_BYTES / 512;
    let script = format!("SECTORS={sectors} PRELOAD={preload} SEED={seed}\n{SCRIPT}");
    let (disk, log) = (work.join("disk.img"), work.join("log.img"));
    let hardware = Hardware { memory_mib: MEMORY_MIB, disks: &[&disk, &log] };
    let outcome = uml::run_on(hardware, &kernel, work, &script, LIMIT)?;
    let code = outcome.code.with_context(|| format!("the guest did not end within {LIMIT:?}:\n{}", outcome.log))?;
    ensure!(code == 0, "the guest's script ended with {code}:\n{}", outcome.log);
    let told = fs::read_to_string(work.join("tally.json")).context("the guest left no tally")?;
    Ok(Some(Tally::from_json(&serde_json::from_str(&told)?).context("the guest's tally does not read")?))
}

/// An empty file system, a copy of it, and room for the log.
fn make_disk(work: &Path) -> anyhow::Result<()> {
    let disk = work.join("disk.img");
    fs::File::create(&disk)?.set_len(DISK_BYTES)?;
    fs::File::create(work.join("log.img"))?.set_len(LOG_BYTES)?;
    let mut mkfs = Command::new("/usr/sbin/mkfs.ext4");
    // Laid out at once, so that no kernel thread writes to it later.
    // A superblock spans two sectors under one checksum: torn between them, the file system would refuse to mount, which is
    // its own matter and would say nothing of the spool.
    mkfs.args(["-q", "-F", "-b", "4096", "-O", "^metadata_csum", "-J", "size=4"]);
    mkfs.args(["-E", "lazy_itable_init=0,lazy_journal_init=0"]).arg(&disk);
    let output = mkfs.output().context("no mkfs.ext4: apt-get install e2fsprogs")?;
    ensure!(output.status.success(), "mkfs.ext4: {}", String::from_utf8_lossy(&output.stderr));
    fs::copy(&disk, work.join("base.img"))?;
    Ok(())
}
