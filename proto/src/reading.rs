//! Decoded facts, before they are sealed into records.
//!
//! Promise: an unknown value is absent (`None`), never zero; every number names its unit in its field name. Variants of
//! [`Reading`] and of the enums below are only ever appended, because postcard identifies them by position.

use serde::{Deserialize, Serialize};

use crate::driver_app::{DriverAction, DriverException, Pod};
use crate::lane::Lane;

/// One decoded fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// One fix epoch of a GNSS receiver.
    Position(Position),
    /// One physical value from the vehicle bus.
    Signal(Signal),
    /// One trouble code a control unit reports.
    Diagnostic(Diagnostic),
    /// A two-state input such as ignition.
    Switch(Switch),
    /// Proof of delivery, refusal, failure or damage as the driver captured it.
    Pod(Box<Pod>),
    /// Something the driver said they did.
    DriverAction(Box<DriverAction>),
    /// Something the driver reported that someone must look at.
    DriverException(Box<DriverException>),
    /// The agent about itself.
    Health(Health),
}

impl Reading {
    /// The lane a reading of this kind travels in.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Pod(_) | Self::DriverAction(_) | Self::DriverException(_) => Lane::Evidence,
            Self::Diagnostic(_) | Self::Switch(_) | Self::Health(_) => Lane::Event,
            Self::Position(_) | Self::Signal(_) => Lane::Telemetry,
        }
    }
}

/// What kind of solution a receiver reports (NMEA 0183 GGA field 6, GSA field 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FixType {
    /// A position without height.
    #[serde(rename = "2d")]
    Fix2d,
    /// A position with height.
    #[serde(rename = "3d")]
    Fix3d,
    /// Differentially corrected.
    Dgps,
    /// Carrier phase, integer ambiguities resolved.
    RtkFixed,
    /// Carrier phase, float ambiguities.
    RtkFloat,
    /// Dead reckoning.
    Estimated,
}

/// One fix epoch. A void fix is no position and has no value of this type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Latitude in 1e-7 degree, north positive, WGS 84.
    pub lat_e7: i32,
    /// Longitude in 1e-7 degree, east positive, WGS 84.
    pub lon_e7: i32,
    /// Height above mean sea level, in centimetres.
    pub altitude_cm: Option<i32>,
    /// Speed over ground, in centimetres per second.
    pub speed_cmps: Option<u32>,
    /// Course over ground, true, in hundredths of a degree, 0 to 35999.
    pub course_cdeg: Option<u16>,
    /// What kind of solution this is.
    pub fix: FixType,
    /// Satellites used in the solution.
    pub satellites: Option<u8>,
    /// Horizontal dilution of precision, in hundredths.
    pub hdop_centi: Option<u16>,
    /// Horizontal error (about 68 %), in centimetres, where the receiver gives one.
    pub accuracy_cm: Option<u32>,
}

impl Position {
    /// Latitude in degrees.
    #[must_use]
    pub fn lat_deg(&self) -> f64 {
        f64::from(self.lat_e7) / 1e7
    }

    /// Longitude in degrees.
    #[must_use]
    pub fn lon_deg(&self) -> f64 {
        f64::from(self.lon_e7) / 1e7
    }
}

/// One physical value from the vehicle bus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Signal name: a COVESA VSS path where one exists, otherwise `MESSAGE.SIGNAL` by its J1939 or DBC names.
    pub name: String,
    /// The value in the signal's own unit.
    pub value: f64,
    /// Unit, as the table that decoded it writes it (`rpm`, `km/h`, `%`, `l/h`); empty for a plain number.
    pub unit: String,
}

/// One trouble code (SAE J1939-73 DM1, DM2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// J1939 source address of the control unit.
    pub source_address: u8,
    /// Suspect parameter number.
    pub spn: u32,
    /// Failure mode identifier, 0 to 31.
    pub fmi: u8,
    /// Occurrence count, 0 to 126; 127 when the unit does not count.
    pub occurrence: u8,
    /// Whether the code is active now (DM1) or was active before (DM2).
    pub active: bool,
}

/// A two-state input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Which input: `ignition`, `door`, `pto`, …
    pub name: String,
    /// Its state from this moment on.
    pub on: bool,
}

/// The agent about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// The agent started.
    Started {
        /// The agent's version.
        version: String,
    },
    /// A source stopped being heard.
    SourceLost {
        /// The source's name in the configuration.
        source: String,
        /// What happened, in a sentence.
        why: String,
    },
    /// A source is heard (again).
    SourceHeard {
        /// The source's name in the configuration.
        source: String,
    },
    /// The agent applied or refused something the gateway sent down.
    DownLink {
        /// The item's id.
        id: String,
        /// The item's version.
        version: u64,
        /// Why it was refused; absent when it was applied.
        refused: Option<String>,
    },
    /// A spool file could not be used and was set aside.
    SpoolQuarantined {
        /// What was wrong, in a sentence.
        why: String,
    },
    /// The vehicle said which one it is.
    VehicleIdentified {
        /// Its vehicle identification number (ISO 3779).
        vin: String,
    },
    /// The vehicle says that it is another than the configured one.
    WrongVehicle {
        /// The vehicle identification number in the configuration.
        configured: String,
        /// The one that was heard.
        heard: String,
    },
    /// The agent was up but had nowhere to record.
    SpoolAbsent {
        /// For how many seconds.
        seconds: u64,
        /// What was in the way, in a sentence.
        why: String,
    },
}

/// Why records are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// Given up by the spool's quota policy.
    Evicted,
    /// The gateway refused it.
    Refused,
    /// Set aside after failing to be sent repeatedly.
    Quarantined,
    /// Unreadable in the spool file.
    Damaged,
}

/// Counted loss: takes the place of the records it replaces and is uploaded like any record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Why they are missing.
    pub reason: GapReason,
    /// Detail for a person, in a sentence.
    pub detail: String,
}
