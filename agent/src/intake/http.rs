//! The driver app over HTTP.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/pods`, `/v1/exceptions`, `/v1/driver`: a capture as JSON | 201 `{"sequence","duplicate":false}`, 200 for a duplicate |
//! | `PUT /v1/blobs/{sha256}?offset=&size=`: the bytes of a part | 201 `{"held","complete"}` |
//! | `GET /v1/trip` | 200 with the trip, 204 when there is none |
//!
//! Promise: a 2xx comes only after the commit that holds what was sent. Everything else is `{"code","message","mend"}`
//! with a 4xx the app must not repeat unchanged, or 503 when the vehicle cannot keep it now.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use milepost_proto::driver_app::{Rejection, RejectionCode};
use milepost_proto::uplink::BLOB_PART_BYTES_MAX;
use serde::Deserialize;

use super::blob;
use super::contract::{Contract, MESSAGE_BYTES_MAX};
use super::{AcceptedAnswer, BlobAnswer};
use crate::capture::BlobPart;
use crate::pages::PagesState;
use crate::source::{FaultCounts, ShuttingDown, SourceNews};

/// The driver app's routes, each with its body limit.
pub fn routes() -> Router<PagesState> {
    let captures = Router::new()
        .route("/v1/pods", post(|state, headers, body| capture(Contract::Pod, state, headers, body)))
        .route("/v1/exceptions", post(|state, headers, body| capture(Contract::Exception, state, headers, body)))
        .route("/v1/driver", post(|state, headers, body| capture(Contract::Driver, state, headers, body)))
        .layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX));
    let blobs =
        Router::new().route("/v1/blobs/{sha256}", put(blob_part)).layer(DefaultBodyLimit::max(BLOB_PART_BYTES_MAX));
    Router::new().merge(captures).merge(blobs).route("/v1/trip", get(trip))
}

async fn capture(
    contract: Contract,
    State(state): State<PagesState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let read = require_json(&headers).and_then(|()| body.map_err(|error| unread(&error, MESSAGE_BYTES_MAX)));
    match read.and_then(|message| contract.read(&message)) {
        Ok(capture) => match state.intake.capture(capture).await {
            Ok(accepted) => {
                let status = if accepted.duplicate { StatusCode::OK } else { StatusCode::CREATED };
                (status, Json(AcceptedAnswer::from(accepted))).into_response()
            }
            Err(rejection) => refuse(rejection),
        },
        Err(rejection) => refuse_counted(rejection, &state).await,
    }
}

#[derive(Deserialize)]
struct PartQuery {
    offset: Option<String>,
    size: Option<String>,
}

async fn blob_part(
    State(state): State<PagesState>,
    sha256: Result<Path<String>, PathRejection>,
    query: Result<Query<PartQuery>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match read_part(sha256, query, body) {
        Ok(part) => match state.intake.blob_part(part).await {
            Ok(progress) => (StatusCode::CREATED, Json(BlobAnswer::from(progress))).into_response(),
            Err(rejection) => refuse(rejection),
        },
        Err(rejection) => refuse_counted(rejection, &state).await,
    }
}

fn read_part(
    sha256: Result<Path<String>, PathRejection>,
    query: Result<Query<PartQuery>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<BlobPart, Rejection> {
    let Path(sha256) = sha256.map_err(|error| misaddressed(&error.body_text()))?;
    let Query(PartQuery { offset, size }) = query.map_err(|error| misaddressed(&error.body_text()))?;
    let bytes = body.map_err(|error| unread(&error, BLOB_PART_BYTES_MAX))?;
    blob::read_part(&sha256, offset.as_deref().unwrap_or("0"), size.as_deref(), &bytes)
}

async fn trip(State(state): State<PagesState>) -> Response {
    match state.trip.borrow().as_ref() {
        Some(trip) => Json(trip).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

/// A form on a foreign page can post text but not JSON without asking first, and nobody here says yes.
fn require_json(headers: &HeaderMap) -> Result<(), Rejection> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        let mend = "send the header content-type: application/json";
        Err(Rejection::new(RejectionCode::Malformed, "the message is not marked as JSON", mend))
    }
}

fn misaddressed(what: &str) -> Rejection {
    Rejection::new(RejectionCode::Malformed, what, "send the part to /v1/blobs/<sha256>?offset=<bytes>&size=<bytes>")
}

fn unread(error: &BytesRejection, bytes_max: usize) -> Rejection {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let mend = "send photos in parts of at most 256 KiB, and only their SHA-256 in the capture";
        Rejection::new(RejectionCode::TooLarge, format!("the body has more than {bytes_max} bytes"), mend)
    } else {
        Rejection::new(RejectionCode::Malformed, "the body broke off", "send it again")
    }
}

/// Refuses, and counts what the event loop never hears of.
async fn refuse_counted(rejection: Rejection, state: &PagesState) -> Response {
    let counts = FaultCounts::from([(rejection.code.as_str(), 1)]);
    // An agent that is ending still answers.
    let (Ok(()) | Err(ShuttingDown)) = state.link.tell(SourceNews::Faults(counts)).await;
    refuse(rejection)
}

fn refuse(rejection: Rejection) -> Response {
    (status_of(rejection.code), Json(rejection)).into_response()
}

const fn status_of(code: RejectionCode) -> StatusCode {
    match code {
        RejectionCode::Malformed => StatusCode::BAD_REQUEST,
        RejectionCode::InvalidField | RejectionCode::UnknownStop | RejectionCode::HashMismatch => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        RejectionCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        RejectionCode::ConflictingReference => StatusCode::CONFLICT,
        RejectionCode::NotAccepted => StatusCode::SERVICE_UNAVAILABLE,
    }
}
