//! What can be asked for, by word or by number.
//!
//! Promise: pure; a word that is none, and a parameter that has no value the agent could read, are refused with what
//! would do.

use std::fmt;
use std::str::FromStr;

use super::super::pid;
use super::super::{CURRENT_DATA, VEHICLE_INFORMATION, VIN_ITEM};
use crate::source::can::vin;

/// Set in an answer's service.
const ANSWERED: u8 = 0x40;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantity {
    /// A parameter of current data (SAE J1979, mode 01), by its number.
    Parameter(u8),
    /// The vehicle's number (mode 09).
    Vin,
    /// The vehicle's number as trucks give it: the parameter group 65260, by a request (SAE J1939-21).
    J1939Vin,
}

/// What goes out on the bus for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// A service of OBD-II and one of its items.
    Obd { service: u8, item: u8 },
    /// A J1939 parameter group.
    Group(u32),
}

/// The words of the configuration.
const WORDS: [(&str, Quantity); 16] = [
    ("engine_load", Quantity::Parameter(0x04)),
    ("coolant_temperature", Quantity::Parameter(0x05)),
    ("engine_speed", Quantity::Parameter(0x0c)),
    ("speed", Quantity::Parameter(0x0d)),
    ("intake_temperature", Quantity::Parameter(0x0f)),
    ("air_flow", Quantity::Parameter(0x10)),
    ("throttle", Quantity::Parameter(0x11)),
    ("run_time", Quantity::Parameter(0x1f)),
    ("fuel_level", Quantity::Parameter(0x2f)),
    ("module_voltage", Quantity::Parameter(0x42)),
    ("ambient_temperature", Quantity::Parameter(0x46)),
    ("oil_temperature", Quantity::Parameter(0x5c)),
    ("fuel_rate", Quantity::Parameter(0x5e)),
    ("odometer", Quantity::Parameter(0xa6)),
    ("vin", Quantity::Vin),
    ("j1939_vin", Quantity::J1939Vin),
];

/// A word that names nothing that can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} cannot be asked for; use {} or the number of a parameter with a physical value, such as 0x5C",
    WORDS.map(|(word, _)| word).join(", ")
)]
pub struct UnknownQuantity {
    found: String,
}

impl FromStr for Quantity {
    type Err = UnknownQuantity;

    fn from_str(word: &str) -> Result<Self, UnknownQuantity> {
        let known = WORDS.iter().find(|(known, _)| *known == word).map(|(_, quantity)| *quantity);
        let parameter = || number(word).filter(|number| pid::find(*number).is_some()).map(Self::Parameter);
        known.or_else(parameter).ok_or_else(|| UnknownQuantity { found: word.to_owned() })
    }
}

/// `0x5C` or `92`.
fn number(word: &str) -> Option<u8> {
    match word.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (WORDS.iter().find(|(_, quantity)| quantity == self), self) {
            (Some((word, _)), _) => f.write_str(word),
            (None, Self::Parameter(number)) => write!(f, "0x{number:02X}"),
            (None, _) => write!(f, "{self:?}"),
        }
    }
}

impl Quantity {
    pub(super) const fn question(self) -> Question {
        match self {
            Self::Parameter(item) => Question::Obd { service: CURRENT_DATA - ANSWERED, item },
            Self::Vin => Question::Obd { service: VEHICLE_INFORMATION - ANSWERED, item: VIN_ITEM },
            Self::J1939Vin => Question::Group(vin::PGN),
        }
    }
}

impl Question {
    pub(super) const fn is_answered_by(self, service: u8, item: u8) -> bool {
        match self {
            Self::Obd { service: asked, item: of } => asked | ANSWERED == service && of == item,
            Self::Group(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_name_what_can_be_asked_for() {
        for (word, expected) in [
            ("speed", Quantity::Parameter(0x0d)),
            ("0x0D", Quantity::Parameter(0x0d)),
            ("13", Quantity::Parameter(0x0d)),
            ("0x63", Quantity::Parameter(0x63)),
            ("vin", Quantity::Vin),
            ("j1939_vin", Quantity::J1939Vin),
        ] {
            assert_eq!(word.parse(), Ok(expected), "{word}");
        }
        assert_eq!([Quantity::Parameter(0x0d), Quantity::Parameter(0x63)].map(|q| q.to_string()), ["speed", "0x63"]);
    }

    /// 0x20 says what is supported and 0x41 what a monitor has done: neither is a value.
    #[test]
    fn what_is_no_quantity_is_refused_with_those_that_are() {
        for word in ["velocity", "0x20", "0x41", "0xFF", "256", "-1", "0x", ""] {
            let error = word.parse::<Quantity>().expect_err(word).to_string();
            assert!(error.starts_with(&format!("{word:?} cannot be asked for; use engine_load, ")), "{error}");
        }
    }
}
