//! Letting go: what a receipt covers leaves, what the gateway refused becomes a gap.

use milepost_proto::reading::{Gap, GapReason};
use milepost_proto::uplink::Refusal;
use milepost_proto::{Chunk, ChunkBody, Lane, Receipt, SequenceRange};
use rusqlite::{Connection, params};

use super::lanes::{self, Change};
use super::writer::Memory;
use super::{SpoolError, gap};

/// What settling did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settled {
    /// Records that left because the gateway holds them.
    pub settled: u64,
    /// Records that became gaps because the gateway refused them.
    pub refused: u64,
}

/// Applies one receipt that speaks of this spool.
pub(super) fn settle(connection: &Connection, memory: &mut Memory, receipt: &Receipt) -> Result<Settled, SpoolError> {
    let mut settled = Settled::default();
    for range in receipt.covered().iter() {
        settled.settled += remove(connection, receipt.lane, range)?;
        memory.forget(receipt.lane, range);
    }
    for refusal in &receipt.refused {
        settled.refused += refuse(connection, memory, receipt.lane, refusal)?;
    }
    Ok(settled)
}

/// Removes the chunks that lie wholly in `range`; counts their records.
pub(super) fn remove(connection: &Connection, lane: Lane, range: SequenceRange) -> Result<u64, SpoolError> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM chunk WHERE id >= ?1 AND id <= ?2 AND last_sequence <= ?3
         RETURNING id, last_sequence, length(body)",
    )?;
    let (first, last) = (lanes::chunk_id(lane, range.first()), last_id(lane, range.last()));
    let mut rows = statement.query(params![first, last, range.last()])?;
    let (mut records, mut change) = (0_u64, Change::default());
    while let Some(row) = rows.next()? {
        let count = (row.get::<_, u64>(1)? + 1).saturating_sub(lanes::first_sequence(row.get(0)?));
        records += count;
        change.subtract(count, row.get(2)?);
    }
    drop(rows);
    if records > 0 {
        lanes::adjust(connection, lane, change)?;
    }
    Ok(records)
}

/// Puts gaps in place of the refused chunks. A refused gap just goes, or the two ends would argue for ever.
fn refuse(connection: &Connection, memory: &mut Memory, lane: Lane, refusal: &Refusal) -> Result<u64, SpoolError> {
    let mut refused = 0;
    for chunk in chunks_in(connection, lane, refusal.range)? {
        let was_gap = matches!(chunk.open(), Ok(ChunkBody::Gap(_)));
        let records = remove(connection, lane, chunk.range)?;
        memory.forget(lane, chunk.range);
        if !was_gap {
            refused += records;
            let detail = refusal.reason.chars().take(200).collect();
            let gap = Gap { reason: GapReason::Refused, detail };
            gap::put(connection, &mut memory.offered, lane, chunk.range, &gap)?;
        }
    }
    Ok(refused)
}

fn chunks_in(connection: &Connection, lane: Lane, range: SequenceRange) -> Result<Vec<Chunk>, SpoolError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, last_sequence, checksum, body FROM chunk WHERE id >= ?1 AND id <= ?2 AND last_sequence <= ?3",
    )?;
    let (first, last) = (lanes::chunk_id(lane, range.first()), last_id(lane, range.last()));
    let mut rows = statement.query(params![first, last, range.last()])?;
    let mut chunks = Vec::new();
    while let Some(row) = rows.next()? {
        if let Ok(range) = SequenceRange::new(lanes::first_sequence(row.get(0)?), row.get(1)?) {
            chunks.push(Chunk { range, checksum: row.get(2)?, body: row.get(3)? });
        }
    }
    Ok(chunks)
}

/// The id of a chunk beginning at `sequence`, or the lane's last id when the gateway names more than a lane can hold.
pub(super) fn last_id(lane: Lane, sequence: u64) -> u64 {
    let end = lanes::chunk_ids(lane).1 - 1;
    if sequence > lanes::first_sequence(end) { end } else { lanes::chunk_id(lane, sequence) }
}
