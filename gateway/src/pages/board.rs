//! `/`: the board. Who is where, how far each shipment is, what is owed to Odoo, and what needs a person.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use milepost_proto::Timestamp;
use rusqlite::Connection;

use super::age::Moment;
use super::link::to_shipment;
use super::map::Map;
use super::refusal::{PageRefusal, page};
use super::wording::{self, Tone, Word};
use super::{PageState, map};
use crate::auth::SignedIn;
use crate::milestone::Status;
use crate::store::StoreResult;
use crate::store::board::ROWS_MAX;
use crate::store::board::case::{CaseRow, open_cases};
use crate::store::board::effect::{OutboxDepth, outbox_depth};
use crate::store::board::milestone::{MilestoneRow, latest};
use crate::store::board::shipment::{ShipmentRow, shipments};
use crate::store::board::vehicle::{StopRow, VehicleRow, open_stops, vehicles};

/// A vehicle whose devices were not heard for this long is silent, milliseconds.
pub const SILENT_AFTER_MS: i64 = 10 * 60 * 1000;
/// Milestones shown.
const LATEST_MAX: u32 = 14;

/// What the board shows, as the store gives it, in one snapshot.
struct Facts {
    vehicles: Vec<VehicleRow>,
    stops: Vec<StopRow>,
    shipments: Vec<ShipmentRow>,
    milestones: Vec<MilestoneRow>,
    outbox: Vec<OutboxDepth>,
    cases: Vec<CaseRow>,
}

#[derive(Template)]
#[template(path = "board.html")]
struct BoardPage {
    who: SignedIn,
    now: Moment,
    silent: usize,
    settled: usize,
    owed: u64,
    oldest_owed: Option<Moment>,
    map: Option<Map>,
    vehicles: Vec<VehicleLine>,
    shipments: Vec<ShipmentLine>,
    milestones: Vec<MilestoneLine>,
    outbox: Vec<OutboxLine>,
    cases: Vec<CaseLine>,
}

struct VehicleLine {
    row: VehicleRow,
    state: Word,
    position: Option<Moment>,
    heard: Option<Moment>,
    mark: Option<Moment>,
}

struct ShipmentLine {
    href: String,
    name: String,
    row: ShipmentRow,
    standing: Word,
    last: Option<Moment>,
}

struct MilestoneLine {
    href: Option<String>,
    shipment: String,
    row: MilestoneRow,
    happened: Word,
    firmness: Word,
    confidence_percent: f64,
    event: Moment,
}

struct OutboxLine {
    row: OutboxDepth,
    state: Word,
    oldest: Moment,
}

struct CaseLine {
    kind: String,
    row: CaseRow,
    opened: Moment,
}

/// Shows the board.
///
/// # Errors
/// The store's.
pub async fn board(State(state): State<PageState>, who: SignedIn) -> Result<Response, PageRefusal> {
    let (now, fleet) = ((state.clock)(), who.fleet.clone());
    let facts = state.store.read(move |connection| Facts::read(connection, &fleet, now)).await?;
    Ok(page(&BoardPage::new(who, now, facts)))
}

impl Facts {
    fn read(connection: &Connection, fleet: &milepost_proto::FleetId, now: Timestamp) -> StoreResult<Self> {
        Ok(Self {
            vehicles: vehicles(connection, fleet, now)?,
            stops: open_stops(connection, fleet)?,
            shipments: shipments(connection, fleet)?,
            milestones: latest(connection, fleet, LATEST_MAX)?,
            outbox: outbox_depth(connection, fleet)?,
            cases: open_cases(connection, fleet)?,
        })
    }
}

impl BoardPage {
    fn new(who: SignedIn, now: Timestamp, facts: Facts) -> Self {
        let Facts { vehicles, stops, shipments, milestones, outbox, cases } = facts;
        let map = map::draw(&vehicles, &stops, now);
        let references: Vec<_> = shipments.iter().map(|row| (row.shipment_id.clone(), shipment_name(row))).collect();
        let owed = outbox.iter().filter(|depth| depth.state != "done");
        Self {
            who,
            now: Moment::new(now, now),
            silent: vehicles.iter().filter(|row| is_silent(row, now)).count(),
            settled: shipments.iter().filter(|row| wording::standing(row.standing).1 == Tone::Good).count(),
            owed: owed.clone().map(|depth| depth.count).sum(),
            oldest_owed: owed.map(|depth| depth.oldest_at).min().map(|at| Moment::new(at, now)),
            map,
            vehicles: vehicles.into_iter().map(|row| VehicleLine::new(row, now)).collect(),
            shipments: shipments.into_iter().map(|row| ShipmentLine::new(row, now)).collect(),
            milestones: milestones.into_iter().map(|row| MilestoneLine::new(row, &references, now)).collect(),
            outbox: outbox.into_iter().map(|row| OutboxLine::new(row, now)).collect(),
            cases: cases.into_iter().map(|row| CaseLine::new(row, now)).collect(),
        }
    }

    /// Whether a list of this length may have been cut.
    fn is_cut(&self, shown: usize) -> bool {
        u32::try_from(shown).is_ok_and(|shown| shown >= ROWS_MAX)
    }
}

/// Whether nothing was heard of the vehicle for too long, or ever.
pub(super) fn is_silent(row: &VehicleRow, now: Timestamp) -> bool {
    row.heard_at.or(row.position_time).is_none_or(|at| now.millis_since(at) > SILENT_AFTER_MS)
}

impl VehicleLine {
    fn new(row: VehicleRow, now: Timestamp) -> Self {
        let moment = |at: Option<Timestamp>| at.map(|at| Moment::new(at, now));
        let state = if is_silent(&row, now) { ("silent", Tone::Warn) } else { ("reporting", Tone::Good) };
        // The greatest time there is means that nothing earlier is left anywhere.
        let mark = row.low_water_mark.filter(|&at| at < Timestamp::MAX);
        Self { state, position: moment(row.position_time), heard: moment(row.heard_at), mark: moment(mark), row }
    }

    fn all_is_in(&self) -> bool {
        self.row.low_water_mark == Some(Timestamp::MAX)
    }
}

impl ShipmentLine {
    fn new(row: ShipmentRow, now: Timestamp) -> Self {
        Self {
            href: to_shipment(&row.shipment_id),
            name: shipment_name(&row),
            standing: wording::standing(row.standing),
            last: row.last_event_time.map(|at| Moment::new(at, now)),
            row,
        }
    }
}

impl MilestoneLine {
    fn new(row: MilestoneRow, references: &[(String, String)], now: Timestamp) -> Self {
        let shipment = row.milestone.shipment.as_deref();
        let known = references.iter().find(|(id, _)| Some(id.as_str()) == shipment);
        Self {
            href: shipment.map(to_shipment),
            shipment: known.map_or_else(|| shipment.unwrap_or("no shipment").to_owned(), |(_, name)| name.clone()),
            happened: wording::happened(row.milestone.kind),
            firmness: wording::firmness(row.milestone.status),
            confidence_percent: (row.milestone.confidence * 100.0).round(),
            event: Moment::new(row.milestone.event_time, now),
            row,
        }
    }

    fn is_retracted(&self) -> bool {
        self.row.milestone.status == Status::Retracted
    }
}

impl OutboxLine {
    fn new(row: OutboxDepth, now: Timestamp) -> Self {
        Self { state: wording::outbox_state(&row.state), oldest: Moment::new(row.oldest_at, now), row }
    }
}

impl CaseLine {
    fn new(row: CaseRow, now: Timestamp) -> Self {
        Self { kind: row.kind.replace('_', " "), opened: Moment::new(row.opened_at, now), row }
    }
}

/// What people call a shipment.
pub(super) fn shipment_name(row: &ShipmentRow) -> String {
    row.reference.clone().unwrap_or_else(|| row.shipment_id.clone())
}
