//! A spool file that nobody writes to, whole or damaged, as far as it reads.
//!
//! Promise: the file and its log are only read, never changed; what does not read is stepped over and counted; every
//! chunk is given with its checksum, so whoever takes it can tell whether its body is the one that was sealed.

use std::ops::ControlFlow;
use std::path::Path;

use milepost_proto::{Chunk, Lane, SequenceRange, Sha256, SpoolId};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use super::file::with_suffix;
use super::{SpoolError, append, blobs, lanes};

/// Most stretches of one lane that do not read before the rest is given up: more is no damage but another file.
const UNREADABLE_MAX: u64 = 10_000;

/// A file open for reading.
pub struct SpoolReader {
    connection: Connection,
}

/// A chunk as it lies in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChunk {
    /// Its lane.
    pub lane: Lane,
    /// The chunk.
    pub chunk: Chunk,
    /// The earliest event in it, milliseconds since the Unix epoch.
    pub oldest_event_ms: i64,
}

/// How reading a lane went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stretches {
    /// Stretches of the lane that do not read.
    pub unreadable: u64,
    /// Whether reading was given up before the lane's end, because too much did not read.
    pub given_up: bool,
}

impl SpoolReader {
    /// Opens the file at `path` with what its log holds.
    ///
    /// # Errors
    /// When nothing of it can be read, or an agent is running on it.
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        let log = std::fs::metadata(with_suffix(path, "-wal")).map_or(0, |log| log.len());
        let connection = if log > 0 { open_with_log(path) } else { open_alone(path) }?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(Self { connection })
    }

    /// The file, for questions of one's own.
    #[must_use]
    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What SQLite finds wrong with the file.
    #[must_use]
    pub fn integrity(&self) -> Vec<String> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self.connection.prepare("PRAGMA integrity_check")?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        let mut findings = read().unwrap_or_else(|error| vec![error.to_string()]);
        findings.retain(|finding| finding != "ok");
        findings
    }

    /// The spool's id.
    ///
    /// # Errors
    /// When it does not read.
    pub fn spool_id(&self) -> Result<SpoolId, SpoolError> {
        self.connection
            .query_row("SELECT value FROM fact WHERE name = 'spool_id'", [], |row| row.get::<_, [u8; 16]>(0))
            .optional()?
            .map(SpoolId)
            .ok_or_else(|| SpoolError::Damaged("it has no spool_id".to_owned()))
    }

    /// The last sequence given out in `lane`.
    ///
    /// # Errors
    /// When it does not read.
    pub fn last_sequence(&self, lane: Lane) -> Result<u64, SpoolError> {
        let sql = "SELECT last_sequence FROM lane WHERE lane = ?1";
        Ok(self.connection.query_row(sql, [lanes::number(lane)], |row| row.get(0))?)
    }

    /// The digest of the last evidence record; absent before the first.
    ///
    /// # Errors
    /// When it does not read.
    pub fn chain_head(&self) -> Result<Option<Sha256>, SpoolError> {
        append::chain_head(&self.connection)
    }

    /// Photos and signatures, with the bytes held from the start, and whether that is all of them.
    ///
    /// # Errors
    /// When they do not read.
    pub fn blobs(&self) -> Result<Vec<(Sha256, u64, bool)>, SpoolError> {
        let mut statement = self.connection.prepare("SELECT sha256, held, complete FROM blob ORDER BY sha256")?;
        let blobs = statement.query_map([], |row| Ok((Sha256(row.get(0)?), row.get(1)?, row.get(2)?)))?;
        Ok(blobs.collect::<Result<_, _>>()?)
    }

    /// The bytes of a whole blob.
    ///
    /// # Errors
    /// When they do not read.
    pub fn blob_bytes(&self, sha256: Sha256) -> Result<Vec<u8>, SpoolError> {
        blobs::bytes(&self.connection, sha256, 0, usize::MAX)
    }

    /// Gives `take` the chunks of `lane` in order, until it breaks off.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn each_chunk(
        &self,
        lane: Lane,
        mut take: impl FnMut(StoredChunk) -> Result<ControlFlow<()>, SpoolError>,
    ) -> Result<Stretches, SpoolError> {
        let (mut from, to) = lanes::chunk_ids(lane);
        let mut found = Stretches::default();
        loop {
            match self.read_range(lane, from, to, &mut take)? {
                RangeEnd::Whole | RangeEnd::BrokenOff => return Ok(found),
                RangeEnd::Unreadable(unread) => {
                    found.unreadable += 1;
                    found.given_up = found.unreadable > UNREADABLE_MAX;
                    match self.next_readable(unread, to) {
                        Some(next) if !found.given_up => from = next,
                        _ => return Ok(found),
                    }
                }
            }
        }
    }

    /// The lowest id above `unread` from which reading goes on. A page that does not read makes all ids on it unreadable:
    /// strides double until one leads beyond it, then halve.
    fn next_readable(&self, unread: u64, to: u64) -> Option<u64> {
        if let Ok(Some(id)) = self.first_id(unread, to) {
            // The row is there, it is its body that does not read.
            return Some(id + 1);
        }
        let reads = |from: u64| self.first_id(from, to).is_ok();
        let mut stride = 1;
        while !reads(unread + stride) {
            stride *= 2;
            if unread + stride >= to {
                return None;
            }
        }
        let (mut fails, mut works) = (unread + stride / 2, unread + stride);
        while works - fails > 1 {
            let middle = fails + (works - fails) / 2;
            if reads(middle) { works = middle } else { fails = middle }
        }
        Some(works)
    }

    fn first_id(&self, from: u64, to: u64) -> rusqlite::Result<Option<u64>> {
        let sql = "SELECT id FROM chunk WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 1";
        self.connection.prepare_cached(sql)?.query_row(params![from, to], |row| row.get(0)).optional()
    }

    /// Reads ids `from..to` as far as they read.
    fn read_range(
        &self,
        lane: Lane,
        from: u64,
        to: u64,
        take: &mut impl FnMut(StoredChunk) -> Result<ControlFlow<()>, SpoolError>,
    ) -> Result<RangeEnd, SpoolError> {
        let sql = "SELECT id, last_sequence, checksum, oldest_event_ms, body FROM chunk
            WHERE id >= ?1 AND id < ?2 ORDER BY id";
        let mut next = from;
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![from, to])?;
        loop {
            match rows.next() {
                Ok(Some(row)) => {
                    let id = row.get(0).unwrap_or(next);
                    next = id + 1;
                    let Some(stored) = stored_chunk(lane, id, row) else { continue };
                    if take(stored)?.is_break() {
                        return Ok(RangeEnd::BrokenOff);
                    }
                }
                Ok(None) => return Ok(RangeEnd::Whole),
                Err(_) => return Ok(RangeEnd::Unreadable(next)),
            }
        }
    }
}

/// A file whose newest content is in its log. The log's index is kept in memory and its content never moved into the file,
/// so a file that may be evidence stays as it is.
fn open_with_log(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    Ok(connection)
}

/// A file without a log: nobody has it open, and nothing is created beside it.
fn open_alone(path: &Path) -> rusqlite::Result<Connection> {
    let escaped: String = path.to_string_lossy().chars().map(escape).collect();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
}

fn escape(c: char) -> String {
    if "%?#".contains(c) { format!("%{:02x}", u32::from(c)) } else { c.to_string() }
}

/// How far a range of ids was read.
enum RangeEnd {
    Whole,
    BrokenOff,
    /// Up to but without this id.
    Unreadable(u64),
}

fn stored_chunk(lane: Lane, id: u64, row: &rusqlite::Row<'_>) -> Option<StoredChunk> {
    let range = SequenceRange::new(lanes::first_sequence(id), row.get(1).ok()?).ok()?;
    let chunk = Chunk { range, checksum: row.get(2).ok()?, body: row.get(4).ok()? };
    Some(StoredChunk { lane, chunk, oldest_event_ms: row.get(3).ok()? })
}
