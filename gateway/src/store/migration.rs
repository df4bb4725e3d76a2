//! Brings a store file to the schema this build knows.
//!
//! Promise: a file is either at the newest schema afterwards or untouched, because every step runs in one transaction
//! with its version number; a file from a newer gateway is refused, never guessed at.

use rusqlite::Connection;

use super::{StoreFault, StoreResult};

/// Step N brings a file from schema N to N + 1. Steps are only ever appended.
const STEPS: &[&str] = &[
    include_str!("schema.sql"),
    // The milestones of a vehicle are those of its trips.
    "CREATE INDEX milestone_trip ON milestone (fleet_id, trip_id)",
    // A device begins only so many blobs at once.
    "CREATE INDEX blob_begun ON blob (fleet_id, device_id, created_at) WHERE complete = 0",
    // What time it was at which moment of a boot, as its devices told: the journal up to the cursor, in short.
    "CREATE TABLE boot_clock (
        fleet_id        TEXT    NOT NULL,
        device_id       TEXT    NOT NULL,
        boot_id         BLOB    NOT NULL,
        error_ms        INTEGER NOT NULL,           -- largest error either way
        monotonic_ms    INTEGER NOT NULL,           -- the moment, on the device's monotonic clock
        utc             INTEGER NOT NULL,           -- the time it was
        PRIMARY KEY (fleet_id, device_id, boot_id, error_ms, monotonic_ms, utc)
    ) WITHOUT ROWID;
    CREATE INDEX journal_boot ON journal (fleet_id, device_id, boot_id, position)",
];

/// Applies the missing steps.
///
/// # Errors
/// [`StoreFault::Newer`] for a file of a newer gateway; [`StoreFault::Sqlite`] when a step fails.
pub fn migrate(connection: &mut Connection) -> StoreResult<()> {
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = usize::try_from(found).ok().filter(|&done| done <= STEPS.len());
    let Some(done) = done else { return Err(StoreFault::Newer { found, known }) };
    if done == STEPS.len() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    STEPS[done..].iter().try_for_each(|step| transaction.execute_batch(step))?;
    transaction.pragma_update(None, "user_version", known)?;
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrating_twice_is_a_no_op_and_a_newer_file_is_refused() {
        let mut connection = Connection::open_in_memory().expect("opens");
        migrate(&mut connection).expect("first");
        migrate(&mut connection).expect("second");
        connection.pragma_update(None, "user_version", 99).expect("set");
        assert!(matches!(migrate(&mut connection), Err(StoreFault::Newer { found: 99, .. })));
    }

    /// Design: every key begins with `fleet_id`, so one operator's data can never be reached through another's.
    #[test]
    fn every_table_has_a_fleet() {
        let mut connection = Connection::open_in_memory().expect("opens");
        migrate(&mut connection).expect("migrates");
        let sql = "SELECT m.name FROM sqlite_master m WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'
            AND NOT EXISTS (SELECT 1 FROM pragma_table_info(m.name) c WHERE c.name = 'fleet_id')";
        let mut statement = connection.prepare(sql).expect("prepares");
        let without: Vec<String> =
            statement.query_map([], |row| row.get(0)).expect("runs").map(|name| name.expect("a name")).collect();
        assert!(without.is_empty(), "{without:?}");
    }
}
