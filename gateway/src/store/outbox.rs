//! Effects owed to others, as rows.
//!
//! Promise: an effect is owed once per key, however often it is put. A row is durably `sending` before anyone else is
//! called, so after a crash it is known that the call may have happened: [`recover`] turns such rows to `unknown`, and
//! they wait until the other side's request limit has passed before the question is asked.

use milepost_proto::{FleetId, Timestamp};
use rusqlite::{Connection, Row, params};

use super::column::{from_json, millis, time, to_json};
use super::{StoreFault, StoreResult};
use crate::effect::Effect;

/// Where an effect stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Not tried, or to be tried again.
    Pending,
    /// Being tried now.
    Sending,
    /// Tried; whether it happened is to be asked before anything else.
    Unknown,
    /// It is there.
    Done,
    /// It waits for a person.
    Parked,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Sending, Self::Unknown, Self::Done, Self::Parked];

    /// The state's word in SQL, pages and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Unknown => "unknown",
            Self::Done => "done",
            Self::Parked => "parked",
        }
    }
}

/// One effect and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRow {
    /// Its place in the outbox; effects of a shipment are settled in this order.
    pub position: i64,
    /// What is owed.
    pub effect: Effect,
    /// Where it stands.
    pub state: State,
    /// Attempts so far.
    pub attempts: u32,
    /// Not before.
    pub next_at: Timestamp,
    /// When it was put.
    pub created_at: Timestamp,
}

/// How a row stands after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aftermath {
    /// Where it stands now.
    pub state: State,
    /// Not before.
    pub next_at: Timestamp,
    /// Where it can be seen, when done.
    pub reference: Option<String>,
    /// What was in the way.
    pub why: Option<String>,
}

/// Owes `effect`, unless its key is owed already.
///
/// # Errors
/// When the store fails.
pub fn put(connection: &Connection, fleet_id: &FleetId, effect: &Effect, now: Timestamp) -> StoreResult<()> {
    let sql = "INSERT INTO outbox (fleet_id, effect_key, shipment_id, body, state, next_at, created_at)
        VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?5) ON CONFLICT (fleet_id, effect_key) DO NOTHING";
    connection.prepare_cached(sql)?.execute(params![
        fleet_id.as_str(),
        effect.key,
        effect.shipment,
        to_json(effect)?,
        now.as_millis()
    ])?;
    Ok(())
}

/// The oldest unsettled effect of each shipment, those due first first, at most `rows_max`. A parked effect holds back
/// the later ones of its shipment, because they may rest on it.
///
/// # Errors
/// When the store fails.
pub fn heads(connection: &Connection, fleet_id: &FleetId, rows_max: u32) -> StoreResult<Vec<OutboxRow>> {
    let sql = "SELECT position, body, state, attempts, next_at, created_at FROM outbox o
        WHERE fleet_id = ?1 AND state <> 'done' AND state IN ('pending', 'sending', 'unknown') AND NOT EXISTS (
            SELECT 1 FROM outbox e WHERE e.fleet_id = o.fleet_id AND e.shipment_id = o.shipment_id
                AND e.position < o.position AND e.state <> 'done')
        ORDER BY next_at, position LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![fleet_id.as_str(), rows_max])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read_row(row)?);
    }
    Ok(found)
}

/// Marks an attempt as begun: durable before anyone is called.
///
/// # Errors
/// When the store fails.
pub fn begin(connection: &Connection, fleet_id: &FleetId, position: i64, now: Timestamp) -> StoreResult<()> {
    let sql = "UPDATE outbox SET state = 'sending', sending_since = ?3, attempts = attempts + 1
        WHERE fleet_id = ?1 AND position = ?2 AND state IN ('pending', 'unknown')";
    connection.prepare_cached(sql)?.execute(params![fleet_id.as_str(), position, now.as_millis()])?;
    Ok(())
}

/// Records how an attempt ended.
///
/// # Errors
/// When the store fails.
pub fn end(
    connection: &Connection,
    fleet_id: &FleetId,
    position: i64,
    aftermath: &Aftermath,
    now: Timestamp,
) -> StoreResult<()> {
    let settled = matches!(aftermath.state, State::Done | State::Parked).then_some(now);
    let sql = "UPDATE outbox SET state = ?3, next_at = ?4, reference = ?5, why = ?6, settled_at = ?7
        WHERE fleet_id = ?1 AND position = ?2 AND state = 'sending'";
    connection.prepare_cached(sql)?.execute(params![
        fleet_id.as_str(),
        position,
        aftermath.state.as_str(),
        aftermath.next_at.as_millis(),
        aftermath.reference,
        aftermath.why,
        millis(settled)
    ])?;
    Ok(())
}

/// Lets nothing wait until after `latest`. Answers how many effects did.
///
/// # Errors
/// When the store fails.
pub fn bring_forward(connection: &Connection, fleet_id: &FleetId, latest: Timestamp) -> StoreResult<usize> {
    let sql = "UPDATE outbox SET next_at = ?2
        WHERE fleet_id = ?1 AND state IN ('pending', 'unknown') AND next_at > ?2";
    Ok(connection.execute(sql, params![fleet_id.as_str(), latest.as_millis()])?)
}

/// After a crash: what was being sent may have happened. It becomes unknown and waits until `request_limit_ms` after
/// `now`, when nobody sends it any more: an attempt makes several calls, so its last may have begun long after it did.
/// Answers how many there were.
///
/// # Errors
/// When the store fails.
pub fn recover(
    connection: &Connection,
    fleet_id: &FleetId,
    now: Timestamp,
    request_limit_ms: i64,
) -> StoreResult<usize> {
    let sql = "UPDATE outbox SET state = 'unknown', next_at = ?2, why = 'the attempt was broken off'
        WHERE fleet_id = ?1 AND state = 'sending'";
    let next_at = now.plus_millis(request_limit_ms);
    Ok(connection.execute(sql, params![fleet_id.as_str(), next_at.as_millis()])?)
}

/// Lets a parked effect be tried again now; false when none of that key is parked.
///
/// # Errors
/// When the store fails.
pub fn release(connection: &Connection, fleet_id: &FleetId, effect_key: &str, now: Timestamp) -> StoreResult<bool> {
    // Parking may follow an attempt whose outcome nobody knows, so the question comes first.
    let sql = "UPDATE outbox SET state = 'unknown', attempts = 0, next_at = ?3, settled_at = NULL
        WHERE fleet_id = ?1 AND effect_key = ?2 AND state = 'parked'";
    Ok(connection.execute(sql, params![fleet_id.as_str(), effect_key, now.as_millis()])? > 0)
}

/// How many effects stand where, and since when the oldest of them waits.
///
/// # Errors
/// When the store fails.
pub fn depth(connection: &Connection, fleet_id: &FleetId) -> StoreResult<Vec<(State, i64, Option<Timestamp>)>> {
    let sql = "SELECT state, count(*), min(created_at) FROM outbox
        WHERE fleet_id = ?1 AND state <> 'done' GROUP BY state";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([fleet_id.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((state(&row.get::<_, String>(0)?)?, row.get(1)?, time(row.get(2)?)));
    }
    Ok(found)
}

fn read_row(row: &Row<'_>) -> StoreResult<OutboxRow> {
    Ok(OutboxRow {
        position: row.get(0)?,
        effect: from_json(&row.get::<_, String>(1)?)?,
        state: state(&row.get::<_, String>(2)?)?,
        attempts: row.get(3)?,
        next_at: Timestamp::from_millis(row.get(4)?),
        created_at: Timestamp::from_millis(row.get(5)?),
    })
}

fn state(word: &str) -> StoreResult<State> {
    let found = State::ALL.into_iter().find(|state| state.as_str() == word);
    found.ok_or_else(|| StoreFault::Damaged(format!("{word:?} is not a state of the outbox")))
}
