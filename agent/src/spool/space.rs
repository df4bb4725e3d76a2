//! How much room the spool takes and leaves on its disk.
//!
//! Promise: the quota counts what is in use in the database and the whole write-ahead log. The log keeps its length, because
//! growing it anew with every commit costs metadata, but never stays longer than twice its usual length. On a disk with
//! less free space than asked for, the files do not grow: room is made inside them first.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;

use super::SpoolError;

/// Longest that the write-ahead log usually gets, bytes.
const LOG_BYTES: u64 = 1024 * 1024;
/// The part of a small quota that the log may take instead.
const LOG_PART: u64 = 8;
/// On a disk with too little free space, this much is kept free inside the file for the next commit, bytes.
const SPARE_BYTES: u64 = 256 * 1024;

/// The disk and what the spool may take of it.
#[derive(Debug)]
pub(super) struct Space {
    folder: PathBuf,
    log: PathBuf,
    quota_bytes: u64,
    log_bytes: u64,
    free_bytes_min: Arc<AtomicU64>,
}

/// Why nothing more fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Shortage {
    /// The spool has taken all it may.
    #[error("its quota is used up by what must not be dropped")]
    Quota,
    /// Others have filled the disk.
    #[error("less than {} MiB are free on its disk, and what it holds must not be dropped", .0 >> 20)]
    Disk(u64),
}

impl Space {
    /// Sets how long the log of an open file gets.
    pub(super) fn new(
        connection: &Connection,
        quota_bytes: u64,
        free_bytes_min: Arc<AtomicU64>,
    ) -> Result<Self, SpoolError> {
        let path = PathBuf::from(connection.path().unwrap_or_default());
        let mut log = path.clone().into_os_string();
        log.push("-wal");
        let log_bytes = LOG_BYTES.min(quota_bytes / LOG_PART);
        let pages = log_bytes / page_bytes(connection)?.max(1);
        connection.pragma_update(None, "wal_autocheckpoint", pages.max(1))?;
        let folder = path.parent().map(PathBuf::from).unwrap_or_default();
        Ok(Self { folder, log: log.into(), quota_bytes, log_bytes, free_bytes_min })
    }

    /// Bytes in use: pages of the database that hold something, and the log.
    pub(super) fn used_bytes(&self, connection: &Connection) -> Result<u64, SpoolError> {
        let pages = pragma(connection, "PRAGMA page_count")?.saturating_sub(pragma(connection, FREE_PAGES)?);
        Ok(pages * page_bytes(connection)? + self.held_log_bytes())
    }

    /// Bytes that are free on the disk for whoever wants them; absent when that cannot be told.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.folder).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Least bytes to be left free on the disk; 0 for no matter how few.
    pub(super) fn free_bytes_min(&self) -> u64 {
        self.free_bytes_min.load(Ordering::Relaxed)
    }

    /// Whether something must go before anything more comes.
    pub(super) fn shortage(&self, connection: &Connection) -> Result<Option<Shortage>, SpoolError> {
        if self.used_bytes(connection)? >= self.quota_bytes {
            return Ok(Some(Shortage::Quota));
        }
        let free_bytes_min = self.free_bytes_min();
        let is_low = free_bytes_min > 0 && self.free_bytes().is_some_and(|free| free < free_bytes_min);
        let spare_bytes = || Ok::<_, SpoolError>(pragma(connection, FREE_PAGES)? * page_bytes(connection)?);
        Ok((is_low && spare_bytes()? < SPARE_BYTES).then_some(Shortage::Disk(free_bytes_min)))
    }

    /// The part of the quota that is freed at once by dropping, so that a full spool drops seldom.
    pub(super) const fn quota_bytes(&self) -> u64 {
        self.quota_bytes
    }

    /// Cuts the log after a commit that made it far longer than usual; not to be called within a transaction.
    pub(super) fn shorten_log(&self, connection: &Connection) {
        if self.held_log_bytes() > 2 * self.log_bytes
            && let Err(error) = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        {
            tracing::warn!("the spool's write-ahead log could not be shortened: {error}");
        }
    }

    fn held_log_bytes(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |log| log.len())
    }
}

const FREE_PAGES: &str = "PRAGMA freelist_count";

fn page_bytes(connection: &Connection) -> Result<u64, SpoolError> {
    pragma(connection, "PRAGMA page_size")
}

fn pragma(connection: &Connection, sql: &str) -> Result<u64, SpoolError> {
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}
