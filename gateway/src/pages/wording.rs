//! The product's words as people read them, and the tone in which a page says them.
//!
//! Promise: a tone never stands alone: the word beside it says the same to whoever does not see colours.

use milepost_proto::driver_app::Outcome;

use crate::milestone::{MilestoneKind, Status};

/// How a page says something; also the name of a style class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It went well.
    Good,
    /// It is under way.
    Going,
    /// Somebody should look.
    Warn,
    /// It went wrong.
    Bad,
    /// Nothing to say yet.
    Quiet,
}

impl std::fmt::Display for Tone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Going => "going",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Quiet => "quiet",
        })
    }
}

/// A word and its tone.
pub type Word = (&'static str, Tone);

/// What happened, as an entry of a timeline.
#[must_use]
pub const fn happened(kind: MilestoneKind) -> Word {
    match kind {
        MilestoneKind::PickupArrived => ("Arrived at pickup", Tone::Going),
        MilestoneKind::PickupLoaded => ("Loaded", Tone::Going),
        MilestoneKind::PickupDeparted => ("Left pickup", Tone::Going),
        MilestoneKind::DeliveryArrived => ("Arrived at delivery", Tone::Going),
        MilestoneKind::DeliveryCompleted => ("Delivered", Tone::Good),
        MilestoneKind::DeliveryPartial => ("Partly delivered", Tone::Warn),
        MilestoneKind::DeliveryFailed => ("Delivery failed", Tone::Bad),
        MilestoneKind::DeliveryRefused => ("Refused", Tone::Bad),
        MilestoneKind::DeliveryDamaged => ("Damaged", Tone::Bad),
        MilestoneKind::Returned => ("Returned", Tone::Warn),
        MilestoneKind::DeliveryDeparted => ("Left delivery", Tone::Going),
    }
}

/// How a shipment stands after this, or before anything happened.
#[must_use]
pub const fn standing(last: Option<MilestoneKind>) -> Word {
    match last {
        None => ("Planned", Tone::Quiet),
        Some(MilestoneKind::PickupArrived) => ("At pickup", Tone::Going),
        Some(MilestoneKind::PickupLoaded | MilestoneKind::PickupDeparted) => ("On the way", Tone::Going),
        Some(MilestoneKind::DeliveryArrived) => ("At consignee", Tone::Going),
        Some(MilestoneKind::DeliveryDeparted) => ("Left without proof", Tone::Warn),
        Some(outcome) => happened(outcome),
    }
}

/// How firmly a milestone stands.
#[must_use]
pub const fn firmness(status: Status) -> Word {
    match status {
        Status::Provisional => ("provisional", Tone::Quiet),
        Status::Confirmed => ("confirmed", Tone::Good),
        Status::Corrected => ("corrected", Tone::Warn),
        Status::Retracted => ("retracted", Tone::Bad),
    }
}

/// What the driver said became of a delivery.
#[must_use]
pub const fn outcome(outcome: Outcome) -> Word {
    match outcome {
        Outcome::Completed => ("Delivered in full", Tone::Good),
        Outcome::Partial => ("Partly delivered", Tone::Warn),
        Outcome::Refused => ("Refused", Tone::Bad),
        Outcome::Failed => ("Not delivered", Tone::Bad),
        Outcome::Damaged => ("Damaged", Tone::Bad),
        Outcome::Returned => ("Returned", Tone::Warn),
    }
}

/// What an outbox state means.
#[must_use]
pub fn outbox_state(state: &str) -> Word {
    match state {
        "pending" => ("waiting", Tone::Quiet),
        "sending" => ("being sent", Tone::Going),
        "unknown" => ("outcome unknown", Tone::Warn),
        "parked" => ("needs a person", Tone::Bad),
        "done" => ("done", Tone::Good),
        _ => ("in a state this version does not know", Tone::Warn),
    }
}
