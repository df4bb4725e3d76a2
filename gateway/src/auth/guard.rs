//! The door: finds out who sends a request, and lets nobody in who is not known.
//!
//! Promise: it stands before every route, also before ones that do not exist; only the paths in [`OPEN_PATHS`] pass
//! without it. What lies behind is told the fleet by [`SignedIn`] and by nothing else.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use milepost_proto::FleetId;

use super::origin::same_site;
use super::role::{Role, Scope};
use super::token::{Presented, presented};
use crate::pages::PageState;
use crate::pages::refusal::{ApiRefusal, PageRefusal, Refusal};
use crate::store::{StoreResult, people};

/// What anybody may fetch: how to sign in, how that looks, and whether the process lives.
pub const OPEN_PATHS: [&str; 4] = ["/sign-in", "/static/milepost.css", "/static/milepost.svg", "/healthz"];

/// Who sent the request. Every query behind the door is limited to `fleet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// Whose data they may see.
    pub fleet: FleetId,
    /// The user's or the key's name.
    pub name: String,
    /// By what right.
    pub right: Right,
}

/// By what right somebody is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Right {
    /// A signed-in person.
    Person(Role),
    /// A program with an API key.
    Key(Vec<Scope>),
}

impl SignedIn {
    /// Whether they may do it.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        match &self.right {
            Right::Person(role) => role.allows(scope),
            Right::Key(scopes) => scopes.contains(&scope),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SignedIn {
    type Rejection = PageRefusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageRefusal> {
        parts.extensions.get::<Self>().cloned().ok_or(PageRefusal(Refusal::unknown_sender()))
    }
}

/// The middleware that stands before every route.
pub async fn guard(State(state): State<PageState>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if may_be_forged(&request) && !same_site(text(request.headers(), header::ORIGIN), host(&request)) {
        return refuse(path, Refusal::foreign_form());
    }
    if OPEN_PATHS.contains(&path) {
        return next.run(request).await;
    }
    match identify(&state, request.headers()).await {
        Ok(Some(who)) if who.may(scope_of(path)) => {
            request.extensions_mut().insert(who);
            next.run(request).await
        }
        Ok(Some(_)) => refuse(path, Refusal::scope_missing(scope_of(path))),
        Ok(None) if is_api(path) => ApiRefusal(Refusal::unknown_sender()).into_response(),
        Ok(None) => to_sign_in(&request),
        Err(fault) => refuse(path, Refusal::from(fault)),
    }
}

/// Whether a page of somebody else could have made a browser send this. A browser adds its cookie by itself, but an
/// `Authorization` header only for scripts of our own, and with one the cookie is not looked at.
fn may_be_forged(request: &Request) -> bool {
    !matches!(*request.method(), Method::GET | Method::HEAD) && !request.headers().contains_key(header::AUTHORIZATION)
}

/// The scope that a path asks for.
fn scope_of(path: &str) -> Scope {
    if path == "/metrics" { Scope::Metrics } else { Scope::Read }
}

/// Whether programs, rather than people, look at this path.
fn is_api(path: &str) -> bool {
    path == "/metrics" || path.starts_with("/api/") || path.starts_with("/v1/")
}

async fn identify(state: &PageState, headers: &HeaderMap) -> StoreResult<Option<SignedIn>> {
    let credential = presented(text(headers, header::AUTHORIZATION), text(headers, header::COOKIE));
    let now = (state.clock)();
    let Some(credential) = credential else { return Ok(None) };
    state
        .store
        .read(move |connection| match credential {
            Presented::Session(hash) => Ok(people::session(connection, hash, now)?.map(|owner| SignedIn {
                fleet: owner.fleet,
                name: owner.name,
                right: Right::Person(owner.role),
            })),
            Presented::ApiKey(hash) => Ok(people::api_key(connection, hash)?.map(|owner| SignedIn {
                fleet: owner.fleet,
                name: owner.name,
                right: Right::Key(owner.scopes),
            })),
        })
        .await
}

fn refuse(path: &str, refusal: Refusal) -> Response {
    if is_api(path) { ApiRefusal(refusal).into_response() } else { PageRefusal(refusal).into_response() }
}

fn to_sign_in(request: &Request) -> Response {
    if request.method() != Method::GET {
        return (StatusCode::SEE_OTHER, [(header::LOCATION, "/sign-in")]).into_response();
    }
    let wanted = request.uri().path();
    if wanted == "/" {
        return Redirect::to("/sign-in").into_response();
    }
    Redirect::to(&format!("/sign-in?next={}", crate::pages::link::segment(wanted))).into_response()
}

fn host(request: &Request) -> Option<&str> {
    text(request.headers(), header::HOST).or_else(|| request.uri().authority().map(axum::http::uri::Authority::as_str))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
