//! The three lanes' bookkeeping: the last sequence given out and how much waits, kept with every change.

use milepost_proto::{Lane, SequenceRange, Timestamp};
use rusqlite::{Connection, params};

use super::SpoolError;
use crate::status::LaneStatus;

/// Bits of a chunk id below the lane: room for more sequences than a device can ever use.
const SEQUENCE_BITS: u32 = 56;

/// The lane's number in the file.
pub(super) const fn number(lane: Lane) -> u8 {
    match lane {
        Lane::Evidence => 1,
        Lane::Event => 2,
        Lane::Telemetry => 3,
    }
}

/// The id of the chunk of `lane` that begins at `first_sequence`.
pub(super) fn chunk_id(lane: Lane, first_sequence: u64) -> u64 {
    u64::from(number(lane)) << SEQUENCE_BITS | first_sequence
}

/// The first sequence of the chunk with this id.
pub(super) const fn first_sequence(chunk_id: u64) -> u64 {
    chunk_id & ((1 << SEQUENCE_BITS) - 1)
}

/// Ids of the chunks of `lane`, as bounds `from..to`.
pub(super) fn chunk_ids(lane: Lane) -> (u64, u64) {
    (chunk_id(lane, 0), u64::from(number(lane) + 1) << SEQUENCE_BITS)
}

/// Gives out the next `count` sequences.
pub(super) fn take_sequences(connection: &Connection, lane: Lane, count: u64) -> Result<SequenceRange, SpoolError> {
    let last: u64 = connection.query_row(
        "UPDATE lane SET last_sequence = last_sequence + ?2 WHERE lane = ?1 RETURNING last_sequence",
        params![number(lane), count],
        |row| row.get(0),
    )?;
    SequenceRange::starting_at(last + 1 - count, count)
        .ok_or_else(|| SpoolError::File(format!("lane {lane} cannot give out {count} sequences after {last}")))
}

/// Notes that records and bytes came (positive) or went (negative).
pub(super) fn adjust(connection: &Connection, lane: Lane, records: i64, bytes: i64) -> Result<(), SpoolError> {
    connection.execute(
        "UPDATE lane SET waiting_records = waiting_records + ?2, waiting_bytes = waiting_bytes + ?3 WHERE lane = ?1",
        params![number(lane), records, bytes],
    )?;
    Ok(())
}

/// Every lane, most urgent first.
pub(super) fn all(connection: &Connection) -> Result<Vec<LaneStatus>, SpoolError> {
    Lane::ALL.into_iter().map(|lane| one(connection, lane)).collect()
}

fn one(connection: &Connection, lane: Lane) -> Result<LaneStatus, SpoolError> {
    let (from, to) = chunk_ids(lane);
    let oldest = connection
        .prepare_cached("SELECT oldest_event_ms FROM chunk WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 1")?
        .query_map([from, to], |row| row.get(0))?
        .next()
        .transpose()?
        .map(Timestamp::from_millis);
    let status = connection
        .prepare_cached("SELECT waiting_records, waiting_bytes, last_sequence FROM lane WHERE lane = ?1")?
        .query_row([number(lane)], |row| {
            Ok(LaneStatus {
                lane,
                waiting: row.get(0)?,
                waiting_bytes: row.get(1)?,
                oldest,
                last_sequence: row.get(2)?,
            })
        })?;
    Ok(status)
}
