//! What people look at: the board, the shipment page, signing in, and the reading APIs.
//!
//! Promise: pages read and never change what they show; everything of a fleet is behind [`guard`]; text that came from
//! a vehicle, an order or a driver is shown as text, whatever is in it. Pages are complete without a script, load
//! nothing from elsewhere, and say so in their Content-Security-Policy.

pub mod age;
pub mod api;
pub mod board;
pub mod link;
pub mod look;
pub mod map;
pub mod photo;
pub mod refusal;
pub mod shipment;
pub mod sign_in;
pub mod wording;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use tokio::sync::Semaphore;

use self::refusal::{PageRefusal, Refusal};
use crate::auth::attempts::{Attempts, Clock};
use crate::auth::guard::guard;
use crate::store::Store;

/// Most passwords checked at the same time: each takes 19 MiB while it is.
const PASSWORD_CHECKS_MAX: usize = 2;
/// Largest form, in bytes.
const FORM_BYTES_MAX: usize = 8 * 1024;

/// Nothing but our own styles and images, no scripts at all, forms to ourselves, never inside a frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                                       base-uri 'none'; frame-ancestors 'none'";

/// Writes the body of `/metrics`.
pub type Figures = Arc<dyn Fn() -> String + Send + Sync>;

/// What the pages are given.
#[derive(Clone)]
pub struct PageState {
    /// Where everything is read.
    pub store: Store,
    /// Tells the time.
    pub clock: Clock,
    /// Writes the process's figures.
    pub metrics: Figures,
    attempts: Arc<Attempts>,
    password_checks: Arc<Semaphore>,
}

impl PageState {
    /// Pages over `store`.
    #[must_use]
    pub fn new(store: Store, clock: Clock, metrics: Figures) -> Self {
        let attempts = Arc::new(Attempts::new(&clock));
        Self { store, clock, metrics, attempts, password_checks: Arc::new(Semaphore::new(PASSWORD_CHECKS_MAX)) }
    }
}

/// All pages and reading APIs. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`, so that sign-in
/// attempts are counted by address.
pub fn router(state: PageState) -> Router {
    let with_routes = routes().into_iter().fold(Router::new(), |router, (path, method)| router.route(path, method));
    with_routes
        .fallback(|| async { PageRefusal(Refusal::not_found()) })
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(from_fn_with_state(state.clone(), guard))
        .layer(map_response(secured))
        .with_state(state)
}

/// The paths of every route, as templates.
pub fn paths() -> impl Iterator<Item = &'static str> {
    routes().into_iter().map(|(path, _)| path)
}

/// Every route; the guard stands before all of them.
fn routes() -> [(&'static str, MethodRouter<PageState>); 15] {
    [
        ("/", get(board::board)),
        ("/shipments/{*id}", get(shipment::shipment)),
        ("/blobs/{sha256}", get(photo::photo)),
        ("/sign-in", get(sign_in::form).post(sign_in::sign_in)),
        ("/sign-out", post(sign_in::sign_out)),
        ("/api/v1/milestones", get(api::milestones)),
        ("/api/v1/shipments", get(api::shipments)),
        ("/api/v1/vehicles", get(api::vehicles)),
        ("/api/v1/outbox", get(api::outbox)),
        ("/v1/devices/{id}/custody", get(api::device_custody)),
        ("/v1/custody", get(api::fleet_custody)),
        ("/metrics", get(api::metrics)),
        ("/healthz", get(api::healthz)),
        ("/static/milepost.css", get(look::stylesheet)),
        ("/static/milepost.svg", get(look::icon)),
    ]
}

/// Adds the headers that every answer carries. `Referrer-Policy` must let forms say where they come from.
async fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "same-origin");
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
