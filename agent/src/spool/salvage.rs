//! What still reads of a file that was set aside is handed over after all.
//!
//! Promise: chunks keep the id of their own spool, their sequences and their bytes, so whatever the gateway had received
//! already is told from what it had not, and nothing is doubled. The file set aside is only read. It is taken over once: a
//! marker beside it says so, written after the last commit, and an interrupted salvage begins again. A chunk whose body is
//! not the one that was sealed becomes a gap; captures, photos and what was sent down come along.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use milepost_proto::reading::{Gap, GapReason};
use milepost_proto::{Chunk, Lane, SequenceRange, SpoolId};
use rusqlite::{Connection, params};

use super::mended_copy::MendedCopy;
use super::reader::{SpoolReader, StoredChunk};
use super::{SpoolError, lanes};

/// Ends the name of the marker beside a file whose content was taken over.
pub(super) const TAKEN_OVER: &str = ".salvaged";
/// Telemetry is taken over only while this part of the quota is free, so that the agent can go on recording.
const FREE_PART: u64 = 4;
/// Most bytes of chunk bodies in one commit.
const COMMIT_BYTES_MAX: usize = 1024 * 1024;

/// What came of one file that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvage {
    /// The file.
    pub path: PathBuf,
    /// Its spool; absent when nothing of it reads.
    pub spool_id: Option<SpoolId>,
    /// Records taken over.
    pub records: u64,
    /// Records whose sequences are known but whose body is damaged: now a gap.
    pub damaged: u64,
    /// Stretches of chunks that do not read.
    pub unreadable: u64,
    /// Telemetry records left behind because the quota has no room for them.
    pub left: u64,
}

impl std::fmt::Display for Salvage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let Some(spool_id) = self.spool_id else { return write!(f, "nothing of {name} could be read") };
        write!(f, "{} records of spool {spool_id} were taken over from {name}", self.records)?;
        if self.damaged + self.unreadable + self.left > 0 {
            write!(
                f,
                "; {} records are damaged, {} stretches do not read, {} had no room",
                self.damaged, self.unreadable, self.left
            )?;
        }
        Ok(())
    }
}

/// Takes over what reads of the file at `path`.
///
/// # Errors
/// When the new file cannot be written; what does not read is no error.
pub(super) fn take_over(connection: &mut Connection, path: &Path, quota_bytes: u64) -> Result<Salvage, SpoolError> {
    let mut salvage = Salvage { path: path.to_owned(), spool_id: None, records: 0, damaged: 0, unreadable: 0, left: 0 };
    let mended = MendedCopy::of(path);
    let readers = [Some(path), mended.as_ref().map(MendedCopy::path)].into_iter().flatten();
    let readable = readers.filter_map(|path| SpoolReader::open(path).ok());
    if let Some((reader, spool_id)) = readable.filter_map(|reader| reader.spool_id().ok().map(|id| (reader, id))).next()
    {
        salvage.spool_id = Some(spool_id);
        take_over_beside(connection, &reader)?;
        for lane in Lane::ALL {
            take_over_lane(connection, &reader, spool_id, lane, quota_bytes, &mut salvage)?;
        }
    }
    mark(path).map_err(|error| SpoolError::File(format!("marking {} as salvaged: {error}", path.display())))?;
    Ok(salvage)
}

fn mark(path: &Path) -> io::Result<()> {
    fs::File::create(super::file::with_suffix(path, TAKEN_OVER))?.sync_all()
}

fn take_over_lane(
    connection: &mut Connection,
    reader: &SpoolReader,
    spool_id: SpoolId,
    lane: Lane,
    quota_bytes: u64,
    salvage: &mut Salvage,
) -> Result<(), SpoolError> {
    let mut pending = Vec::new();
    let mut pending_bytes = 0;
    let mut is_full = false;
    let stretches = reader.each_chunk(lane, |stored| {
        let records = stored.chunk.range.count();
        if lane == Lane::Telemetry && is_full {
            salvage.left += records;
            return Ok(ControlFlow::Continue(()));
        }
        let stored = if stored.chunk.open().is_ok() {
            salvage.records += records;
            stored
        } else {
            salvage.damaged += records;
            StoredChunk { chunk: damaged(stored.chunk.range)?, ..stored }
        };
        pending_bytes += stored.chunk.body.len();
        pending.push(stored);
        if pending_bytes >= COMMIT_BYTES_MAX {
            pending_bytes = 0;
            keep(connection, spool_id, std::mem::take(&mut pending))?;
            is_full = database_bytes(connection)? > quota_bytes - quota_bytes / FREE_PART;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    salvage.unreadable += stretches.unreadable;
    keep(connection, spool_id, pending)
}

fn database_bytes(connection: &Connection) -> Result<u64, SpoolError> {
    let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

fn damaged(range: SequenceRange) -> Result<Chunk, SpoolError> {
    let detail = "the spool file was damaged here".to_owned();
    Chunk::gap(range, Gap { reason: GapReason::Damaged, detail }).map_err(|fault| SpoolError::File(fault.to_string()))
}

fn keep(connection: &mut Connection, spool_id: SpoolId, chunks: Vec<StoredChunk>) -> Result<(), SpoolError> {
    let transaction = connection.transaction()?;
    for StoredChunk { lane, chunk, oldest_event_ms } in chunks {
        transaction.prepare_cached("INSERT OR IGNORE INTO salvaged VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(
            params![
                spool_id.0,
                lanes::chunk_id(lane, chunk.range.first()),
                chunk.range.last(),
                chunk.checksum,
                oldest_event_ms,
                chunk.body,
            ],
        )?;
    }
    Ok(transaction.commit()?)
}

/// Captures already answered, photos on their way, and what the gateway sent down; each row that reads.
fn take_over_beside(connection: &mut Connection, reader: &SpoolReader) -> Result<(), SpoolError> {
    let transaction = connection.transaction()?;
    for (read, write) in [
        ("SELECT reference, digest, sequence FROM capture", "INSERT OR IGNORE INTO capture VALUES (?1, ?2, ?3)"),
        (
            "SELECT sha256, held, complete FROM blob",
            "INSERT OR IGNORE INTO blob (sha256, held, complete) VALUES (?1, ?2, ?3)",
        ),
        ("SELECT sha256, start, body FROM blob_part", "INSERT OR IGNORE INTO blob_part VALUES (?1, ?2, ?3)"),
        ("SELECT id, version, body FROM down_link", "INSERT OR IGNORE INTO down_link VALUES (?1, ?2, ?3)"),
    ] {
        let Ok(mut statement) = reader.connection().prepare(read) else { continue };
        let Ok(mut rows) = statement.query([]) else { continue };
        while let Ok(Some(row)) = rows.next() {
            let value = |column| row.get::<_, rusqlite::types::Value>(column);
            if let (Ok(a), Ok(b), Ok(c)) = (value(0), value(1), value(2)) {
                transaction.prepare_cached(write)?.execute(params![a, b, c])?;
            }
        }
    }
    Ok(transaction.commit()?)
}
