//! When the spool is full: the oldest telemetry goes, and a gap says so. Evidence and events never go for telemetry.

use milepost_proto::reading::{Gap, GapReason};
use milepost_proto::{Lane, SequenceRange};
use rusqlite::Connection;

use super::{SpoolError, append, lanes, settle};

/// The part of the quota that is freed at once, so that a full spool makes few gaps and loses little more than it must.
const EVICTED_PART: u64 = 16;
/// Most chunks looked at to find that part.
const EVICTED_CHUNKS_MAX: usize = 1_024;

/// Bytes in use: pages of the database that hold something.
pub(super) fn used_bytes(connection: &Connection) -> Result<u64, SpoolError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    Ok((pragma("page_count")?.saturating_sub(pragma("freelist_count")?)) * pragma("page_size")?)
}

/// Makes room by dropping old telemetry until less than `quota_bytes` are used.
///
/// # Errors
/// [`SpoolError::Full`] when nothing is left that may be dropped.
pub(super) fn make_room(connection: &Connection, quota_bytes: u64) -> Result<(), SpoolError> {
    while used_bytes(connection)? >= quota_bytes {
        let Some(range) = oldest_telemetry(connection, quota_bytes / EVICTED_PART)? else {
            return Err(SpoolError::Full("its quota is used up by evidence and events".to_owned()));
        };
        settle::remove(connection, Lane::Telemetry, range)?;
        let detail = "the spool's quota was used up".to_owned();
        append::put_gap(connection, Lane::Telemetry, range, Gap { reason: GapReason::Evicted, detail })?;
    }
    Ok(())
}

/// The oldest run of telemetry chunks that frees `bytes`: at least one chunk, and gaps do not count.
fn oldest_telemetry(connection: &Connection, bytes: u64) -> Result<Option<SequenceRange>, SpoolError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, last_sequence, length(body) FROM chunk
         WHERE id >= ?1 AND id < ?2 AND oldest_event_ms < ?3 ORDER BY id LIMIT ?4",
    )?;
    let (from, to) = lanes::chunk_ids(Lane::Telemetry);
    let gap_time = milepost_proto::Timestamp::MAX.as_millis();
    let mut rows = statement.query(rusqlite::params![from, to, gap_time, EVICTED_CHUNKS_MAX])?;
    let mut run: Option<SequenceRange> = None;
    let mut freed = 0;
    while let Some(row) = rows.next()?.filter(|_| freed < bytes) {
        freed += row.get::<_, u64>(2)?;
        let (first, last) = (lanes::first_sequence(row.get(0)?), row.get(1)?);
        match run {
            None => run = SequenceRange::new(first, last).ok(),
            Some(range) if range.last() + 1 == first => run = SequenceRange::new(range.first(), last).ok(),
            Some(_) => break,
        }
    }
    Ok(run)
}
