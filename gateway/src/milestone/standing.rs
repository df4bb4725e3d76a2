//! From visits and proofs to milestones.
//!
//! Promise: this is a plain reading of one stop's state, without memory of what was told before, so the same facts
//! always read the same. A milestone is confirmed when everything that decided it lies before the low-water mark.

use milepost_proto::driver_app::Outcome as PodOutcome;
use milepost_proto::plan::StopKind;
use milepost_proto::{FleetId, Timestamp};

use super::identity::{Subject, milestone_id};
use super::planned_stop::{HeldProof, PlannedStop};
use super::visit::{Basis, Departure, Visit};
use super::{FactKey, Milestone, MilestoneKind, Rules, Status};

/// What a milestone needs to know beyond its stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Telling<'a> {
    /// Whose data.
    pub(super) fleet: &'a FleetId,
    /// What it is judged by.
    pub(super) rules: &'a Rules,
    /// Nothing before this can still arrive.
    pub(super) low_water_mark: Option<Timestamp>,
}

/// The milestones of one stop. A depot has visits but no shipment to tell of.
pub(super) fn stop_milestones(stop: &PlannedStop, telling: Telling<'_>) -> Vec<Milestone> {
    let (arrived, departed) = match stop.kind {
        StopKind::Pickup => (MilestoneKind::PickupArrived, MilestoneKind::PickupDeparted),
        StopKind::Delivery => (MilestoneKind::DeliveryArrived, MilestoneKind::DeliveryDeparted),
        StopKind::Depot => return Vec::new(),
    };
    let mut milestones = Vec::new();
    for (visit, visit_no) in stop.visits.all().iter().zip(1_u32..) {
        milestones.push(arrival(stop, visit, visit_no, arrived, telling));
        milestones.extend(visit.left.as_ref().map(|left| departure(stop, visit, left, visit_no, departed, telling)));
    }
    milestones.extend(stop.proofs.iter().filter_map(|proof| completion(stop, proof, telling)));
    milestones
}

/// What a milestone says of its own.
struct Claim<'a> {
    kind: MilestoneKind,
    shipment: Option<&'a str>,
    occurrence: u32,
    visit_no: u32,
    event_time: Timestamp,
    decided_at: Timestamp,
    confidence: f64,
    evidence: Vec<&'a FactKey>,
    remarks: Vec<String>,
}

fn milestone(stop: &PlannedStop, claim: Claim<'_>, telling: Telling<'_>) -> Milestone {
    let subject = Subject {
        fleet: telling.fleet,
        trip: &stop.trip,
        stop: Some(&stop.id),
        shipment: claim.shipment,
        kind: claim.kind,
        occurrence: claim.occurrence,
    };
    let confirmed = telling.low_water_mark.is_some_and(|mark| claim.decided_at < mark);
    let mut evidence = claim.evidence;
    evidence.dedup();
    Milestone {
        milestone_id: milestone_id(&subject),
        revision: 0,
        status: if confirmed { Status::Confirmed } else { Status::Provisional },
        kind: claim.kind,
        trip: stop.trip.clone(),
        stop: Some(stop.id.clone()),
        shipment: claim.shipment.map(str::to_owned),
        visit_no: claim.visit_no,
        event_time: claim.event_time,
        confidence: (claim.confidence * 1000.0).round() / 1000.0,
        evidence: evidence.into_iter().map(ToString::to_string).collect(),
        rule_version: telling.rules.version.clone(),
        remarks: claim.remarks,
    }
}

fn arrival(stop: &PlannedStop, visit: &Visit, visit_no: u32, kind: MilestoneKind, telling: Telling<'_>) -> Milestone {
    let remark = match visit.basis {
        Basis::Dwell => None,
        Basis::DriverAction => Some("the driver reported being there; the vehicle had not stood long enough yet"),
        Basis::ProofInside => Some("arrival supported by the proof of delivery captured inside the fence"),
        Basis::ProofAfter => Some("short stop, arrival supported by the proof of delivery captured after leaving"),
        Basis::ProofAlone => Some("arrival implied by the proof of delivery; the vehicle was not seen at the stop"),
        Basis::ProofBefore => Some("arrival implied by the proof of delivery captured before the first fix inside"),
    };
    let unseen = visit.unseen_entry.then_some("the vehicle's first fix was inside; it may have arrived earlier");
    let claim = Claim {
        kind,
        shipment: stop.shipment.as_deref(),
        occurrence: visit_no,
        visit_no,
        event_time: visit.opened.event_time,
        decided_at: visit.settled_at,
        confidence: visit.confidence,
        evidence: vec![&visit.opened, &visit.decided],
        remarks: remark.into_iter().chain(unseen).map(str::to_owned).collect(),
    };
    milestone(stop, claim, telling)
}

fn departure(
    stop: &PlannedStop,
    visit: &Visit,
    left: &Departure,
    visit_no: u32,
    kind: MilestoneKind,
    telling: Telling<'_>,
) -> Milestone {
    let claim = Claim {
        kind,
        shipment: stop.shipment.as_deref(),
        occurrence: visit_no,
        visit_no,
        event_time: left.last.event_time,
        decided_at: left.decided.event_time.max(visit.settled_at),
        confidence: left.confidence,
        evidence: vec![&left.last, &left.decided],
        remarks: Vec::new(),
    };
    milestone(stop, claim, telling)
}

fn completion(stop: &PlannedStop, proof: &HeldProof, telling: Telling<'_>) -> Option<Milestone> {
    let kind = completion_kind(stop.kind, proof.outcome)?;
    let index = proof.visit?;
    let visit = stop.visits.all().get(index)?;
    let unseen =
        matches!(visit.basis, Basis::ProofAlone).then(|| "captured outside of any visit to the stop".to_owned());
    let reason = proof.reason.as_ref().map(|reason| format!("reason {reason}"));
    let as_reported = (stop.kind == StopKind::Pickup && proof.outcome != PodOutcome::Completed)
        .then(|| format!("reported as {}", outcome_word(proof.outcome)));
    let claim = Claim {
        kind,
        shipment: Some(&proof.shipment),
        occurrence: 1,
        visit_no: u32::try_from(index + 1).unwrap_or(u32::MAX),
        event_time: proof.key.event_time,
        decided_at: visit.settled_at.max(proof.key.event_time),
        confidence: if unseen.is_some() { 0.7 } else { 0.99 },
        evidence: vec![&proof.key],
        remarks: unseen.into_iter().chain(as_reported).chain(reason).collect(),
    };
    Some(milestone(stop, claim, telling))
}

/// At a pickup only taking goods on has a kind; that it failed is an exception for a person, not a milestone.
const fn completion_kind(stop: StopKind, outcome: PodOutcome) -> Option<MilestoneKind> {
    match (stop, outcome) {
        (StopKind::Depot, _) => None,
        (StopKind::Pickup, PodOutcome::Completed | PodOutcome::Partial | PodOutcome::Damaged) => {
            Some(MilestoneKind::PickupLoaded)
        }
        (StopKind::Pickup, PodOutcome::Refused | PodOutcome::Failed | PodOutcome::Returned) => None,
        (StopKind::Delivery, PodOutcome::Completed) => Some(MilestoneKind::DeliveryCompleted),
        (StopKind::Delivery, PodOutcome::Partial) => Some(MilestoneKind::DeliveryPartial),
        (StopKind::Delivery, PodOutcome::Refused) => Some(MilestoneKind::DeliveryRefused),
        (StopKind::Delivery, PodOutcome::Failed) => Some(MilestoneKind::DeliveryFailed),
        (StopKind::Delivery, PodOutcome::Damaged) => Some(MilestoneKind::DeliveryDamaged),
        (StopKind::Delivery, PodOutcome::Returned) => Some(MilestoneKind::Returned),
    }
}

const fn outcome_word(outcome: PodOutcome) -> &'static str {
    match outcome {
        PodOutcome::Completed => "completed",
        PodOutcome::Partial => "partial",
        PodOutcome::Refused => "refused",
        PodOutcome::Failed => "failed",
        PodOutcome::Damaged => "damaged",
        PodOutcome::Returned => "returned",
    }
}
