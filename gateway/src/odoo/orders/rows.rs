//! Understands what Odoo answered about pickings: rows in, shipments and problems out.
//!
//! Promise: pure, and no row is lost silently: a picking either becomes a shipment or a problem, and a shipment that
//! cannot be driven to says why and where to mend it.

use std::collections::{BTreeMap, HashMap};

use milepost_proto::plan::PlannedItem;
use serde_json::Value;

use super::field::{integer, link, number, text, time};
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
                "set latitude and longitude of {partner:?} in Odoo (contact, Geolocation; without that module by import of \
                 partner_latitude and partner_longitude): without them no arrival can be seen"
            ),
        ),
        (Some(_), Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows() -> Rows {
        Rows {
            pickings: vec![json!({
                "id": 24, "name": "WH/OUT/00019", "state": "assigned", "partner_id": [47, "Acme Depot"],
                "scheduled_date": "2026-11-24 00:26:14", "date_deadline": "2026-11-24 02:00:00",
                "write_date": "2026-11-24 00:26:14", "sale_id": [25, "S00025"],
                "batch_id": [3, "BATCH/OUT/00003"], "batch_sequence": 2,
            })],
            moves: vec![
                json!({"id": 51, "picking_id": [24, "WH/OUT/00019"], "product_id": [58, "[WID-P] Pallet"],
                       "product_uom_qty": 10.0, "state": "assigned"}),
                json!({"id": 52, "picking_id": [24, "WH/OUT/00019"], "product_id": [58, "[WID-P] Pallet"],
                       "product_uom_qty": 1.0, "state": "cancel"}),
            ],
            products: vec![json!({"id": 58, "barcode": "4006381333931"})],
            partners: vec![
                json!({"id": 47, "name": "Acme Depot", "street": "1 Dock Rd", "street2": false, "zip": "LS1 4DY",
                                  "city": "Leeds", "country_id": [231, "United Kingdom"], "partner_latitude": 53.79,
                                  "partner_longitude": -1.55}),
            ],
            batches: vec![
                json!({"id": 3, "name": "BATCH/OUT/00003", "state": "in_progress", "vehicle_id": [1, "Nissan"]}),
            ],
            vehicles: vec![json!({"id": 1, "license_plate": "1-ACK-205"})],
        }
    }

    fn only(rows: &Rows) -> (ImportedShipment, Vec<OrderProblem>) {
        let (mut shipments, problems) = understand(rows);
        assert_eq!(shipments.len(), 1, "{shipments:?} {problems:?}");
        (shipments.remove(0), problems)
    }

    #[test]
    fn a_confirmed_picking_becomes_a_shipment() {
        let (shipment, problems) = only(&rows());
        assert_eq!(problems, []);
        assert_eq!(
            shipment,
            ImportedShipment {
                picking_id: 24,
                shipment: "WH/OUT/00019".to_owned(),
                state: ShipmentState::Open,
                sale_order: Some((25, "S00025".to_owned())),
                partner_name: Some("Acme Depot".to_owned()),
                address: Some("1 Dock Rd, LS1 4DY Leeds, United Kingdom".to_owned()),
                place: Some(Place { lat: 53.79, lon: -1.55 }),
                window: Some(["2026-11-24T00:26:14Z", "2026-11-24T02:00:00Z"].map(|at| at.parse().expect("a time"))),
                items: vec![PlannedItem {
                    r#ref: "move-51".to_owned(),
                    name: Some("[WID-P] Pallet".to_owned()),
                    barcode: Some("4006381333931".to_owned()),
                    planned: 10.0,
                }],
                trip: Some(TripRef {
                    trip: "BATCH/OUT/00003".to_owned(),
                    license_plate: Some("1-ACK-205".to_owned()),
                    sequence: 2,
                }),
            }
        );
    }

    #[test]
    fn missing_coordinates_are_a_problem_with_a_mend_not_a_place_off_africa() {
        for (lat, lon) in [(json!(0.0), json!(0.0)), (json!(false), json!(false)), (json!(91.0), json!(8.0))] {
            let mut rows = rows();
            rows.partners[0]["partner_latitude"] = lat;
            rows.partners[0]["partner_longitude"] = lon;
            let (shipment, problems) = only(&rows);
            assert_eq!(shipment.place, None);
            assert_eq!(problems.len(), 1);
            assert_eq!((problems[0].code.as_str(), problems[0].subject.as_str()), ("no_geocode", "WH/OUT/00019"));
            assert!(
                problems[0].mend.contains("Acme Depot") && problems[0].mend.contains("Geolocation"),
                "{}",
                problems[0]
            );
        }
    }

    #[test]
    fn a_place_on_the_equator_or_the_meridian_is_a_place() {
        let mut rows = rows();
        rows.partners[0]["partner_longitude"] = json!(0.0);
        assert_eq!(only(&rows).0.place, Some(Place { lat: 53.79, lon: 0.0 }));
    }

    #[test]
    fn a_picking_without_a_partner_says_so() {
        let mut rows = rows();
        rows.pickings[0]["partner_id"] = json!(false);
        assert_eq!(only(&rows).1[0].code, ProblemCode::NoPartner);
    }

    #[test]
    fn a_cancelled_picking_is_reported_and_needs_no_mend() {
        let mut rows = rows();
        rows.pickings[0]["state"] = json!("cancel");
        rows.pickings[0]["partner_id"] = json!(false);
        let (shipment, problems) = only(&rows);
        assert_eq!((shipment.state, problems), (ShipmentState::Cancelled, Vec::new()));
    }

    #[test]
    fn a_batch_counts_only_once_its_planner_confirmed_it() {
        for (state, counts) in [("draft", false), ("in_progress", true), ("done", true), ("cancel", false)] {
            let mut rows = rows();
            rows.batches[0]["state"] = json!(state);
            assert_eq!(only(&rows).0.trip.is_some(), counts, "{state}");
        }
    }

    #[test]
    fn a_row_that_is_not_understood_is_a_problem_and_hides_no_other() {
        let mut rows = rows();
        rows.pickings.insert(0, json!({"id": 9, "name": "WH/OUT/00009", "state": "teleported"}));
        let (shipments, problems) = understand(&rows);
        assert_eq!(shipments.len(), 1);
        assert_eq!((problems[0].code, problems[0].subject.as_str()), (ProblemCode::NotUnderstood, "WH/OUT/00009"));
    }
}
