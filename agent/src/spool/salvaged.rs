//! Handing over what was salvaged, under the id of the spool it was recorded in.
//!
//! Promise: the bytes that were sealed are the bytes that are offered; a chunk leaves when a receipt of its own spool covers
//! it, or when the gateway refuses it, because nobody can mend it any more.

use milepost_proto::uplink::CHUNKS_MAX;
use milepost_proto::{Batch, Chunk, Lane, Receipt, SequenceRange, SpoolId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::settle::{Settled, last_id};
use super::{SpoolError, lanes};

/// Chunks of one earlier spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalvagedBatches {
    /// The spool they were recorded in.
    pub spool_id: SpoolId,
    /// The batches, one a lane, most urgent lane first.
    pub batches: Vec<Batch>,
}

/// Chunks of one earlier spool to hand over now, about `bytes_max` of them; absent when nothing is left.
pub(super) fn offer(connection: &Connection, bytes_max: usize) -> Result<Option<SalvagedBatches>, SpoolError> {
    let next = connection
        .prepare_cached("SELECT spool_id, id FROM salvaged ORDER BY spool_id, id LIMIT 1")?
        .query_row([], |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, u64>(1)?)))
        .optional()?;
    let Some((spool_id, first_id)) = next else { return Ok(None) };
    let lane = Lane::ALL.into_iter().find(|lane| first_id < lanes::chunk_ids(*lane).1).unwrap_or(Lane::Telemetry);
    let sql = "SELECT id, last_sequence, checksum, body FROM salvaged
        WHERE spool_id = ?1 AND id < ?2 ORDER BY id LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![spool_id, lanes::chunk_ids(lane).1, CHUNKS_MAX])?;
    let (mut chunks, mut bytes): (Vec<Chunk>, usize) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let range = SequenceRange::new(lanes::first_sequence(row.get(0)?), row.get(1)?)
            .map_err(|error| SpoolError::Damaged(error.to_string()))?;
        let chunk = Chunk { range, checksum: row.get(2)?, body: row.get(3)? };
        let continues = chunks.last().is_none_or(|last| last.range.last() + 1 == range.first());
        bytes += chunk.body.len();
        if !continues || (bytes > bytes_max && !chunks.is_empty()) {
            break;
        }
        chunks.push(chunk);
    }
    Ok(Some(SalvagedBatches { spool_id: SpoolId(spool_id), batches: vec![Batch { lane, history: true, chunks }] }))
}

/// Applies a receipt that speaks of an earlier spool.
pub(super) fn settle(connection: &Connection, receipt: &Receipt) -> Result<Settled, SpoolError> {
    let mut settled = Settled::default();
    for range in receipt.covered().iter() {
        settled.settled += remove(connection, receipt, range)?;
    }
    for refusal in &receipt.refused {
        settled.refused += remove(connection, receipt, refusal.range)?;
    }
    Ok(settled)
}

fn remove(connection: &Connection, receipt: &Receipt, range: SequenceRange) -> Result<u64, SpoolError> {
    let sql = "DELETE FROM salvaged WHERE spool_id = ?1 AND id >= ?2 AND id <= ?3 AND last_sequence <= ?4
        RETURNING id, last_sequence";
    let (first, last) = (lanes::chunk_id(receipt.lane, range.first()), last_id(receipt.lane, range.last()));
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![receipt.spool_id.0, first, last, range.last()])?;
    let mut records = 0;
    while let Some(row) = rows.next()? {
        records += row.get::<_, u64>(1)? - lanes::first_sequence(row.get(0)?) + 1;
    }
    Ok(records)
}

/// The earliest event that waits here; absent when nothing waits. A gap tells of no event.
pub(super) fn oldest(connection: &Connection) -> Result<Option<Timestamp>, SpoolError> {
    let oldest: Option<i64> =
        connection.prepare_cached("SELECT min(oldest_event_ms) FROM salvaged")?.query_row([], |row| row.get(0))?;
    Ok(oldest.map(Timestamp::from_millis))
}
