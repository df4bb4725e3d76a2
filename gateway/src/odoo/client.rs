//! One call to Odoo: sent, or in a dry run written down.
//!
//! Promise: whoever uses a [`Client`] need not know which of the two it is. In a dry run nothing leaves the machine:
//! searches find nothing, creations answer the next number, and every write goes into the ledger.

use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};

use super::classify::{Failure, FailureKind, classify};
use super::ledger::Ledger;
use super::transport::{InvalidSettings, Transport};
use super::{Mode, Settings};

/// A way to make calls.
#[derive(Debug)]
pub enum Client {
    /// Calls are sent.
    Live(Transport),
    /// Calls are written down.
    DryRun(DryRun),
}

/// What a dry run keeps.
#[derive(Debug)]
pub struct DryRun {
    ledger: Ledger,
    last_id: AtomicI64,
}

/// One method of one model, with its arguments by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Such as `stock.picking`.
    pub model: &'static str,
    /// Such as `message_post`.
    pub method: &'static str,
    /// The arguments, `ids` and `context` among them.
    pub body: Value,
}

impl Call {
    /// A call of `method` on `model`.
    #[must_use]
    pub const fn new(model: &'static str, method: &'static str, body: Value) -> Self {
        Self { model, method, body }
    }

    /// A search that reads `fields` of at most `limit` records, by rising id.
    #[must_use]
    pub fn search(model: &'static str, domain: Value, fields: &[&str], limit: usize) -> Self {
        let mut body = json!({"fields": fields, "limit": limit, "order": "id asc"});
        body["domain"] = domain;
        Self::new(model, "search_read", body)
    }

    /// The path it is posted to.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/json/2/{}/{}", self.model, self.method)
    }
}

impl Client {
    /// A client for these settings; nothing is sent yet.
    ///
    /// # Errors
    /// [`InvalidSettings`].
    pub fn new(settings: &Settings) -> Result<Self, InvalidSettings> {
        match &settings.mode {
            Mode::Live => Transport::new(settings).map(Self::Live),
            Mode::DryRun { ledger } => {
                let ledger = Ledger::open(ledger)
                    .map_err(|source| InvalidSettings::Ledger { path: ledger.display().to_string(), source })?;
                Ok(Self::DryRun(DryRun { ledger, last_id: AtomicI64::new(0) }))
            }
        }
    }

    /// Makes a call that changes nothing.
    ///
    /// # Errors
    /// A [`Failure`].
    pub async fn read(&self, call: &Call) -> Result<Value, Failure> {
        match self {
            Self::Live(transport) => classify(transport.post(&call.path(), &call.body).await),
            Self::DryRun(_) => Ok(json!([])),
        }
    }

    /// Makes a call that changes something, owed by the effect with this key.
    ///
    /// # Errors
    /// A [`Failure`].
    pub async fn write(&self, effect: &str, call: &Call) -> Result<Value, Failure> {
        match self {
            Self::Live(transport) => classify(transport.post(&call.path(), &call.body).await),
            Self::DryRun(dry_run) => dry_run.write(effect, call),
        }
    }

    /// What Odoo says about its version, without a key.
    ///
    /// # Errors
    /// A [`Failure`].
    pub async fn version(&self) -> Result<Value, Failure> {
        match self {
            Self::Live(transport) => classify(transport.get("/json/version").await),
            Self::DryRun(_) => Ok(json!({"version": "dry run"})),
        }
    }
}

impl DryRun {
    fn write(&self, effect: &str, call: &Call) -> Result<Value, Failure> {
        match self.ledger.append(effect, &call.path(), &call.body) {
            Ok(()) => Ok(json!([self.next_id()])),
            Err(error) => Err(Failure {
                kind: FailureKind::NotSent,
                message: format!("the dry-run ledger cannot be written: {error}"),
            }),
        }
    }

    /// A number no earlier answer of this dry run had.
    pub fn next_id(&self) -> i64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// The ids in an answer of `create` or `message_post`.
///
/// # Errors
/// A [`Failure`] of kind [`FailureKind::WrongAddress`] when the answer is no list of ids: something other than Odoo
/// answered, and what it did is not known.
pub fn ids(answer: &Value) -> Result<Vec<i64>, Failure> {
    let ids = match answer {
        Value::Array(ids) => ids.iter().map(Value::as_i64).collect(),
        single => single.as_i64().map(|id| vec![id]),
    };
    ids.filter(|ids: &Vec<i64>| !ids.is_empty()).ok_or_else(|| not_odoo("a list of record ids"))
}

/// The rows in an answer of `search_read`.
///
/// # Errors
/// A [`Failure`] of kind [`FailureKind::WrongAddress`] when the answer is no list.
pub fn rows(answer: &Value) -> Result<&[Value], Failure> {
    answer.as_array().map(Vec::as_slice).ok_or_else(|| not_odoo("a list of records"))
}

/// The failure of an answer that is not what was `due`: something other than Odoo answered.
#[must_use]
pub fn not_odoo(due: &str) -> Failure {
    Failure {
        kind: FailureKind::WrongAddress,
        message: format!("the answer is not {due}: check that odoo.url is Odoo's own address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_from_lists_and_single_numbers_only() {
        assert_eq!(ids(&json!([4, 5])), Ok(vec![4, 5]));
        assert_eq!(ids(&json!(7)), Ok(vec![7]));
        for answer in [json!([]), json!(null), json!(["a"]), json!({"id": 1})] {
            assert_eq!(ids(&answer).map_err(|failure| failure.kind), Err(FailureKind::WrongAddress), "{answer}");
        }
    }
}
