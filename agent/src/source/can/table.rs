//! The parameter groups a fleet needs, and where their signals lie.
//!
//! Promise: layouts, scaling and ranges follow SAE J1939-71; a value is given only inside the valid range of its width,
//! the codes above it (reserved, error, not available) are faults. Names are the standard's; a COVESA VSS path is added
//! where one means the same in the same unit.

use crate::source::fault::Fault;

/// A parameter group.
#[derive(Debug, PartialEq)]
pub struct Message {
    /// Parameter group number.
    pub pgn: u32,
    /// The standard's acronym.
    pub name: &'static str,
    /// Its signals, in the order they lie.
    pub signals: &'static [SignalSpec],
}

/// Where a signal lies and what it means.
#[derive(Debug, PartialEq)]
pub struct SignalSpec {
    /// Suspect parameter number.
    pub spn: u32,
    /// The standard's name, shortened as its databases do.
    pub name: &'static str,
    /// COVESA VSS path with the same meaning and unit.
    pub vss: Option<&'static str>,
    /// Unit of the scaled value.
    pub unit: &'static str,
    /// First bit, counted from bit 0 of byte 0; little-endian.
    start_bit: u8,
    /// Width: 2, 8, 16 or 32.
    bits: u8,
    /// Units per bit, as a fraction so that results are exact where they can be.
    numerator: i32,
    denominator: i32,
    /// What zero means.
    offset: i32,
}

/// High resolution distance (VDHR), preferred over [`COARSE_DISTANCE_PGN`].
pub const FINE_DISTANCE_PGN: u32 = 65217;
/// Distance (VD).
pub const COARSE_DISTANCE_PGN: u32 = 65248;

/// The table's message for a parameter group.
#[must_use]
pub fn find(pgn: u32) -> Option<&'static Message> {
    MESSAGES.iter().find(|message| message.pgn == pgn)
}

/// A message with the data of one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MessageData<'a> {
    /// Which message.
    pub message: &'static Message,
    /// The frame's data.
    pub data: &'a [u8],
}

impl<'a> MessageData<'a> {
    /// Each signal with its value, or why it has none.
    pub fn signals(&self) -> impl Iterator<Item = (&'static SignalSpec, Result<f64, Fault>)> + use<'a> {
        let data = self.data;
        self.message.signals.iter().map(move |spec| (spec, spec.value(data)))
    }
}

impl SignalSpec {
    /// The name a reading of it carries: its VSS path, otherwise `MESSAGE.SIGNAL`.
    #[must_use]
    pub fn reading_name(&self, message: &Message) -> String {
        self.vss.map_or_else(|| format!("{}.{}", message.name, self.name), str::to_owned)
    }

    fn value(&self, data: &[u8]) -> Result<f64, Fault> {
        let first = usize::from(self.start_bit / 8);
        let width = usize::from(self.bits.div_ceil(8));
        let bytes = data.get(first..first + width).ok_or(Fault::ShortFrame)?;
        let word = bytes.iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let mask = u32::MAX >> (32 - u32::from(self.bits));
        let raw = word >> (self.start_bit % 8) & mask;
        self.check_range(raw)?;
        Ok(f64::from(raw) * f64::from(self.numerator) / f64::from(self.denominator) + f64::from(self.offset))
    }

    /// J1939-71 table 1: the most significant byte (of states, the whole field) says what kind of code it is.
    const fn check_range(&self, raw: u32) -> Result<(), Fault> {
        if self.bits == 2 {
            return match raw {
                0 | 1 => Ok(()),
                2 => Err(Fault::ErrorCode),
                _ => Err(Fault::NotAvailable),
            };
        }
        match raw >> (self.bits - 8) {
            0..=0xfa => Ok(()),
            0xff => Err(Fault::NotAvailable),
            _ => Err(Fault::ErrorCode),
        }
    }

    const fn new(spn: u32, name: &'static str, place: (u8, u8), scale: (i32, i32, i32), unit: &'static str) -> Self {
        let ((byte, bits), (numerator, denominator, offset)) = (place, scale);
        Self { spn, name, vss: None, unit, start_bit: (byte - 1) * 8, bits, numerator, denominator, offset }
    }

    /// Two bits, the first of them bit `bit` (from 1, as the standard counts) of its byte.
    const fn state(spn: u32, name: &'static str, byte: u8, bit: u8) -> Self {
        let spec = Self::new(spn, name, (byte, 2), (1, 1, 0), "");
        Self { start_bit: spec.start_bit + bit - 1, ..spec }
    }

    const fn vss(self, path: &'static str) -> Self {
        Self { vss: Some(path), ..self }
    }
}

type S = SignalSpec;

/// Each signal: parameter number, name, (first byte from 1, bits), (units per bit as a fraction, offset), unit.
const MESSAGES: &[Message] = &[
    Message {
        pgn: 61443,
        name: "EEC2",
        signals: &[
            S::new(91, "AccelPedalPos1", (2, 8), (2, 5, 0), "%").vss("Vehicle.Chassis.Accelerator.PedalPosition"),
            S::new(92, "EngPercentLoadAtCurrentSpeed", (3, 8), (1, 1, 0), "%"),
        ],
    },
    Message {
        pgn: 61444,
        name: "EEC1",
        signals: &[
            S::new(513, "ActualEngPercentTorque", (3, 8), (1, 1, -125), "%"),
            S::new(190, "EngSpeed", (4, 16), (1, 8, 0), "rpm").vss("Vehicle.Powertrain.CombustionEngine.Speed"),
        ],
    },
    Message {
        pgn: FINE_DISTANCE_PGN,
        name: "VDHR",
        signals: &[
            S::new(917, "HghRslutionTotalVehicleDistance", (1, 32), (1, 200, 0), "km").vss("Vehicle.TraveledDistance"),
            S::new(918, "HghRslutionTripDistance", (5, 32), (1, 200, 0), "km"),
        ],
    },
    Message {
        pgn: COARSE_DISTANCE_PGN,
        name: "VD",
        signals: &[
            S::new(244, "TripDistance", (1, 32), (1, 8, 0), "km"),
            S::new(245, "TotalVehicleDistance", (5, 32), (1, 8, 0), "km").vss("Vehicle.TraveledDistance"),
        ],
    },
    Message {
        pgn: 65253,
        name: "HOURS",
        signals: &[S::new(247, "EngTotalHoursOfOperation", (1, 32), (1, 20, 0), "h")
            .vss("Vehicle.Powertrain.CombustionEngine.EngineHours")],
    },
    Message {
        pgn: 65257,
        name: "LFC1",
        signals: &[
            S::new(182, "EngTripFuel", (1, 32), (1, 2, 0), "l"),
            S::new(250, "EngTotalFuelUsed", (5, 32), (1, 2, 0), "l"),
        ],
    },
    Message {
        pgn: 65262,
        name: "ET1",
        signals: &[
            S::new(110, "EngCoolantTemp", (1, 8), (1, 1, -40), "°C")
                .vss("Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature"),
            S::new(175, "EngOilTemp1", (3, 16), (1, 32, -273), "°C")
                .vss("Vehicle.Powertrain.CombustionEngine.EngineOil.Temperature"),
        ],
    },
    Message {
        pgn: 65265,
        name: "CCVS1",
        signals: &[
            S::state(70, "ParkingBrakeSwitch", 1, 3),
            S::new(84, "WheelBasedVehicleSpeed", (2, 16), (1, 256, 0), "km/h").vss("Vehicle.Speed"),
        ],
    },
    Message {
        pgn: 65266,
        name: "LFE1",
        signals: &[
            S::new(183, "EngFuelRate", (1, 16), (1, 20, 0), "l/h"),
            S::new(184, "EngInstantaneousFuelEconomy", (3, 16), (1, 512, 0), "km/l"),
            S::new(185, "EngAverageFuelEconomy", (5, 16), (1, 512, 0), "km/l"),
        ],
    },
    Message {
        pgn: 65269,
        name: "AMB",
        signals: &[
            S::new(108, "BarometricPress", (1, 8), (1, 2, 0), "kPa"),
            S::new(171, "AmbientAirTemp", (4, 16), (1, 32, -273), "°C").vss("Vehicle.Exterior.AirTemperature"),
        ],
    },
    Message {
        pgn: 65276,
        name: "DD1",
        signals: &[
            S::new(96, "FuelLevel1", (2, 8), (2, 5, 0), "%").vss("Vehicle.Powertrain.FuelSystem.RelativeLevel"),
            S::new(38, "FuelLevel2", (7, 8), (2, 5, 0), "%"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The named signal's value in this data.
    fn check(pgn: u32, signal: &str, data: [u8; 8], expected: Result<f64, Fault>) {
        let message = find(pgn).expect("message");
        let value = MessageData { message, data: &data }.signals().find(|(spec, _)| spec.name == signal);
        assert_eq!(value.map(|(_, value)| value), Some(expected), "{signal} {data:02X?}");
    }

    #[test]
    fn signals_are_scaled_as_the_standard_says() {
        check(61444, "EngSpeed", [0x60, 0x7d, 0x84, 0x48, 0x14, 0, 0xf0, 0x84], Ok(649.0));
        check(65253, "EngTotalHoursOfOperation", [0x10, 0x27, 0, 0, 0xff, 0xff, 0xff, 0xff], Ok(500.0));
        check(65262, "EngCoolantTemp", [126, 63, 0, 0, 0, 0, 0, 0], Ok(86.0));
        check(65269, "AmbientAirTemp", [0, 0, 0, 0x20, 0x25, 0, 0, 0], Ok(24.0));
        check(65276, "FuelLevel1", [0, 250, 0, 0, 0, 0, 0, 0], Ok(100.0));
        check(65217, "HghRslutionTotalVehicleDistance", [200, 0, 0, 0, 0, 0, 0, 0], Ok(1.0));
    }

    #[test]
    fn codes_above_the_valid_range_are_no_values() {
        check(65262, "EngCoolantTemp", [0xfa, 0, 0, 0, 0, 0, 0, 0], Ok(210.0));
        check(65262, "EngCoolantTemp", [0xfb, 0, 0, 0, 0, 0, 0, 0], Err(Fault::ErrorCode));
        check(65262, "EngCoolantTemp", [0xfe, 0, 0, 0, 0, 0, 0, 0], Err(Fault::ErrorCode));
        check(65262, "EngCoolantTemp", [0xff, 0, 0, 0, 0, 0, 0, 0], Err(Fault::NotAvailable));
        check(61444, "EngSpeed", [0, 0, 0, 0xff, 0xfa, 0, 0, 0], Ok(8_031.875));
        check(61444, "EngSpeed", [0, 0, 0, 0x00, 0xfe, 0, 0, 0], Err(Fault::ErrorCode));
        check(61444, "EngSpeed", [0, 0, 0, 0x00, 0xff, 0, 0, 0], Err(Fault::NotAvailable));
        check(65265, "ParkingBrakeSwitch", [0b0000_0100, 0, 0, 0, 0, 0, 0, 0], Ok(1.0));
        check(65265, "ParkingBrakeSwitch", [0b0000_1000, 0, 0, 0, 0, 0, 0, 0], Err(Fault::ErrorCode));
        check(65265, "ParkingBrakeSwitch", [0b0000_1100, 0, 0, 0, 0, 0, 0, 0], Err(Fault::NotAvailable));
    }

    #[test]
    fn no_parameter_group_is_listed_twice_and_every_signal_fits_its_frame() {
        for message in MESSAGES {
            assert_eq!(MESSAGES.iter().filter(|other| other.pgn == message.pgn).count(), 1, "{}", message.name);
            for spec in message.signals {
                assert!(spec.start_bit + spec.bits <= 64, "{}", spec.name);
                assert!(matches!(spec.bits, 2 | 8 | 16 | 32), "{}", spec.name);
            }
        }
    }
}
