//! The reading APIs: what the pages show, for programs.
//!
//! Promise: every answer is one fleet's, bounded to [`ROWS_MAX`](crate::store::board::ROWS_MAX) rows of a kind, and its
//! words are those of the design. `/api/v1/milestones` is a feed: each answer's `next` is where to go on, and whoever follows it misses nothing.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use milepost_proto::{DeviceId, Timestamp};
use serde::{Deserialize, Serialize};

use super::PageState;
use super::refusal::{ApiRefusal, Refusal};
use crate::auth::SignedIn;
use crate::store::board::effect::{self, EffectRow, OutboxDepth};
use crate::store::board::milestone::{self, FeedPlace, MilestoneRow};
use crate::store::board::shipment::{self, ShipmentRow};
use crate::store::board::vehicle::{self, VehicleRow};
use crate::store::custody::{self, DeviceCustody, FleetLine};

/// Most lanes in one answer about the fleet's custody.
pub const CUSTODY_LINES_MAX: usize = 200;

/// Where to go on reading.
#[derive(Debug, Deserialize)]
pub struct Since {
    since: Option<String>,
}

/// One page of the feed.
#[derive(Debug, Serialize)]
pub struct MilestonePage {
    milestones: Vec<MilestoneRow>,
    /// The next `since`.
    next: String,
}

/// The outbox: how much is owed, and what.
#[derive(Debug, Serialize)]
pub struct OutboxPage {
    depth: Vec<OutboxDepth>,
    owed: Vec<EffectRow>,
}

/// `GET /api/v1/milestones?since=`: milestones in the order in which they became known. `since` is a time, or the
/// `next` of the answer before.
///
/// # Errors
/// A `since` that is neither; the store's.
pub async fn milestones(
    State(state): State<PageState>,
    who: SignedIn,
    Query(Since { since }): Query<Since>,
) -> Result<Json<MilestonePage>, ApiRefusal> {
    let place = since.as_deref().map_or(Ok(FEED_START), read_place)?;
    let (milestones, place) =
        state.store.read(move |connection| Ok((milestone::after(connection, &who.fleet, &place)?, place))).await?;
    let place = milestones
        .last()
        .map_or(place, |last| FeedPlace { known_at: last.known_at, milestone_id: last.milestone.milestone_id.clone() });
    Ok(Json(MilestonePage { milestones, next: format!("{}~{}", place.known_at, place.milestone_id) }))
}

const FEED_START: FeedPlace = FeedPlace { known_at: Timestamp::EPOCH, milestone_id: String::new() };

fn read_place(text: &str) -> Result<FeedPlace, Refusal> {
    let (time, milestone_id) = text.split_once('~').unwrap_or((text, ""));
    let known_at = time.parse().map_err(|error| {
        let mend = "Send `since` as a UTC time, or as the `next` of the answer before.";
        Refusal::new(StatusCode::BAD_REQUEST, format!("since: {error}"), mend)
    })?;
    Ok(FeedPlace { known_at, milestone_id: milestone_id.to_owned() })
}

/// `GET /api/v1/shipments`.
///
/// # Errors
/// The store's.
pub async fn shipments(State(state): State<PageState>, who: SignedIn) -> Result<Json<Vec<ShipmentRow>>, ApiRefusal> {
    Ok(Json(state.store.read(move |connection| shipment::shipments(connection, &who.fleet)).await?))
}

/// `GET /api/v1/vehicles`.
///
/// # Errors
/// The store's.
pub async fn vehicles(State(state): State<PageState>, who: SignedIn) -> Result<Json<Vec<VehicleRow>>, ApiRefusal> {
    let now = (state.clock)();
    Ok(Json(state.store.read(move |connection| vehicle::vehicles(connection, &who.fleet, now)).await?))
}

/// `GET /api/v1/outbox`: how much is owed by state, and the effects that are not settled, oldest first.
///
/// # Errors
/// The store's.
pub async fn outbox(State(state): State<PageState>, who: SignedIn) -> Result<Json<OutboxPage>, ApiRefusal> {
    let page = state.store.read(move |connection| {
        Ok(OutboxPage {
            depth: effect::outbox_depth(connection, &who.fleet)?,
            owed: effect::owed(connection, &who.fleet)?,
        })
    });
    Ok(Json(page.await?))
}

/// Where to go on reading losses.
#[derive(Debug, Deserialize)]
pub struct After {
    after: Option<u64>,
}

/// `GET /v1/devices/{id}/custody?after=`: what is held of a device, what is missing, and what is lost and why.
///
/// ```json
/// {"device_id": "box-7", "state": "known", "last_seen_at": "…Z", "spools_in_all": 1, "spools": [
///    {"spool_id": "0101…", "open": true, "low_water_mark": "…Z", "agent_version": "0.1.0",
///     "first_seen_at": "…Z", "last_seen_at": "…Z", "lanes": [
///       {"lane": "evidence", "through": 4, "highest": 12, "above": [[7, 7], [10, 12]],
///        "missing": [[5, 6], [8, 9]], "missing_records": 4, "holes_in_all": 2,
///        "lost": [{"reason": "evicted", "reports": 1, "records": 3}], "contested_chunks": 0, "dropped_records": 0}]}],
///  "blobs": {"complete": 3, "incomplete": 1, "waiting": [
///     {"sha256": "…", "size_bytes": 90000, "held_bytes": 65536, "begun_at": "…Z"}]},
///  "losses": [{"position": 9, "spool_id": "0101…", "lane": "telemetry", "reason": "evicted", "range": [1, 3],
///     "records": 3, "received_at": "…Z"}],
///  "next": null}
/// ```
///
/// Ranges are `[first, last]`. Reasons are `evicted`, `refused`, `quarantined`, `damaged` and `thinned`. `next` is the
/// `after` of the next page of losses; everything else is the same on each page.
///
/// # Errors
/// 404 for a device that the fleet does not have, whoever else may have it; the store's.
pub async fn device_custody(
    State(state): State<PageState>,
    who: SignedIn,
    Path(device): Path<String>,
    Query(After { after }): Query<After>,
) -> Result<Json<DeviceCustody>, ApiRefusal> {
    // What is no name is no device either.
    let device: DeviceId = device.parse().map_err(|_| Refusal::not_found())?;
    let read = move |connection: &rusqlite::Connection| {
        custody::of_device(connection, &who.fleet, &device, after.unwrap_or(0))
    };
    Ok(Json(state.store.read(read).await?.ok_or_else(Refusal::not_found)?))
}

/// `GET /v1/custody`: the lanes of the fleet in which something is missing, lost or contested, at most
/// [`CUSTODY_LINES_MAX`], by device.
///
/// # Errors
/// The store's.
pub async fn fleet_custody(State(state): State<PageState>, who: SignedIn) -> Result<Json<Vec<FleetLine>>, ApiRefusal> {
    let read =
        move |connection: &rusqlite::Connection| custody::troubled_lanes(connection, &who.fleet, CUSTODY_LINES_MAX);
    Ok(Json(state.store.read(read).await?))
}

/// `GET /metrics`: the process's figures, in Prometheus' text form.
pub async fn metrics(State(state): State<PageState>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], (state.metrics)())
}

/// `GET /healthz`: whether the process answers, and nothing about anybody's data.
pub async fn healthz() -> &'static str {
    "ok\n"
}
