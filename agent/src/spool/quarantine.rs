//! Files that could not be used: set aside under a name of their own, and forgotten when there are too many.
//!
//! Promise: nothing that was set aside is overwritten. At most [`SETS_MAX`] are kept; the oldest goes first, and only when
//! what reads of it was taken over.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use milepost_proto::BootId;

use super::file::{DAMAGED, with_suffix};
use super::mended_copy;
use super::salvage::TAKEN_OVER;

/// Most files kept aside.
const SETS_MAX: usize = 3;
/// What belongs to a spool beside the file itself: what SQLite keeps there, and the note that it was found damaged.
const COMPANIONS: [&str; 4] = ["-wal", "-shm", "-journal", DAMAGED];
/// What may lie beside a file that was set aside, made by its salvage.
const MADE_BESIDE: [&str; 3] = [TAKEN_OVER, mended_copy::COPY, mended_copy::TEMPLATE];

/// Renames the file and what belongs to it, to a name that nothing has yet. The note of damage goes last, so that an
/// interrupted renaming is taken up again.
pub(super) fn set_aside(path: &Path, boot_id: BootId) -> io::Result<()> {
    let is_free = |name: &String| suffixes().all(|suffix| !with_suffix(path, &format!("{name}{suffix}")).exists());
    let mut names = (1_u64..).map(|n| if n == 1 { format!(".bad-{boot_id}") } else { format!(".bad-{boot_id}.{n}") });
    let name = names.find(is_free).unwrap_or_default();
    for suffix in suffixes() {
        let from = with_suffix(path, suffix);
        if from.exists() {
            fs::rename(&from, with_suffix(path, &format!("{name}{suffix}")))?;
        }
    }
    Ok(())
}

fn suffixes() -> impl Iterator<Item = &'static str> {
    std::iter::once("").chain(COMPANIONS)
}

/// Files set aside whose content was not taken over yet, the oldest first.
pub(super) fn not_taken_over(path: &Path) -> Vec<PathBuf> {
    let mut sets = sets(path);
    sets.retain(|aside| !with_suffix(aside, TAKEN_OVER).exists());
    sets
}

/// Deletes the oldest sets beyond those that are kept.
pub(super) fn forget_oldest(path: &Path) {
    let sets = sets(path);
    let taken_over = sets.iter().filter(|aside| with_suffix(aside, TAKEN_OVER).exists());
    for aside in taken_over.take(sets.len().saturating_sub(SETS_MAX)) {
        tracing::warn!("more than {SETS_MAX} spool files are set aside: {} is deleted", aside.display());
        for suffix in suffixes().chain(MADE_BESIDE) {
            // What does not exist need not be deleted, and what cannot be is tried again at the next start.
            fs::remove_file(with_suffix(aside, suffix)).ok();
        }
    }
}

/// Files set aside, the oldest first.
fn sets(path: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let begins = format!("{}.bad-", name.to_string_lossy());
    let mut sets: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(set) = name.starts_with(&begins).then(|| without_companion(&name)) else { continue };
        let changed = entry.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let path = folder.join(set);
        if sets.iter().all(|(_, known)| *known != path) {
            sets.push((changed, path));
        }
    }
    sets.sort();
    sets.into_iter().map(|(_, path)| path).collect()
}

/// The name of the spool file to which a file of this name belongs.
fn without_companion(name: &str) -> &str {
    let mut companions = COMPANIONS.into_iter().chain(MADE_BESIDE);
    companions.find_map(|companion| name.strip_suffix(companion)).unwrap_or(name)
}
