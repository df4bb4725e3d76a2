//! Chunks that no gateway takes, set aside so that everything behind them goes on.
//!
//! Promise: a gap that names the reason takes the chunk's place in the same commit, and its bytes are kept for whoever finds
//! out why. Of events and telemetry at most [`CHUNKS_MAX`] chunks and [`BYTES_MAX`] bytes are kept, the oldest are forgotten;
//! evidence is never forgotten. A gap that no gateway takes just goes, or the two ends would argue for ever.

use milepost_proto::reading::{Gap, GapReason};
use milepost_proto::{Chunk, ChunkBody, Lane, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::writer::Memory;
use super::{SpoolError, gap, lanes, settle};
use crate::uplink::narrowing::Poison;

/// Most chunks of events and telemetry that are kept.
const CHUNKS_MAX: u64 = 256;
/// Most bytes of them.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What is set aside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoisonMeasure {
    /// Records of evidence among them.
    pub evidence: u64,
    /// Records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why the latest was refused.
    pub latest_why: Option<String>,
}

/// Sets the chunk aside; one that has gone meanwhile stays gone.
pub(super) fn set_aside(
    connection: &Connection,
    memory: &mut Memory,
    poison: &Poison,
    now: Timestamp,
) -> Result<(), SpoolError> {
    let id = lanes::chunk_id(poison.lane, poison.range.first());
    let found = connection
        .prepare_cached("SELECT checksum, body FROM chunk WHERE id = ?1 AND last_sequence = ?2")?
        .query_row([id, poison.range.last()], |row| {
            Ok(Chunk { range: poison.range, checksum: row.get(0)?, body: row.get(1)? })
        })
        .optional()?;
    let Some(chunk) = found else { return Ok(()) };
    settle::remove(connection, poison.lane, poison.range)?;
    memory.forget(poison.lane, poison.range);
    if matches!(chunk.open(), Ok(ChunkBody::Gap(_))) {
        return Ok(());
    }
    connection.execute(
        "INSERT OR REPLACE INTO poison (id, last_sequence, checksum, set_aside_ms, why, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![id, chunk.range.last(), chunk.checksum, now.as_millis(), poison.why, chunk.body],
    )?;
    forget_oldest(connection)?;
    let gap = Gap { reason: GapReason::Quarantined, detail: poison.why.clone() };
    gap::put(connection, &mut memory.offered, poison.lane, poison.range, &gap)
}

/// How much is set aside.
pub(super) fn measure(connection: &Connection) -> Result<PoisonMeasure, SpoolError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, last_sequence, length(body), why FROM poison ORDER BY set_aside_ms DESC, id DESC",
    )?;
    let mut rows = statement.query([])?;
    let mut measure = PoisonMeasure::default();
    while let Some(row) = rows.next()? {
        let (id, last): (u64, u64) = (row.get(0)?, row.get(1)?);
        let records = (last + 1).saturating_sub(lanes::first_sequence(id));
        measure.records += records;
        measure.bytes += row.get::<_, u64>(2)?;
        if id < lanes::chunk_ids(Lane::Evidence).1 {
            measure.evidence += records;
        }
        if measure.latest_why.is_none() {
            measure.latest_why = Some(row.get(3)?);
        }
    }
    Ok(measure)
}

fn forget_oldest(connection: &Connection) -> Result<(), SpoolError> {
    let beyond_evidence = lanes::chunk_ids(Lane::Evidence).1;
    let mut statement = connection
        .prepare_cached("SELECT id, length(body) FROM poison WHERE id >= ?1 ORDER BY set_aside_ms DESC, id DESC")?;
    let mut rows = statement.query([beyond_evidence])?;
    let (mut chunks, mut bytes, mut forgotten) = (0, 0, Vec::new());
    while let Some(row) = rows.next()? {
        chunks += 1;
        bytes += row.get::<_, u64>(1)?;
        if chunks > CHUNKS_MAX || bytes > BYTES_MAX {
            forgotten.push(row.get::<_, u64>(0)?);
        }
    }
    drop(rows);
    forgotten.into_iter().try_for_each(|id| {
        connection.execute("DELETE FROM poison WHERE id = ?1", [id])?;
        Ok(())
    })
}
