//! Orders in: confirmed outgoing pickings become shipments, and the batches a planner put them in become trips.
//!
//! Promise: a poll changes nothing in Odoo, is bounded, and misses no change: it asks again for the last
//! [`cursor::OVERLAP_S`] seconds, and a change of the customer's address, the moved quantities or the batch counts as a
//! change of the picking. What cannot be delivered as it stands (no coordinates, no address) is still imported, and
//! reported as an [`OrderProblem`] that says where to mend it; nothing is guessed.
//!
//! [`cursor`] knows what to ask, [`poll()`] asks, [`rows`] understands the answers, [`trip`] groups them into trips;
//! all but the asking is pure.

use std::collections::BTreeMap;
use std::fmt;

use milepost_proto::Timestamp;
use milepost_proto::plan::PlannedItem;
use serde::{Deserialize, Serialize};

pub mod cursor;
pub mod field;
pub mod poll;
pub mod rows;
pub mod trip;

pub use poll::poll;
pub use trip::{Trips, plate_key, trips};

/// What one poll found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImportedOrders {
    /// New and changed shipments, and all others of every batch among them, by picking id.
    pub shipments: Vec<ImportedShipment>,
    /// Touched batches that are no trip now (emptied, cancelled, not confirmed), by name: a trip of that name is over.
    pub ended_trips: Vec<String>,
    /// What a person should mend.
    pub problems: Vec<OrderProblem>,
    /// Where the next poll goes on; keep it in the same transaction as the shipments.
    pub cursor: Cursor,
    /// There is more: poll again at once.
    pub more: bool,
}

/// Where polling stands. Text form: JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cursor {
    /// Odoo's time of the newest change that is wholly taken in; absent before the first full pass.
    pub since: Option<Timestamp>,
    /// Newest change met in the pass that is under way.
    pub newest: Option<Timestamp>,
    /// Within a pass of several pages, the last picking id taken in.
    pub after_picking: Option<i64>,
    /// The batch each open picking was last seen in, so that a batch that loses one is read again.
    pub batch_by_picking: BTreeMap<i64, BatchRef>,
}

/// A batch by id and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BatchRef {
    /// Odoo's id.
    pub id: i64,
    /// Its name, the trip's id.
    pub name: String,
}

/// One outgoing picking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportedShipment {
    /// Odoo's id of the picking.
    pub picking_id: i64,
    /// The picking's name, such as `WH/OUT/00001`: the shipment's id.
    pub shipment: String,
    /// Whether there is still something to deliver.
    pub state: ShipmentState,
    /// The sale order's id and name, when there is one.
    pub sale_order: Option<(i64, String)>,
    /// Who receives the goods.
    pub partner_name: Option<String>,
    /// Their postal address on one line.
    pub address: Option<String>,
    /// Their place, when Odoo knows it.
    pub place: Option<Place>,
    /// Agreed window: the scheduled date to the deadline (the same instant when there is no later deadline).
    pub window: Option<[Timestamp; 2]>,
    /// The goods.
    pub items: Vec<PlannedItem>,
    /// The batch a planner put it in and confirmed.
    pub trip: Option<TripRef>,
}

/// Coordinates of a delivery address.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Latitude, degrees.
    pub lat: f64,
    /// Longitude, degrees.
    pub lon: f64,
}

/// A shipment's place in a trip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TripRef {
    /// The batch's name, such as `BATCH/OUT/00003`: the trip's id.
    pub trip: String,
    /// License plate of the batch's vehicle.
    pub license_plate: Option<String>,
    /// Position in the batch; equal ones go by picking id.
    pub sequence: i64,
}

/// Whether there is still something to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShipmentState {
    /// Confirmed, waiting or assigned.
    Open,
    /// Validated in Odoo.
    Done,
    /// Cancelled in Odoo.
    Cancelled,
}

/// Something about an order that a person should mend.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrderProblem {
    /// The shipment or trip.
    pub subject: String,
    /// For machines.
    pub code: ProblemCode,
    /// For people: what is wrong and where to mend it.
    pub mend: String,
}

/// Codes of [`OrderProblem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// The picking names no partner.
    NoPartner,
    /// The address has no usable coordinates.
    NoGeocode,
    /// The batch has no vehicle.
    NoVehicle,
    /// The vehicle's license plate is not one we know.
    UnknownVehicle,
    /// A row of Odoo's answer lacked what every row has.
    NotUnderstood,
    /// There was more than one poll reads.
    TooMany,
}

impl ProblemCode {
    /// The code's word in answers and on pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoPartner => "no_partner",
            Self::NoGeocode => "no_geocode",
            Self::NoVehicle => "no_vehicle",
            Self::UnknownVehicle => "unknown_vehicle",
            Self::NotUnderstood => "not_understood",
            Self::TooMany => "too_many",
        }
    }
}

impl fmt::Display for OrderProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.subject, self.code.as_str(), self.mend)
    }
}
