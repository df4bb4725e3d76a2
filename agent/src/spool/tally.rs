//! What was sent today, kept so that a restart gives no second budget.

use rusqlite::{Connection, OptionalExtension as _};

use super::SpoolError;
use crate::uplink::budget::Tally;

/// What was kept; nothing at all when there is none, or when another version wrote it in another way.
pub(super) fn read(connection: &Connection) -> Result<Tally, SpoolError> {
    let kept = connection
        .query_row("SELECT value FROM fact WHERE name = 'uplink_tally'", [], |row| row.get::<_, Vec<u8>>(0))
        .optional()?;
    Ok(kept.and_then(|bytes| postcard::from_bytes(&bytes).ok()).unwrap_or_default())
}

/// Keeps it.
pub(super) fn keep(connection: &Connection, tally: Tally) -> Result<(), SpoolError> {
    let bytes = postcard::to_stdvec(&tally).map_err(|error| SpoolError::File(error.to_string()))?;
    connection.execute("INSERT OR REPLACE INTO fact (name, value) VALUES ('uplink_tally', ?1)", [bytes])?;
    Ok(())
}
