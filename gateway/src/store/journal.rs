//! Reading the journal back, for whoever folds it.
//!
//! Promise: rows come with everything needed to name and date each record inside, and memory is bounded by the rows
//! asked for, never by the journal.

use milepost_proto::chunk::CHUNK_RECORDS_MAX;
use milepost_proto::{Chunk, DeviceId, FleetId, SequenceRange, SpoolId, Timestamp};
use rusqlite::{Connection, Row, params};

use super::column::{count, name, whole};
use super::lane_range::LaneKey;
use super::{StoreFault, StoreResult, column, lane};

/// One chunk as it was kept.
#[derive(Debug, Clone)]
pub struct JournalRow {
    /// Its place in the journal.
    pub position: u64,
    /// The lane it belongs to.
    pub key: LaneKey,
    /// The chunk.
    pub chunk: Chunk,
    /// Whether another chunk claims some of the same sequences differently.
    pub contested: bool,
    /// When it arrived.
    pub received_at: Timestamp,
}

/// Whoever reads rows decides the order of the tables by `CROSS JOIN`, which SQLite keeps.
const COLUMNS: &str = "c.position, l.fleet_id, l.device_id, l.spool_id, l.lane, c.first_sequence,
    c.first_sequence + c.more, c.checksum, c.body, c.contested, c.received_at";

/// The chunks after `position`, oldest first, at most `rows_max`.
///
/// # Errors
/// When the store fails.
pub fn rows_after(
    connection: &Connection,
    fleet_id: &FleetId,
    position: u64,
    rows_max: u32,
) -> StoreResult<Vec<JournalRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM chunk c CROSS JOIN lane l USING (lane_id) WHERE l.fleet_id = ?1 AND c.position > ?2
            ORDER BY c.position LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![fleet_id.as_str(), whole(position), rows_max])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read_row(row)?);
    }
    Ok(found)
}

/// Shows `take` every chunk of records of `device_id` up to journal position `through`, one at a time.
///
/// # Errors
/// When the store fails, or what `take` returns.
pub fn each_of_device(
    connection: &Connection,
    fleet_id: &FleetId,
    device_id: &DeviceId,
    through: u64,
    mut take: impl FnMut(JournalRow) -> StoreResult<()>,
) -> StoreResult<()> {
    let sql = format!(
        "SELECT {COLUMNS} FROM lane l CROSS JOIN chunk c USING (lane_id)
            WHERE l.fleet_id = ?1 AND l.device_id = ?2 AND c.loss NOT BETWEEN 1 AND 4 AND c.position <= ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![fleet_id.as_str(), device_id.as_str(), whole(through)])?;
    while let Some(row) = rows.next()? {
        take(read_row(row)?)?;
    }
    Ok(())
}

/// The claims on the sequences of `range` up to journal position `through`, as `(checksum, range)`.
///
/// # Errors
/// When the store fails.
pub fn claims(
    connection: &Connection,
    key: &LaneKey,
    range: SequenceRange,
    through: u64,
) -> StoreResult<Vec<(u32, SequenceRange)>> {
    let Some(lane_id) = lane::find(connection, key)? else { return Ok(Vec::new()) };
    let sql = "SELECT checksum, first_sequence, first_sequence + more FROM chunk
        WHERE lane_id = ?1 AND loss NOT BETWEEN 1 AND 4 AND position <= ?5
            AND first_sequence BETWEEN ?2 AND ?4 AND first_sequence + more >= ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let reach = range.first().saturating_sub(CHUNK_RECORDS_MAX as u64);
    let mut rows =
        statement.query(params![lane_id.0, whole(reach), whole(range.first()), whole(range.last()), whole(through)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((row.get(0)?, sequence_range(row, 1)?));
    }
    Ok(found)
}

fn read_row(row: &Row<'_>) -> StoreResult<JournalRow> {
    let text =
        |index| row.get_ref(index).map_err(StoreFault::from)?.as_str().map_err(|e| StoreFault::Damaged(e.to_string()));
    Ok(JournalRow {
        position: count(row.get(0)?),
        key: LaneKey {
            fleet_id: name(text(1)?)?,
            device_id: name(text(2)?)?,
            spool_id: SpoolId(row.get(3)?),
            lane: column::lane(text(4)?)?,
        },
        chunk: Chunk { range: sequence_range(row, 5)?, checksum: row.get(7)?, body: row.get(8)? },
        contested: row.get(9)?,
        received_at: Timestamp::from_millis(row.get(10)?),
    })
}

fn sequence_range(row: &Row<'_>, column: usize) -> StoreResult<SequenceRange> {
    SequenceRange::new(count(row.get(column)?), count(row.get(column + 1)?))
        .map_err(|error| StoreFault::Damaged(error.to_string()))
}
