//! Who may look at pages and call APIs: users, sessions and API keys.
//!
//! Promise: nobody who has not shown a password or a key sees anything of any fleet, and whoever has sees their own
//! fleet only. Passwords are kept as argon2id hashes, session tokens and keys as SHA-256, so the store's file gives
//! none of them away. The rules are pure and stand in their own files; [`guard`] is the shell before every route.

pub mod attempts;
pub mod guard;
pub mod origin;
pub mod password;
pub mod role;
pub mod token;

use milepost_proto::{FleetId, Timestamp};
use ring::rand::SystemRandom;

pub use self::guard::{Right, SignedIn};
pub use self::password::{Effort, PasswordFault};
pub use self::role::{Role, Scope};
use self::token::{NoRandomness, Secret};
use crate::clock;
use crate::store::people::{KeyOwner, StoredUser};
use crate::store::{Store, StoreFault, people};

/// How long a session lasts, milliseconds: one long shift.
pub const SESSION_MS: i64 = 12 * 60 * 60 * 1000;
/// Longest name of a user or a key, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Why a user or a key was not made.
#[derive(Debug, thiserror::Error)]
pub enum AuthFault {
    /// The name is empty, too long or unprintable.
    #[error("a name has 1 to {NAME_BYTES_MAX} printable characters")]
    Name,
    /// The fleet has one of that name.
    #[error("fleet {fleet} already has {name:?}; choose another name")]
    Taken {
        /// The fleet.
        fleet: FleetId,
        /// The name.
        name: String,
    },
    /// A key without any scope would open nothing.
    #[error("a key needs at least one scope of read, orders, metrics")]
    NoScope,
    /// The fleet has no key of that name in force.
    #[error("fleet {fleet} has no key {name:?} in force")]
    NoSuchKey {
        /// The fleet.
        fleet: FleetId,
        /// The name.
        name: String,
    },
    /// The password cannot be used.
    #[error(transparent)]
    Password(#[from] PasswordFault),
    /// No secret could be made.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

/// Makes a user.
///
/// # Errors
/// [`AuthFault`] says what to change.
pub async fn create_user(
    store: &Store,
    fleet: &FleetId,
    name: &str,
    password: &str,
    role: Role,
) -> Result<(), AuthFault> {
    create_user_at(store, fleet, name, password, role, Effort::FULL, clock::now()).await
}

/// As [`create_user`], with the effort and the time passed in.
///
/// # Errors
/// [`AuthFault`] says what to change.
pub async fn create_user_at(
    store: &Store,
    fleet: &FleetId,
    name: &str,
    password: &str,
    role: Role,
    effort: Effort,
    at: Timestamp,
) -> Result<(), AuthFault> {
    check_name(name)?;
    let user = StoredUser { password_hash: password::hash(password, effort, &SystemRandom::new())?, role };
    let (for_fleet, for_name) = (fleet.clone(), name.to_owned());
    let added = store.write(move |connection| people::add_user(connection, &for_fleet, &for_name, &user, at)).await?;
    if added { Ok(()) } else { Err(AuthFault::Taken { fleet: fleet.clone(), name: name.to_owned() }) }
}

/// Makes an API key and returns it, for the one time it can be seen.
///
/// # Errors
/// [`AuthFault`] says what to change.
pub async fn create_api_key(store: &Store, fleet: &FleetId, name: &str, scopes: &[Scope]) -> Result<String, AuthFault> {
    check_name(name)?;
    if scopes.is_empty() {
        return Err(AuthFault::NoScope);
    }
    let key = Secret::api_key(&SystemRandom::new())?;
    let (hash, at) = (key.fingerprint(), clock::now());
    let owner = KeyOwner { fleet: fleet.clone(), name: name.to_owned(), scopes: scopes.to_vec() };
    let added = store.write(move |connection| people::add_api_key(connection, hash, &owner, at)).await?;
    if added {
        Ok(key.reveal().to_owned())
    } else {
        Err(AuthFault::Taken { fleet: fleet.clone(), name: name.to_owned() })
    }
}

/// Revokes an API key: the next request that shows it is refused.
///
/// # Errors
/// [`AuthFault::NoSuchKey`] when there is nothing to revoke.
pub async fn revoke_api_key(store: &Store, fleet: &FleetId, name: &str) -> Result<(), AuthFault> {
    let (for_fleet, for_name, at) = (fleet.clone(), name.to_owned(), clock::now());
    let revoked = store.write(move |connection| people::revoke_api_key(connection, &for_fleet, &for_name, at)).await?;
    if revoked { Ok(()) } else { Err(AuthFault::NoSuchKey { fleet: fleet.clone(), name: name.to_owned() }) }
}

fn check_name(name: &str) -> Result<(), AuthFault> {
    let usable = (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    if usable { Ok(()) } else { Err(AuthFault::Name) }
}
