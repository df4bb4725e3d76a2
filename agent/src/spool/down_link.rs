//! What the gateway sent down, kept so that a vehicle without coverage still knows its trip.

use milepost_proto::uplink::DownLinkKind;
use milepost_proto::{DownLinkItem, Sha256};
use rusqlite::{Connection, params};

use super::SpoolError;

/// Keeps an item in place of its earlier version.
pub(super) fn keep(connection: &Connection, item: &DownLinkItem) -> Result<(), SpoolError> {
    connection.execute(
        "INSERT INTO down_link (id, version, body) VALUES (?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET version = excluded.version, body = excluded.body
         WHERE excluded.version > version",
        params![item.id, item.version, item.body],
    )?;
    Ok(())
}

/// Everything held.
pub(super) fn held(connection: &Connection) -> Result<Vec<DownLinkItem>, SpoolError> {
    let mut statement = connection.prepare("SELECT id, version, body FROM down_link")?;
    let items = statement
        .query_map([], |row| {
            let body: Vec<u8> = row.get(2)?;
            let sha256 = Sha256::of(&body);
            Ok(DownLinkItem { id: row.get(0)?, kind: DownLinkKind::Trip, version: row.get(1)?, sha256, body })
        })?
        .collect::<Result<_, _>>()?;
    Ok(items)
}
