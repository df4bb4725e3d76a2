//! Which sequences of a lane are durable, as merged ranges.
//!
//! Promise: the rows of a lane are disjoint and never touch, so their number grows with the holes, not with the
//! records; marking a range reads and writes only its neighbours. A lane has at most [`RANGES_PER_LANE_MAX`] of them:
//! beyond that only what touches one of them has room, and the rest must wait in the device until holes are filled.

use milepost_proto::uplink::RECEIPT_RANGES_MAX;
use milepost_proto::{DeviceId, FleetId, Lane, SequenceRange, SequenceRanges, SpoolId};
use rusqlite::{Connection, params};

use super::column::{count, whole};
use super::{StoreFault, StoreResult};

/// Most separate ranges held of one lane. An agent makes one per outage while it drains; thousands are no agent's.
pub const RANGES_PER_LANE_MAX: u32 = 4096;

/// One lane of one spool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LaneKey {
    /// Whose.
    pub fleet_id: FleetId,
    /// Which device's.
    pub device_id: DeviceId,
    /// Which spool file's.
    pub spool_id: SpoolId,
    /// Which lane.
    pub lane: Lane,
}

impl std::fmt::Display for LaneKey {
    /// `device/spool/lane`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.device_id, self.spool_id, self.lane)
    }
}

/// What a receipt can say of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Every sequence `1..=through` is held.
    pub through: u64,
    /// Disjoint ranges above it, at most [`RECEIPT_RANGES_MAX`].
    pub above: Vec<SequenceRange>,
}

/// Whether any sequence of `range` is held.
///
/// # Errors
/// When the store fails.
pub fn overlaps(connection: &Connection, key: &LaneKey, range: SequenceRange) -> StoreResult<bool> {
    Ok(!between(connection, key, range.first(), range.last())?.is_empty())
}

/// Whether every sequence of `range` is held.
///
/// # Errors
/// When the store fails.
pub fn covers(connection: &Connection, key: &LaneKey, range: SequenceRange) -> StoreResult<bool> {
    // Rows are merged, so what is held whole is held by one row.
    Ok(between(connection, key, range.first(), range.last())?.iter().any(|held| held.covers(range)))
}

/// Whether `range` can be marked within the lane's bound.
///
/// # Errors
/// When the store fails.
pub fn has_room(connection: &Connection, key: &LaneKey, range: SequenceRange) -> StoreResult<bool> {
    if !between(connection, key, range.first() - 1, range.last().saturating_add(1))?.is_empty() {
        return Ok(true);
    }
    let sql = "SELECT 1 FROM lane_range WHERE fleet_id = ?1 AND device_id = ?2 AND spool_id = ?3 AND lane = ?4
        LIMIT 1 OFFSET ?5";
    let (fleet, device, spool, lane) = columns(key);
    let full = connection.prepare_cached(sql)?.exists(params![fleet, device, spool, lane, RANGES_PER_LANE_MAX - 1])?;
    Ok(!full)
}

/// Marks `range` as held.
///
/// # Errors
/// When the store fails.
pub fn mark(connection: &Connection, key: &LaneKey, range: SequenceRange) -> StoreResult<()> {
    let neighbours = between(connection, key, range.first() - 1, range.last().saturating_add(1))?;
    if let [only] = neighbours[..]
        && only.covers(range)
    {
        return Ok(());
    }
    let mut merged: SequenceRanges = neighbours.iter().copied().collect();
    merged.insert(range);
    let mut delete = connection.prepare_cached(
        "DELETE FROM lane_range
            WHERE fleet_id = ?1 AND device_id = ?2 AND spool_id = ?3 AND lane = ?4 AND first_sequence = ?5",
    )?;
    let mut insert = connection.prepare_cached("INSERT INTO lane_range VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let (fleet, device, spool, lane) = columns(key);
    for held in neighbours {
        delete.execute(params![fleet, device, spool, lane, whole(held.first())])?;
    }
    for held in merged.iter() {
        insert.execute(params![fleet, device, spool, lane, whole(held.first()), whole(held.last())])?;
    }
    Ok(())
}

/// What a receipt says after `sent` was handed over: the ranges that hold it come first, then the lowest others, as
/// many as a receipt may have.
///
/// # Errors
/// When the store fails.
pub fn held(connection: &Connection, key: &LaneKey, sent: &[SequenceRange]) -> StoreResult<Held> {
    let through = between(connection, key, 1, 1)?.first().map_or(0, |range| range.last());
    let mut above: Vec<SequenceRange> = Vec::new();
    let mut add = |range: SequenceRange| {
        if range.first() > through && above.len() < RECEIPT_RANGES_MAX && !above.contains(&range) {
            above.push(range);
        }
    };
    for range in sent {
        between(connection, key, range.first(), range.last())?.into_iter().for_each(&mut add);
    }
    lowest(connection, key)?.into_iter().for_each(&mut add);
    above.sort_unstable();
    Ok(Held { through, above })
}

/// The held ranges that touch `first..=last`, lowest first.
fn between(connection: &Connection, key: &LaneKey, first: u64, last: u64) -> StoreResult<Vec<SequenceRange>> {
    // Rows are disjoint, so at most one that begins before `first` can reach it: look from that one on.
    let sql = "SELECT first_sequence, last_sequence FROM lane_range
        WHERE fleet_id = ?1 AND device_id = ?2 AND spool_id = ?3 AND lane = ?4 AND last_sequence >= ?5
            AND first_sequence <= ?6 AND first_sequence >= coalesce(
                (SELECT max(first_sequence) FROM lane_range
                    WHERE fleet_id = ?1 AND device_id = ?2 AND spool_id = ?3 AND lane = ?4 AND first_sequence <= ?5), 0)
        ORDER BY first_sequence";
    let (fleet, device, spool, lane) = columns(key);
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![fleet, device, spool, lane, whole(first), whole(last)])?;
    read_ranges(&mut rows)
}

fn lowest(connection: &Connection, key: &LaneKey) -> StoreResult<Vec<SequenceRange>> {
    let sql = "SELECT first_sequence, last_sequence FROM lane_range
        WHERE fleet_id = ?1 AND device_id = ?2 AND spool_id = ?3 AND lane = ?4 ORDER BY first_sequence LIMIT ?5";
    let (fleet, device, spool, lane) = columns(key);
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![fleet, device, spool, lane, whole(RECEIPT_RANGES_MAX as u64 + 1)])?;
    read_ranges(&mut rows)
}

fn read_ranges(rows: &mut rusqlite::Rows<'_>) -> StoreResult<Vec<SequenceRange>> {
    let mut ranges = Vec::new();
    while let Some(row) = rows.next()? {
        let range = SequenceRange::new(count(row.get(0)?), count(row.get(1)?));
        ranges.push(range.map_err(|error| StoreFault::Damaged(error.to_string()))?);
    }
    Ok(ranges)
}

fn columns(key: &LaneKey) -> (&str, &str, [u8; 16], &'static str) {
    (key.fleet_id.as_str(), key.device_id.as_str(), key.spool_id.0, key.lane.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::migration::migrate;

    fn key() -> LaneKey {
        LaneKey {
            fleet_id: "north".parse().expect("a name"),
            device_id: "truck-7".parse().expect("a name"),
            spool_id: SpoolId([1; 16]),
            lane: Lane::Event,
        }
    }

    fn store() -> Connection {
        let mut connection = Connection::open_in_memory().expect("opens");
        migrate(&mut connection).expect("migrates");
        connection
    }

    proptest! {
        /// The table behaves as the in-memory set of ranges, whatever the order.
        #[test]
        fn marked_rows_behave_as_a_set(pairs in prop::collection::vec((1u64..60, 0u64..8), 0..24)) {
            let connection = store();
            let mut model = SequenceRanges::new();
            for (first, more) in pairs {
                let range = SequenceRange::new(first, first + more).expect("a range");
                let overlapping = (first..=first + more).any(|n| model.covers(SequenceRange::single(n)));
                prop_assert_eq!(overlaps(&connection, &key(), range).expect("reads"), overlapping);
                mark(&connection, &key(), range).expect("writes");
                model.insert(range);
            }
            let held = held(&connection, &key(), &[]).expect("reads");
            prop_assert_eq!(held.through, model.through());
            prop_assert_eq!(held.above, model.above_through().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_receipt_names_what_was_just_sent_even_above_very_many_holes() {
        let connection = store();
        for n in 1..=200 {
            mark(&connection, &key(), SequenceRange::single(n * 2)).expect("writes");
        }
        let sent = SequenceRange::single(400);
        let held = held(&connection, &key(), &[sent]).expect("reads");
        assert_eq!((held.through, held.above.len()), (0, RECEIPT_RANGES_MAX));
        assert!(held.above.contains(&sent));
    }
}
