//! `/shipments/{id}`: what happened to one shipment, what proves it, and who was told.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use milepost_proto::driver_app::PodItem;
use milepost_proto::{FleetId, Pod, Sha256, Timestamp};
use rusqlite::Connection;

use super::PageState;
use super::age::Moment;
use super::board::shipment_name;
use super::refusal::{PageRefusal, Refusal, page};
use super::wording::{self, Word};
use crate::auth::SignedIn;
use crate::effect::EffectBody;
use crate::milestone::{Milestone, Status};
use crate::store::board::effect::{EffectRow, of_shipment};
use crate::store::board::milestone::{MilestoneRow, history};
use crate::store::board::shipment::{self, ShipmentRow};
use crate::store::{StoreResult, blob};

/// What the page shows, as the store gives it, in one snapshot.
struct Facts {
    shipment: ShipmentRow,
    history: Vec<MilestoneRow>,
    effects: Vec<EffectRow>,
    /// The photos and signatures that have arrived.
    held: Vec<Sha256>,
}

#[derive(Template)]
#[template(path = "shipment.html")]
struct ShipmentPage {
    who: SignedIn,
    now: Moment,
    name: String,
    row: ShipmentRow,
    standing: Word,
    last: Option<Moment>,
    window: Option<(String, String)>,
    timeline: Vec<Entry>,
    proofs: Vec<Proof>,
    effects: Vec<EffectLine>,
}

/// One milestone of the timeline: how it stands, and how it stood before.
struct Entry {
    milestone: Milestone,
    vehicle: String,
    happened: Word,
    firmness: Word,
    retracted: bool,
    confidence_percent: f64,
    event: Moment,
    known: Moment,
    earlier: Vec<Earlier>,
}

struct Earlier {
    revision: u32,
    firmness: Word,
    event: Moment,
    known: Moment,
}

struct Proof {
    pod: Pod,
    outcome: Word,
    record: String,
    at: Option<Moment>,
    place: Option<String>,
    signature: Option<Image>,
    photos: Vec<Image>,
}

/// A photo or signature, and whether its bytes have arrived.
struct Image {
    sha256: Sha256,
    held: bool,
}

struct EffectLine {
    row: EffectRow,
    what: String,
    state: Word,
    created: Moment,
    settled: Option<Moment>,
    next: Option<Moment>,
}

/// Shows the shipment.
///
/// # Errors
/// Not found, or the store's.
pub async fn shipment(
    State(state): State<PageState>,
    who: SignedIn,
    Path(id): Path<String>,
) -> Result<Response, PageRefusal> {
    let fleet = who.fleet.clone();
    let facts = state.store.read(move |connection| Facts::read(connection, &fleet, &id)).await?;
    let facts = facts.ok_or_else(Refusal::not_found)?;
    Ok(page(&ShipmentPage::new(who, (state.clock)(), facts)))
}

impl Facts {
    fn read(connection: &Connection, fleet: &FleetId, id: &str) -> StoreResult<Option<Self>> {
        let Some(shipment) = shipment::shipment(connection, fleet, id)? else { return Ok(None) };
        let effects = of_shipment(connection, fleet, id)?;
        let mut held = Vec::new();
        for (pod, _) in effects.iter().filter_map(proof_of) {
            for &sha256 in pod.signature.iter().chain(&pod.photos) {
                if blob::state(connection, fleet, sha256)?.complete {
                    held.push(sha256);
                }
            }
        }
        Ok(Some(Self { shipment, history: history(connection, fleet, id)?, effects, held }))
    }
}

impl ShipmentPage {
    fn new(who: SignedIn, now: Timestamp, facts: Facts) -> Self {
        let Facts { shipment: row, history, effects, held } = facts;
        let clock = |at: Timestamp| Moment::new(at, now).short;
        Self {
            who,
            now: Moment::new(now, now),
            name: shipment_name(&row),
            standing: wording::standing(row.standing),
            last: row.last_event_time.map(|at| Moment::new(at, now)),
            window: row.window_from.zip(row.window_to).map(|(from, to)| (clock(from), clock(to))),
            timeline: timeline(&history, now),
            proofs: effects.iter().rev().filter_map(proof_of).map(|proof| Proof::new(proof, &held, now)).collect(),
            effects: effects.into_iter().map(|row| EffectLine::new(row, now)).collect(),
            row,
        }
    }
}

/// One entry per milestone, in event time. `history` holds the revisions of each together, the standing one last.
fn timeline(history: &[MilestoneRow], now: Timestamp) -> Vec<Entry> {
    let same = |a: &MilestoneRow, b: &MilestoneRow| a.milestone.milestone_id == b.milestone.milestone_id;
    history.chunk_by(same).filter_map(|revisions| Entry::new(revisions, now)).collect()
}

impl Entry {
    fn new(revisions: &[MilestoneRow], now: Timestamp) -> Option<Self> {
        let (standing, earlier) = revisions.split_last()?;
        let milestone = standing.milestone.clone();
        Some(Self {
            vehicle: standing.vehicle.clone(),
            happened: wording::happened(milestone.kind),
            firmness: wording::firmness(milestone.status),
            retracted: milestone.status == Status::Retracted,
            confidence_percent: (milestone.confidence * 100.0).round(),
            event: Moment::new(milestone.event_time, now),
            known: Moment::new(standing.known_at, now),
            earlier: earlier.iter().rev().map(|row| Earlier::new(row, now)).collect(),
            milestone,
        })
    }
}

impl Earlier {
    fn new(row: &MilestoneRow, now: Timestamp) -> Self {
        Self {
            revision: row.milestone.revision,
            firmness: wording::firmness(row.milestone.status),
            event: Moment::new(row.milestone.event_time, now),
            known: Moment::new(row.known_at, now),
        }
    }
}

fn proof_of(row: &EffectRow) -> Option<(&Pod, &str)> {
    match &row.effect.body {
        EffectBody::Pod { pod, record } => Some((pod, record)),
        EffectBody::Milestone { .. } => None,
    }
}

impl Proof {
    fn new((pod, record): (&Pod, &str), held: &[Sha256], now: Timestamp) -> Self {
        let image = |&sha256: &Sha256| Image { sha256, held: held.contains(&sha256) };
        let degrees = |e7: i32| f64::from(e7) / 1e7;
        Self {
            outcome: wording::outcome(pod.outcome),
            record: record.to_owned(),
            at: pod.at.map(|at| Moment::new(at, now)),
            place: pod.capture.map(|at| format!("{:.5}, {:.5}", degrees(at.lat_e7), degrees(at.lon_e7))),
            signature: pod.signature.as_ref().map(image),
            photos: pod.photos.iter().map(image).collect(),
            pod: pod.clone(),
        }
    }

    fn items(&self) -> &[PodItem] {
        &self.pod.items
    }
}

impl EffectLine {
    fn new(row: EffectRow, now: Timestamp) -> Self {
        let what = match &row.effect.body {
            EffectBody::Milestone { milestone } => {
                let (happened, firmness) = (wording::happened(milestone.kind).0, wording::firmness(milestone.status).0);
                format!("{happened}, {firmness} (revision {})", milestone.revision)
            }
            EffectBody::Pod { pod, .. } => format!("Proof of delivery (revision {})", pod.revision),
        };
        let waits = matches!(row.state.as_str(), "pending" | "unknown") && row.attempts > 0;
        Self {
            what,
            state: wording::outbox_state(&row.state),
            created: Moment::new(row.created_at, now),
            settled: row.settled_at.map(|at| Moment::new(at, now)),
            next: waits.then(|| Moment::new(row.next_at, now)),
            row,
        }
    }
}
