//! How values become columns and come back.
//!
//! Promise: what was written reads back equal, and a column that cannot be one of ours is reported with its text, never
//! guessed at.

use milepost_proto::{Lane, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{StoreFault, StoreResult};

/// A count or sequence as SQLite keeps it; what does not fit was refused before it came here.
#[must_use]
pub fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count or sequence as SQLite kept it.
#[must_use]
pub fn count(whole: i64) -> u64 {
    u64::try_from(whole).unwrap_or(0)
}

/// An instant as SQLite kept it.
#[must_use]
pub fn time(millis: Option<i64>) -> Option<Timestamp> {
    millis.map(Timestamp::from_millis)
}

/// An instant as SQLite keeps it.
#[must_use]
pub fn millis(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_millis)
}

/// A lane by its word.
///
/// # Errors
/// [`StoreFault::Damaged`] for any other word.
pub fn lane(word: &str) -> StoreResult<Lane> {
    let found = Lane::ALL.into_iter().find(|lane| lane.as_str() == word);
    found.ok_or_else(|| StoreFault::Damaged(format!("{word:?} is not a lane")))
}

/// A fleet, device, vehicle or site id.
///
/// # Errors
/// [`StoreFault::Damaged`] for text that is no name.
pub fn name<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> StoreResult<T> {
    text.parse().map_err(|error| StoreFault::Damaged(format!("{text:?}: {error}")))
}

/// A value as JSON text.
///
/// # Errors
/// [`StoreFault::Damaged`] for a value JSON cannot hold.
pub fn to_json<T: Serialize>(value: &T) -> StoreResult<String> {
    serde_json::to_string(value).map_err(|error| StoreFault::Damaged(error.to_string()))
}

/// A value as bytes that bring back every bit of it.
///
/// # Errors
/// [`StoreFault::Damaged`] for a value postcard cannot hold.
pub fn to_bytes<T: Serialize>(value: &T) -> StoreResult<Vec<u8>> {
    postcard::to_stdvec(value).map_err(|error| StoreFault::Damaged(error.to_string()))
}

/// A value from such bytes.
///
/// # Errors
/// [`StoreFault::Damaged`] for bytes that do not read as one.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> StoreResult<T> {
    postcard::from_bytes(bytes).map_err(|error| StoreFault::Damaged(error.to_string()))
}

/// A value from JSON text.
///
/// # Errors
/// [`StoreFault::Damaged`] for text that does not read as one.
pub fn from_json<T: DeserializeOwned>(text: &str) -> StoreResult<T> {
    serde_json::from_str(text).map_err(|error| StoreFault::Damaged(error.to_string()))
}
