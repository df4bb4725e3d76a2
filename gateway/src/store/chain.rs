//! Whether chunks of evidence link up with their neighbours.
//!
//! Promise: a break between two chunks is found when the later of them arrives, in whichever order they do, by looking
//! at nothing but the neighbours.

use milepost_proto::chunk::CHUNK_RECORDS_MAX;
use milepost_proto::{SequenceRange, Sha256};
use rusqlite::{Connection, params};

use super::StoreResult;
use super::column::whole;
use super::lane_range::LaneKey;

/// Whether the chunks held next to `range`, if any, are linked to the chunk whose first record names `begin` as the
/// record before it and whose last record's digest is `end`.
///
/// # Errors
/// When the store fails.
pub fn links_up(
    connection: &Connection,
    key: &LaneKey,
    range: SequenceRange,
    [begin, end]: [Sha256; 2],
) -> StoreResult<bool> {
    let sql = "SELECT 1 FROM journal WHERE fleet_id = ?1 AND device_id = ?2 AND spool_id = ?3 AND lane = ?4
        AND first_sequence BETWEEN ?5 AND ?7 + 1
        AND ((last_sequence = ?6 - 1 AND chain_end IS NOT ?8 AND chain_end IS NOT NULL)
            OR (first_sequence = ?7 + 1 AND chain_begin IS NOT ?9 AND chain_begin IS NOT NULL))";
    let broken = connection.prepare_cached(sql)?.exists(params![
        key.fleet_id.as_str(),
        key.device_id.as_str(),
        key.spool_id.0,
        key.lane.as_str(),
        whole(range.first().saturating_sub(CHUNK_RECORDS_MAX as u64)),
        whole(range.first()),
        whole(range.last()),
        begin.0,
        end.0
    ])?;
    Ok(!broken)
}
