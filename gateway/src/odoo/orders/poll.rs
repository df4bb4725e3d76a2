//! Asks Odoo for pickings that are new or changed.
//!
//! Promise: one call of [`poll`] makes at most a dozen requests in the ordinary case and takes in at most
//! [`PICKINGS_PER_POLL_MAX`] changed pickings with the whole of their batches; the [`cursor`](super::cursor) says where
//! to go on.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::cursor::{batches_after, changed_domain, ended_trips, next_cursor, touched_batches};
use super::field::{integer, link};
use super::rows::{Rows, understand};
use super::{Cursor, ImportedOrders, OrderProblem, ProblemCode};
use crate::odoo::classify::Failure;
use crate::odoo::client::{Call, Client, rows};
use crate::odoo::probe::Capabilities;

/// Most changed pickings taken in by one poll; the rest follows in the next.
pub const PICKINGS_PER_POLL_MAX: usize = 200;
/// Rows asked for in one request.
const ROWS_PER_REQUEST: usize = 2000;
/// Most requests for the rows of one model.
const REQUESTS_PER_MODEL_MAX: usize = 10;

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
