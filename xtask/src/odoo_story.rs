//! The story every test and the demo tell with a real Odoo: a customer with a place, a product in stock, a confirmed
//! sale order, its delivery, and a planner who puts it on a truck.
//!
//! Promise: everything goes through Odoo's own API, as a person's clicks would; each call of a builder makes new records
//! with names of their own, so that tests share one database without seeing each other.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// Longest wait for an answer: the first call after a start compiles what it needs.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// A real Odoo, spoken to with the rights of its administrator.
#[derive(Clone)]
pub struct Odoo {
    http: ureq::Agent,
    url: String,
    database: String,
    key: String,
}

/// What a customer orders.
#[derive(Debug, Clone)]
pub struct Order {
    /// The customer's name.
    pub customer: String,
    /// Their place in degrees; `None` leaves Odoo without coordinates.
    pub place: Option<(f64, f64)>,
    /// The product's barcode, unique in the database.
    pub barcode: String,
    /// How many.
    pub quantity: u32,
}

/// A confirmed order and its delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmedOrder {
    /// The customer.
    pub partner_id: i64,
    /// The product.
    pub product_id: i64,
    /// The sale order.
    pub sale_order_id: i64,
    /// Its name.
    pub sale_order: String,
    /// The outgoing picking.
    pub picking_id: i64,
    /// Its name: the shipment.
    pub picking: String,
}

/// A message on a picking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Odoo's id.
    pub id: i64,
    /// The key it carries.
    pub message_id: String,
    /// Its HTML.
    pub body: String,
    /// How many attachments it shows.
    pub attachments: usize,
}

#[expect(clippy::needless_pass_by_value, reason = "bodies and domains are written in place, with json!")]
impl Odoo {
    /// The Odoo that the environment names (`MILEPOST_ODOO_URL`, `MILEPOST_ODOO_DB`, `MILEPOST_ODOO_KEY_FILE`), or `None`
    /// when it names none.
    ///
    /// # Errors
    /// The environment names one but is incomplete.
    pub fn from_env() -> anyhow::Result<Option<Self>> {
        let Ok(url) = std::env::var("MILEPOST_ODOO_URL") else { return Ok(None) };
        let database = std::env::var("MILEPOST_ODOO_DB").context("MILEPOST_ODOO_DB is not set")?;
        let key_file = std::env::var("MILEPOST_ODOO_KEY_FILE").context("MILEPOST_ODOO_KEY_FILE is not set")?;
        let key = std::fs::read_to_string(&key_file).with_context(|| format!("failed to read {key_file}"))?;
        Ok(Some(Self::new(&url, &database, key.trim())))
    }

    /// An Odoo at `url`.
    #[must_use]
    pub fn new(url: &str, database: &str, key: &str) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(ANSWER_PATIENCE)).http_status_as_error(false);
        Self {
            http: config.build().new_agent(),
            url: url.trim_end_matches('/').to_owned(),
            database: database.to_owned(),
            key: key.to_owned(),
        }
    }

    /// Its only database, as far as the story goes.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The API key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Base address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `host:port`.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.url.split_once("//").map_or(self.url.as_str(), |(_, authority)| authority)
    }

    /// Calls a method.
    ///
    /// # Errors
    /// Whatever Odoo says that is not a success.
    pub fn call(&self, model: &str, method: &str, body: Value) -> anyhow::Result<Value> {
        let place = format!("{model}.{method}");
        let mut response = self
            .http
            .post(format!("{}/json/2/{model}/{method}", self.url))
            .header("Authorization", format!("bearer {}", self.key))
            .header("X-Odoo-Database", &self.database)
            .send_json(&body)
            .with_context(|| format!("failed to call {place}"))?;
        let status = response.status();
        let text = response.body_mut().read_to_string()?;
        let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if !status.is_success() {
            bail!("{place}: {status}: {}", answer.get("message").and_then(Value::as_str).unwrap_or(&text));
        }
        Ok(answer)
    }

    /// A new customer with a confirmed order of a new product that is in stock.
    ///
    /// # Errors
    /// Whatever Odoo says.
    pub fn confirm_order(&self, order: &Order) -> anyhow::Result<ConfirmedOrder> {
        let partner_id = self.create_customer(order)?;
        let product_id = self.create_product_in_stock(order)?;
        let line = json!([0, 0, {"product_id": product_id, "product_uom_qty": order.quantity}]);
        let sale_order_id = self.create("sale.order", json!({"partner_id": partner_id, "order_line": [line]}))?;
        self.call("sale.order", "action_confirm", json!({"ids": [sale_order_id]}))?;
        let order = self.read("sale.order", sale_order_id, &["name", "picking_ids"])?;
        let picking_id = order["picking_ids"][0].as_i64().context("the order has no delivery")?;
        let picking = self.read("stock.picking", picking_id, &["name"])?;
        Ok(ConfirmedOrder {
            partner_id,
            product_id,
            sale_order_id,
            sale_order: text(&order, "name")?,
            picking_id,
            picking: text(&picking, "name")?,
        })
    }

    /// Says when a picking is to be delivered, as a planner would; `time` like `2019-10-31 23:20:00`, UTC.
    ///
    /// # Errors
    /// Whatever Odoo says.
    pub fn schedule(&self, picking: i64, time: &str) -> anyhow::Result<()> {
        let values = json!({"scheduled_date": time});
        self.call("stock.picking", "write", json!({"ids": [picking], "vals": values})).map(drop)
    }

    /// Puts pickings on the truck with this license plate, in this order, and confirms the batch; gives its name.
    ///
    /// # Errors
    /// Whatever Odoo says.
    pub fn plan_batch(&self, pickings: &[i64], license_plate: &str) -> anyhow::Result<String> {
        let vehicle = self.vehicle(license_plate)?;
        let first = pickings.first().copied().context("a batch has at least one picking")?;
        let picking_type = self.read("stock.picking", first, &["picking_type_id"])?["picking_type_id"][0].clone();
        let values = json!({"picking_ids": [[6, 0, pickings]], "vehicle_id": vehicle, "picking_type_id": picking_type});
        let batch = self.create("stock.picking.batch", values)?;
        for (sequence, picking) in pickings.iter().enumerate() {
            let values = json!({"batch_sequence": sequence + 1});
            self.call("stock.picking", "write", json!({"ids": [picking], "vals": values}))?;
        }
        self.call("stock.picking.batch", "action_confirm", json!({"ids": [batch]}))?;
        text(&self.read("stock.picking.batch", batch, &["name"])?, "name")
    }

    /// The notes on a picking that carry a key of ours, oldest first.
    ///
    /// # Errors
    /// Whatever Odoo says.
    pub fn notes(&self, picking: i64) -> anyhow::Result<Vec<Note>> {
        let domain =
            json!([["model", "=", "stock.picking"], ["res_id", "=", picking], ["message_id", "like", "@milepost"]]);
        let rows = self.search("mail.message", domain, &["message_id", "body", "attachment_ids"])?;
        rows.iter()
            .map(|row| {
                Ok(Note {
                    id: row["id"].as_i64().context("a message has an id")?,
                    message_id: text(row, "message_id")?,
                    body: text(row, "body")?,
                    attachments: row["attachment_ids"].as_array().map_or(0, Vec::len),
                })
            })
            .collect()
    }

    /// Names and checksums of the files on a picking, oldest first.
    ///
    /// # Errors
    /// Whatever Odoo says.
    pub fn attachments(&self, picking: i64) -> anyhow::Result<Vec<(String, String)>> {
        let domain = json!([["res_model", "=", "stock.picking"], ["res_id", "=", picking]]);
        let rows = self.search("ir.attachment", domain, &["name", "checksum"])?;
        rows.iter().map(|row| Ok((text(row, "name")?, text(row, "checksum")?))).collect()
    }

    fn create_customer(&self, order: &Order) -> anyhow::Result<i64> {
        let country = self.search("res.country", json!([["code", "=", "CH"]]), &["id"])?;
        let mut values = json!({"name": order.customer, "street": "Dockstrasse 1", "zip": "8005", "city": "Zürich"});
        values["country_id"] = country.first().context("Odoo knows Switzerland")?["id"].clone();
        if let Some((lat, lon)) = order.place {
            values["partner_latitude"] = json!(lat);
            values["partner_longitude"] = json!(lon);
        }
        self.create("res.partner", values)
    }

    fn create_product_in_stock(&self, order: &Order) -> anyhow::Result<i64> {
        let values = json!({
            "name": "Pallet of widgets", "type": "consu", "is_storable": true, "list_price": 50.0,
            "invoice_policy": "delivery", "barcode": order.barcode,
        });
        let product = self.create("product.product", values)?;
        let locations = self.search("stock.location", json!([["usage", "=", "internal"]]), &["id"])?;
        let location = locations.first().context("Odoo has a stock location")?["id"].clone();
        let stock = json!({"product_id": product, "location_id": location, "inventory_quantity": order.quantity});
        let body = json!({"vals_list": [stock], "context": {"inventory_mode": true}});
        let quant = self.call("stock.quant", "create", body)?;
        self.call("stock.quant", "action_apply_inventory", json!({"ids": quant}))?;
        Ok(product)
    }

    fn vehicle(&self, license_plate: &str) -> anyhow::Result<i64> {
        let known = self.search("fleet.vehicle", json!([["license_plate", "=", license_plate]]), &["id"])?;
        if let Some(id) = known.first().and_then(|row| row["id"].as_i64()) {
            return Ok(id);
        }
        let brand = self.create("fleet.vehicle.model.brand", json!({"name": "Milepost"}))?;
        let model = self.create("fleet.vehicle.model", json!({"name": "Truck", "brand_id": brand}))?;
        self.create("fleet.vehicle", json!({"model_id": model, "license_plate": license_plate}))
    }

    fn create(&self, model: &str, values: Value) -> anyhow::Result<i64> {
        let created = self.call(model, "create", json!({"vals_list": [values]}))?;
        created[0].as_i64().with_context(|| format!("{model}.create answered {created}"))
    }

    fn read(&self, model: &str, id: i64, fields: &[&str]) -> anyhow::Result<Value> {
        let rows = self.call(model, "read", json!({"ids": [id], "fields": fields}))?;
        rows.get(0).cloned().with_context(|| format!("{model} {id} is gone"))
    }

    fn search(&self, model: &str, domain: Value, fields: &[&str]) -> anyhow::Result<Vec<Value>> {
        let body = json!({"domain": domain, "fields": fields, "order": "id asc"});
        let rows = self.call(model, "search_read", body)?;
        rows.as_array().cloned().with_context(|| format!("{model}.search_read answered {rows}"))
    }
}

fn text(row: &Value, field: &str) -> anyhow::Result<String> {
    row[field].as_str().map(str::to_owned).with_context(|| format!("{field} is not a text in {row}"))
}
