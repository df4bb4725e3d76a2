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
    // What all chunks of a lane have in common is written once; why something is missing can be asked for.
    include_str!("schema_compact.sql"),
    // What time it was at which moment of a boot, as its devices told: the journal up to the cursor, in short.
    "CREATE TABLE boot_clock (
        fleet_id        TEXT    NOT NULL,
        device_id       TEXT    NOT NULL,
        boot_id         BLOB    NOT NULL,
        error_ms        INTEGER NOT NULL,           -- largest error either way
        monotonic_ms    INTEGER NOT NULL,           -- the moment, on the device's monotonic clock
        utc             INTEGER NOT NULL,           -- the time it was
        PRIMARY KEY (fleet_id, device_id, boot_id, error_ms, monotonic_ms, utc)
    ) WITHOUT ROWID",
];

/// The newest schema this build knows; the oldest is 1.
#[must_use]
pub fn known() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// Applies the missing steps.
///
/// # Errors
/// [`StoreFault::Newer`] for a file of a newer gateway; [`StoreFault::Sqlite`] when a step fails.
pub fn migrate(connection: &mut Connection) -> StoreResult<()> {
    let known = known();
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

    /// Design: every key begins with `fleet_id`, so one operator's data can never be reached through another's. A chunk
    /// names its lane, which begins with it.
    #[test]
    fn every_table_has_a_fleet() {
        let mut connection = Connection::open_in_memory().expect("opens");
        migrate(&mut connection).expect("migrates");
        let sql = "SELECT m.name FROM sqlite_master m WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'
            AND NOT EXISTS (SELECT 1 FROM pragma_table_info(m.name) c WHERE c.name = 'fleet_id')";
        let mut statement = connection.prepare(sql).expect("prepares");
        let without: Vec<String> =
            statement.query_map([], |row| row.get(0)).expect("runs").map(|name| name.expect("a name")).collect();
        assert_eq!(without, ["chunk"]);
        let parent: String = connection
            .query_row("SELECT \"table\" || '.' || \"to\" FROM pragma_foreign_key_list('chunk')", [], |row| row.get(0))
            .expect("names its lane");
        assert_eq!(parent, "lane.lane_id");
    }

    /// A journal as schemas 1 to 3 kept it: records of two lanes, contested ones, and a gap of each reason.
    const EARLIER_JOURNAL: &str = "
        INSERT INTO journal (fleet_id, device_id, spool_id, lane, first_sequence, last_sequence, checksum, boot_id, gap,
            history, first_event_time, last_event_time, age_ms, seal, chain_begin, chain_end, contested, received_at, body)
        VALUES
            ('north', 'box-7', x'01010101010101010101010101010101', 'telemetry', 1, 300, 7, x'02', 0, 0, 10, 3000, 5,
                'none', NULL, NULL, 0, 99, x'0011'),
            ('north', 'box-7', x'01010101010101010101010101010101', 'evidence', 1, 2, 8, x'02', 0, 1, 10, 20, NULL,
                'broken', x'aa', x'bb', 1, 100, x'0022'),
            ('north', 'box-7', x'01010101010101010101010101010101', 'evidence', 1, 2, 6, x'02', 0, 1, 10, 20, NULL,
                'ok', x'aa', x'cc', 1, 101, x'0033'),
            ('south', 'box-7', x'01010101010101010101010101010101', 'event', 5, 9, 1, NULL, 1, 0, NULL, NULL, NULL,
                'none', NULL, NULL, 0, 102, x'0100'),
            ('south', 'box-7', x'01010101010101010101010101010101', 'event', 10, 10, 2, NULL, 1, 0, NULL, NULL, NULL,
                'none', NULL, NULL, 0, 103, x'0101'),
            ('south', 'box-7', x'01010101010101010101010101010101', 'event', 11, 11, 3, NULL, 1, 0, NULL, NULL, NULL,
                'absent', NULL, NULL, 0, 104, x'0102'),
            ('south', 'box-7', x'01010101010101010101010101010101', 'event', 12, 12, 4, NULL, 1, 0, NULL, NULL, NULL,
                'none', NULL, NULL, 0, 105, x'0103');
        INSERT INTO cursor VALUES ('north', 3, 1, '');
        INSERT INTO lane_range VALUES ('north', 'box-7', x'01010101010101010101010101010101', 'evidence', 1, 2);
        INSERT INTO vehicle VALUES ('north', 'truck-7', 'ZH 1', 4);";

    /// What a journal says, with nothing left out that both schemas know.
    const SAYS: &str = "SELECT group_concat(concat_ws('|', position, fleet_id, device_id, hex(spool_id), lane, first_sequence,
            last_sequence, checksum, gap, history, coalesce(first_event_time, '-'), coalesce(last_event_time, '-'),
            coalesce(age_ms, '-'), coalesce(hex(chain_begin), '-'), coalesce(hex(chain_end), '-'), contested, received_at,
            hex(body)), char(10)) FROM (SELECT * FROM journal ORDER BY position)";

    #[test]
    fn a_file_of_each_earlier_schema_keeps_everything() {
        let text = |connection: &Connection, sql: &str| -> String {
            connection.query_row(sql, [], |row| row.get(0)).expect("a text")
        };
        for earlier in 1..=3 {
            let folder = tempfile::tempdir().expect("folder");
            let path = folder.path().join("gateway.sqlite");
            let mut connection = Connection::open(&path).expect("opens");
            for step in &STEPS[..earlier] {
                connection.execute_batch(step).expect("a step");
            }
            connection.pragma_update(None, "user_version", i64::try_from(earlier).expect("small")).expect("set");
            connection.execute_batch(EARLIER_JOURNAL).expect("filled");
            let said = text(&connection, SAYS);
            migrate(&mut connection).expect("migrates");
            drop(connection);
            let connection = Connection::open(&path).expect("reopens");
            assert_eq!(text(&connection, SAYS), said, "from schema {earlier}");
            let reasons = "SELECT group_concat(loss || ':' || coalesce(lost, '-') || ':' || seal, ' ')
                FROM (SELECT * FROM chunk ORDER BY position)";
            assert_eq!(text(&connection, reasons), "0:-:0 0:-:2 0:-:1 1:5:0 2:1:0 3:1:3 4:1:0");
            let rest = "SELECT (SELECT position FROM cursor) || (SELECT last_sequence FROM lane_range)
                || (SELECT license_plate FROM vehicle) || (SELECT count(*) FROM lane)";
            assert_eq!(text(&connection, rest), "32ZH 13");
            // The next chunk gets the next position, never one that was given before.
            connection.execute_batch("DELETE FROM chunk").expect("emptied");
            let next =
                "INSERT INTO chunk (lane_id, first_sequence, more, checksum, loss, history, seal, received_at, body)
                VALUES (1, 1, 0, 1, 0, 0, 0, 1, x'00') RETURNING CAST(position AS TEXT)";
            assert_eq!(text(&connection, next), "8");
        }
    }
}
