//! Opening the spool's file, and what happens when it cannot be used.
//!
//! Promise: [`open`] succeeds whenever a file can be created in the folder. A file that is not a spool, is damaged, or was
//! written by a newer version is renamed to `<name>.bad-<boot>` beside the new one, never overwritten.

use std::path::{Path, PathBuf};

use milepost_proto::{BootId, Lane, SpoolId};
use rusqlite::{Connection, OptionalExtension as _};

use super::{Opened, SpoolError, lanes};

const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = include_str!("schema.sql");

/// Opens the file at `path`, or sets it aside and creates another.
pub(super) fn open(path: &Path, boot_id: BootId, fresh: SpoolId) -> Result<(Connection, Opened), SpoolError> {
    match open_or_create(path, fresh) {
        Ok((connection, spool_id)) => Ok((connection, Opened { spool_id, quarantined: None })),
        Err(why) if path.exists() => {
            set_aside(path, boot_id).map_err(|error| SpoolError::File(format!("{why}; setting it aside: {error}")))?;
            let (connection, spool_id) = open_or_create(path, fresh)?;
            Ok((connection, Opened { spool_id, quarantined: Some(why.to_string()) }))
        }
        Err(why) => Err(why),
    }
}

fn open_or_create(path: &Path, fresh: SpoolId) -> Result<(Connection, SpoolId), SpoolError> {
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 256)?;
    connection.pragma_update(None, "cache_size", -512)?;
    match connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? {
        0 => create(&mut connection, fresh)?,
        SCHEMA_VERSION => {}
        other => {
            let why = format!("schema version {other} is not known here, this build knows {SCHEMA_VERSION}");
            return Err(SpoolError::File(why));
        }
    }
    let spool_id = spool_id(&connection)?;
    // Reading the lanes touches the tables that every later step needs, so that damage shows here and not there.
    lanes::all(&connection)?;
    Ok((connection, spool_id))
}

fn create(connection: &mut Connection, fresh: SpoolId) -> Result<(), SpoolError> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.execute("INSERT INTO fact (name, value) VALUES ('spool_id', ?1)", [fresh.0])?;
    for lane in Lane::ALL {
        transaction.execute("INSERT INTO lane VALUES (?1, 0, 0, 0)", [lanes::number(lane)])?;
    }
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    Ok(transaction.commit()?)
}

fn spool_id(connection: &Connection) -> Result<SpoolId, SpoolError> {
    connection
        .query_row("SELECT value FROM fact WHERE name = 'spool_id'", [], |row| row.get::<_, [u8; 16]>(0))
        .optional()?
        .map(SpoolId)
        .ok_or_else(|| SpoolError::File("it has no spool_id".to_owned()))
}

/// Renames the file and its write-ahead log.
fn set_aside(path: &Path, boot_id: BootId) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let from = with_suffix(path, suffix);
        if from.exists() {
            std::fs::rename(&from, with_suffix(path, &format!(".bad-{boot_id}{suffix}")))?;
        }
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
