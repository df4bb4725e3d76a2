//! Understands what Odoo answered about pickings: rows in, shipments and problems out.
//!
//! Promise: pure, and no row is lost silently: a picking either becomes a shipment or a problem, and a shipment that
//! cannot be driven to says why and where to mend it.

use std::collections::{BTreeMap, HashMap};

use milepost_proto::plan::PlannedItem;
use serde_json::Value;

use super::row::{integer, link, number, text, time};
use super::{ImportedShipment, OrderProblem, Place, ProblemCode, ShipmentState, TripRef};

/// Answers of Odoo about a set of pickings, as `search_read` gave them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    /// `stock.picking`.
    pub pickings: Vec<Value>,
    /// `stock.move` of those pickings.
    pub moves: Vec<Value>,
    /// `product.product` of those moves.
    pub products: Vec<Value>,
    /// `res.partner` of those pickings.
    pub partners: Vec<Value>,
    /// `stock.picking.batch` of those pickings.
    pub batches: Vec<Value>,
    /// `fleet.vehicle` of those batches.
    pub vehicles: Vec<Value>,
}

/// Shipments by picking id, and what a person should mend.
#[must_use]
pub fn understand(rows: &Rows) -> (Vec<ImportedShipment>, Vec<OrderProblem>) {
    let index = Index::of(rows);
    let mut shipments = BTreeMap::new();
    let mut problems = Vec::new();
    for picking in &rows.pickings {
        match index.shipment(picking) {
            Ok(shipment) => {
                if shipment.state == ShipmentState::Open {
                    problems.extend(obstacle(&shipment));
                }
                shipments.insert(shipment.picking_id, shipment);
            }
            Err(problem) => problems.push(problem),
        }
    }
    (shipments.into_values().collect(), problems)
}

struct Index<'a> {
    moves: HashMap<i64, Vec<&'a Value>>,
    products: HashMap<i64, &'a Value>,
    partners: HashMap<i64, &'a Value>,
    batches: HashMap<i64, &'a Value>,
    vehicles: HashMap<i64, &'a Value>,
}

impl<'a> Index<'a> {
    fn of(rows: &'a Rows) -> Self {
        let by_id = |rows: &'a [Value]| rows.iter().filter_map(|row| Some((integer(row, "id")?, row))).collect();
        let mut moves: HashMap<i64, Vec<&Value>> = HashMap::new();
        for row in &rows.moves {
            if let Some((picking, _)) = link(row, "picking_id") {
                moves.entry(picking).or_default().push(row);
            }
        }
        Self {
            moves,
            products: by_id(&rows.products),
            partners: by_id(&rows.partners),
            batches: by_id(&rows.batches),
            vehicles: by_id(&rows.vehicles),
        }
    }

    fn shipment(&self, picking: &Value) -> Result<ImportedShipment, OrderProblem> {
        let (Some(picking_id), Some(name), Some(state)) =
            (integer(picking, "id"), text(picking, "name"), text(picking, "state").and_then(state))
        else {
            return Err(OrderProblem {
                subject: text(picking, "name").unwrap_or("a picking").to_owned(),
                code: ProblemCode::NotUnderstood,
                mend: "Odoo's answer has no id, name or known state for it: run milepost-gateway check".to_owned(),
            });
        };
        let partner = link(picking, "partner_id");
        let partner_row = partner.and_then(|(id, _)| self.partners.get(&id).copied());
        Ok(ImportedShipment {
            picking_id,
            shipment: name.to_owned(),
            state,
            sale_order: link(picking, "sale_id").map(|(id, name)| (id, name.to_owned())),
            partner_name: partner_row
                .and_then(|row| text(row, "name"))
                .or(partner.map(|(_, name)| name))
                .map(str::to_owned),
            address: partner_row.and_then(address),
            place: partner_row.and_then(place),
            window: time(picking, "scheduled_date")
                .map(|from| [from, time(picking, "date_deadline").map_or(from, |deadline| deadline.max(from))]),
            items: self.items(picking_id),
            trip: self.trip(picking),
        })
    }

    fn items(&self, picking: i64) -> Vec<PlannedItem> {
        let moves = self.moves.get(&picking).map(Vec::as_slice).unwrap_or_default();
        moves.iter().filter(|row| text(row, "state") != Some("cancel")).filter_map(|row| self.item(row)).collect()
    }

    /// An item's reference is its stock move, the row a delivered quantity would be written to.
    fn item(&self, row: &Value) -> Option<PlannedItem> {
        let product = link(row, "product_id");
        let product_row = product.and_then(|(id, _)| self.products.get(&id).copied());
        Some(PlannedItem {
            r#ref: format!("move-{}", integer(row, "id")?),
            name: product.map(|(_, name)| name.to_owned()),
            barcode: product_row.and_then(|row| text(row, "barcode")).map(str::to_owned),
            planned: number(row, "product_uom_qty").unwrap_or(0.0),
        })
    }

    /// A batch counts from when its planner confirmed it; a draft is still being planned.
    fn trip(&self, picking: &Value) -> Option<TripRef> {
        let (id, _) = link(picking, "batch_id")?;
        let batch = self.batches.get(&id)?;
        if !matches!(text(batch, "state"), Some("in_progress" | "done")) {
            return None;
        }
        let vehicle = link(batch, "vehicle_id").and_then(|(id, _)| self.vehicles.get(&id).copied());
        Some(TripRef {
            trip: text(batch, "name")?.to_owned(),
            license_plate: vehicle.and_then(|row| text(row, "license_plate")).map(str::to_owned),
            sequence: integer(picking, "batch_sequence").unwrap_or(0),
        })
    }
}

fn state(word: &str) -> Option<ShipmentState> {
    match word {
        "confirmed" | "waiting" | "assigned" => Some(ShipmentState::Open),
        "done" => Some(ShipmentState::Done),
        "cancel" => Some(ShipmentState::Cancelled),
        _ => None,
    }
}

fn address(partner: &Value) -> Option<String> {
    let town = [text(partner, "zip"), text(partner, "city")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let country = link(partner, "country_id").map(|(_, name)| name);
    let parts = [text(partner, "street"), text(partner, "street2"), Some(town.as_str()), country];
    let line = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    Some(line).filter(|line| !line.is_empty())
}

/// Odoo's empty coordinates are 0/0, a point in the Gulf of Guinea where nobody receives goods.
fn place(partner: &Value) -> Option<Place> {
    let (lat, lon) = (number(partner, "partner_latitude")?, number(partner, "partner_longitude")?);
    let usable = (lat != 0.0 || lon != 0.0) && (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon);
    usable.then_some(Place { lat, lon })
}

fn obstacle(shipment: &ImportedShipment) -> Option<OrderProblem> {
    let problem = |code, mend| Some(OrderProblem { subject: shipment.shipment.clone(), code, mend });
    match (&shipment.partner_name, shipment.place) {
        (None, _) => problem(
            ProblemCode::NoPartner,
            format!("set the delivery address of {} in Odoo (Delivery Address)", shipment.shipment),
        ),
        (Some(partner), None) => problem(
            ProblemCode::NoGeocode,
            format!(
                "set latitude and longitude of {partner:?} in Odoo (contact, Partner Assignment, Geo Location): without \
                 them no arrival can be seen"
            ),
        ),
        (Some(_), Some(_)) => None,
    }
}
