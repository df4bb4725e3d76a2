//! The parameter groups a fleet needs, and where their signals lie.
//!
//! Promise: layouts, scaling and ranges follow SAE J1939-71; a value is given only inside the valid range of its width,
//! the codes above it (reserved, error, not available) are faults. Names are the standard's; a COVESA VSS path is added
//! where one means the same in the same unit.

use crate::source::fault::Fault;

mod messages;

use messages::MESSAGES;

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
    /// The switch that the value tells the state of.
    pub switch: Option<SwitchSpec>,
    /// First bit, counted from bit 0 of byte 0; little-endian.
    start_bit: u8,
    /// Width: 2 to 5 within a byte, 8, 16 or 32.
    bits: u8,
    /// Units per bit, as a fraction so that results are exact where they can be.
    numerator: i32,
    denominator: i32,
    /// What zero means.
    offset: i32,
}

/// Which values tell the state of a switch; the others, such as reserved ones, tell none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SwitchSpec {
    /// The name its readings carry.
    pub name: &'static str,
    /// Smallest and largest value that mean on.
    on: (f64, f64),
    /// Smallest and largest value that mean off.
    off: (f64, f64),
}

impl SwitchSpec {
    /// Whether it is on, if the value says so.
    #[must_use]
    pub fn state(&self, value: f64) -> Option<bool> {
        let within = |(from, to): (f64, f64)| (from..=to).contains(&value);
        within(self.on).then_some(true).or(within(self.off).then_some(false))
    }
}

/// High resolution distance (VDHR), preferred over [`COARSE_DISTANCE_PGN`].
pub const FINE_DISTANCE_PGN: u32 = 65217;
/// Distance (VD).
pub const COARSE_DISTANCE_PGN: u32 = 65248;

/// The table's message for a parameter group.
#[must_use]
pub fn find(pgn: u32) -> Option<&'static Message> {
    let index = MESSAGES.binary_search_by_key(&pgn, |message| message.pgn).ok()?;
    MESSAGES.get(index)
}

/// A message with the data of one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MessageData<'a> {
    /// Which message.
    pub message: &'static Message,
    /// The source address of the unit that sent it.
    pub source: u8,
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
        let (code, not_available, error) = match self.bits {
            bits @ 0..8 => (raw, (1 << bits) - 1, (1 << bits) - 2),
            bits => (raw >> (bits - 8), 0xff, 0xfb),
        };
        if code == not_available {
            Err(Fault::NotAvailable)
        } else if code >= error {
            Err(Fault::ErrorCode)
        } else {
            Ok(())
        }
    }

    const fn new(spn: u32, name: &'static str, place: (u8, u8), scale: (i32, i32, i32), unit: &'static str) -> Self {
        let ((byte, bits), (numerator, denominator, offset)) = (place, scale);
        Self {
            spn,
            name,
            vss: None,
            unit,
            switch: None,
            start_bit: (byte - 1) * 8,
            bits,
            numerator,
            denominator,
            offset,
        }
    }

    /// Two bits, the first of them bit `bit` (from 1, as the standard counts) of its byte.
    const fn state(spn: u32, name: &'static str, byte: u8, bit: u8) -> Self {
        let spec = Self::new(spn, name, (byte, 2), (1, 1, 0), "");
        Self { start_bit: spec.start_bit + bit - 1, ..spec }
    }

    /// `bits` bits of one byte that are a number of their own, without unit.
    const fn code(spn: u32, name: &'static str, byte: u8, bit: u8, bits: u8) -> Self {
        Self { bits, ..Self::state(spn, name, byte, bit) }
    }

    /// Tells the state of the named switch: on at 1, off at 0.
    const fn switch(self, name: &'static str) -> Self {
        self.switch_in(name, (1.0, 1.0), (0.0, 0.0))
    }

    const fn switch_in(self, name: &'static str, on: (f64, f64), off: (f64, f64)) -> Self {
        Self { switch: Some(SwitchSpec { name, on, off }), ..self }
    }

    const fn vss(self, path: &'static str) -> Self {
        Self { vss: Some(path), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The named signal's value in this data.
    fn check(pgn: u32, signal: &str, data: [u8; 8], expected: Result<f64, Fault>) {
        let message = find(pgn).expect("message");
        let value = MessageData { message, source: 0, data: &data }.signals().find(|(spec, _)| spec.name == signal);
        assert_eq!(value.map(|(_, value)| value), Some(expected), "{signal} {data:02X?}");
    }

    #[test]
    fn signals_are_scaled_as_the_standard_says() {
        check(61444, "EngSpeed", [0x60, 0x7d, 0x84, 0x48, 0x14, 0, 0xf0, 0x84], Ok(649.0));
        check(65253, "EngTotalHoursOfOperation", [0x10, 0x27, 0, 0, 0xff, 0xff, 0xff, 0xff], Ok(500.0));
        check(65262, "EngCoolantTemp", [126, 63, 0, 0, 0, 0, 0, 0], Ok(86.0));
        check(65269, "AmbientAirTemp", [0, 0, 0, 0x20, 0x25, 0, 0, 0], Ok(24.0));
        check(65276, "FuelLevel1", [0, 250, 0, 0, 0, 0, 0, 0], Ok(100.0));
        check(61441, "BrakePedalPos", [0, 125, 0, 0, 0, 0, 0, 0], Ok(50.0));
        check(65132, "TachographVehicleSpeed", [0, 0, 0, 0, 0, 0, 0x80, 0x50], Ok(80.5));
        check(65215, "FrontAxleSpeed", [0x00, 0x28, 0, 0, 0, 0, 0, 0], Ok(40.0));
        check(65257, "EngTotalFuelUsed", [0, 0, 0, 0, 0x10, 0x27, 0, 0], Ok(5_000.0));
        check(65263, "EngOilPress", [0, 0, 0, 100, 0, 0, 0, 0], Ok(400.0));
        check(65264, "PTOSpeed", [0, 0x40, 0x1f, 0, 0, 0, 0, 0], Ok(1_000.0));
        check(65266, "EngFuelRate", [0x64, 0, 0, 0, 0, 0, 0, 0], Ok(5.0));
        check(65271, "KeyswitchBatteryPotential", [0, 0, 0, 0, 0, 0, 0xe2, 0x01], Ok(24.1));
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
        check(65102, "PositionOfDoors", [0xf2, 0, 0, 0, 0, 0, 0, 0], Ok(2.0));
        check(65102, "PositionOfDoors", [0x0e, 0, 0, 0, 0, 0, 0, 0], Err(Fault::ErrorCode));
        check(65102, "PositionOfDoors", [0x0f, 0, 0, 0, 0, 0, 0, 0], Err(Fault::NotAvailable));
        check(65132, "Driver1WorkingState", [0b011, 0, 0, 0, 0, 0, 0, 0], Ok(3.0));
        check(65132, "Driver2WorkingState", [0b11_0011, 0, 0, 0, 0, 0, 0, 0], Err(Fault::ErrorCode));
        check(65253, "EngTotalHoursOfOperation", [0, 0, 0, 0xfb, 0, 0, 0, 0], Err(Fault::ErrorCode));
    }

    #[test]
    fn every_parameter_group_is_found_and_every_signal_fits_its_frame() {
        for message in MESSAGES {
            assert_eq!(find(message.pgn), Some(message), "{}", message.name);
            for spec in message.signals {
                assert!(spec.start_bit + spec.bits <= 64, "{}", spec.name);
                let within_a_byte = spec.bits < 8 && spec.start_bit % 8 + spec.bits <= 8;
                assert!(
                    within_a_byte || (matches!(spec.bits, 8 | 16 | 32) && spec.start_bit % 8 == 0),
                    "{}",
                    spec.name
                );
            }
        }
    }

    #[test]
    fn no_two_signals_of_a_group_share_a_bit() {
        for message in MESSAGES {
            let mut taken = 0_u64;
            for spec in message.signals {
                let mask = (u64::MAX >> (64 - spec.bits)) << spec.start_bit;
                assert_eq!(taken & mask, 0, "{}.{}", message.name, spec.name);
                taken |= mask;
            }
        }
    }

    /// What the value of a signal says about its switch.
    fn check_switch(signal: &str, value: f64, expected: Option<bool>) {
        let mut specs = MESSAGES.iter().flat_map(|message| message.signals);
        let spec = specs.find(|spec| spec.name == signal).expect("signal");
        assert_eq!(spec.switch.and_then(|switch| switch.state(value)), expected, "{signal} {value}");
    }

    #[test]
    fn a_switch_is_on_off_or_untold() {
        check_switch("ParkingBrakeSwitch", 1.0, Some(true));
        check_switch("ParkingBrakeSwitch", 0.0, Some(false));
        check_switch("PositionOfDoors", 0.0, Some(true));
        check_switch("PositionOfDoors", 1.0, Some(true));
        check_switch("PositionOfDoors", 2.0, Some(false));
        check_switch("PositionOfDoors", 3.0, None);
        check_switch("KeyswitchBatteryPotential", 24.1, Some(true));
        check_switch("KeyswitchBatteryPotential", 0.4, Some(false));
        check_switch("EngSpeed", 650.0, None);
    }
}
