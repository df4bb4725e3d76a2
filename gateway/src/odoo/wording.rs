//! What people in Odoo read.
//!
//! Promise: a note says what happened, when, how firmly it stands and what it changes about what was said before; it is
//! HTML in which everything that came from outside is escaped. Notes are internal; what a customer sees is decided
//! elsewhere. Corrections and retractions carry the EPCIS reason (`incorrect_data`, `did_not_occur`) and are worded as
//! such, never as the event happening again.

use std::fmt::Write;

use milepost_proto::Timestamp;
use milepost_proto::driver_app::{Outcome, Pod, PodItem};

use super::html::escape;
use crate::milestone::{Milestone, MilestoneKind, Status};

/// Most items listed in a note; the attached summary has them all.
const ITEMS_SHOWN_MAX: usize = 50;

/// The note for a milestone.
#[must_use]
pub fn milestone(milestone: &Milestone) -> String {
    let what = event(milestone.kind);
    let when = time(milestone.event_time);
    let visit = if milestone.visit_no > 1 { format!(", visit {}", milestone.visit_no) } else { String::new() };
    let confidence = format!("confidence {:.0} %", milestone.confidence.clamp(0.0, 1.0) * 100.0);
    let mut note = match milestone.status {
        Status::Provisional => {
            format!(
                "<p><b>{what}</b> at {when}{visit}.</p><p>Provisional ({confidence}): earlier records may still arrive.</p>"
            )
        }
        Status::Confirmed => format!("<p><b>{what}</b> at {when}{visit}.</p><p>Confirmed ({confidence}).</p>"),
        Status::Corrected => format!(
            "<p><b>Correction: {what}</b> at {when}{visit}.</p><p>This replaces what was noted before, which was wrong \
             (incorrect_data; {confidence}).</p>"
        ),
        Status::Retracted => format!(
            "<p><b>Withdrawn: {what}</b> at {when}{visit}.</p><p>This was noted before and did not happen \
             (did_not_occur).</p>"
        ),
    };
    if !milestone.remarks.is_empty() {
        note.push_str(&list(milestone.remarks.iter().map(|remark| escape(remark))));
    }
    note
}

/// The note for a proof of delivery.
#[must_use]
pub fn proof_of_delivery(pod: &Pod) -> String {
    let title = if pod.revision > 1 {
        format!("Proof of delivery, corrected (revision {})", pod.revision)
    } else {
        "Proof of delivery".to_owned()
    };
    let mut note = format!("<p><b>{title}: {}</b></p>", outcome(pod.outcome));
    note.push_str(&list(facts(pod)));
    if !pod.items.is_empty() {
        note.push_str(&items(&pod.items));
    }
    note
}

fn facts(pod: &Pod) -> Vec<String> {
    let mut facts = Vec::new();
    if let Some(reason) = &pod.reason {
        facts.push(format!("Reason: {}", escape(reason)));
    }
    if let Some(recipient) = &pod.recipient {
        let role = recipient.role.as_ref().map(|role| format!(" ({})", escape(role))).unwrap_or_default();
        facts.push(format!("Received by: {}{role}", escape(&recipient.name)));
    }
    facts.extend(pod.at.map(|at| format!("Captured: {}", time(at))));
    facts.extend(pod.driver.as_ref().map(|driver| format!("Driver: {}", escape(driver))));
    facts.extend(pod.capture.map(|capture| {
        let degrees = |e7: i32| f64::from(e7) / 1e7;
        format!(
            "Vehicle was at {:.5}, {:.5} ({} s before)",
            degrees(capture.lat_e7),
            degrees(capture.lon_e7),
            capture.fix_age_ms / 1000
        )
    }));
    facts.extend(pod.remarks.as_ref().map(|remarks| format!("Remarks: {}", escape(remarks))));
    let images = (pod.signature.is_some(), pod.photos.len());
    facts.push(match images {
        (true, 0) => "Signature attached".to_owned(),
        (true, photos) => format!("Signature and {photos} photo(s) attached"),
        (false, 0) => "Neither signature nor photos".to_owned(),
        (false, photos) => format!("{photos} photo(s) attached, no signature"),
    });
    facts
}

fn items(items: &[PodItem]) -> String {
    let mut table = "<table><tr><th>Item</th><th>Planned</th><th>Delivered</th><th>Refused</th><th>Damaged</th>\
                     <th>Reason</th></tr>"
        .to_owned();
    for item in items.iter().take(ITEMS_SHOWN_MAX) {
        let planned = item.planned.map(|planned| planned.to_string()).unwrap_or_default();
        let reason = item.reason.as_deref().map(escape).unwrap_or_default();
        let cells = [
            escape(&item.r#ref),
            planned,
            item.delivered.to_string(),
            item.refused.to_string(),
            item.damaged.to_string(),
            reason,
        ];
        table.push_str("<tr>");
        for cell in cells {
            // Writing to a String cannot fail.
            let _ = write!(table, "<td>{cell}</td>");
        }
        table.push_str("</tr>");
    }
    table.push_str("</table>");
    if items.len() > ITEMS_SHOWN_MAX {
        let _ = write!(table, "<p>and {} more, in the attached summary</p>", items.len() - ITEMS_SHOWN_MAX);
    }
    table
}

fn list(lines: impl IntoIterator<Item = String>) -> String {
    let lines: String = lines.into_iter().map(|line| format!("<li>{line}</li>")).collect();
    format!("<ul>{lines}</ul>")
}

/// `2026-11-24 10:02:05 UTC`.
fn time(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{} UTC", seconds.replace('T', " ")),
        None => text,
    }
}

const fn event(kind: MilestoneKind) -> &'static str {
    match kind {
        MilestoneKind::PickupArrived => "Arrived at the place of loading",
        MilestoneKind::PickupLoaded => "Goods loaded",
        MilestoneKind::PickupDeparted => "Left the place of loading",
        MilestoneKind::DeliveryArrived => "Arrived at the delivery address",
        MilestoneKind::DeliveryCompleted => "Delivered",
        MilestoneKind::DeliveryPartial => "Partly delivered",
        MilestoneKind::DeliveryFailed => "Delivery failed",
        MilestoneKind::DeliveryRefused => "Delivery refused",
        MilestoneKind::DeliveryDamaged => "Goods damaged",
        MilestoneKind::Returned => "Goods go back",
        MilestoneKind::DeliveryDeparted => "Left the delivery address",
    }
}

const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "everything handed over",
        Outcome::Partial => "partly handed over",
        Outcome::Refused => "refused by the consignee",
        Outcome::Failed => "delivery failed",
        Outcome::Damaged => "damaged",
        Outcome::Returned => "goods go back",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn arrived(status: Status) -> Milestone {
        Milestone {
            milestone_id: "m-1".to_owned(),
            revision: 2,
            status,
            kind: MilestoneKind::DeliveryArrived,
            trip: "T1".to_owned(),
            stop: Some("S1".to_owned()),
            shipment: Some("WH/OUT/00001".to_owned()),
            visit_no: 1,
            event_time: "2026-11-24T10:02:05.250Z".parse().expect("a time"),
            confidence: 0.974,
            evidence: Vec::new(),
            rule_version: "1".to_owned(),
            remarks: Vec::new(),
        }
    }

    #[test]
    fn a_milestone_says_what_when_and_how_firmly() {
        assert_eq!(
            milestone(&arrived(Status::Provisional)),
            "<p><b>Arrived at the delivery address</b> at 2026-11-24 10:02:05 UTC.</p>\
             <p>Provisional (confidence 97 %): earlier records may still arrive.</p>"
        );
        assert_eq!(
            milestone(&Milestone { visit_no: 2, ..arrived(Status::Confirmed) }),
            "<p><b>Arrived at the delivery address</b> at 2026-11-24 10:02:05 UTC, visit 2.</p>\
             <p>Confirmed (confidence 97 %).</p>"
        );
    }

    #[test]
    fn corrections_and_retractions_are_worded_as_such_with_their_epcis_reason() {
        let corrected = milestone(&arrived(Status::Corrected));
        assert!(
            corrected.starts_with("<p><b>Correction: Arrived") && corrected.contains("incorrect_data"),
            "{corrected}"
        );
        let retracted = milestone(&arrived(Status::Retracted));
        assert!(
            retracted.starts_with("<p><b>Withdrawn: Arrived") && retracted.contains("did_not_occur"),
            "{retracted}"
        );
    }

    #[test]
    fn remarks_are_listed_and_escaped() {
        let note = milestone(&Milestone { remarks: vec!["<b>&".to_owned()], ..arrived(Status::Confirmed) });
        assert!(note.ends_with("<ul><li>&lt;b&gt;&amp;</li></ul>"), "{note}");
    }

    fn pod(changes: serde_json::Value) -> Pod {
        let mut pod = json!({"client_ref": "c-1", "stop": "S1", "shipment": "P1", "outcome": "partial"});
        let (Some(pod_fields), serde_json::Value::Object(changes)) = (pod.as_object_mut(), changes) else {
            panic!("objects");
        };
        pod_fields.extend(changes);
        serde_json::from_value(pod).expect("a pod")
    }

    #[test]
    fn a_proof_lists_who_what_and_how_much() {
        let note = proof_of_delivery(&pod(json!({
            "reason": "A13",
            "at": "2026-11-24T10:05:00Z",
            "recipient": {"name": "J. Smith", "role": "warehouse"},
            "signature": "00".repeat(32),
            "photos": ["11".repeat(32)],
            "items": [{"ref": "move-5", "planned": 10, "delivered": 9, "damaged": 1, "reason": "dented"}],
            "capture": {"lat_e7": 473_770_000, "lon_e7": 85_400_000, "fix_age_ms": 4200},
        })));
        for part in [
            "<b>Proof of delivery: partly handed over</b>",
            "<li>Reason: A13</li>",
            "<li>Received by: J. Smith (warehouse)</li>",
            "<li>Captured: 2026-11-24 10:05:00 UTC</li>",
            "<li>Vehicle was at 47.37700, 8.54000 (4 s before)</li>",
            "<li>Signature and 1 photo(s) attached</li>",
            "<tr><td>move-5</td><td>10</td><td>9</td><td>0</td><td>1</td><td>dented</td></tr>",
        ] {
            assert!(note.contains(part), "{part} in {note}");
        }
    }

    #[test]
    fn nothing_a_driver_wrote_becomes_markup() {
        let evil = "<script>alert(1)</script>";
        let note = proof_of_delivery(&pod(json!({
            "reason": evil, "remarks": evil, "driver": evil, "recipient": {"name": evil, "role": evil},
            "items": [{"ref": evil, "reason": evil}],
        })));
        assert!(!note.contains("<script"), "{note}");
        assert_eq!(note.matches("&lt;script&gt;").count(), 7, "{note}");
    }

    #[test]
    fn a_corrected_proof_says_so_and_a_long_one_is_cut() {
        let items: Vec<_> = (0..60).map(|line| json!({"ref": format!("move-{line}")})).collect();
        let note = proof_of_delivery(&pod(json!({"revision": 2, "items": items})));
        assert!(note.contains("corrected (revision 2)"), "{note}");
        assert_eq!(note.matches("<td>move-").count(), 50);
        assert!(note.contains("and 10 more"), "{note}");
    }
}
