//! Names of milestones.
//!
//! Promise: the name of a milestone follows from what it is about and from nothing that can change: not its time, its
//! evidence, the rules, or the vehicle. Different subjects never share a name, because every part is framed by its
//! length before it is hashed.

use milepost_proto::{FleetId, Sha256};

use super::MilestoneKind;

/// What a milestone is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Whose data.
    pub fleet: &'a FleetId,
    /// The trip.
    pub trip: &'a str,
    /// The stop, absent for trip-level kinds.
    pub stop: Option<&'a str>,
    /// The shipment.
    pub shipment: Option<&'a str>,
    /// What happened.
    pub kind: MilestoneKind,
    /// How many times it happened before, plus 1.
    pub occurrence: u32,
}

/// `ms_` and the first 32 hex digits of the SHA-256 of the subject.
#[must_use]
pub fn milestone_id(subject: &Subject<'_>) -> String {
    let mut framed = b"milepost milestone 1".to_vec();
    let occurrence = subject.occurrence.to_string();
    let parts = [
        Some(subject.fleet.as_str()),
        Some(subject.trip),
        subject.stop,
        subject.shipment,
        Some(subject.kind.as_str()),
        Some(occurrence.as_str()),
    ];
    for part in parts {
        frame(part, &mut framed);
    }
    let digest = Sha256::of(&framed).to_string();
    format!("ms_{}", &digest[..32])
}

/// An absent part is a single 0; a present one is 1, its length, and its bytes.
fn frame(part: Option<&str>, framed: &mut Vec<u8>) {
    match part {
        None => framed.push(0),
        Some(text) => {
            framed.push(1);
            framed.extend_from_slice(&(text.len() as u64).to_le_bytes());
            framed.extend_from_slice(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_subjects_share_a_name() {
        let fleet: FleetId = "acme".parse().expect("name");
        let kind = MilestoneKind::DeliveryArrived;
        let base = Subject { fleet: &fleet, trip: "T", stop: Some("S"), shipment: None, kind, occurrence: 1 };
        let subjects = [
            base,
            Subject { shipment: Some(""), ..base },
            Subject { stop: None, shipment: Some("S"), ..base },
            Subject { trip: "TS", stop: Some(""), ..base },
            Subject { trip: "", stop: Some("TS"), ..base },
            Subject { kind: MilestoneKind::DeliveryDeparted, ..base },
            Subject { occurrence: 2, ..base },
        ];
        let names: BTreeSet<String> = subjects.iter().map(milestone_id).collect();
        assert_eq!(names.len(), subjects.len());
        assert!(names.iter().all(|name| name.len() == 35 && name.starts_with("ms_")), "{names:?}");
    }
}
