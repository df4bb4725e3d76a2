//! Retention: what is dropped from the journal when it is old enough and nobody needs it.
//!
//! Promise: without a policy nothing is ever dropped. A chunk is dropped only when it arrived longer ago than its lane's
//! days, is folded, nobody contests it, and everything in it happened up to the floor of every vehicle its device
//! served, so that no milestone depends on it any more. Gaps stay: what was lost stays known. A dropped chunk that comes
//! again is recognised as held. Work is done in steps of at most [`CHUNKS_PER_STEP_MAX`] rows, so receipts never wait long.

use milepost_proto::{FleetId, SequenceRange, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::StoreResult;
use super::column::{count, whole};
use super::lane::LaneId;
use crate::config::RetentionSection;

/// Most chunks dropped in one step.
pub const CHUNKS_PER_STEP_MAX: usize = 256;
/// Most blobs dropped in one step.
pub const BLOBS_PER_STEP_MAX: u32 = 16;
/// Rows of a lane looked at in vain before the rest is left for the next time.
const ROWS_IN_VAIN_MAX: u32 = 1024;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A lane of which something may be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldLane {
    lane_id: LaneId,
    /// What arrived before this is old.
    received_before: Timestamp,
    /// What happened after this is still needed.
    floor: Timestamp,
}

/// `days` before `now`.
#[must_use]
pub fn days_before(now: Timestamp, days: u32) -> Timestamp {
    now.plus_millis(-i64::from(days) * DAY_MS)
}

/// The lanes of the fleet that the policy speaks of, each with what bounds it. A device that never served a vehicle is
/// bound by age alone.
///
/// # Errors
/// When the store fails.
pub fn old_lanes(
    connection: &Connection,
    fleet_id: &FleetId,
    policy: &RetentionSection,
    now: Timestamp,
) -> StoreResult<Vec<OldLane>> {
    let sql = "SELECT l.lane_id, l.lane,
            (SELECT min(coalesce(f.floor_time, -9223372036854775808)) FROM assignment a
                LEFT JOIN fold_floor f ON f.fleet_id = a.fleet_id AND f.vehicle_id = a.vehicle_id
                WHERE a.fleet_id = l.fleet_id AND a.device_id = l.device_id AND a.vehicle_id IS NOT NULL)
        FROM lane l WHERE l.fleet_id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([fleet_id.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let lane = super::column::lane(row.get_ref(1)?.as_str().unwrap_or_default())?;
        let Some(days) = policy.days(lane) else { continue };
        let received_before = days_before(now, days);
        let floor = row.get::<_, Option<i64>>(2)?.map_or(received_before, Timestamp::from_millis);
        found.push(OldLane { lane_id: LaneId(row.get(0)?), received_before, floor });
    }
    Ok(found)
}

/// The positions of chunks of `lane` that may be dropped, lowest sequences first, at most [`CHUNKS_PER_STEP_MAX`].
///
/// # Errors
/// When the store fails.
pub fn droppable(connection: &Connection, fleet_id: &FleetId, lane: OldLane) -> StoreResult<Vec<i64>> {
    let folded = super::commit::cursor(connection, fleet_id)?.position;
    let sql = "SELECT position, loss IN (0, 5) AND contested = 0 AND received_at < ?2
            AND first_event_time + span_ms <= ?3 AND position <= ?4
        FROM chunk WHERE lane_id = ?1 ORDER BY first_sequence";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![
        lane.lane_id.0,
        lane.received_before.as_millis(),
        lane.floor.as_millis(),
        whole(folded)
    ])?;
    let (mut found, mut in_vain) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        if row.get::<_, Option<bool>>(1)? == Some(true) {
            found.push(row.get(0)?);
        } else {
            in_vain += 1;
        }
        if found.len() >= CHUNKS_PER_STEP_MAX || in_vain >= ROWS_IN_VAIN_MAX {
            break;
        }
    }
    Ok(found)
}

/// Drops the chunks of `lane` at these positions, except those contested since. Answers how many records went.
///
/// # Errors
/// When the store fails.
pub fn drop_chunks(connection: &Connection, lane: OldLane, positions: &[i64]) -> StoreResult<u64> {
    let sql = "DELETE FROM chunk WHERE position = ?1 AND contested = 0
        RETURNING first_sequence + more, more + 1 - coalesce(lost, 0)";
    let mut delete = connection.prepare_cached(sql)?;
    let (mut through, mut records) = (0_i64, 0_i64);
    for position in positions {
        let gone = delete.query_row([position], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).optional()?;
        if let Some((last, held)) = gone {
            through = through.max(last);
            records += held;
        }
    }
    let sql = "UPDATE lane SET dropped_through = max(dropped_through, ?2), dropped_records = dropped_records + ?3
        WHERE lane_id = ?1";
    connection.prepare_cached(sql)?.execute(params![lane.lane_id.0, through, records])?;
    Ok(count(records))
}

/// Whether `range` was dropped: it lies below what was dropped of the lane, and no chunk shares a sequence with it.
///
/// # Errors
/// When the store fails.
pub fn was_dropped(connection: &Connection, lane_id: LaneId, range: SequenceRange) -> StoreResult<bool> {
    let sql = "SELECT 1 FROM lane WHERE lane_id = ?1 AND dropped_through >= ?2";
    if !connection.prepare_cached(sql)?.exists(params![lane_id.0, whole(range.last())])? {
        return Ok(false);
    }
    let sql = "SELECT 1 FROM chunk WHERE lane_id = ?1 AND first_sequence <= ?3 AND first_sequence + more >= ?2";
    let held = params![lane_id.0, whole(range.first()), whole(range.last())];
    Ok(!connection.prepare_cached(sql)?.exists(held)?)
}

/// Drops complete blobs that are older than the policy's days and that no unsettled effect names, at most
/// [`BLOBS_PER_STEP_MAX`]. Answers how many went.
///
/// # Errors
/// When the store fails.
pub fn drop_blobs(connection: &Connection, fleet_id: &FleetId, before: Timestamp) -> StoreResult<usize> {
    let sql = "SELECT sha256 FROM blob b WHERE fleet_id = ?1 AND complete = 1 AND created_at < ?2 AND NOT EXISTS (
            SELECT 1 FROM outbox o WHERE o.fleet_id = ?1 AND o.state <> 'done' AND instr(o.body, lower(hex(b.sha256))) > 0)
        LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let old = statement
        .query_map(params![fleet_id.as_str(), before.as_millis(), BLOBS_PER_STEP_MAX], |row| row.get(0))?
        .collect::<Result<Vec<[u8; 32]>, _>>()?;
    for sha256 in &old {
        for sql in [
            "DELETE FROM blob_part WHERE fleet_id = ?1 AND sha256 = ?2",
            "DELETE FROM blob WHERE fleet_id = ?1 AND sha256 = ?2",
        ] {
            connection.prepare_cached(sql)?.execute(params![fleet_id.as_str(), sha256])?;
        }
    }
    Ok(old.len())
}
