//! Whether chunks of evidence link up with their neighbours.
//!
//! Promise: a break between two chunks is found when the later of them arrives, in whichever order they do, by looking
//! at nothing but the neighbours.

use milepost_proto::chunk::CHUNK_RECORDS_MAX;
use milepost_proto::{SequenceRange, Sha256};
use rusqlite::{Connection, params};

use super::StoreResult;
use super::column::whole;
use super::lane::LaneId;

/// Whether the chunks held next to `range`, if any, are linked to the chunk whose first record names `begin` as the
/// record before it and whose last record's digest is `end`.
///
/// # Errors
/// When the store fails.
pub fn links_up(
    connection: &Connection,
    lane_id: LaneId,
    range: SequenceRange,
    [begin, end]: [Sha256; 2],
) -> StoreResult<bool> {
    let sql = "SELECT 1 FROM chunk WHERE lane_id = ?1 AND first_sequence BETWEEN ?2 AND ?4 + 1
        AND ((first_sequence + more = ?3 - 1 AND chain_end IS NOT ?5 AND chain_end IS NOT NULL)
            OR (first_sequence = ?4 + 1 AND chain_begin IS NOT ?6 AND chain_begin IS NOT NULL))";
    let broken = connection.prepare_cached(sql)?.exists(params![
        lane_id.0,
        whole(range.first().saturating_sub(CHUNK_RECORDS_MAX as u64)),
        whole(range.first()),
        whole(range.last()),
        begin.0,
        end.0
    ])?;
    Ok(!broken)
}
