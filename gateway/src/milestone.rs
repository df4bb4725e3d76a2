//! Milestones: what really happened, derived from the set of facts and from nothing else.
//!
//! Promise: the standing milestones of a vehicle are a function of the *set* of its facts, its trips and the rules. Any
//! order, duplication or batching of delivery ends in the same milestones, because facts are folded in the order of
//! their keys and whatever arrives late is folded again in its place.
//!
//! ```text
//! Record ─ fact ─► clean ─► standstill ─┐
//!                    └────► containment ┴► visit ─┬► standing ─► revise ─► what to announce
//!                             POD, driver action ─┘
//! ```
//!
//! [`VehicleState`] is the fold, [`Refold`] feeds it facts in any order, [`revise()`] turns what stands now into what
//! must be told. Everything here is pure: no clock, file, database or task is touched.

mod assignment;
pub mod clean;
pub mod containment;
pub mod fact;
pub mod fence;
pub mod identity;
pub mod kind;
pub mod outcome;
pub mod place;
pub mod planned_stop;
pub mod refold;
pub mod revise;
pub mod rules;
mod standing;
pub mod standstill;
pub mod stays;
pub mod vehicle;
pub mod visit;

pub use fact::{Fact, FactKey, FactKind};
pub use kind::MilestoneKind;
pub use outcome::{Outcome, OutcomeCounts};
pub use refold::Refold;
pub use revise::revise;
pub use rules::Rules;
pub use vehicle::VehicleState;

use milepost_proto::Timestamp;
use serde::{Deserialize, Serialize};

/// A business event with a stable id and a rising revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Milestone {
    /// Derived from `(fleet, trip, stop, shipment, kind, occurrence)`; never changes.
    pub milestone_id: String,
    /// From 1; rises with every change. 0 in a standing milestone that was not compared with what was told.
    pub revision: u32,
    /// How firmly it stands.
    pub status: Status,
    /// What happened.
    pub kind: MilestoneKind,
    /// The trip.
    pub trip: String,
    /// The stop, absent for trip-level kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<String>,
    /// The shipment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipment: Option<String>,
    /// Which visit to the stop, from 1.
    pub visit_no: u32,
    /// When it happened.
    pub event_time: Timestamp,
    /// 0 to 1.
    pub confidence: f64,
    /// Ids of the records it rests on, `device/spool/lane/sequence`.
    pub evidence: Vec<String>,
    /// Version of the rules that derived it.
    pub rule_version: String,
    /// Anything a reader should know, such as "arrival implied by the proof of delivery".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// How firmly a milestone stands. What stands is provisional or confirmed, by the facts alone; corrected and retracted are
/// said of a revision, by what was told before (see [`revise()`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It stands on what is known now; something earlier may still arrive.
    Provisional,
    /// Nothing earlier can still arrive.
    Confirmed,
    /// It was told differently before (EPCIS `incorrect_data`).
    Corrected,
    /// It was told before and did not happen (EPCIS `did_not_occur`).
    Retracted,
}
