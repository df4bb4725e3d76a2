//! From what stands to what must be told.
//!
//! Promise: a revision is emitted exactly when a reader of the last one would be wrong or less sure than need be, and
//! telling the same standing set twice emits nothing the second time.
//!
//! A *standing* milestone is only `provisional` or `confirmed`, which is a function of the facts and the low-water mark;
//! `corrected` and `retracted` are said of a *revision*, because they depend on what was told before:
//!
//! | told before | stands now | emitted, revision rising by 1 each |
//! |---|---|---|
//! | nothing | yes | as it stands |
//! | provisional | same, confirmed | confirmed |
//! | confirmed or corrected | same, provisional | nothing: what was firm does not become less so |
//! | provisional, confirmed or corrected | what, where or when differs | corrected, and confirmed after it if it stands so |
//! | corrected | same, confirmed | confirmed |
//! | any but retracted | same, but with other evidence, confidence, rules or remarks | its status kept, or confirmed |
//! | any but retracted | no | retracted, with the content last told |
//! | retracted | no | nothing |
//! | retracted | yes, again | as it stands |

use std::collections::BTreeMap;

use super::{Milestone, Status};

/// What to announce, given the last revision `held` of each milestone ever told and those that stand now.
///
/// The answer is in the order of `standing`, retractions last in the order of `held`; one id may occur twice, as a
/// correction and its confirmation. A caller that folds the answer into `held` gets nothing from the same call again.
#[must_use]
pub fn revise(held: &[Milestone], standing: Vec<Milestone>) -> Vec<Milestone> {
    let mut told: BTreeMap<&str, &Milestone> = held.iter().map(|one| (one.milestone_id.as_str(), one)).collect();
    let mut revisions = Vec::new();
    for one in standing {
        let before = told.remove(one.milestone_id.as_str());
        match before {
            None => revisions.push(Milestone { revision: 1, ..one }),
            Some(before) => tell(before, one, &mut revisions),
        }
    }
    let gone = held.iter().filter(|one| told.contains_key(one.milestone_id.as_str()));
    let gone = gone.filter(|one| one.status != Status::Retracted);
    revisions.extend(gone.map(|one| Milestone {
        revision: one.revision.saturating_add(1),
        status: Status::Retracted,
        ..one.clone()
    }));
    revisions
}

fn tell(before: &Milestone, now: Milestone, revisions: &mut Vec<Milestone>) {
    let next = before.revision.saturating_add(1);
    if before.status == Status::Retracted {
        revisions.push(Milestone { revision: next, ..now });
    } else if says_otherwise(before, &now) {
        let confirmed =
            (now.status == Status::Confirmed).then(|| Milestone { revision: next.saturating_add(1), ..now.clone() });
        revisions.push(Milestone { revision: next, status: Status::Corrected, ..now });
        revisions.extend(confirmed);
    } else {
        let status = if now.status == Status::Confirmed { Status::Confirmed } else { before.status };
        let now = Milestone { revision: before.revision, status, ..now };
        if now != *before {
            revisions.push(Milestone { revision: next, ..now });
        }
    }
}

/// Whether what was told is wrong: another what, where or when. Better evidence for the same is no correction.
fn says_otherwise(before: &Milestone, now: &Milestone) -> bool {
    (before.kind, before.event_time, before.visit_no) != (now.kind, now.event_time, now.visit_no)
        || (&before.trip, &before.stop, &before.shipment) != (&now.trip, &now.stop, &now.shipment)
}

#[cfg(test)]
mod tests {
    use milepost_proto::Timestamp;

    use super::*;
    use crate::milestone::MilestoneKind;

    fn arrival(at_s: i64, status: Status) -> Milestone {
        Milestone {
            milestone_id: "ms_1".to_owned(),
            revision: 0,
            status,
            kind: MilestoneKind::DeliveryArrived,
            trip: "T1".to_owned(),
            stop: Some("S1".to_owned()),
            shipment: Some("P1".to_owned()),
            visit_no: 1,
            event_time: Timestamp::from_millis(at_s * 1000),
            confidence: 0.9,
            evidence: Vec::new(),
            rule_version: "r1".to_owned(),
            remarks: Vec::new(),
        }
    }

    /// What stands, and the revisions that telling it has to emit.
    type Step<'a> = (Option<Milestone>, &'a [(u32, Status)]);

    /// Tells each standing set in turn, and at each step once more to see that nothing is left to tell.
    fn check(steps: &[Step<'_>]) {
        let mut held: Vec<Milestone> = Vec::new();
        for (step, (standing, expected)) in steps.iter().enumerate() {
            let standing: Vec<Milestone> = standing.iter().cloned().collect();
            let told = revise(&held, standing.clone());
            let brief: Vec<_> = told.iter().map(|one| (one.revision, one.status)).collect();
            assert_eq!(brief, *expected, "step {step}");
            held = told.last().cloned().into_iter().chain(held).take(1).collect();
            assert_eq!(revise(&held, standing), [], "step {step} told twice");
        }
    }

    use Status::{Confirmed, Corrected, Provisional, Retracted};

    #[test]
    fn reaching_confirmed_is_a_revision_and_is_never_taken_back() {
        check(&[
            (Some(arrival(10, Provisional)), &[(1, Provisional)]),
            (Some(arrival(10, Confirmed)), &[(2, Confirmed)]),
            (Some(arrival(10, Provisional)), &[]),
        ]);
    }

    #[test]
    fn another_time_is_a_correction_which_may_be_confirmed_in_turn() {
        check(&[
            (Some(arrival(10, Provisional)), &[(1, Provisional)]),
            (Some(arrival(5, Provisional)), &[(2, Corrected)]),
            (Some(arrival(5, Confirmed)), &[(3, Confirmed)]),
            (Some(arrival(4, Confirmed)), &[(4, Corrected), (5, Confirmed)]),
        ]);
    }

    #[test]
    fn what_no_longer_stands_is_retracted_once_and_may_return() {
        check(&[
            (Some(arrival(10, Confirmed)), &[(1, Confirmed)]),
            (None, &[(2, Retracted)]),
            (None, &[]),
            (Some(arrival(12, Provisional)), &[(3, Provisional)]),
        ]);
    }

    #[test]
    fn better_evidence_is_a_revision_but_no_correction() {
        let better = Milestone { evidence: vec!["truck-7/0/telemetry/4".to_owned()], ..arrival(10, Provisional) };
        check(&[(Some(arrival(10, Provisional)), &[(1, Provisional)]), (Some(better), &[(2, Provisional)])]);
    }
}
