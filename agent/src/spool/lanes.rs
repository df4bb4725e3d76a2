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

/// Where a lane ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// The last sequence given out.
    pub(super) last_sequence: u64,
    /// The greatest of its chunks' oldest event times so far, milliseconds; a chunk below it is late.
    pub(super) latest_event_ms: i64,
}

impl End {
    /// The next `count` sequences.
    pub(super) fn next(self, lane: Lane, count: u64) -> Result<SequenceRange, SpoolError> {
        let last = self.last_sequence;
        SequenceRange::starting_at(last + 1, count)
            .ok_or_else(|| SpoolError::File(format!("lane {lane} cannot give out {count} sequences after {last}")))
    }
}

/// Where `lane` ends.
pub(super) fn end(connection: &Connection, lane: Lane) -> Result<End, SpoolError> {
    let end = connection
        .prepare_cached("SELECT last_sequence, latest_event_ms FROM lane WHERE lane = ?1")?
        .query_row([number(lane)], |row| Ok(End { last_sequence: row.get(0)?, latest_event_ms: row.get(1)? }))?;
    Ok(end)
}

/// Notes where `lane` ends now, and what came.
pub(super) fn extend(connection: &Connection, lane: Lane, end: End, came: Change) -> Result<(), SpoolError> {
    connection
        .prepare_cached(
            "UPDATE lane SET last_sequence = ?2, latest_event_ms = ?3, waiting_records = waiting_records + ?4,
                    waiting_bytes = waiting_bytes + ?5 WHERE lane = ?1",
        )?
        .execute(params![number(lane), end.last_sequence, end.latest_event_ms, came.records, came.bytes])?;
    Ok(())
}

/// Records and bytes that came (positive) or went (negative).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Change {
    pub(super) records: i64,
    pub(super) bytes: i64,
}

impl Change {
    /// Adds records and bytes of chunk bodies that came.
    pub(super) fn add(&mut self, records: u64, bytes: usize) {
        self.records += i64::try_from(records).unwrap_or(i64::MAX);
        self.bytes += i64::try_from(bytes).unwrap_or(i64::MAX);
    }

    /// Subtracts records and bytes of chunk bodies that went.
    pub(super) fn subtract(&mut self, records: u64, bytes: usize) {
        self.records -= i64::try_from(records).unwrap_or(i64::MAX);
        self.bytes -= i64::try_from(bytes).unwrap_or(i64::MAX);
    }
}

/// Notes what came and went.
pub(super) fn adjust(connection: &Connection, lane: Lane, change: Change) -> Result<(), SpoolError> {
    connection
        .prepare_cached(
            "UPDATE lane SET waiting_records = waiting_records + ?2, waiting_bytes = waiting_bytes + ?3
             WHERE lane = ?1",
        )?
        .execute(params![number(lane), change.records, change.bytes])?;
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
