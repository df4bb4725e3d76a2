//! Answers that say no: to people as a page, to programs as JSON, to both with what would mend it.
//!
//! Promise: an answer never shows more than the sender may know; what failed inside goes to the log.

use askama::Template;
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::json;

use crate::auth::Scope;
use crate::store::StoreFault;

/// Why the answer is no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// What is wrong, in a sentence.
    pub error: String,
    /// What would mend it, in a sentence.
    pub mend: String,
}

/// A refusal as a page.
#[derive(Debug)]
pub struct PageRefusal(pub Refusal);

/// A refusal as JSON `{error, mend}`.
#[derive(Debug)]
pub struct ApiRefusal(pub Refusal);

impl Refusal {
    /// A refusal.
    #[must_use]
    pub fn new(status: StatusCode, error: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { status, error: error.into(), mend: mend.into() }
    }

    /// Nobody we know sent this.
    #[must_use]
    pub fn unknown_sender() -> Self {
        let mend = "Send an API key as `Authorization: Bearer mpk_…`, or sign in. \
                    `milepost-gateway key create` makes one.";
        Self::new(StatusCode::UNAUTHORIZED, "No valid API key or session came with this request.", mend)
    }

    /// The sender is known but may not do this.
    #[must_use]
    pub fn scope_missing(scope: Scope) -> Self {
        let mend = format!("Use a key that has the scope `{scope}`.");
        Self::new(StatusCode::FORBIDDEN, format!("This needs the scope `{scope}`."), mend)
    }

    /// A form that did not come from our pages.
    #[must_use]
    pub fn foreign_form() -> Self {
        let mend = "Open the page here and send its form again.";
        Self::new(StatusCode::FORBIDDEN, "This form was not sent from this site.", mend)
    }

    /// There is no such page, or not for this fleet.
    #[must_use]
    pub fn not_found() -> Self {
        let mend = "Go to the board and follow a link from there.";
        Self::new(StatusCode::NOT_FOUND, "There is nothing here.", mend)
    }
}

impl From<StoreFault> for Refusal {
    fn from(fault: StoreFault) -> Self {
        tracing::error!(%fault, "a page could not be shown");
        let mend = "Try again; if it stays, the gateway's log says what is wrong.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "The gateway could not read its store.", mend)
    }
}

impl<F: Into<Refusal>> From<F> for PageRefusal {
    fn from(fault: F) -> Self {
        Self(fault.into())
    }
}

impl<F: Into<Refusal>> From<F> for ApiRefusal {
    fn from(fault: F) -> Self {
        Self(fault.into())
    }
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage<'r> {
    refusal: &'r Refusal,
    title: String,
}

impl IntoResponse for PageRefusal {
    fn into_response(self) -> Response {
        let title = self.0.status.canonical_reason().unwrap_or("Refused").to_owned();
        (self.0.status, page(&RefusalPage { refusal: &self.0, title })).into_response()
    }
}

impl IntoResponse for ApiRefusal {
    fn into_response(self) -> Response {
        let Refusal { status, error, mend } = self.0;
        let body = Json(json!({ "error": error, "mend": mend }));
        if status == StatusCode::UNAUTHORIZED {
            (status, [(header::WWW_AUTHENTICATE, "Bearer realm=\"milepost\"")], body).into_response()
        } else {
            (status, body).into_response()
        }
    }
}

/// A rendered page.
pub fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
