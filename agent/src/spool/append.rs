//! Putting records into the spool: sequences, seals, chunks.

use milepost_proto::chunk::CHUNK_RECORDS_MAX;
use milepost_proto::reading::{Gap, GapReason};
use milepost_proto::seal::{EvidenceSeal, chain_start, evidence_digest};
use milepost_proto::{BootId, Chunk, Lane, Record, SequenceRange, Sha256, SpoolId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Signer, SpoolError, lanes, oldest_event_time};

/// Seals `records` into chunks of `lane`.
pub(super) fn append(
    connection: &Connection,
    lane: Lane,
    boot_id: BootId,
    mut records: Vec<Record>,
) -> Result<(), SpoolError> {
    while !records.is_empty() {
        let rest = records.split_off(records.len().min(CHUNK_RECORDS_MAX));
        let range = lanes::take_sequences(connection, lane, records.len() as u64)?;
        let oldest = oldest_event_time(&records);
        insert(connection, lane, oldest, &seal(range, boot_id, records)?)?;
        records = rest;
    }
    Ok(())
}

/// Seals one record into the evidence lane's hash chain and gives its sequence.
pub(super) fn append_evidence(
    connection: &Connection,
    spool_id: SpoolId,
    boot_id: BootId,
    mut record: Record,
    signer: &Signer,
) -> Result<u64, SpoolError> {
    let range = lanes::take_sequences(connection, Lane::Evidence, 1)?;
    let sequence = range.first();
    let prev_hash = chain_head(connection)?.unwrap_or_else(|| chain_start(spool_id));
    let Record { event_time, monotonic_ms, time_quality, ref reading, .. } = record;
    let digest = evidence_digest(prev_hash, sequence, event_time, monotonic_ms, time_quality, reading)
        .map_err(|error| SpoolError::Signature(error.to_string()))?;
    let signature = signer(&digest.0).map_err(SpoolError::Signature)?;
    record.seal = Some(EvidenceSeal { prev_hash, signature });
    let oldest = oldest_event_time(std::slice::from_ref(&record));
    insert(connection, Lane::Evidence, oldest, &seal(range, boot_id, vec![record])?)?;
    connection.execute("INSERT OR REPLACE INTO fact (name, value) VALUES ('chain_head', ?1)", [digest.0])?;
    Ok(sequence)
}

/// Gives `count` records that could not be written their sequences after all, as a gap.
pub(super) fn append_gap(connection: &Connection, lane: Lane, count: u64, gap: Gap) -> Result<(), SpoolError> {
    let range = lanes::take_sequences(connection, lane, count)?;
    put_gap(connection, lane, range, gap)
}

/// Puts a gap over `range`.
pub(super) fn put_gap(connection: &Connection, lane: Lane, range: SequenceRange, gap: Gap) -> Result<(), SpoolError> {
    let chunk = Chunk::gap(range, gap).map_err(|fault| SpoolError::File(fault.to_string()))?;
    insert(connection, lane, Timestamp::MAX, &chunk)
}

/// The gap that stands for records which the disk would not take.
pub(super) fn unrecorded() -> Gap {
    Gap { reason: GapReason::Evicted, detail: "the disk would not take these records when they were made".to_owned() }
}

fn seal(range: SequenceRange, boot_id: BootId, records: Vec<Record>) -> Result<Chunk, SpoolError> {
    Chunk::seal(range.first(), boot_id, records).map_err(|fault| SpoolError::File(fault.to_string()))
}

fn insert(connection: &Connection, lane: Lane, oldest: Timestamp, chunk: &Chunk) -> Result<(), SpoolError> {
    connection.prepare_cached("INSERT INTO chunk VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
        lanes::chunk_id(lane, chunk.range.first()),
        chunk.range.last(),
        chunk.checksum,
        oldest.as_millis(),
        chunk.body,
    ])?;
    let records = i64::try_from(chunk.range.count()).unwrap_or(i64::MAX);
    let bytes = i64::try_from(chunk.body.len()).unwrap_or(i64::MAX);
    lanes::adjust(connection, lane, records, bytes)
}

/// The digest of the last evidence record.
pub(super) fn chain_head(connection: &Connection) -> Result<Option<Sha256>, SpoolError> {
    let head = connection
        .query_row("SELECT value FROM fact WHERE name = 'chain_head'", [], |row| row.get::<_, [u8; 32]>(0))
        .optional()?;
    Ok(head.map(Sha256))
}
