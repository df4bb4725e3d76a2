//! The outbox as people see it: how much is owed, for how long, and where it went.

use milepost_proto::{FleetId, Timestamp};
use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::{ROWS_MAX, readable, rows, time, time_if_known};
use crate::effect::Effect;
use crate::store::StoreResult;
use crate::store::column::count;

/// How many effects are in one state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutboxDepth {
    /// `pending`, `sending`, `unknown`, `parked` or `done`.
    pub state: String,
    /// How many.
    pub count: u64,
    /// When the oldest of them was created.
    pub oldest_at: Timestamp,
}

/// One effect and how it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EffectRow {
    /// What is owed.
    #[serde(flatten)]
    pub effect: Effect,
    /// Its state.
    pub state: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it is tried next, while it is not settled.
    pub next_at: Timestamp,
    /// Where it can be seen once done, an Odoo `model,id`.
    pub reference: Option<String>,
    /// What was in the way last.
    pub why: Option<String>,
    /// When it was settled.
    pub settled_at: Option<Timestamp>,
}

/// How many effects are in each state that has any.
///
/// # Errors
/// The store's.
pub fn outbox_depth(connection: &Connection, fleet: &FleetId) -> StoreResult<Vec<OutboxDepth>> {
    let statement = connection.prepare_cached(
        "SELECT state, count(*) AS count, min(created_at) AS oldest_at FROM outbox WHERE fleet_id = ?1
         GROUP BY state ORDER BY state = 'done', state = 'pending', state",
    )?;
    rows(statement, [fleet.as_str()], |row| {
        Ok(OutboxDepth {
            state: row.get("state")?,
            count: count(row.get("count")?),
            oldest_at: time(row, "oldest_at")?,
        })
    })
}

/// The effects that are still owed, oldest first.
///
/// # Errors
/// The store's.
pub fn owed(connection: &Connection, fleet: &FleetId) -> StoreResult<Vec<EffectRow>> {
    let statement = connection
        .prepare_cached("SELECT * FROM outbox WHERE fleet_id = ?1 AND state <> 'done' ORDER BY position LIMIT ?2")?;
    Ok(rows(statement, params![fleet.as_str(), ROWS_MAX], effect_row)?.into_iter().flatten().collect())
}

/// Everything that was ever owed for a shipment, oldest first.
///
/// # Errors
/// The store's.
pub fn of_shipment(connection: &Connection, fleet: &FleetId, shipment_id: &str) -> StoreResult<Vec<EffectRow>> {
    let statement = connection
        .prepare_cached("SELECT * FROM outbox WHERE fleet_id = ?1 AND shipment_id = ?2 ORDER BY position LIMIT ?3")?;
    Ok(rows(statement, params![fleet.as_str(), shipment_id, ROWS_MAX], effect_row)?.into_iter().flatten().collect())
}

fn effect_row(row: &Row<'_>) -> rusqlite::Result<Option<EffectRow>> {
    let Some(effect) = readable("effect", row.get_ref("body")?.as_str()?) else { return Ok(None) };
    Ok(Some(EffectRow {
        effect,
        state: row.get("state")?,
        attempts: row.get("attempts")?,
        created_at: time(row, "created_at")?,
        next_at: time(row, "next_at")?,
        reference: row.get("reference")?,
        why: row.get("why")?,
        settled_at: time_if_known(row, "settled_at")?,
    }))
}
