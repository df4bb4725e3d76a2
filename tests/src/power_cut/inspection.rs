//! The cuts themselves, in the guest: each disk is mounted, which recovers the file system's journal, and its spool looked
//! into.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::account::{Account, Held};
use super::cut::{self, Kind};
use super::survey::{self, Verdict};
use super::tally::Tally;
use super::write_log::WriteLog;
use super::{HELD, SHARED, SPOOL};

/// The log, as the guest sees it.
const LOG: &str = "/dev/ubdb";
/// The disk as it was before anything was written.
const BASE: &str = "base.img";
/// A disk after a cut, and where it is mounted.
const IMAGE: &str = "/run/cut.img";
const MOUNT: &str = "/run/cut";
/// What was on it.
const COPY: &str = "/run/copy";

/// Looks at the disk after every cut of the run that [`super::drive`] made.
///
/// # Errors
/// When the rig itself fails.
pub fn run(seed: u64) -> anyhow::Result<Tally> {
    let held = Held::read(Path::new(HELD))?;
    let base = fs::read(Path::new(SHARED).join(BASE)).context("failed to read the empty disk")?;
    let log = WriteLog::open(Path::new(LOG))?;
    fs::create_dir_all(MOUNT)?;
    let mut tally = Tally::default();
    cut::for_each(&log, base, seed, |kind, account, image| {
        let verdict = look(image, account, &held)
            .with_context(|| format!("the {} cut after {} captures", Kind::name(kind), account.captures))?;
        tally.add(kind, account.captures, verdict);
        Ok(())
    })?;
    Ok(tally)
}

fn look(image: &[u8], account: Account, held: &Held) -> anyhow::Result<Verdict> {
    fs::write(IMAGE, image)?;
    if let Err(why) = busybox(&["mount", "-t", "ext4", "-o", "loop", IMAGE, MOUNT]) {
        return Ok(Verdict { corrupt: vec![format!("the disk does not mount: {why}")], ..Verdict::default() });
    }
    let copied = copy_files();
    busybox(&["umount", "-d", MOUNT])?;
    copied?;
    survey::examine(Path::new(COPY), SPOOL, account, held)
}

/// Copies what the recovered disk holds, so that looking into it syncs nothing and keeps nothing mounted.
fn copy_files() -> anyhow::Result<()> {
    if Path::new(COPY).exists() {
        fs::remove_dir_all(COPY)?;
    }
    fs::create_dir_all(COPY)?;
    for entry in fs::read_dir(MOUNT)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), Path::new(COPY).join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn busybox(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("busybox").args(arguments).output().context("failed to start busybox")?;
    anyhow::ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
