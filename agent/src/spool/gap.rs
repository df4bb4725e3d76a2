//! Counted loss in the place of what was lost.
//!
//! Promise: neighbouring gaps that say the same and were never offered are one, so gaps never fill a spool, however long it
//! is full.

use milepost_proto::reading::Gap;
use milepost_proto::{Chunk, ChunkBody, Lane, SequenceRange, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::lanes::{self, Change};
use super::offered::Offered;
use super::{SpoolError, append, settle};

/// The event time of a gap: nothing happened in it.
pub(super) const EVENT_TIME: Timestamp = Timestamp::MAX;

/// Puts a gap over `range`, whose chunks have gone.
pub(super) fn put(
    connection: &Connection,
    offered: &mut Offered,
    lane: Lane,
    range: SequenceRange,
    gap: &Gap,
) -> Result<(), SpoolError> {
    let mut merged = range;
    for neighbour in neighbours(connection, lane, range)? {
        let is_same = matches!(neighbour.open(), Ok(ChunkBody::Gap(other)) if other == *gap);
        if is_same && !offered.meets(lane, neighbour.range) {
            settle::remove(connection, lane, neighbour.range)?;
            merged = joined(merged, neighbour.range)?;
        }
    }
    let chunk = Chunk::gap(merged, gap.clone()).map_err(|fault| SpoolError::File(fault.to_string()))?;
    append::insert(connection, lane, EVENT_TIME.as_millis(), false, &chunk)?;
    let mut came = Change::default();
    came.add(merged.count(), chunk.body.len());
    lanes::adjust(connection, lane, came)?;
    // The gap itself has never been offered, whatever it replaces.
    offered.forget(lane, range);
    Ok(())
}

/// The gaps that end just before `range` and begin just after it.
fn neighbours(connection: &Connection, lane: Lane, range: SequenceRange) -> Result<Vec<Chunk>, SpoolError> {
    let gap_ms = EVENT_TIME.as_millis();
    let before = connection
        .prepare_cached(
            "SELECT id, last_sequence, checksum, body FROM chunk
             WHERE id = (SELECT max(id) FROM chunk WHERE id < ?1 AND id > ?2) AND last_sequence = ?3
               AND oldest_event_ms = ?4",
        )?
        .query_row(
            params![lanes::chunk_id(lane, range.first()), lanes::chunk_id(lane, 0), range.first() - 1, gap_ms],
            chunk,
        )
        .optional()?;
    let after = connection
        .prepare_cached("SELECT id, last_sequence, checksum, body FROM chunk WHERE id = ?1 AND oldest_event_ms = ?2")?
        .query_row(params![lanes::chunk_id(lane, range.last() + 1), gap_ms], chunk)
        .optional()?;
    before.into_iter().chain(after).collect()
}

fn chunk(row: &Row<'_>) -> rusqlite::Result<Result<Chunk, SpoolError>> {
    let range = SequenceRange::new(lanes::first_sequence(row.get(0)?), row.get(1)?);
    let (checksum, body) = (row.get(2)?, row.get(3)?);
    Ok(range.map(|range| Chunk { range, checksum, body }).map_err(|error| SpoolError::Damaged(error.to_string())))
}

fn joined(a: SequenceRange, b: SequenceRange) -> Result<SequenceRange, SpoolError> {
    SequenceRange::new(a.first().min(b.first()), a.last().max(b.last()))
        .map_err(|error| SpoolError::Damaged(error.to_string()))
}
