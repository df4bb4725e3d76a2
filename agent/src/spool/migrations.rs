//! Bringing a spool's file to the schema of this build.
//!
//! Promise: a file of any released version keeps its id, its sequences and everything it holds; it is brought up to date in
//! one transaction, so an interrupted start finds the old version or the new one. A version that is not known is refused
//! untouched.

use milepost_proto::{Lane, SpoolId};
use rusqlite::{Connection, Transaction};

use super::{SpoolError, lanes};

/// The version this build writes.
const SCHEMA_VERSION: i64 = 3;
const SCHEMA: &str = include_str!("schema.sql");
/// What brings a file from each earlier version to the next, the first version's first.
const MIGRATIONS: [&str; 2] = [include_str!("migrations/1_to_2.sql"), include_str!("migrations/2_to_3.sql")];

/// Bytes of a page of a new file. A commit of a second's telemetry touches a handful of pages, each of which goes to the
/// device whole; an older file keeps the pages it has.
const PAGE_BYTES: u32 = 1_024;

/// To be called before anything else touches the file: how large the pages of a new one are.
pub(super) fn choose_page_size(connection: &Connection) -> Result<(), SpoolError> {
    Ok(connection.pragma_update(None, "page_size", PAGE_BYTES)?)
}

/// Creates the tables of a new file, or brings those of an older one up to date.
///
/// # Errors
/// [`SpoolError::File`] for a version that this build does not know.
pub(super) fn bring_up_to_date(connection: &mut Connection, fresh: SpoolId) -> Result<(), SpoolError> {
    let version = connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?;
    if version == SCHEMA_VERSION {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    match version {
        0 => create(&transaction, fresh)?,
        1..SCHEMA_VERSION => {
            let done = usize::try_from(version - 1).unwrap_or_default();
            MIGRATIONS[done..].iter().try_for_each(|migration| transaction.execute_batch(migration))?;
        }
        other => {
            let why = format!("schema version {other} is not known here, this build knows {SCHEMA_VERSION}");
            return Err(SpoolError::File(why));
        }
    }
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    Ok(transaction.commit()?)
}

fn create(transaction: &Transaction<'_>, fresh: SpoolId) -> Result<(), SpoolError> {
    transaction.execute_batch(SCHEMA)?;
    transaction.execute("INSERT INTO fact (name, value) VALUES ('spool_id', ?1)", [fresh.0])?;
    for lane in Lane::ALL {
        transaction.execute("INSERT INTO lane VALUES (?1, 0, 0, 0, ?2)", (lanes::number(lane), i64::MIN))?;
    }
    Ok(())
}
