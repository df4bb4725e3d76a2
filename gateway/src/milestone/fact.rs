//! Facts: what of a record the engine looks at, and the order in which it looks.
//!
//! Promise: facts order by when they happened and then by which record they are, never by when they arrived, and two
//! different facts with the same key still have an order, so that a set of facts has exactly one sequence.

use std::fmt;

use milepost_proto::driver_app::{ActionKind, Outcome as PodOutcome};
use milepost_proto::reading::Signal;
use milepost_proto::{DeviceId, Lane, Reading, Record, RecordId, SpoolId, Timestamp};
use serde::{Deserialize, Serialize};

/// A fact's place in the fold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FactKey {
    /// When it happened.
    pub event_time: Timestamp,
    /// The device that recorded it.
    pub device: DeviceId,
    /// The spool it was kept in.
    pub spool: SpoolId,
    /// Its lane.
    pub lane: Lane,
    /// Its place in the lane.
    pub sequence: u64,
}

impl fmt::Display for FactKey {
    /// The record's id as evidence lists hold it: `device/spool/lane/sequence`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.device, self.spool, self.lane, self.sequence)
    }
}

/// One thing the engine can fold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fact {
    key: FactKey,
    /// What it says.
    pub kind: FactKind,
}

/// What a fact says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FactKind {
    /// The vehicle was here.
    Fix(Fix),
    /// A proof of what happened at a stop.
    Pod(Proof),
    /// The driver said so.
    DriverAction {
        /// The stop it concerns.
        stop: Option<String>,
        /// What they did.
        action: ActionKind,
    },
    /// The ignition was switched.
    Ignition {
        /// Its state from then on.
        on: bool,
    },
    /// The wheels turned this fast.
    WheelSpeed {
        /// Centimetres per second.
        cmps: u32,
    },
    /// The vehicle had driven this far in its life.
    Odometer {
        /// Metres.
        m: u64,
    },
}

/// A position, as its receiver stated it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fix {
    /// Latitude in 1e-7 degree.
    pub lat_e7: i32,
    /// Longitude in 1e-7 degree.
    pub lon_e7: i32,
    /// Speed over ground, centimetres per second.
    pub speed_cmps: Option<u32>,
    /// Horizontal error, centimetres.
    pub accuracy_cm: Option<u32>,
    /// Horizontal dilution of precision, in hundredths.
    pub hdop_centi: Option<u16>,
}

/// What a proof of delivery says about its stop.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Proof {
    /// The stop.
    pub stop: String,
    /// The shipment.
    pub shipment: String,
    /// What became of it.
    pub outcome: PodOutcome,
    /// Why, where it was not completed.
    pub reason: Option<String>,
    /// The highest stands.
    pub revision: u32,
}

impl Fact {
    /// A fact with this key.
    #[must_use]
    pub const fn new(key: FactKey, kind: FactKind) -> Self {
        Self { key, kind }
    }

    /// What the engine can use of a record; nothing where it draws nothing from its kind.
    #[must_use]
    pub fn from_record(id: &RecordId, record: &Record) -> Option<Self> {
        let kind = FactKind::from_reading(&record.reading)?;
        let key = FactKey {
            event_time: record.event_time,
            device: id.device_id.clone(),
            spool: id.spool_id,
            lane: id.lane,
            sequence: id.sequence,
        };
        Some(Self { key, kind })
    }

    /// Its place in the fold.
    #[must_use]
    pub const fn key(&self) -> &FactKey {
        &self.key
    }
}

impl FactKind {
    fn from_reading(reading: &Reading) -> Option<Self> {
        match reading {
            Reading::Position(position) => Some(Self::Fix(Fix {
                lat_e7: position.lat_e7,
                lon_e7: position.lon_e7,
                speed_cmps: position.speed_cmps,
                accuracy_cm: position.accuracy_cm,
                hdop_centi: position.hdop_centi,
            })),
            Reading::Pod(pod) => Some(Self::Pod(Proof {
                stop: pod.stop.clone(),
                shipment: pod.shipment.clone(),
                outcome: pod.outcome,
                reason: pod.reason.clone(),
                revision: pod.revision,
            })),
            Reading::DriverAction(action) => {
                Some(Self::DriverAction { stop: action.stop.clone(), action: action.action })
            }
            Reading::Switch(switch) if switch.name == "ignition" => Some(Self::Ignition { on: switch.on }),
            Reading::Signal(signal) => Self::from_signal(signal),
            Reading::Switch(_) | Reading::Diagnostic(_) | Reading::DriverException(_) | Reading::Health(_) => None,
        }
    }

    /// VSS names first, then the J1939 names of CCVS1 (SPN 84), VD (SPN 245) and VDHR (SPN 917).
    fn from_signal(signal: &Signal) -> Option<Self> {
        match signal.name.rsplit('.').next()? {
            _ if signal.name == "Vehicle.Speed" => wheel_speed(signal),
            _ if signal.name == "Vehicle.TraveledDistance" => odometer(signal),
            "WheelBasedVehicleSpeed" => wheel_speed(signal),
            "TotalVehicleDistance" | "HRTotalVehicleDistance" | "HghRslutionTotalVehicleDistance" => odometer(signal),
            _ => None,
        }
    }
}

fn wheel_speed(signal: &Signal) -> Option<FactKind> {
    let cmps = match signal.unit.as_str() {
        "km/h" => signal.value * 100.0 / 3.6,
        "m/s" => signal.value * 100.0,
        "mph" => signal.value * 44.704,
        _ => return None,
    };
    let cmps = u32::try_from(whole(cmps)?).ok()?;
    Some(FactKind::WheelSpeed { cmps })
}

fn odometer(signal: &Signal) -> Option<FactKind> {
    let m = match signal.unit.as_str() {
        "m" => signal.value,
        "km" => signal.value * 1000.0,
        _ => return None,
    };
    whole(m).map(|m| FactKind::Odometer { m })
}

/// `value` rounded, if it is a number of 0 to 1e12.
fn whole(value: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    (0.0..=1e12).contains(&value).then(|| value.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(name: &str, value: f64, unit: &str) -> Option<FactKind> {
        FactKind::from_signal(&Signal { name: name.to_owned(), value, unit: unit.to_owned() })
    }

    #[test]
    fn wheel_speed_and_odometer_are_known_by_their_names_and_units() {
        let check = |name, value, unit, expected| assert_eq!(signal(name, value, unit), expected, "{name} {unit}");
        check("Vehicle.Speed", 36.0, "km/h", Some(FactKind::WheelSpeed { cmps: 1000 }));
        check("CCVS1.WheelBasedVehicleSpeed", 1.5, "m/s", Some(FactKind::WheelSpeed { cmps: 150 }));
        check("Vehicle.TraveledDistance", 12.5, "km", Some(FactKind::Odometer { m: 12_500 }));
        check("VDHR.HghRslutionTotalVehicleDistance", 500.0, "m", Some(FactKind::Odometer { m: 500 }));
        check("Vehicle.Speed", 36.0, "furlong/h", None);
        check("Vehicle.Speed", f64::NAN, "km/h", None);
        check("Vehicle.Speed", -1.0, "km/h", None);
        check("EEC1.EngSpeed", 900.0, "rpm", None);
    }

    #[test]
    fn what_happened_first_comes_first_whichever_record_it_is() {
        let key = |millis, sequence| FactKey {
            event_time: Timestamp::from_millis(millis),
            device: "truck-7".parse().expect("name"),
            spool: SpoolId([0; 16]),
            lane: Lane::Telemetry,
            sequence,
        };
        assert!(key(1, 9) < key(2, 1));
        assert!(key(2, 1) < key(2, 2));
        assert_eq!(key(1, 9).to_string(), "truck-7/00000000000000000000000000000000/telemetry/9");
    }
}
