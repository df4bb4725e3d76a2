//! Which revisions of a milestone are worth telling Odoo.
//!
//! Promise: the first time a milestone stands, every correction and every retraction give one effect with a key of its
//! own; becoming surer, or resting on other evidence, gives none. The key follows from the milestone and its revision
//! alone, so folding again owes nothing twice.

use std::collections::BTreeMap;

use milepost_proto::{Pod, RecordId};

use crate::effect::{Effect, EffectBody};
use crate::milestone::{Milestone, Status};

/// The effects owed for `revisions`, given what was told before.
#[must_use]
pub fn effects(held: &[Milestone], revisions: &[Milestone]) -> Vec<Effect> {
    let mut told: BTreeMap<&str, &Milestone> = held.iter().map(|one| (one.milestone_id.as_str(), one)).collect();
    let mut effects = Vec::new();
    for revision in revisions {
        let before = told.insert(&revision.milestone_id, revision);
        if let (Some(facet), Some(shipment)) = (facet(before, revision), &revision.shipment) {
            effects.push(Effect {
                key: format!("{}:{facet}", revision.milestone_id),
                shipment: shipment.clone(),
                body: EffectBody::Milestone { milestone: Box::new(revision.clone()) },
            });
        }
    }
    effects
}

/// The effect owed for a proof of delivery.
#[must_use]
pub fn pod_effect(record_id: &RecordId, pod: &Pod) -> Effect {
    Effect {
        key: format!("pod:{record_id}"),
        shipment: pod.shipment.clone(),
        body: EffectBody::Pod { pod: Box::new(pod.clone()), record: record_id.to_string() },
    }
}

/// What of the milestone is new to a reader of the revision before; nothing when only its firmness or evidence is.
fn facet(before: Option<&Milestone>, now: &Milestone) -> Option<String> {
    let revision = now.revision;
    match (before.map(|before| before.status), now.status) {
        (None, Status::Retracted) | (Some(Status::Retracted), Status::Retracted) => None,
        (None, _) => Some("stands".to_owned()),
        (_, Status::Retracted) => Some(format!("retracted-r{revision}")),
        (Some(Status::Retracted), _) => Some(format!("stands-r{revision}")),
        (_, Status::Corrected) if before.is_some_and(|before| says_otherwise(before, now)) => {
            Some(format!("corrected-r{revision}"))
        }
        _ => None,
    }
}

fn says_otherwise(before: &Milestone, now: &Milestone) -> bool {
    (before.kind, before.event_time, before.visit_no) != (now.kind, now.event_time, now.visit_no)
        || (&before.trip, &before.stop, &before.shipment) != (&now.trip, &now.stop, &now.shipment)
}

#[cfg(test)]
mod tests {
    use milepost_proto::Timestamp;

    use super::*;
    use crate::milestone::MilestoneKind;

    fn milestone(revision: u32, status: Status, at: i64) -> Milestone {
        Milestone {
            milestone_id: "m1".to_owned(),
            revision,
            status,
            kind: MilestoneKind::DeliveryArrived,
            trip: "T1".to_owned(),
            stop: Some("S1".to_owned()),
            shipment: Some("P1".to_owned()),
            visit_no: 1,
            event_time: Timestamp::from_millis(at),
            confidence: 1.0,
            evidence: Vec::new(),
            rule_version: "1".to_owned(),
            remarks: Vec::new(),
        }
    }

    #[track_caller]
    fn check(held: &[Milestone], revisions: &[Milestone], expected: &[&str]) {
        let keys: Vec<String> = effects(held, revisions).into_iter().map(|effect| effect.key).collect();
        assert_eq!(keys, expected);
    }

    #[test]
    fn only_what_a_reader_would_otherwise_get_wrong_is_told() {
        use Status::{Confirmed, Corrected, Provisional, Retracted};
        check(&[], &[milestone(1, Provisional, 5)], &["m1:stands"]);
        check(&[milestone(1, Provisional, 5)], &[milestone(2, Confirmed, 5)], &[]);
        check(
            &[milestone(1, Confirmed, 5)],
            &[milestone(2, Corrected, 6), milestone(3, Confirmed, 6)],
            &["m1:corrected-r2"],
        );
        check(&[milestone(2, Corrected, 6)], &[milestone(3, Corrected, 6)], &[]);
        check(&[milestone(1, Confirmed, 5)], &[milestone(2, Retracted, 5)], &["m1:retracted-r2"]);
        check(&[milestone(2, Retracted, 5)], &[milestone(3, Provisional, 7)], &["m1:stands-r3"]);
        check(&[], &[Milestone { shipment: None, ..milestone(1, Provisional, 5) }], &[]);
    }
}
