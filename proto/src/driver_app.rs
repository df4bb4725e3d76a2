//! What the driver app says, whichever way it arrives (MQTT, serial, HTTP): proof of delivery, actions, exceptions.
//!
//! Promise: a value that passed its `check` is complete, bounded and free of contradictions, so it can be kept as evidence
//! for years. A value that fails gets a [`Rejection`]: a code for the app, a sentence for the driver, and the mend.
//! The JSON names are a contract with other people's apps; [`Pod`] and the rest only ever gain optional fields.

use serde::{Deserialize, Serialize};

use crate::blob::Sha256;
use crate::time::Timestamp;

/// Longest `client_ref`, stop, shipment, item reference or barcode, in bytes.
pub const REFERENCE_BYTES_MAX: usize = 128;
/// Longest remark or other free text, in bytes.
pub const TEXT_BYTES_MAX: usize = 4096;
/// Most items in one proof of delivery.
pub const ITEMS_MAX: usize = 1000;
/// Most photos in one proof of delivery.
pub const PHOTOS_MAX: usize = 20;

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything was handed over.
    Completed,
    /// Some of it was handed over.
    Partial,
    /// The consignee would not take it.
    Refused,
    /// It could not be attempted or finished.
    Failed,
    /// It was handed over damaged, or found damaged.
    Damaged,
    /// It goes back.
    Returned,
}

/// Proof of what happened at a stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pod {
    /// The app's own reference: the same capture sent twice is one record.
    pub client_ref: String,
    /// The stop's id in the trip.
    pub stop: String,
    /// The shipment.
    pub shipment: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Reason code (X12 element 1651) where the outcome is not `completed`.
    #[serde(default)]
    pub reason: Option<String>,
    /// When it was captured, by the phone's clock; the agent's time when absent.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// Quantities per item.
    #[serde(default)]
    pub items: Vec<PodItem>,
    /// Who took it.
    #[serde(default)]
    pub recipient: Option<Recipient>,
    /// The signature image's content address.
    #[serde(default)]
    pub signature: Option<Sha256>,
    /// The photos' content addresses.
    #[serde(default)]
    pub photos: Vec<Sha256>,
    /// Free text.
    #[serde(default)]
    pub remarks: Option<String>,
    /// Who captured it.
    #[serde(default)]
    pub driver: Option<String>,
    /// Rises when the driver corrects a capture; the first is 1.
    #[serde(default = "first_revision")]
    pub revision: u32,
    /// Where the vehicle was at capture and how far its clock could be trusted; the agent adds it.
    #[serde(default)]
    pub capture: Option<Capture>,
}

fn first_revision() -> u32 {
    1
}

/// What the agent knew when a capture arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// Latitude of the vehicle's last fix, 1e-7 degree.
    pub lat_e7: i32,
    /// Longitude of the vehicle's last fix, 1e-7 degree.
    pub lon_e7: i32,
    /// How old that fix was, milliseconds.
    pub fix_age_ms: u64,
}

/// Quantities of one item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodItem {
    /// The order line's reference.
    pub r#ref: String,
    /// What was scanned.
    #[serde(default)]
    pub barcode: Option<String>,
    /// Planned quantity.
    #[serde(default)]
    pub planned: Option<f64>,
    /// Handed over in good order.
    #[serde(default)]
    pub delivered: f64,
    /// Not taken.
    #[serde(default)]
    pub refused: f64,
    /// Damaged.
    #[serde(default)]
    pub damaged: f64,
    /// Reason code (X12 element 1651) for what was not delivered.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Who took the goods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Their name.
    pub name: String,
    /// What they are to the consignee.
    #[serde(default)]
    pub role: Option<String>,
}

/// What a driver says they did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Began the trip.
    TripStarted,
    /// Ended the trip.
    TripEnded,
    /// Reached a stop.
    Arrived,
    /// Began loading.
    Loading,
    /// Began unloading.
    Unloading,
    /// Left a stop.
    Departed,
    /// Will not serve a stop.
    Skipped,
}

/// An action of the driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverAction {
    /// The app's own reference.
    pub client_ref: String,
    /// What they did.
    pub action: ActionKind,
    /// The stop it concerns; absent for trip actions.
    #[serde(default)]
    pub stop: Option<String>,
    /// When, by the phone's clock; the agent's time when absent.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// Who.
    #[serde(default)]
    pub driver: Option<String>,
}

/// Something a driver reports that someone must look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverException {
    /// The app's own reference.
    pub client_ref: String,
    /// Reason code (X12 element 1651) or a code of the fleet's own.
    pub code: String,
    /// The stop it concerns.
    #[serde(default)]
    pub stop: Option<String>,
    /// Free text.
    #[serde(default)]
    pub text: Option<String>,
    /// Photos' content addresses.
    #[serde(default)]
    pub photos: Vec<Sha256>,
    /// When, by the phone's clock; the agent's time when absent.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// Who.
    #[serde(default)]
    pub driver: Option<String>,
}

/// Why something from the driver app was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({mend})")]
pub struct Rejection {
    /// For the app.
    pub code: RejectionCode,
    /// For the driver, in a sentence.
    pub message: String,
    /// What to do about it.
    pub mend: String,
}

/// Codes of [`Rejection`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectionCode {
    /// Not JSON of the expected shape.
    Malformed,
    /// A field is missing, too long or out of range.
    InvalidField,
    /// The stop is not on the current trip.
    UnknownStop,
    /// A photo, signature or message is larger than allowed.
    TooLarge,
    /// The bytes do not have the hash they were sent under.
    HashMismatch,
    /// The same `client_ref` was accepted before with other content.
    ConflictingReference,
    /// The vehicle cannot keep it now.
    NotAccepted,
}

impl RejectionCode {
    /// The code's word in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::InvalidField => "invalid_field",
            Self::UnknownStop => "unknown_stop",
            Self::TooLarge => "too_large",
            Self::HashMismatch => "hash_mismatch",
            Self::ConflictingReference => "conflicting_reference",
            Self::NotAccepted => "not_accepted",
        }
    }
}

impl Rejection {
    /// A rejection.
    #[must_use]
    pub fn new(code: RejectionCode, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { code, message: message.into(), mend: mend.into() }
    }

    fn field(name: &str, message: &str, mend: &str) -> Self {
        Self::new(RejectionCode::InvalidField, format!("{name} {message}"), mend)
    }
}

impl Pod {
    /// Checks every bound.
    ///
    /// # Errors
    /// The first [`Rejection`].
    pub fn check(&self) -> Result<(), Rejection> {
        check_reference("client_ref", &self.client_ref)?;
        check_reference("stop", &self.stop)?;
        check_reference("shipment", &self.shipment)?;
        check_text("reason", self.reason.as_deref())?;
        check_text("remarks", self.remarks.as_deref())?;
        check_text("driver", self.driver.as_deref())?;
        if let Some(recipient) = &self.recipient {
            check_text("recipient.name", Some(&recipient.name))?;
            check_text("recipient.role", recipient.role.as_deref())?;
        }
        check_count("photos", self.photos.len(), PHOTOS_MAX)?;
        check_count("items", self.items.len(), ITEMS_MAX)?;
        if self.revision == 0 {
            return Err(Rejection::field("revision", "is 0", "number revisions from 1"));
        }
        self.items.iter().try_for_each(PodItem::check)
    }
}

impl PodItem {
    fn check(&self) -> Result<(), Rejection> {
        check_reference("items.ref", &self.r#ref)?;
        check_text("items.barcode", self.barcode.as_deref())?;
        check_text("items.reason", self.reason.as_deref())?;
        let quantities = [self.planned.unwrap_or(0.0), self.delivered, self.refused, self.damaged];
        if quantities.iter().all(|quantity| (0.0..=1e9).contains(quantity)) {
            Ok(())
        } else {
            Err(Rejection::field("items", "has a quantity below 0 or above 1e9", "send quantities of 0 or more"))
        }
    }
}

impl DriverAction {
    /// Checks every bound.
    ///
    /// # Errors
    /// The first [`Rejection`].
    pub fn check(&self) -> Result<(), Rejection> {
        check_reference("client_ref", &self.client_ref)?;
        check_text("driver", self.driver.as_deref())?;
        match (&self.stop, self.action) {
            (Some(stop), _) => check_reference("stop", stop),
            (None, ActionKind::TripStarted | ActionKind::TripEnded) => Ok(()),
            (None, _) => Err(Rejection::field("stop", "is missing", "say which stop the action is about")),
        }
    }
}

impl DriverException {
    /// Checks every bound.
    ///
    /// # Errors
    /// The first [`Rejection`].
    pub fn check(&self) -> Result<(), Rejection> {
        check_reference("client_ref", &self.client_ref)?;
        check_reference("code", &self.code)?;
        check_text("text", self.text.as_deref())?;
        check_text("driver", self.driver.as_deref())?;
        check_count("photos", self.photos.len(), PHOTOS_MAX)?;
        self.stop.as_deref().map_or(Ok(()), |stop| check_reference("stop", stop))
    }
}

fn check_reference(name: &str, text: &str) -> Result<(), Rejection> {
    if text.is_empty() {
        Err(Rejection::field(name, "is empty", "send a value"))
    } else if text.len() > REFERENCE_BYTES_MAX {
        Err(Rejection::field(name, "is too long", "send at most 128 bytes"))
    } else if text.chars().any(char::is_control) {
        Err(Rejection::field(name, "has control characters", "send printable text"))
    } else {
        Ok(())
    }
}

fn check_text(name: &str, text: Option<&str>) -> Result<(), Rejection> {
    if text.is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
        Err(Rejection::field(name, "is too long", "send at most 4096 bytes"))
    } else {
        Ok(())
    }
}

fn check_count(name: &str, count: usize, max: usize) -> Result<(), Rejection> {
    if count > max {
        let mend = format!("send at most {max}");
        Err(Rejection::field(name, &format!("has {count} entries"), &mend))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = r#"{"client_ref":"c-1","stop":"S1","shipment":"P1","outcome":"completed"}"#;

    #[test]
    fn the_smallest_proof_of_delivery_is_enough() {
        let pod: Pod = serde_json::from_str(POD).expect("parses");
        assert_eq!(pod.check(), Ok(()));
        assert_eq!(pod.revision, 1);
    }

    #[test]
    fn contradictions_and_excess_are_named() {
        let check = |change: fn(&mut Pod)| {
            let mut pod: Pod = serde_json::from_str(POD).expect("parses");
            change(&mut pod);
            pod.check().map_err(|rejection| rejection.message)
        };
        assert_eq!(check(|pod| pod.stop.clear()), Err("stop is empty".to_owned()));
        assert_eq!(check(|pod| pod.client_ref = "x".repeat(129)), Err("client_ref is too long".to_owned()));
        assert_eq!(check(|pod| pod.shipment = "a\nb".to_owned()), Err("shipment has control characters".to_owned()));
        assert_eq!(check(|pod| pod.photos = vec![Sha256([0; 32]); 21]), Err("photos has 21 entries".to_owned()));
        assert_eq!(check(|pod| pod.revision = 0), Err("revision is 0".to_owned()));
        let nan = |pod: &mut Pod| {
            pod.items = vec![PodItem {
                r#ref: "l1".to_owned(),
                barcode: None,
                planned: None,
                delivered: f64::NAN,
                refused: 0.0,
                damaged: 0.0,
                reason: None,
            }];
        };
        assert!(check(nan).is_err());
    }

    #[test]
    fn an_action_at_a_stop_names_the_stop() {
        let action: DriverAction = serde_json::from_str(r#"{"client_ref":"a","action":"arrived"}"#).expect("parses");
        assert_eq!(action.check().map_err(|r| r.code), Err(RejectionCode::InvalidField));
    }
}
