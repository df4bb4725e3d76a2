//! Users, sessions and API keys as rows.
//!
//! Promise: secrets are kept as hashes only; a session or key is answered for together with the fleet it belongs to, and
//! only while it is valid, so nobody upstream can forget to ask. A user's role is read with each session, so a change
//! of role acts at once.

use milepost_proto::{FleetId, Sha256, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{StoreFault, StoreResult};
use crate::auth::role::{Role, Scope};

/// Most sessions one user may have open; opening another ends the one that would expire first.
pub const SESSIONS_PER_USER_MAX: u32 = 20;

/// A user, as sign-in needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUser {
    /// Argon2id in PHC string form.
    pub password_hash: String,
    /// What they are to their fleet.
    pub role: Role,
}

/// Whom a valid session belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOwner {
    /// Their fleet.
    pub fleet: FleetId,
    /// Their name.
    pub name: String,
    /// What they are to their fleet now.
    pub role: Role,
}

/// Whom a valid API key belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOwner {
    /// The key's fleet.
    pub fleet: FleetId,
    /// The key's name.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

/// Adds a user; `false` when the fleet has one of that name already.
///
/// # Errors
/// The store's.
pub fn add_user(
    connection: &Connection,
    fleet: &FleetId,
    name: &str,
    user: &StoredUser,
    at: Timestamp,
) -> StoreResult<bool> {
    let added = connection.execute(
        "INSERT INTO user (fleet_id, name, password_hash, role, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING",
        params![fleet.as_str(), name, user.password_hash, user.role.as_str(), at.as_millis()],
    )?;
    Ok(added == 1)
}

/// The user of that name.
///
/// # Errors
/// The store's.
pub fn user(connection: &Connection, fleet: &FleetId, name: &str) -> StoreResult<Option<StoredUser>> {
    let sql = "SELECT password_hash, role FROM user WHERE fleet_id = ?1 AND name = ?2";
    let found = connection.query_row(sql, params![fleet.as_str(), name], |row| Ok((row.get(0)?, text(row, 1)?)));
    found.optional()?.map(|(password_hash, role)| Ok(StoredUser { password_hash, role: word(&role)? })).transpose()
}

/// The fleet that all users are of, when there is exactly one: its people need not name it.
///
/// # Errors
/// The store's.
pub fn only_fleet(connection: &Connection) -> StoreResult<Option<FleetId>> {
    let mut statement = connection.prepare_cached("SELECT DISTINCT fleet_id FROM user LIMIT 2")?;
    let fleets = statement.query_map([], |row| text(row, 0))?.collect::<Result<Vec<_>, _>>()?;
    match fleets.as_slice() {
        [only] => word(only).map(Some),
        _ => Ok(None),
    }
}

/// Opens a session until `expires_at`; expired ones and those above [`SESSIONS_PER_USER_MAX`] go.
///
/// # Errors
/// The store's.
pub fn add_session(
    connection: &Connection,
    token_hash: Sha256,
    fleet: &FleetId,
    user_name: &str,
    now: Timestamp,
    expires_at: Timestamp,
) -> StoreResult<()> {
    connection.execute("DELETE FROM session WHERE expires_at <= ?1", [now.as_millis()])?;
    connection.execute(
        "INSERT INTO session (token_hash, fleet_id, user_name, expires_at) VALUES (?1, ?2, ?3, ?4)",
        params![token_hash.0, fleet.as_str(), user_name, expires_at.as_millis()],
    )?;
    connection.execute(
        "DELETE FROM session WHERE token_hash IN (SELECT token_hash FROM session
         WHERE fleet_id = ?1 AND user_name = ?2 ORDER BY expires_at DESC LIMIT -1 OFFSET ?3)",
        params![fleet.as_str(), user_name, SESSIONS_PER_USER_MAX],
    )?;
    Ok(())
}

/// Ends a session.
///
/// # Errors
/// The store's.
pub fn end_session(connection: &Connection, token_hash: Sha256) -> StoreResult<()> {
    connection.execute("DELETE FROM session WHERE token_hash = ?1", [token_hash.0])?;
    Ok(())
}

/// Whom the session belongs to, if it has not expired at `now`.
///
/// # Errors
/// The store's.
pub fn session(connection: &Connection, token_hash: Sha256, now: Timestamp) -> StoreResult<Option<SessionOwner>> {
    let mut statement = connection.prepare_cached(
        "SELECT s.fleet_id, s.user_name, u.role FROM session s
         JOIN user u ON u.fleet_id = s.fleet_id AND u.name = s.user_name
         WHERE s.token_hash = ?1 AND s.expires_at > ?2",
    )?;
    let found = statement.query_row(params![token_hash.0, now.as_millis()], three_texts).optional()?;
    found.map(|(fleet, name, role)| Ok(SessionOwner { fleet: word(&fleet)?, name, role: word(&role)? })).transpose()
}

/// Adds an API key; `false` when the fleet has one of that name already, revoked or not.
///
/// # Errors
/// The store's.
pub fn add_api_key(connection: &Connection, key_hash: Sha256, owner: &KeyOwner, at: Timestamp) -> StoreResult<bool> {
    let added = connection.execute(
        "INSERT INTO api_key (key_hash, fleet_id, name, scopes, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING",
        params![key_hash.0, owner.fleet.as_str(), owner.name, Scope::join(&owner.scopes), at.as_millis()],
    )?;
    Ok(added == 1)
}

/// Revokes a key; `false` when there is none of that name in force.
///
/// # Errors
/// The store's.
pub fn revoke_api_key(connection: &Connection, fleet: &FleetId, name: &str, at: Timestamp) -> StoreResult<bool> {
    let revoked = connection.execute(
        "UPDATE api_key SET revoked_at = ?3 WHERE fleet_id = ?1 AND name = ?2 AND revoked_at IS NULL",
        params![fleet.as_str(), name, at.as_millis()],
    )?;
    Ok(revoked == 1)
}

/// Whom the key belongs to, if it is in force.
///
/// # Errors
/// The store's.
pub fn api_key(connection: &Connection, key_hash: Sha256) -> StoreResult<Option<KeyOwner>> {
    let mut statement = connection
        .prepare_cached("SELECT fleet_id, name, scopes FROM api_key WHERE key_hash = ?1 AND revoked_at IS NULL")?;
    let found = statement.query_row([key_hash.0], three_texts).optional()?;
    found
        .map(|(fleet, name, scopes)| {
            let scopes = Scope::split(&scopes).map_err(|error| StoreFault::Damaged(error.to_string()))?;
            Ok(KeyOwner { fleet: word(&fleet)?, name, scopes })
        })
        .transpose()
}

fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<String> {
    row.get(index)
}

fn three_texts(row: &Row<'_>) -> rusqlite::Result<(String, String, String)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn word<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> StoreResult<T> {
    text.parse().map_err(|error: T::Err| StoreFault::Damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_764_000_000_000);

    fn store() -> Connection {
        let mut connection = Connection::open_in_memory().expect("opens");
        crate::store::migration::migrate(&mut connection).expect("migrates");
        connection
    }

    fn fleet(name: &str) -> FleetId {
        name.parse().expect("name")
    }

    fn ada() -> StoredUser {
        StoredUser { password_hash: "$argon2id$…".to_owned(), role: Role::Viewer }
    }

    #[test]
    fn a_name_is_unique_in_its_fleet_only() {
        let store = store();
        assert_eq!(only_fleet(&store).expect("reads"), None);
        assert!(add_user(&store, &fleet("north"), "ada", &ada(), NOON).expect("added"));
        assert!(!add_user(&store, &fleet("north"), "ada", &ada(), NOON).expect("refused"));
        assert_eq!(only_fleet(&store).expect("reads"), Some(fleet("north")));
        assert!(add_user(&store, &fleet("south"), "ada", &ada(), NOON).expect("added"));
        assert_eq!(only_fleet(&store).expect("reads"), None);
        assert_eq!(user(&store, &fleet("south"), "ada").expect("reads"), Some(ada()));
        assert_eq!(user(&store, &fleet("south"), "ben").expect("reads"), None);
    }

    #[test]
    fn a_session_ends_by_itself_or_by_hand_and_follows_the_role() {
        let store = store();
        add_user(&store, &fleet("north"), "ada", &ada(), NOON).expect("added");
        let (first, second) = (Sha256::of(b"1"), Sha256::of(b"2"));
        for token in [first, second] {
            add_session(&store, token, &fleet("north"), "ada", NOON, NOON.plus_millis(1000)).expect("opened");
        }
        let role = |token, at| session(&store, token, at).expect("reads").map(|owner| owner.role);
        assert_eq!(role(first, NOON), Some(Role::Viewer));
        assert_eq!(role(first, NOON.plus_millis(1000)), None);
        store.execute("UPDATE user SET role = 'admin'", []).expect("changed");
        assert_eq!(role(second, NOON), Some(Role::Admin));
        end_session(&store, second).expect("ended");
        assert_eq!(role(second, NOON), None);
        store.execute("DELETE FROM user", []).expect("gone");
        assert_eq!(role(first, NOON), None);
    }

    #[test]
    fn sessions_of_one_user_are_bounded() {
        let store = store();
        add_user(&store, &fleet("north"), "ada", &ada(), NOON).expect("added");
        for n in 0..30_i64 {
            let token = Sha256::of(&n.to_le_bytes());
            add_session(&store, token, &fleet("north"), "ada", NOON, NOON.plus_millis(n + 1)).expect("opened");
        }
        let count: u32 = store.query_row("SELECT count(*) FROM session", [], |row| row.get(0)).expect("counts");
        assert_eq!(count, SESSIONS_PER_USER_MAX);
        assert!(session(&store, Sha256::of(&29_i64.to_le_bytes()), NOON).expect("reads").is_some());
        assert!(session(&store, Sha256::of(&0_i64.to_le_bytes()), NOON).expect("reads").is_none());
    }

    #[test]
    fn a_revoked_key_opens_nothing_and_its_name_is_not_used_again() {
        let store = store();
        let owner = KeyOwner { fleet: fleet("north"), name: "grafana".to_owned(), scopes: vec![Scope::Metrics] };
        let key = Sha256::of(b"mpk_1");
        assert!(add_api_key(&store, key, &owner, NOON).expect("added"));
        assert_eq!(api_key(&store, key).expect("reads"), Some(owner.clone()));
        assert!(!revoke_api_key(&store, &fleet("south"), "grafana", NOON).expect("none there"));
        assert!(revoke_api_key(&store, &fleet("north"), "grafana", NOON).expect("revoked"));
        assert_eq!(api_key(&store, key).expect("reads"), None);
        assert!(!add_api_key(&store, Sha256::of(b"mpk_2"), &owner, NOON).expect("refused"));
    }
}
