//! A folder that belongs to one run and is gone afterwards.
//!
//! Promise: the folder is private to this process, readable by the other accounts that services run under, removed when
//! dropped, and removed by the next run when this one was killed.
//!
//! It is in the system's folder for temporary files rather than in `target/`, because PostgreSQL refuses to run as root
//! and the account it runs under often may not enter the folder the project is in.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const PREFIX: &str = "milepost-services-";

/// The folder; see the file's promise.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes this run's folder for `purpose`, and removes what killed runs left.
    pub(crate) fn create(purpose: &str) -> Result<Self> {
        let parent = std::env::temp_dir();
        remove_orphans(&parent);
        let path = parent.join(format!("{PREFIX}{}-{purpose}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("failed to create {}", path.display()))?;
        let scratch = Self { path };
        fs::set_permissions(&scratch.path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("failed to open up {}", scratch.path.display()))?;
        Ok(scratch)
    }

    /// The folder's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("warning: failed to remove {}: {error}", self.path.display());
        }
    }
}

fn remove_orphans(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let owner = entry.file_name().to_str().and_then(owner_pid);
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // Somebody else's, or being removed by another run: not ours to complain about.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The process that made the folder called `name`, if it is one of ours.
fn owner_pid(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_folders_of_dead_processes_are_removed() {
        let parent = tempfile::tempdir().expect("temporary folder");
        let folder = |name: &str| parent.path().join(name);
        // Linux never gives out a process id above 2^22.
        let dead = folder("milepost-services-4194305-test");
        let alive = folder(&format!("milepost-services-{}-test", std::process::id()));
        let foreign = folder("milepost-services-notes");
        for path in [&dead, &alive, &foreign] {
            fs::create_dir(path).expect("created");
        }
        remove_orphans(parent.path());
        assert!(!dead.exists());
        assert!(alive.exists());
        assert!(foreign.exists());
    }

    #[test]
    fn the_folder_is_gone_after_the_run() {
        let scratch = Scratch::create("scratch-test").expect("created");
        let path = scratch.path().to_path_buf();
        fs::write(path.join("file"), "x").expect("written");
        drop(scratch);
        assert!(!path.exists());
    }
}
