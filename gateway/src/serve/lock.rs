//! One gateway for one store.
//!
//! Promise: while a gateway serves a store no other one does, because two would each carry out every effect. The lock
//! belongs to the process and ends with it, however it ends, so nothing must be cleaned up after a kill. Commands that
//! only read or add a user, key or device need no lock.

use std::fs::{File, TryLockError};
use std::path::Path;

use anyhow::Context;

/// Held for as long as a gateway serves its store.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the store at `store_path`: a file of the same name with `.lock` behind it.
    ///
    /// # Errors
    /// When another process holds it, or the file cannot be made.
    pub fn take(store_path: &Path) -> anyhow::Result<Self> {
        let mut path = store_path.to_owned().into_os_string();
        path.push(".lock");
        let path = Path::new(&path);
        let failed = || format!("cannot lock the store with {}", path.display());
        let file = File::options().create(true).truncate(false).write(true).open(path).with_context(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => anyhow::bail!(
                "another gateway serves the store {}: stop it first, two would tell Odoo everything twice",
                store_path.display()
            ),
            Err(TryLockError::Error(error)) => Err(error).with_context(failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_served_once_and_again_after_that() {
        let folder = tempfile::tempdir().expect("folder");
        let store = folder.path().join("store.db");
        let first = Lock::take(&store).expect("free");
        let refused = Lock::take(&store).expect_err("taken").to_string();
        assert!(refused.contains("another gateway serves the store"), "{refused}");
        drop(first);
        Lock::take(&store).expect("free again");
    }
}
