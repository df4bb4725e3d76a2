//! What the pages and the reading APIs ask of the store.
//!
//! Promise: every question names one fleet and is answered from that fleet's rows only; every answer is bounded, newest
//! or most urgent first; nothing here writes. A row that does not read (written by a newer gateway) is left out and
//! logged, because half a board is worth more than none.

pub mod case;
pub mod effect;
pub mod milestone;
pub mod shipment;
pub mod vehicle;

use milepost_proto::Timestamp;
use rusqlite::{CachedStatement, Params, Row};
use serde::de::DeserializeOwned;

use super::StoreResult;

/// Most rows of one kind in one answer.
pub const ROWS_MAX: u32 = 200;

/// All rows of a bounded question, in its order.
fn rows<T, P: Params>(
    mut statement: CachedStatement<'_>,
    params: P,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> StoreResult<Vec<T>> {
    Ok(statement.query_map(params, read)?.collect::<Result<_, _>>()?)
}

fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

fn time_if_known(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

/// The value that a JSON column holds, or nothing and a line in the log.
fn readable<T: DeserializeOwned>(what: &str, json: &str) -> Option<T> {
    match serde_json::from_str(json) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(what, %error, "left out of the board: the stored row does not read");
            None
        }
    }
}
