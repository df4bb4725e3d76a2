//! Settles effects in Odoo: milestones as notes on the picking, proofs of delivery as attachments and one note.
//!
//! Promise: settling the same effect any number of times, after any loss of replies, leaves it in Odoo once. The note is
//! the proof that an effect happened: it carries the effect's key as its message id, it is searched for before anything
//! is written, and it is written last. This holds as long as one effect of a shipment is settled at a time and an
//! effect of unknown outcome is not asked about before Odoo's request limit has passed; both are the caller's part.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use milepost_proto::{Pod, Sha256};
use serde_json::{Value, json};

use super::attachment::{self, Attachment};
use super::classify::{Access, Failure, FailureKind};
use super::client::{Call, Client, ids, not_odoo, rows};
use super::message_id::message_id;
use super::orders::{Cursor, ImportedOrders};
use super::probe::{Capabilities, Probe};
use super::transport::InvalidSettings;
use super::{Settings, orders, probe, wording};
use crate::effect::{Effect, EffectBody, Settlement};

/// Most shipment names whose picking is remembered; when full, all are forgotten and looked up again.
const PICKINGS_KNOWN_MAX: usize = 10_000;

/// Where the bytes of signatures and photos are.
pub trait BlobSource: Send + Sync {
    /// The bytes with this hash, or `None` while they have not arrived.
    fn read(&self, hash: &Sha256) -> Option<Vec<u8>>;
}

impl<F: Fn(&Sha256) -> Option<Vec<u8>> + Send + Sync> BlobSource for F {
    fn read(&self, hash: &Sha256) -> Option<Vec<u8>> {
        self(hash)
    }
}

/// The gateway's way into one Odoo database.
pub struct Connector {
    client: Client,
    blobs: Box<dyn BlobSource>,
    pickings: Mutex<HashMap<String, i64>>,
}

impl Connector {
    /// A connector for these settings; nothing is sent yet.
    ///
    /// # Errors
    /// [`InvalidSettings`].
    pub fn new(settings: &Settings, blobs: Box<dyn BlobSource>) -> Result<Self, InvalidSettings> {
        Ok(Self { client: Client::new(settings)?, blobs, pickings: Mutex::default() })
    }

    /// What this Odoo and this user can do.
    pub async fn probe(&self) -> Probe {
        probe::run(&self.client).await
    }

    /// Orders that are new or changed since `cursor`, at most one page of them; see [`orders::poll()`].
    ///
    /// # Errors
    /// A [`Failure`]; the cursor to go on with is then the one that was passed.
    pub async fn poll_orders(&self, capabilities: &Capabilities, cursor: &Cursor) -> Result<ImportedOrders, Failure> {
        orders::poll(&self.client, capabilities, cursor).await
    }

    /// Carries out `effect` unless Odoo already has it, and says how that ended.
    ///
    /// `after_unknown` tells that an earlier attempt's outcome was unknown and that the server's request limit has
    /// passed since; it changes what is logged, not what is done, because every attempt searches first.
    pub async fn settle(&self, effect: &Effect, after_unknown: bool) -> Settlement {
        match self.carry_out(effect).await {
            Ok(Carried::Found(message)) => {
                tracing::info!(effect = effect.key, message, after_unknown, "Odoo already has this effect");
                Settlement::Done { reference: reference(message) }
            }
            Ok(Carried::Written(message)) => Settlement::Done { reference: reference(message) },
            Err(not_done) => not_done,
        }
    }

    async fn carry_out(&self, effect: &Effect) -> Result<Carried, Settlement> {
        let picking = self.picking(&effect.shipment).await?;
        let message_id = message_id(&effect.key);
        if let Some(message) = self.find(&note_search(&message_id, picking)).await? {
            return Ok(Carried::Found(message));
        }
        let (body, attachments) = match &effect.body {
            EffectBody::Milestone { milestone } => (wording::milestone(milestone), Vec::new()),
            EffectBody::Pod { pod, record } => {
                (wording::proof_of_delivery(pod), self.attach_all(effect, picking, pod, record).await?)
            }
        };
        let call = note(&message_id, picking, &body, &attachments);
        self.write(effect, &call).await.map(Carried::Written)
    }

    /// Attaches everything that belongs to a proof and is not on the picking yet; gives the ids of all of it.
    async fn attach_all(&self, effect: &Effect, picking: i64, pod: &Pod, record: &str) -> Result<Vec<i64>, Settlement> {
        let stem = attachment::stem(pod);
        let mut attached = Vec::new();
        let signature = pod.signature.iter().map(|hash| (format!("{stem}-signature"), hash));
        let photos = pod.photos.iter().enumerate().map(|(index, hash)| (format!("{stem}-photo-{}", index + 1), hash));
        for (name, hash) in signature.chain(photos) {
            let Some(bytes) = self.blobs.read(hash) else {
                let why = format!("{name} ({hash}) has not arrived from the vehicle yet");
                return Err(Settlement::Retry { why });
            };
            attached.push(self.attach(effect, picking, &Attachment::image(&name, bytes)).await?);
        }
        let summary = Attachment::summary(&stem, pod, record)
            .map_err(|error| Settlement::Park { why: format!("the proof cannot be written as JSON: {error}") })?;
        attached.push(self.attach(effect, picking, &summary).await?);
        Ok(attached)
    }

    async fn attach(&self, effect: &Effect, picking: i64, file: &Attachment) -> Result<i64, Settlement> {
        match self.find(&file.search(picking)).await? {
            Some(id) => Ok(id),
            None => self.write(effect, &file.create(picking)).await,
        }
    }

    /// The picking with this name.
    async fn picking(&self, shipment: &str) -> Result<i64, Settlement> {
        if let Some(id) = self.known_pickings().get(shipment) {
            return Ok(*id);
        }
        let id = match &self.client {
            Client::DryRun(dry_run) => dry_run.next_id(),
            Client::Live(_) => self.look_up_picking(shipment).await?,
        };
        let mut known = self.known_pickings();
        if known.len() >= PICKINGS_KNOWN_MAX {
            known.clear();
        }
        known.insert(shipment.to_owned(), id);
        Ok(id)
    }

    async fn look_up_picking(&self, shipment: &str) -> Result<i64, Settlement> {
        let call = Call::search("stock.picking", json!([["name", "=", shipment]]), &["id"], 2);
        let answer = self.client.read(&call).await.map_err(|failure| failure.settle(Access::Read))?;
        match found(&answer)?.as_slice() {
            [id] => Ok(*id),
            [] => Err(Settlement::Park {
                why: format!(
                    "Odoo has no delivery named {shipment:?}: check that it was not deleted and that the integration \
                     user may read it, then retry"
                ),
            }),
            _ => Err(Settlement::Park {
                why: format!(
                    "Odoo has more than one delivery named {shipment:?}: restrict the integration user to one company, \
                     then retry"
                ),
            }),
        }
    }

    async fn find(&self, search: &Call) -> Result<Option<i64>, Settlement> {
        let answer = self.client.read(search).await.map_err(|failure| failure.settle(Access::Read))?;
        Ok(found(&answer)?.first().copied())
    }

    /// Makes one write and gives the id it answered.
    async fn write(&self, effect: &Effect, call: &Call) -> Result<i64, Settlement> {
        let answer = self.client.write(&effect.key, call).await.and_then(|answer| ids(&answer));
        match answer.map(|ids| ids.first().copied()) {
            Ok(Some(id)) => Ok(id),
            Ok(None) => Err(Settlement::Unknown { why: "Odoo answered no record id".to_owned() }),
            Err(failure) => {
                if failure.kind == FailureKind::MissingRecord {
                    self.known_pickings().remove(&effect.shipment);
                }
                Err(failure.settle(Access::Write))
            }
        }
    }

    fn known_pickings(&self) -> std::sync::MutexGuard<'_, HashMap<String, i64>> {
        self.pickings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Carried {
    /// It was there already.
    Found(i64),
    /// It was written now.
    Written(i64),
}

fn note_search(message_id: &str, picking: i64) -> Call {
    let domain = json!([["message_id", "=", message_id], ["model", "=", "stock.picking"], ["res_id", "=", picking]]);
    Call::search("mail.message", domain, &["id"], 1)
}

/// An internal note: followers outside the company are not told (`mail.mt_note`).
fn note(message_id: &str, picking: i64, body: &str, attachments: &[i64]) -> Call {
    let mut arguments = json!({
        "ids": [picking],
        "body": body,
        "body_is_html": true,
        "message_type": "comment",
        "subtype_xmlid": "mail.mt_note",
        "message_id": message_id,
    });
    if !attachments.is_empty() {
        arguments["attachment_ids"] = json!(attachments);
    }
    Call::new("stock.picking", "message_post", arguments)
}

/// The ids in an answer of `search_read`. An answer of another shape must not pass for "nothing found".
fn found(answer: &Value) -> Result<Vec<i64>, Settlement> {
    let rows = rows(answer).map_err(|failure| failure.settle(Access::Read))?;
    let ids: Option<Vec<i64>> = rows.iter().map(|row| row.get("id").and_then(Value::as_i64)).collect();
    ids.ok_or_else(|| not_odoo("a list of records with their ids").settle(Access::Read))
}

fn reference(message: i64) -> String {
    format!("mail.message,{message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taken for "nothing found", it would have a note written a second time.
    #[test]
    fn a_row_without_an_id_is_no_answer_of_odoo() {
        assert_eq!(found(&json!([])), Ok(vec![]));
        assert_eq!(found(&json!([{"id": 4, "name": "x"}])), Ok(vec![4]));
        for answer in [json!([{"id": "4"}]), json!([{"id": 4}, {}]), json!([[4]]), json!({"id": 4})] {
            assert!(matches!(found(&answer), Err(Settlement::Retry { .. })), "{answer}");
        }
    }
}
