//! What this Odoo can do and what the integration user may do, found by asking and never guessed from a version.
//!
//! Promise: a probe changes nothing, and every line of its report that is not fine says how to mend it, so that
//! `milepost-gateway check` can print it as it is.

use std::fmt;

use serde_json::{Value, json};

use super::classify::{Failure, FailureKind};
use super::client::{Call, Client};

/// What can be relied on while importing orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Pickings know their sale order (module `sale_stock`).
    pub sale: bool,
    /// Pickings are planned in batches (module `stock_picking_batch`).
    pub batches: bool,
    /// Batches have a vehicle whose license plate may be read (module `stock_fleet`).
    pub vehicles: bool,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Probe {
    /// Odoo's version, when it answered.
    pub version: Option<String>,
    /// What can be relied on.
    pub capabilities: Capabilities,
    /// The report, in the order it was asked.
    pub findings: Vec<Finding>,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How grave it is.
    pub grade: Grade,
    /// What it is about, and the mend when it is not fine.
    pub text: String,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grade {
    /// As it should be.
    Ok,
    /// Works without, with less.
    Optional,
    /// Does not work without.
    Missing,
}

impl Probe {
    /// Whether orders can be read and effects written.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.findings.iter().all(|finding| finding.grade != Grade::Missing)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Ok => "ok",
            Grade::Optional => "without",
            Grade::Missing => "missing",
        };
        write!(f, "{grade:8} odoo: {}", self.text)
    }
}

/// A model we use, what of it, and what to do when it is not there.
struct Need {
    model: &'static str,
    fields: &'static [&'static str],
    operations: &'static [&'static str],
    grade: Grade,
    mend: &'static str,
}

const NEEDS: &[Need] = &[
    Need {
        model: "stock.picking",
        fields: &["name", "state", "partner_id", "scheduled_date", "date_deadline", "move_ids", "picking_type_code"],
        operations: &["read", "write"],
        grade: Grade::Missing,
        mend: "install Inventory (stock) and give the integration user Inventory / User",
    },
    Need {
        model: "stock.move",
        fields: &["picking_id", "product_id", "product_uom_qty", "state"],
        operations: &["read"],
        grade: Grade::Missing,
        mend: "give the integration user Inventory / User",
    },
    Need {
        model: "product.product",
        fields: &["barcode"],
        operations: &["read"],
        grade: Grade::Missing,
        mend: "give the integration user Inventory / User",
    },
    Need {
        model: "res.partner",
        fields: &["name", "street", "street2", "zip", "city", "country_id", "partner_latitude", "partner_longitude"],
        operations: &["read"],
        grade: Grade::Missing,
        mend: "make the integration user an internal user",
    },
    Need {
        model: "mail.message",
        fields: &["message_id", "model", "res_id"],
        operations: &["read"],
        grade: Grade::Missing,
        mend: "make the integration user an internal user",
    },
    Need {
        model: "ir.attachment",
        fields: &["res_model", "res_id", "checksum"],
        operations: &["read", "create"],
        grade: Grade::Missing,
        mend: "make the integration user an internal user",
    },
    SALE,
    BATCHES,
    BATCH,
    BATCH_VEHICLE,
    VEHICLE,
];

const SALE: Need = Need {
    model: "stock.picking",
    fields: &["sale_id"],
    operations: &[],
    grade: Grade::Optional,
    mend: "without Sales and Inventory together (sale_stock) shipments name no sale order",
};
const BATCHES: Need = Need {
    model: "stock.picking",
    fields: &["batch_id", "batch_sequence"],
    operations: &[],
    grade: Grade::Optional,
    mend: "without Batch Transfers (stock_picking_batch) no trips are imported",
};
const BATCH: Need = Need {
    model: "stock.picking.batch",
    fields: &["name", "state"],
    operations: &["read"],
    grade: Grade::Optional,
    mend: "without Batch Transfers (stock_picking_batch), readable by the integration user, no trips are imported",
};
const BATCH_VEHICLE: Need = Need {
    model: "stock.picking.batch",
    fields: &["vehicle_id"],
    operations: &[],
    grade: Grade::Optional,
    mend: "without Stock Transport (stock_fleet) batches have no vehicle and no trips are imported",
};
const VEHICLE: Need = Need {
    model: "fleet.vehicle",
    fields: &["license_plate"],
    operations: &["read"],
    grade: Grade::Optional,
    mend: "without Fleet / Officer for the integration user license plates cannot be read and no trips are imported",
};

/// Asks everything; stops at the first trouble that would only repeat itself (address, database, key).
pub async fn run(client: &Client) -> Probe {
    let mut probe = Probe::default();
    match client.version().await {
        Ok(answer) => probe.greet(&answer),
        Err(failure) => probe.note(Grade::Missing, failure.message),
    }
    if !probe.is_usable() || matches!(client, Client::DryRun(_)) {
        return probe;
    }
    for need in NEEDS {
        match lacking(client, need).await {
            Ok(None) => probe.has(need),
            Ok(Some(lacking)) => probe.note(need.grade, format!("{}: {lacking}: {}", need.model, need.mend)),
            Err(failure) => {
                probe.note(Grade::Missing, failure.message);
                return probe;
            }
        }
    }
    let has = |need: &Need| probe.findings.contains(&found(need));
    probe.capabilities = Capabilities {
        sale: has(&SALE),
        batches: has(&BATCHES) && has(&BATCH),
        vehicles: has(&BATCH_VEHICLE) && has(&VEHICLE),
    };
    probe
}

impl Probe {
    fn greet(&mut self, answer: &Value) {
        let version = answer.get("version").and_then(Value::as_str).unwrap_or("of unknown version").to_owned();
        self.note(Grade::Ok, format!("Odoo {version} answers"));
        self.version = Some(version);
    }

    fn has(&mut self, need: &Need) {
        self.findings.push(found(need));
    }

    fn note(&mut self, grade: Grade, text: String) {
        self.findings.push(Finding { grade, text });
    }
}

fn found(need: &Need) -> Finding {
    let rights = if need.operations.is_empty() { String::new() } else { format!(" ({})", need.operations.join(", ")) };
    Finding { grade: Grade::Ok, text: format!("{}{rights}: {}", need.model, need.fields.join(", ")) }
}

/// What of `need` is not there, or `None`.
async fn lacking(client: &Client, need: &Need) -> Result<Option<String>, Failure> {
    let fields = Call::new(need.model, "fields_get", json!({"allfields": need.fields, "attributes": ["type"]}));
    let known = match client.read(&fields).await {
        Ok(known) => known,
        Err(failure) => return lacks(failure),
    };
    let absent: Vec<&str> = need.fields.iter().copied().filter(|field| known.get(field).is_none()).collect();
    if !absent.is_empty() {
        return Ok(Some(format!("no field {}", absent.join(", "))));
    }
    for operation in need.operations {
        let may = Call::new(need.model, "has_access", json!({"ids": [], "operation": operation}));
        match client.read(&may).await {
            Ok(Value::Bool(true)) => {}
            Ok(_) => return Ok(Some(format!("no right to {operation}"))),
            Err(failure) => return lacks(failure),
        }
    }
    Ok(None)
}

/// Tells what this one need lacks from trouble that every other would meet too.
fn lacks(failure: Failure) -> Result<Option<String>, Failure> {
    match failure.kind {
        FailureKind::Schema => Ok(Some("not in this Odoo".to_owned())),
        FailureKind::Access => Ok(Some("no right to it".to_owned())),
        _ => Err(failure),
    }
}
