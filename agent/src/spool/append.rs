//! Putting records into the spool: sequences, seals, chunks.

use milepost_proto::reading::{Gap, GapReason};
use milepost_proto::seal::{EvidenceSeal, chain_start, evidence_digest};
use milepost_proto::{BootId, Chunk, Lane, Record, Sha256, SpoolId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::lanes::{Change, End};
use super::offered::Offered;
use super::tail::{self, Tail, Tails};
use super::{Signer, SpoolError, gap, lanes, oldest_event_time};

/// Adds `records` to the last chunk of `lane` as far as it may grow, and seals the rest into new ones.
pub(super) fn append(
    connection: &Connection,
    tails: &mut Tails,
    lane: Lane,
    boot_id: BootId,
    mut records: Vec<Record>,
) -> Result<(), SpoolError> {
    let mut growth = Growth { connection, lane, end: lanes::end(connection, lane)?, came: Change::default() };
    let mut last = tails.take(lane, boot_id);
    while !records.is_empty() {
        let room = tail::RECORDS_MAX - last.as_ref().map_or(0, |tail| tail.records.len());
        let rest = records.split_off(records.len().min(room));
        let grown = match last {
            Some(tail) => growth.grow(tail, records)?,
            None => growth.begin(boot_id, records)?,
        };
        // Records that are left did not fit into this one.
        last = rest.is_empty().then_some(grown);
        records = rest;
    }
    lanes::extend(connection, lane, growth.end, growth.came)?;
    if let Some(tail) = last {
        tails.keep(lane, tail);
    }
    Ok(())
}

/// One lane getting longer.
struct Growth<'c> {
    connection: &'c Connection,
    lane: Lane,
    end: End,
    came: Change,
}

impl Growth<'_> {
    /// Seals a chunk again with more records.
    fn grow(&mut self, mut tail: Tail, records: Vec<Record>) -> Result<Tail, SpoolError> {
        let before = tail.range;
        tail.records.extend(records);
        let chunk = seal(before.first(), tail.boot_id, tail.records.clone())?;
        let oldest_ms = oldest_event_time(&tail.records).as_millis();
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE chunk SET last_sequence = ?2, checksum = ?3, oldest_event_ms = ?4, late = ?5, body = ?6
                 WHERE id = ?1 AND last_sequence = ?7",
            )?
            .execute(params![
                lanes::chunk_id(self.lane, before.first()),
                chunk.range.last(),
                chunk.checksum,
                oldest_ms,
                oldest_ms < tail.before_ms,
                chunk.body,
                before.last(),
            ])?;
        if changed != 1 {
            // The chunk has gone, with a receipt or for want of room.
            let records = tail.records.split_off(usize::try_from(before.count()).unwrap_or(usize::MAX));
            return self.begin(tail.boot_id, records);
        }
        self.came.subtract(before.count(), tail.body_bytes);
        Ok(self.note(tail, &chunk, oldest_ms))
    }

    /// Seals a new chunk.
    fn begin(&mut self, boot_id: BootId, records: Vec<Record>) -> Result<Tail, SpoolError> {
        let range = self.end.next(self.lane, records.len() as u64)?;
        let oldest_ms = oldest_event_time(&records).as_millis();
        let before_ms = self.end.latest_event_ms;
        let chunk = seal(range.first(), boot_id, records.clone())?;
        insert(self.connection, self.lane, oldest_ms, oldest_ms < before_ms, &chunk)?;
        Ok(self.note(Tail { boot_id, range, body_bytes: 0, before_ms, records }, &chunk, oldest_ms))
    }

    fn note(&mut self, mut tail: Tail, chunk: &Chunk, oldest_ms: i64) -> Tail {
        tail.range = chunk.range;
        tail.body_bytes = chunk.body.len();
        self.came.add(chunk.range.count(), chunk.body.len());
        self.end = End { last_sequence: chunk.range.last(), latest_event_ms: tail.before_ms.max(oldest_ms) };
        tail
    }
}

/// Seals one record into the evidence lane's hash chain and gives its sequence.
pub(super) fn append_evidence(
    connection: &Connection,
    spool_id: SpoolId,
    boot_id: BootId,
    mut record: Record,
    signer: &Signer,
) -> Result<u64, SpoolError> {
    let end = lanes::end(connection, Lane::Evidence)?;
    let sequence = end.next(Lane::Evidence, 1)?.first();
    let prev_hash = chain_head(connection)?.unwrap_or_else(|| chain_start(spool_id));
    let Record { event_time, monotonic_ms, time_quality, ref reading, .. } = record;
    let digest = evidence_digest(prev_hash, sequence, event_time, monotonic_ms, time_quality, reading)
        .map_err(|error| SpoolError::Signature(error.to_string()))?;
    let signature = signer(&digest.0).map_err(SpoolError::Signature)?;
    record.seal = Some(EvidenceSeal { prev_hash, signature });
    // Each capture is a chunk of its own: one that the gateway refuses takes no other with it.
    let mut growth = Growth { connection, lane: Lane::Evidence, end, came: Change::default() };
    growth.begin(boot_id, vec![record])?;
    lanes::extend(connection, Lane::Evidence, growth.end, growth.came)?;
    connection.execute("INSERT OR REPLACE INTO fact (name, value) VALUES ('chain_head', ?1)", [digest.0])?;
    Ok(sequence)
}

/// Gives `count` records that could not be written their sequences after all, as a gap.
pub(super) fn append_gap(
    connection: &Connection,
    offered: &mut Offered,
    lane: Lane,
    count: u64,
    gap: &Gap,
) -> Result<(), SpoolError> {
    let end = lanes::end(connection, lane)?;
    let range = end.next(lane, count)?;
    lanes::extend(connection, lane, End { last_sequence: range.last(), ..end }, Change::default())?;
    gap::put(connection, offered, lane, range, gap)
}

/// The gap that stands for records which the disk would not take.
pub(super) fn unrecorded() -> Gap {
    Gap { reason: GapReason::Evicted, detail: "the disk would not take these records when they were made".to_owned() }
}

fn seal(first_sequence: u64, boot_id: BootId, records: Vec<Record>) -> Result<Chunk, SpoolError> {
    Chunk::seal(first_sequence, boot_id, records).map_err(|fault| SpoolError::File(fault.to_string()))
}

/// Writes the row of a chunk; the lane's bookkeeping is the caller's.
pub(super) fn insert(
    connection: &Connection,
    lane: Lane,
    oldest_ms: i64,
    late: bool,
    chunk: &Chunk,
) -> Result<(), SpoolError> {
    connection
        .prepare_cached(
            "INSERT INTO chunk (id, last_sequence, checksum, oldest_event_ms, late, thinned, body)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6)",
        )?
        .execute(params![
            lanes::chunk_id(lane, chunk.range.first()),
            chunk.range.last(),
            chunk.checksum,
            oldest_ms,
            late,
            chunk.body,
        ])?;
    Ok(())
}

/// The digest of the last evidence record.
pub(super) fn chain_head(connection: &Connection) -> Result<Option<Sha256>, SpoolError> {
    let head = connection
        .query_row("SELECT value FROM fact WHERE name = 'chain_head'", [], |row| row.get::<_, [u8; 32]>(0))
        .optional()?;
    Ok(head.map(Sha256))
}
