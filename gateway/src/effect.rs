//! Effects owed to another system, and how an attempt at one ended.
//!
//! Promise: an effect's key names it for ever, so whoever carries it out can look whether it already happened.

use milepost_proto::Pod;
use serde::{Deserialize, Serialize};

use crate::milestone::Milestone;

/// One thing owed to Odoo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Unique in its fleet, and the same for every attempt: the milestone's or record's id and what is done with it.
    pub key: String,
    /// The shipment it concerns; effects of one shipment are carried out one after the other.
    pub shipment: String,
    /// What is owed.
    pub body: EffectBody,
}

/// What is owed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectBody {
    /// Say that a milestone stands, was corrected, or was retracted.
    Milestone {
        /// The milestone as it stood when the effect was created.
        milestone: Box<Milestone>,
    },
    /// Attach a proof of delivery: its summary, signature and photos.
    Pod {
        /// The proof.
        pod: Box<Pod>,
        /// The record that carries it, `fleet/device/spool/lane/sequence`.
        record: String,
    },
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It is there, once; the reference says where (an Odoo `model,id`).
    Done {
        /// Where it can be seen.
        reference: String,
    },
    /// It did not happen; the same attempt may work later.
    Retry {
        /// What was in the way.
        why: String,
    },
    /// It may have happened: ask before doing it again, and not before the server's request limit has passed.
    Unknown {
        /// What was lost.
        why: String,
    },
    /// It cannot happen until a person mends something.
    Park {
        /// What is wrong and what would mend it.
        why: String,
    },
}
