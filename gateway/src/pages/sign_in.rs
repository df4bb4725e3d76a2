//! Signing in and out.
//!
//! Promise: a wrong name and a wrong password get the same answer after the same work; tries are slowed per name and
//! per address before any work is done; the session's secret is seen by the browser only, never by a script.

use std::net::SocketAddr;

use askama::Template;
use axum::extract::{ConnectInfo, Extension, Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use milepost_proto::FleetId;
use ring::rand::SystemRandom;
use serde::Deserialize;

use super::PageState;
use super::refusal::{PageRefusal, Refusal, page};
use crate::auth::origin::local_path;
use crate::auth::token::{Presented, SESSION_COOKIE, Secret, presented};
use crate::auth::{SESSION_MS, password};
use crate::store::people;

const WRONG: &str = "That name and password do not match.";

/// Where to go after signing in.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    next: Option<String>,
}

/// What the form sends.
#[derive(Deserialize)]
pub struct Credentials {
    #[serde(default)]
    fleet: String,
    name: String,
    password: String,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'p> {
    /// Whether people must name their fleet.
    ask_fleet: bool,
    fleet: &'p str,
    name: &'p str,
    next: &'p str,
    problem: &'p str,
}

/// Shows the form.
///
/// # Errors
/// The store's.
pub async fn form(
    State(state): State<PageState>,
    Query(Wanted { next }): Query<Wanted>,
) -> Result<Response, PageRefusal> {
    let ask_fleet = state.store.read(people::only_fleet).await?.is_none();
    let next = local_path(next.as_deref());
    Ok(page(&SignInPage { ask_fleet, fleet: "", name: "", next, problem: "" }))
}

/// Checks the form and opens a session.
///
/// # Errors
/// The store's. A wrong name or password is no error but the form again, with status 401 or 429.
pub async fn sign_in(
    State(state): State<PageState>,
    from: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    Form(credentials): Form<Credentials>,
) -> Result<Response, PageRefusal> {
    let only_fleet = state.store.read(people::only_fleet).await?;
    let again = |status: StatusCode, problem: &str| {
        let Credentials { fleet, name, .. } = &credentials;
        let next = local_path(credentials.next.as_deref());
        (status, page(&SignInPage { ask_fleet: only_fleet.is_none(), fleet, name, next, problem })).into_response()
    };
    let fleet_name = only_fleet.as_ref().map_or(credentials.fleet.trim(), FleetId::as_str);
    let address = from.map_or_else(String::new, |Extension(ConnectInfo(peer))| peer.ip().to_string());
    if let Err(wait_s) = state.attempts.note(&format!("{fleet_name}/{}", credentials.name), &address) {
        // The name stays out of the log: people type passwords into the wrong field.
        tracing::warn!(address, "sign-in attempts are being slowed");
        let problem = format!("Too many attempts. Wait {wait_s} seconds and try again.");
        let refused = again(StatusCode::TOO_MANY_REQUESTS, &problem);
        return Ok(([(header::RETRY_AFTER, wait_s.to_string())], refused).into_response());
    }
    let fleet: Option<FleetId> = fleet_name.parse().ok();
    if !password_matches(&state, fleet.clone(), &credentials).await? {
        return Ok(again(StatusCode::UNAUTHORIZED, WRONG));
    }
    match fleet {
        Some(fleet) => open_session(&state, fleet, &credentials, &headers).await,
        None => Ok(again(StatusCode::UNAUTHORIZED, WRONG)),
    }
}

/// Ends the session and forgets its cookie.
///
/// # Errors
/// The store's.
pub async fn sign_out(State(state): State<PageState>, headers: HeaderMap) -> Result<Response, PageRefusal> {
    let cookie = headers.get(header::COOKIE).and_then(|value| value.to_str().ok());
    if let Some(Presented::Session(hash)) = presented(None, cookie) {
        state.store.write(move |connection| people::end_session(connection, hash)).await?;
    }
    let forget = format!("{SESSION_COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    Ok(([(header::SET_COOKIE, forget)], Redirect::to("/sign-in")).into_response())
}

async fn password_matches(
    state: &PageState,
    fleet: Option<FleetId>,
    credentials: &Credentials,
) -> Result<bool, Refusal> {
    let name = credentials.name.clone();
    let stored = state.store.read(move |connection| match &fleet {
        Some(fleet) => people::user(connection, fleet, &name),
        None => Ok(None),
    });
    let (stored, password) = (stored.await?, credentials.password.clone());
    let unavailable =
        || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "The gateway is stopping.", "Try again shortly.");
    let _permit = state.password_checks.acquire().await.map_err(|_| unavailable())?;
    let check = move || password::matches(&password, stored.as_ref().map(|user| user.password_hash.as_str()));
    tokio::task::spawn_blocking(check).await.map_err(|_| unavailable())
}

async fn open_session(
    state: &PageState,
    fleet: FleetId,
    credentials: &Credentials,
    headers: &HeaderMap,
) -> Result<Response, PageRefusal> {
    let secret = Secret::session(&SystemRandom::new())
        .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), "Restart the gateway."))?;
    let (hash, name, now) = (secret.fingerprint(), credentials.name.clone(), (state.clock)());
    let open =
        move |connection: &_| people::add_session(connection, hash, &fleet, &name, now, now.plus_millis(SESSION_MS));
    state.store.write(open).await?;
    // The guard has seen that this form came from our own site, so its origin says how the browser reaches us.
    let encrypted = headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https:"));
    let cookie = format!(
        "{SESSION_COOKIE}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{}",
        secret.reveal(),
        SESSION_MS / 1000,
        if encrypted { "; Secure" } else { "" },
    );
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(local_path(credentials.next.as_deref()))).into_response())
}
