//! Exception cases that are open.

use milepost_proto::{FleetId, Timestamp};
use rusqlite::{Connection, params};

use super::{ROWS_MAX, rows, time};
use crate::store::StoreResult;
use crate::store::column::count;

/// Something a person must decide or should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseRow {
    /// What kind of trouble.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// What happened and what mends it.
    pub detail: String,
    /// When it was first met.
    pub opened_at: Timestamp,
    /// How often it was met.
    pub times_met: u64,
}

/// The open cases, newest first.
///
/// # Errors
/// The store's.
pub fn open_cases(connection: &Connection, fleet: &FleetId) -> StoreResult<Vec<CaseRow>> {
    let statement = connection.prepare_cached(
        "SELECT kind, subject, detail, opened_at, times_met FROM exception_case
         WHERE fleet_id = ?1 AND closed_at IS NULL ORDER BY opened_at DESC LIMIT ?2",
    )?;
    rows(statement, params![fleet.as_str(), ROWS_MAX], |row| {
        Ok(CaseRow {
            kind: row.get("kind")?,
            subject: row.get("subject")?,
            detail: row.get("detail")?,
            opened_at: time(row, "opened_at")?,
            times_met: count(row.get("times_met")?),
        })
    })
}
