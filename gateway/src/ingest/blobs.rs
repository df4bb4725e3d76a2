//! `PUT /v1/blobs/{sha256}?offset=&size=`: takes one part of a photo or signature.
//!
//! Promise: a 2xx says how much is durable; 409 says where to go on; 422 says the whole did not hash to its name and
//! is to be sent again from the start. The JSON is `{"held": bytes, "complete": bool}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use axum_server::tls::TlsInfo;
use milepost_proto::Sha256;
use milepost_proto::uplink::{BLOB_BYTES_MAX, BLOB_PART_BYTES_MAX, BlobState};
use serde::Deserialize;

use super::refusal::Refused;
use super::{Ingest, read_body};
use crate::clock;
use crate::store::blob::{Part, PartOutcome, put_part};

/// Where a part belongs.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Place {
    /// Where it begins, bytes.
    offset: u64,
    /// The blob's size, bytes.
    size: u64,
}

/// Takes a part.
pub async fn put(
    State(ingest): State<Arc<Ingest>>,
    Extension(tls): Extension<Arc<TlsInfo>>,
    Path(name): Path<String>,
    Query(place): Query<Place>,
    request: Request<Body>,
) -> Response {
    match take(&ingest, &tls, &name, place, request).await {
        Ok(outcome) => {
            ingest.metrics.request("blob_part");
            respond(outcome)
        }
        Err(refused) => {
            ingest.note(&refused);
            refused.into_response()
        }
    }
}

async fn take(
    ingest: &Ingest,
    tls: &TlsInfo,
    name: &str,
    place: Place,
    request: Request<Body>,
) -> Result<PartOutcome, Refused> {
    let peer = ingest.admit(tls)?;
    let sha256: Sha256 = name.parse().map_err(|error| Refused::Blob(format!("{error}")))?;
    let _place = ingest.place(&peer, &request, BLOB_PART_BYTES_MAX)?;
    let bytes = read_body(request, BLOB_PART_BYTES_MAX).await?.to_vec();
    let part = Part { sha256, size: place.size, offset: place.offset, bytes };
    let now = clock::now();
    let put =
        move |connection: &rusqlite::Connection| put_part(connection, &peer.fleet_id, &peer.device_id, &part, now);
    Ok(ingest.store.try_write(put).await?)
}

fn respond(outcome: PartOutcome) -> Response {
    let state = |status: StatusCode, state: BlobState| {
        (status, Json(serde_json::json!({"held": state.held, "complete": state.complete}))).into_response()
    };
    match outcome {
        PartOutcome::Taken(held) => state(StatusCode::OK, held),
        PartOutcome::Elsewhere(held) => state(StatusCode::CONFLICT, held),
        PartOutcome::HashMismatch => {
            let text = "the bytes do not hash to the blob's name and were discarded; send it again from the start\n";
            (StatusCode::UNPROCESSABLE_ENTITY, text).into_response()
        }
        PartOutcome::WrongSize { held } => {
            let text = format!(
                "the part does not fit: a blob has at most {BLOB_BYTES_MAX} bytes and keeps the size it was begun with \
                 ({} bytes are held)\n",
                held.held
            );
            (StatusCode::PAYLOAD_TOO_LARGE, text).into_response()
        }
    }
}
