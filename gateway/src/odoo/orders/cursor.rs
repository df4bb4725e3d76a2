//! Where polling stands, and what that means for the next question to Odoo.
//!
//! Promise: pure. The times in a cursor are Odoo's own, never ours: a change that was committed late, with an older time,
//! is found because each pass reaches back [`OVERLAP_S`] seconds. A batch that loses a picking is read again although
//! Odoo leaves the batch itself untouched, because the cursor remembers who was in it.

use std::collections::{BTreeMap, BTreeSet};

use milepost_proto::Timestamp;
use serde_json::{Value, json};

use super::field::{integer, link, odoo_time, text, time};
use super::{BatchRef, Cursor, ImportedShipment, ShipmentState};
use crate::odoo::probe::Capabilities;

/// How far each pass reaches back, seconds: longer than the longest transaction Odoo allows (`limit_time_real`, 120 s).
pub const OVERLAP_S: i64 = 300;
/// Most open pickings whose batch is remembered; the oldest are forgotten first.
const BATCHED_PICKINGS_MAX: usize = 50_000;

const OPEN: [&str; 3] = ["confirmed", "waiting", "assigned"];

/// The first pass takes in what is open; later ones what changed, whatever became of it.
pub(super) fn changed_domain(able: &Capabilities, cursor: &Cursor) -> Value {
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

pub(super) fn next_cursor(cursor: &Cursor, changed: &[Value], more: bool) -> Cursor {
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
pub(super) fn touched_batches(changed: &[Value], before: &BTreeMap<i64, BatchRef>) -> BTreeSet<BatchRef> {
    let is_in = changed.iter().filter_map(batch);
    let was_in = changed.iter().filter_map(|row| before.get(&integer(row, "id")?).cloned());
    is_in.chain(was_in).collect()
}

/// Touched batches that are no trip now: empty, cancelled, or not confirmed yet.
pub(super) fn ended_trips(touched: BTreeSet<BatchRef>, shipments: &[ImportedShipment]) -> Vec<String> {
    let standing: BTreeSet<&str> = shipments
        .iter()
        .filter(|shipment| shipment.state != ShipmentState::Cancelled)
        .filter_map(|shipment| shipment.trip.as_ref())
        .map(|trip| trip.trip.as_str())
        .collect();
    touched.into_iter().map(|batch| batch.name).filter(|name| !standing.contains(name.as_str())).collect()
}

pub(super) fn batches_after(before: &BTreeMap<i64, BatchRef>, pickings: &[Value]) -> BTreeMap<i64, BatchRef> {
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
