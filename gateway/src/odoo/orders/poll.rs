//! Asks Odoo for pickings that are new or changed.
//!
//! Promise: one call of [`poll`] makes at most a dozen requests and takes in at most [`PICKINGS_PER_POLL_MAX`] pickings
//! and their batches; the cursor says where to go on. The cursor's times are Odoo's own, never ours: a change that was
//! committed late, with an older time, is found because each pass reaches back [`OVERLAP_S`] seconds.

use std::collections::{BTreeMap, BTreeSet};

use milepost_proto::Timestamp;
use serde_json::{Value, json};

use super::row::{integer, link, odoo_time, text, time};
use super::rows::{Rows, understand};
use super::{BatchRef, Cursor, ImportedOrders, ImportedShipment, OrderProblem, ProblemCode, ShipmentState};
use crate::odoo::classify::Failure;
use crate::odoo::client::{Call, Client, rows};
use crate::odoo::probe::Capabilities;

/// Most changed pickings taken in by one poll; the rest follows in the next.
pub const PICKINGS_PER_POLL_MAX: usize = 200;
/// How far each pass reaches back, seconds: longer than the longest transaction Odoo allows (`limit_time_real`, 120 s).
pub const OVERLAP_S: i64 = 300;
/// Rows asked for in one request.
const ROWS_PER_REQUEST: usize = 2000;
/// Most requests for the rows of one model.
const REQUESTS_PER_MODEL_MAX: usize = 10;
/// Most open pickings whose batch is remembered; the oldest are forgotten first.
const BATCHED_PICKINGS_MAX: usize = 50_000;

const OPEN: [&str; 3] = ["confirmed", "waiting", "assigned"];
const PICKING_FIELDS: &[&str] = &["name", "state", "partner_id", "scheduled_date", "date_deadline", "write_date"];
const PARTNER_FIELDS: &[&str] =
    &["name", "street", "street2", "zip", "city", "country_id", "partner_latitude", "partner_longitude"];

/// One poll.
///
/// # Errors
/// The first [`Failure`]; nothing was taken in then.
pub async fn poll(client: &Client, able: &Capabilities, cursor: &Cursor) -> Result<ImportedOrders, Failure> {
    let fields = picking_fields(able);
    let changed = Call::search("stock.picking", changed_domain(able, cursor), &fields, PICKINGS_PER_POLL_MAX);
    let answer = client.read(&changed).await?;
    let changed = rows(&answer)?.to_vec();
    let more = changed.len() >= PICKINGS_PER_POLL_MAX;
    let next = next_cursor(cursor, &changed, more);

    let mut reader = Reader { client, problems: Vec::new() };
    let touched = touched_batches(&changed, &cursor.batch_by_picking);
    let mut pickings = changed;
    if able.batches && !touched.is_empty() {
        let seen: Vec<i64> = pickings.iter().filter_map(|row| integer(row, "id")).collect();
        let ids: Vec<i64> = touched.iter().map(|batch| batch.id).collect();
        let siblings = json!([["batch_id", "in", ids], ["id", "not in", seen], ["state", "!=", "draft"]]);
        pickings.extend(reader.all("stock.picking", siblings, &fields).await?);
    }
    let rows = reader.about(pickings, able).await?;
    let (shipments, problems) = understand(&rows);
    reader.problems.extend(problems);

    let ended_trips = ended_trips(touched, &shipments);
    Ok(ImportedOrders {
        shipments,
        ended_trips,
        problems: reader.problems,
        cursor: Cursor { batch_by_picking: batches_after(&cursor.batch_by_picking, &rows.pickings), ..next },
        more,
    })
}

fn picking_fields(able: &Capabilities) -> Vec<&'static str> {
    let mut fields = PICKING_FIELDS.to_vec();
    if able.sale {
        fields.push("sale_id");
    }
    if able.batches {
        fields.extend(["batch_id", "batch_sequence"]);
    }
    fields
}

/// The first pass takes in what is open; later ones what changed, whatever became of it.
fn changed_domain(able: &Capabilities, cursor: &Cursor) -> Value {
    let mut domain = vec![json!(["picking_type_code", "=", "outgoing"])];
    if let Some(after) = cursor.after_picking {
        domain.push(json!(["id", ">", after]));
    }
    let Some(since) = cursor.since else {
        domain.push(json!(["state", "in", OPEN]));
        return domain.into();
    };
    domain.push(json!(["state", "!=", "draft"]));
    let from = odoo_time(since.plus_millis(-OVERLAP_S * 1000));
    let mut times = vec!["write_date", "partner_id.write_date", "move_ids.write_date"];
    if able.batches {
        times.push("batch_id.write_date");
    }
    domain.extend(std::iter::repeat_n(json!("|"), times.len() - 1));
    domain.extend(times.into_iter().map(|field| json!([field, ">=", from])));
    domain.into()
}

fn next_cursor(cursor: &Cursor, changed: &[Value], more: bool) -> Cursor {
    let newest = changed.iter().filter_map(|row| time(row, "write_date")).chain(cursor.newest).max();
    if more {
        let after_picking = changed.iter().filter_map(|row| integer(row, "id")).max();
        return Cursor { newest, after_picking, ..cursor.clone() };
    }
    // A pass that found nothing new must not lead backwards, and an empty Odoo is not a reason to start over.
    let since = newest.max(cursor.since).or(Some(Timestamp::EPOCH));
    Cursor { since, newest: None, after_picking: None, batch_by_picking: BTreeMap::new() }
}

/// Batches that changed pickings are in, and batches they were in before.
fn touched_batches(changed: &[Value], before: &BTreeMap<i64, BatchRef>) -> BTreeSet<BatchRef> {
    let is_in = changed.iter().filter_map(batch);
    let was_in = changed.iter().filter_map(|row| before.get(&integer(row, "id")?).cloned());
    is_in.chain(was_in).collect()
}

/// Touched batches that are no trip now: empty, cancelled, or not confirmed yet.
fn ended_trips(touched: BTreeSet<BatchRef>, shipments: &[ImportedShipment]) -> Vec<String> {
    let standing: BTreeSet<&str> = shipments
        .iter()
        .filter(|shipment| shipment.state != ShipmentState::Cancelled)
        .filter_map(|shipment| shipment.trip.as_ref())
        .map(|trip| trip.trip.as_str())
        .collect();
    touched.into_iter().map(|batch| batch.name).filter(|name| !standing.contains(name.as_str())).collect()
}

fn batches_after(before: &BTreeMap<i64, BatchRef>, pickings: &[Value]) -> BTreeMap<i64, BatchRef> {
    let mut after = before.clone();
    for row in pickings {
        let Some(id) = integer(row, "id") else { continue };
        match batch(row) {
            Some(batch) if text(row, "state").is_some_and(|state| OPEN.contains(&state)) => after.insert(id, batch),
            _ => after.remove(&id),
        };
    }
    while after.len() > BATCHED_PICKINGS_MAX {
        after.pop_first();
    }
    after
}

fn batch(row: &Value) -> Option<BatchRef> {
    link(row, "batch_id").map(|(id, name)| BatchRef { id, name: name.to_owned() })
}

struct Reader<'a> {
    client: &'a Client,
    problems: Vec<OrderProblem>,
}

impl Reader<'_> {
    /// Everything about these pickings that a shipment needs.
    async fn about(&mut self, pickings: Vec<Value>, able: &Capabilities) -> Result<Rows, Failure> {
        let picking_ids: Vec<i64> = pickings.iter().filter_map(|row| integer(row, "id")).collect();
        if picking_ids.is_empty() {
            return Ok(Rows { pickings, ..Rows::default() });
        }
        let of_pickings = json!([["picking_id", "in", picking_ids]]);
        let moves =
            self.all("stock.move", of_pickings, &["picking_id", "product_id", "product_uom_qty", "state"]).await?;
        let products = self.linked("product.product", &moves, "product_id", &["barcode"]).await?;
        let partners = self.linked("res.partner", &pickings, "partner_id", PARTNER_FIELDS).await?;
        let batches = if able.batches {
            let fields: &[&str] = if able.vehicles { &["name", "state", "vehicle_id"] } else { &["name", "state"] };
            self.linked("stock.picking.batch", &pickings, "batch_id", fields).await?
        } else {
            Vec::new()
        };
        let vehicles = self.linked("fleet.vehicle", &batches, "vehicle_id", &["license_plate"]).await?;
        Ok(Rows { pickings, moves, products, partners, batches, vehicles })
    }

    /// The records that `rows` point to by `field`, archived ones too.
    async fn linked(
        &mut self,
        model: &'static str,
        rows: &[Value],
        field: &str,
        fields: &[&str],
    ) -> Result<Vec<Value>, Failure> {
        let ids: BTreeSet<i64> = rows.iter().filter_map(|row| link(row, field)).map(|(id, _)| id).collect();
        if ids.is_empty() { Ok(Vec::new()) } else { self.all(model, json!([["id", "in", ids]]), fields).await }
    }

    /// Every row that matches, page by page and bounded; more than that is reported, not dropped in silence.
    async fn all(&mut self, model: &'static str, domain: Value, fields: &[&str]) -> Result<Vec<Value>, Failure> {
        let mut all: Vec<Value> = Vec::new();
        for _ in 0..REQUESTS_PER_MODEL_MAX {
            let after = all.last().and_then(|row| integer(row, "id")).unwrap_or(0);
            let mut page = domain.as_array().cloned().unwrap_or_default();
            page.push(json!(["id", ">", after]));
            let mut call = Call::search(model, page.into(), fields, ROWS_PER_REQUEST);
            call.body["context"] = json!({"active_test": false});
            let answer = self.client.read(&call).await?;
            let found = rows(&answer)?;
            all.extend_from_slice(found);
            if found.len() < ROWS_PER_REQUEST {
                return Ok(all);
            }
        }
        self.problems.push(OrderProblem {
            subject: model.to_owned(),
            code: ProblemCode::TooMany,
            mend: format!("only the first {} rows were read: make batches smaller", all.len()),
        });
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::odoo::orders::TripRef;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn picking(id: i64, written: &str, state: &str, batch: Option<(i64, &str)>) -> Value {
        let batch = batch.map_or(json!(false), |(id, name)| json!([id, name]));
        json!({"id": id, "write_date": written, "state": state, "batch_id": batch})
    }

    #[test]
    fn the_first_pass_asks_for_what_is_open_and_later_ones_for_what_changed() {
        let able = Capabilities { batches: true, ..Capabilities::default() };
        let first = changed_domain(&able, &Cursor::default()).to_string();
        assert_eq!(
            first,
            r#"[["picking_type_code","=","outgoing"],["state","in",["confirmed","waiting","assigned"]]]"#
        );
        let cursor = Cursor { since: Some(at("2026-11-24T10:05:00Z")), ..Cursor::default() };
        let later = changed_domain(&able, &cursor).to_string();
        assert!(later.contains(r#"["write_date",">=","2026-11-24 10:00:00"]"#), "{later}");
        assert!(later.contains(r#"["batch_id.write_date",">="#), "{later}");
        assert_eq!(later.matches(r#""|""#).count(), 3, "{later}");
        let without_batches = changed_domain(&Capabilities::default(), &cursor).to_string();
        assert!(!without_batches.contains("batch_id"), "{without_batches}");
        assert_eq!(without_batches.matches(r#""|""#).count(), 2, "{without_batches}");
    }

    #[test]
    fn a_full_page_goes_on_by_id_and_the_last_one_moves_the_time() {
        let page =
            [picking(7, "2026-11-24 10:00:00", "assigned", None), picking(9, "2026-11-24 09:00:00", "done", None)];
        let half = next_cursor(&Cursor::default(), &page, true);
        assert_eq!((half.since, half.after_picking, half.newest), (None, Some(9), Some(at("2026-11-24T10:00:00Z"))));
        let rest = [picking(12, "2026-11-24 08:00:00", "assigned", None)];
        let whole = next_cursor(&half, &rest, false);
        assert_eq!((whole.since, whole.after_picking, whole.newest), (Some(at("2026-11-24T10:00:00Z")), None, None));
        let quiet = next_cursor(&whole, &[], false);
        assert_eq!(quiet.since, whole.since);
    }

    #[test]
    fn an_empty_odoo_is_asked_for_changes_from_then_on() {
        assert_eq!(next_cursor(&Cursor::default(), &[], false).since, Some(Timestamp::EPOCH));
    }

    #[test]
    fn a_picking_that_moved_touches_both_batches() {
        let old = BatchRef { id: 3, name: "B3".to_owned() };
        let before = BTreeMap::from([(7, old.clone())]);
        let moved = [picking(7, "2026-11-24 10:00:00", "assigned", Some((4, "B4")))];
        let new = BatchRef { id: 4, name: "B4".to_owned() };
        assert_eq!(touched_batches(&moved, &before), BTreeSet::from([old, new.clone()]));
        assert_eq!(batches_after(&before, &moved), BTreeMap::from([(7, new)]));
    }

    #[test]
    fn a_batch_without_standing_shipments_is_no_trip() {
        let shipment = |state: ShipmentState, trip: &str| ImportedShipment {
            picking_id: 7,
            shipment: "WH/OUT/00007".to_owned(),
            state,
            sale_order: None,
            partner_name: None,
            address: None,
            place: None,
            window: None,
            items: Vec::new(),
            trip: Some(TripRef { trip: trip.to_owned(), license_plate: None, sequence: 0 }),
        };
        let touched = ["B1", "B2", "B3"].into_iter().zip(1..).map(|(name, id)| BatchRef { id, name: name.to_owned() });
        let shipments = [shipment(ShipmentState::Open, "B1"), shipment(ShipmentState::Cancelled, "B2")];
        assert_eq!(ended_trips(touched.collect(), &shipments), ["B2", "B3"]);
    }

    #[test]
    fn closed_pickings_are_forgotten() {
        let before = BTreeMap::from([(7, BatchRef { id: 3, name: "B3".to_owned() })]);
        let done = [picking(7, "2026-11-24 10:00:00", "done", Some((3, "B3")))];
        assert_eq!(batches_after(&before, &done), BTreeMap::new());
    }

    #[test]
    fn a_cursor_is_kept_as_json_and_an_older_one_still_reads() {
        let cursor = Cursor {
            since: Some(at("2026-11-24T10:00:00Z")),
            batch_by_picking: BTreeMap::from([(7, BatchRef { id: 3, name: "B3".to_owned() })]),
            ..Cursor::default()
        };
        let text = serde_json::to_string(&cursor).expect("json");
        assert_eq!(serde_json::from_str::<Cursor>(&text).expect("reads"), cursor);
        assert_eq!(serde_json::from_str::<Cursor>("{}").expect("reads"), Cursor::default());
    }
}
