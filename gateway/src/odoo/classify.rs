//! What an answer of Odoo means.
//!
//! Promise: every exchange, answered or not, is judged by the one match in [`classify`]; nothing else in the connector
//! looks at a status code. The statuses and error names are those a real Odoo 19 gave; where a status alone is
//! ambiguous (404 is a missing record, an unknown model or a wrong database) the error's `name` decides.

use serde_json::Value;

use crate::effect::Settlement;

/// Longest part of Odoo's own words that is repeated to people, in characters.
const MESSAGE_CHARS_MAX: usize = 300;

/// How a request ended, before anyone judged it.
#[derive(Debug, Clone, PartialEq)]
pub enum Exchange {
    /// An answer arrived whole.
    Answered {
        /// HTTP status.
        status: u16,
        /// The body, when it was JSON; `None` for HTML and anything else.
        body: Option<Value>,
    },
    /// The request never reached Odoo: no connection, no name, no TLS.
    NotSent {
        /// What was in the way.
        why: String,
    },
    /// The request went out and its answer was lost, late or cut short.
    Lost {
        /// What was lost.
        why: String,
    },
}

/// Why a call did not give its result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// For the one who decides.
    pub kind: FailureKind,
    /// For the one who reads: what is wrong and, where a person can mend it, how.
    pub message: String,
}

/// The ways in which a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Odoo's own rules refuse it (422).
    Validation,
    /// It answered with a wizard: a person's choice is wanted, and nothing was done.
    Wizard,
    /// The user lacks a right (403).
    Access,
    /// The record is gone (404 with that name).
    MissingRecord,
    /// This Odoo lacks a model, method or field we use.
    Schema,
    /// There is no such database (404 as HTML).
    WrongDatabase,
    /// The key is wrong or has expired (401).
    BadKey,
    /// The address is not Odoo's own (a redirect, or a page where JSON was due).
    WrongAddress,
    /// It lost a race too often; Odoo rolled it back.
    Serialization,
    /// Asked to slow down (429).
    TooManyRequests,
    /// Anything else at or behind the server; a write may have been committed.
    ServerError,
    /// The request never left.
    NotSent,
    /// The answer never came.
    Lost,
}

/// Whether a call changes anything; an unknown outcome matters only then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// It only looks.
    Read,
    /// It changes something.
    Write,
}

/// Judges one exchange.
///
/// # Errors
/// A [`Failure`] for anything that is not a result.
pub fn classify(exchange: Exchange) -> Result<Value, Failure> {
    use FailureKind as K;
    let (status, body) = match exchange {
        Exchange::NotSent { why } => {
            return Err(failure(
                K::NotSent,
                format!("Odoo cannot be reached: {why}; check odoo.url and that Odoo runs"),
            ));
        }
        Exchange::Lost { why } => return Err(failure(K::Lost, format!("Odoo's answer was lost: {why}"))),
        Exchange::Answered { status, body } => (status, body),
    };
    let name = error_name(body.as_ref()).to_owned();
    let said = error_message(body.as_ref());
    let (kind, message) = match (status, name.as_str(), body) {
        (200, _, Some(answer)) if !is_action(&answer) => return Ok(answer),
        (200, _, Some(action)) => {
            (K::Wizard, format!("Odoo asks for a choice ({}); decide on the picking", action_model(&action)))
        }
        (401, ..) => (
            K::BadKey,
            "Odoo refuses the API key (wrong or expired): create a new one in Odoo (user preferences, Account Security, \
             New API Key), put it where odoo.api_key points, and restart the gateway"
                .to_owned(),
        ),
        (403, ..) => (K::Access, format!("the integration user lacks a right in Odoo: {said}")),
        (404, "odoo.exceptions.MissingError", _) => (K::MissingRecord, format!("the record is gone from Odoo: {said}")),
        (404, _, Some(_)) => (K::Schema, format!("this Odoo lacks something we use: {said}; see milepost-gateway check")),
        (404, _, None) => (
            K::WrongDatabase,
            "Odoo has no such database, or odoo.url is not an Odoo 19: check odoo.url and odoo.database".to_owned(),
        ),
        (422, ..) => (K::Validation, format!("Odoo refuses it: {said}")),
        (429, ..) => (K::TooManyRequests, "Odoo asks us to slow down".to_owned()),
        (500, name, _) if is_lost_race(name) => (K::Serialization, format!("Odoo lost a race and rolled back: {said}")),
        (500, "builtins.ValueError", _) if said.starts_with("Invalid field") => {
            (K::Schema, format!("this Odoo lacks a field we use: {said}; see milepost-gateway check"))
        }
        (500..=599, ..) => (K::ServerError, format!("Odoo failed with status {status}: {said}")),
        (200, _, None) | (300..=399, ..) => {
            (K::WrongAddress, format!("status {status} without JSON: odoo.url must be Odoo's own address, scheme included"))
        }
        _ => (K::Validation, format!("Odoo does not take it (status {status}): {said}")),
    };
    Err(failure(kind, message))
}

impl Failure {
    /// What this failure means for an effect, given the kind of call that met it.
    ///
    /// Trouble that concerns the connection rather than the effect (key, address, database) is retried: once mended,
    /// everything owed drains by itself. Trouble that concerns the effect is parked for a person.
    #[must_use]
    pub fn settle(self, access: Access) -> Settlement {
        use FailureKind as K;
        let why = self.message;
        match (self.kind, access) {
            (K::ServerError | K::Lost | K::WrongAddress, Access::Write) => Settlement::Unknown { why },
            (K::ServerError | K::Lost | K::WrongAddress, Access::Read)
            | (K::NotSent | K::BadKey | K::WrongDatabase | K::Serialization | K::TooManyRequests, _) => {
                Settlement::Retry { why }
            }
            (K::Validation | K::Wizard | K::Access | K::MissingRecord | K::Schema, _) => Settlement::Park { why },
        }
    }
}

fn failure(kind: FailureKind, message: String) -> Failure {
    Failure { kind, message }
}

fn error_name(body: Option<&Value>) -> &str {
    body.and_then(|body| body.get("name")).and_then(Value::as_str).unwrap_or("")
}

/// Odoo's own words, on one line and bounded; its `debug` traceback is left out.
fn error_message(body: Option<&Value>) -> String {
    let message = body.and_then(|body| body.get("message")).and_then(Value::as_str).unwrap_or("no explanation");
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(MESSAGE_CHARS_MAX).collect()
}

/// Both are given by PostgreSQL after it rolled the transaction back, when Odoo's own repeats are exhausted.
fn is_lost_race(name: &str) -> bool {
    ["SerializationFailure", "DeadlockDetected", "LockNotAvailable"]
        .iter()
        .any(|race| name.strip_prefix("psycopg2.errors.") == Some(race))
}

/// An action dict is a wizard (or a page to open), never a result we asked for.
fn is_action(body: &Value) -> bool {
    body.get("type").and_then(Value::as_str).is_some_and(|kind| kind.starts_with("ir.actions."))
}

fn action_model(body: &Value) -> &str {
    body.get("res_model").and_then(Value::as_str).unwrap_or("a wizard")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What became of an exchange, in one line: `ok`, or the kind and what a read and a write make of it.
    fn check(exchange: Exchange) -> String {
        let word = |settlement| match settlement {
            Settlement::Done { .. } => "done",
            Settlement::Retry { .. } => "retry",
            Settlement::Unknown { .. } => "unknown",
            Settlement::Park { .. } => "park",
        };
        match classify(exchange) {
            Ok(_) => "ok".to_owned(),
            Err(failure) => {
                let (read, write) = (failure.clone().settle(Access::Read), failure.clone().settle(Access::Write));
                format!("{:?}: read {}, write {}", failure.kind, word(read), word(write))
            }
        }
    }

    fn json_answer(status: u16, body: Value) -> Exchange {
        Exchange::Answered { status, body: Some(body) }
    }

    fn error(status: u16, name: &str) -> Exchange {
        json_answer(status, json!({"name": name, "message": "words", "debug": "Traceback"}))
    }

    #[test]
    fn results_of_every_shape_are_results() {
        for body in [json!([7]), json!([]), json!(true), json!(null), json!({"lang": "en_US", "type": "contact"})] {
            assert_eq!(check(json_answer(200, body.clone())), "ok", "{body}");
        }
    }

    #[test]
    fn every_answer_of_a_real_odoo_has_its_place() {
        let table = [
            (401, "werkzeug.exceptions.Unauthorized", "BadKey: read retry, write retry"),
            (403, "odoo.exceptions.AccessError", "Access: read park, write park"),
            (404, "odoo.exceptions.MissingError", "MissingRecord: read park, write park"),
            (404, "werkzeug.exceptions.NotFound", "Schema: read park, write park"),
            (400, "werkzeug.exceptions.BadRequest", "Validation: read park, write park"),
            (422, "odoo.exceptions.ValidationError", "Validation: read park, write park"),
            (422, "odoo.exceptions.UserError", "Validation: read park, write park"),
            (422, "werkzeug.exceptions.UnprocessableEntity", "Validation: read park, write park"),
            (429, "", "TooManyRequests: read retry, write retry"),
            (500, "psycopg2.errors.SerializationFailure", "Serialization: read retry, write retry"),
            (500, "psycopg2.errors.DeadlockDetected", "Serialization: read retry, write retry"),
            (500, "psycopg2.OperationalError", "ServerError: read retry, write unknown"),
            (500, "builtins.ValueError", "ServerError: read retry, write unknown"),
            (503, "", "ServerError: read retry, write unknown"),
        ];
        for (status, name, expected) in table {
            assert_eq!(check(error(status, name)), expected, "{status} {name}");
        }
    }

    #[test]
    fn a_wizard_is_not_a_result() {
        let wizard = json!({"type": "ir.actions.act_window", "res_model": "stock.backorder.confirmation"});
        let failure = classify(json_answer(200, wizard)).expect_err("a wizard");
        assert_eq!(failure.kind, FailureKind::Wizard);
        assert!(failure.message.contains("stock.backorder.confirmation"), "{failure}");
    }

    #[test]
    fn an_unknown_field_is_a_matter_of_this_odoo_not_of_the_moment() {
        let answer = json!({"name": "builtins.ValueError", "message": "Invalid field 'nope' on 'stock.picking'"});
        assert_eq!(check(json_answer(500, answer)), "Schema: read park, write park");
    }

    #[test]
    fn pages_instead_of_json_point_at_the_address() {
        let page = |status| check(Exchange::Answered { status, body: None });
        assert_eq!(page(404), "WrongDatabase: read retry, write retry");
        assert_eq!(page(301), "WrongAddress: read retry, write unknown");
        assert_eq!(page(200), "WrongAddress: read retry, write unknown");
        assert_eq!(page(502), "ServerError: read retry, write unknown");
        assert_eq!(page(401), "BadKey: read retry, write retry");
    }

    #[test]
    fn only_a_request_that_left_can_have_done_something() {
        let why = || "connection reset".to_owned();
        assert_eq!(check(Exchange::NotSent { why: why() }), "NotSent: read retry, write retry");
        assert_eq!(check(Exchange::Lost { why: why() }), "Lost: read retry, write unknown");
    }

    #[test]
    fn what_a_person_reads_names_the_mend_and_leaves_the_traceback_out() {
        let message = |exchange| classify(exchange).expect_err("a failure").message;
        let key = message(error(401, "werkzeug.exceptions.Unauthorized"));
        assert!(key.contains("API key") && key.contains("New API Key") && !key.contains('\n'), "{key}");
        let database = message(Exchange::Answered { status: 404, body: None });
        assert!(database.contains("odoo.database"), "{database}");
        let long = json!({"name": "x", "message": "a\nb ".repeat(1000), "debug": "Traceback"});
        let refused = message(json_answer(422, long));
        assert!(
            refused.chars().count() < 400 && !refused.contains('\n') && !refused.contains("Traceback"),
            "{refused}"
        );
    }
}
