//! The Odoo connector: orders in, milestones and proofs of delivery out, over JSON-2 (Odoo 19).
//!
//! Promise: Odoo is someone's system of record and the connector is a careful guest in it. It writes nothing but notes
//! and attachments on pickings; every write carries the key of the effect that owes it and is preceded by a search for
//! that key, so an attempt repeated after a lost reply finds what the first one left (twice is once). What Odoo answers
//! is judged in one place ([`classify`]), and an answer that never came is *unknown*, not *failed*.
//!
//! Reading order: [`client`] carries one call, or in a dry run writes it down in the [`ledger`]; [`classify`] judges the
//! answer; [`probe`] says what this Odoo can do; [`orders`] brings confirmed pickings in; [`effects`] settles what the
//! gateway owes, in the words of [`wording`].

use std::fmt;
use std::path::PathBuf;

pub mod attachment;
pub mod classify;
pub mod client;
pub mod effects;
pub mod html;
pub mod ledger;
pub mod message_id;
pub mod orders;
pub mod probe;
pub mod transport;
pub mod wording;

pub use effects::{BlobSource, Connector};
pub use orders::{
    Cursor, ImportedOrders, ImportedShipment, OrderProblem, Place, ShipmentState, TripRef, Trips, plate_key, trips,
};
pub use probe::{Capabilities, Finding, Probe};

/// Seconds to wait for an answer unless the configuration says otherwise. Odoo itself repeats a transaction that lost a
/// race for up to about 20 s before it answers, so anything near 30 s would turn slow successes into unknown outcomes.
pub const TIMEOUT_S_DEFAULT: u32 = 45;
/// The shortest timeout a configuration may ask for, seconds.
pub const TIMEOUT_S_MIN: u32 = 31;
/// Seconds after which Odoo has given up on a request whose reply was lost (its `limit_time_real`, by default 120): an
/// effect whose outcome is unknown must not be asked about before.
pub const REQUEST_LIMIT_S_DEFAULT: u32 = 120;

/// Where Odoo is and how to speak to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Base address such as `https://odoo.example`, without a path.
    pub url: String,
    /// Name of the database.
    pub database: String,
    /// API key of the integration user.
    pub api_key: ApiKey,
    /// Whether anything is really sent.
    pub mode: Mode,
    /// Longest wait for an answer, seconds; at least [`TIMEOUT_S_MIN`] outside of tests.
    pub timeout_s: u32,
}

/// Whether anything is really sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Calls go to Odoo.
    Live,
    /// Nothing is sent: every write is appended to this file, one JSON line each (see [`ledger`]).
    DryRun {
        /// The ledger file; created when missing.
        ledger: PathBuf,
    },
}

/// An API key. It never appears in debug output, and so not in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// The key in `text`, without the white space around it that files end with.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The key itself, for the one header that carries it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_trimmed_and_never_printed() {
        let key = ApiKey::new("  s3cret\n");
        assert_eq!(key.reveal(), "s3cret");
        assert_eq!(format!("{key:?}"), "ApiKey(…)");
    }
}
