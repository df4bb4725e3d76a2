//! What a technician looks at, and the driver app's HTTP contract beside it: everything the agent serves locally.
//!
//! Promise: the pages are read-only; nothing on them can stop or change the agent, and nothing on them is secret. They
//! need no script, no font and no network beyond the vehicle's. Foreign text (raw lines, names, reasons) is shown,
//! never obeyed. Requests from web sites elsewhere are refused (`host`).
//!
//! | request | shows |
//! |---|---|
//! | `GET /` | the status page: first the [`verdict`], then every number behind it |
//! | `GET /status` | [`Status`] as JSON |
//! | `GET /metrics` | the same for Prometheus |
//! | `/v1/…` | the driver app, see [`http`] |

mod bus_words;
#[cfg(test)]
mod example;
mod host;
mod metrics;
mod quantity;
mod status_page;
mod terminal;
mod verdict;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{from_fn, map_response};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use milepost_proto::Trip;
use tokio::sync::watch;

pub use metrics::metrics;
pub use status_page::status_page;
pub use terminal::render_terminal;
pub use verdict::{Finding, Health, Verdict, verdict};

use crate::event::Intake;
use crate::intake::http;
use crate::source::SourceLink;
use crate::status::Status;

/// Largest body of a request to a route that sets no limit of its own, bytes; none of them reads one.
const BODY_BYTES_MAX: usize = 4096;

/// What the pages show and hand on.
#[derive(Clone)]
pub struct PagesState {
    /// The driver app's way in.
    pub intake: Intake,
    /// Where refused requests are counted: the source `http`.
    pub link: SourceLink,
    /// What the agent knows about itself.
    pub status: watch::Receiver<Status>,
    /// The current trip.
    pub trip: watch::Receiver<Option<Trip>>,
}

/// Everything the agent serves locally.
pub fn router(state: PagesState) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/style.css", get(style))
        .route("/status", get(status))
        .route("/metrics", get(prometheus))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .merge(http::routes())
        .layer(from_fn(host::refuse_foreign))
        .layer(map_response(harden))
        .with_state(state)
}

async fn page(State(state): State<PagesState>) -> Html<String> {
    Html(status_page(&state.status.borrow()))
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("pages/style.css")).into_response()
}

async fn status(State(state): State<PagesState>) -> Json<Status> {
    Json(state.status.borrow().clone())
}

async fn prometheus(State(state): State<PagesState>) -> Response {
    let status = state.status.borrow().clone();
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics(status)).into_response()
}

/// What every answer says to browsers: run nothing, frame nothing, keep nothing.
async fn harden(mut response: Response) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; \
                          base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let fixed: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
