//! The parameters of mode 01 (SAE J1979), and what their data mean.
//!
//! Promise: every parameter whose length is known can be stepped over; those with a physical value are scaled as the
//! standard says. Names are COVESA VSS paths: the vehicle's own where one means the same in the same unit, otherwise
//! those of `Vehicle.OBD`.

/// A parameter with a physical value.
#[derive(Debug, PartialEq)]
pub struct Pid {
    /// Its number.
    pub number: u8,
    /// What follows `Vehicle.OBD.` in VSS.
    pub name: &'static str,
    /// The name its readings carry.
    pub reading_name: &'static str,
    /// Unit of the scaled value.
    pub unit: &'static str,
    place: Place,
    /// Units per bit, as a fraction.
    numerator: u32,
    denominator: u32,
    /// What zero means.
    offset: i16,
}

/// Which bytes of the data hold the value, the most significant one first.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Byte,
    Word,
    SignedWord,
    /// The third and fourth byte.
    SecondWord,
    LongWord,
}

/// The parameter with this number, if it has a physical value.
#[must_use]
pub fn find(number: u8) -> Option<&'static Pid> {
    let index = PIDS.binary_search_by_key(&number, |pid| pid.number).ok()?;
    PIDS.get(index)
}

/// How many bytes of data a parameter has, if that is known.
#[must_use]
pub const fn data_bytes(number: u8) -> Option<usize> {
    Some(match number {
        0x04..=0x0b | 0x0d..=0x0f | 0x11..=0x13 | 0x1c..=0x1e | 0x2c..=0x30 | 0x33 => 1,
        0x45..=0x4c | 0x51 | 0x52 | 0x5a..=0x5c | 0x5f | 0x61 | 0x62 => 1,
        0x02 | 0x03 | 0x0c | 0x10 | 0x14..=0x1b | 0x1f | 0x21..=0x23 | 0x31 | 0x32 | 0x3c..=0x3f => 2,
        0x42..=0x44 | 0x4d | 0x4e | 0x53..=0x59 | 0x5d | 0x5e | 0x63 | 0x65 => 2,
        0x00 | 0x01 | 0x20 | 0x24..=0x2b | 0x34..=0x3b | 0x40 | 0x41 | 0x4f | 0x50 | 0x60 | 0x80 | 0xa0 | 0xa6 => 4,
        0x64 => 5,
        _ => return None,
    })
}

impl Pid {
    /// The value in these data; none when they are too short.
    #[must_use]
    pub fn value(&self, data: &[u8]) -> Option<f64> {
        let word = |first: usize| data.get(first..)?.first_chunk().copied();
        let raw = match self.place {
            Place::Byte => f64::from(*data.first()?),
            Place::Word => f64::from(u16::from_be_bytes(word(0)?)),
            Place::SignedWord => f64::from(i16::from_be_bytes(word(0)?)),
            Place::SecondWord => f64::from(u16::from_be_bytes(word(2)?)),
            Place::LongWord => f64::from(u32::from_be_bytes(*data.first_chunk()?)),
        };
        Some(raw * f64::from(self.numerator) / f64::from(self.denominator) + f64::from(self.offset))
    }
}

/// A row of the table: number, `Vehicle.OBD.` and name, place, (units per bit as a fraction, offset), unit.
macro_rules! pid {
    ($number:literal, $name:literal, $place:ident, $scale:expr, $unit:literal) => {
        pid!($number, $name, $place, $scale, $unit, concat!("Vehicle.OBD.", $name))
    };
    ($number:literal, $name:literal, $place:ident, $scale:expr, $unit:literal, $reading_name:expr) => {
        Pid {
            number: $number,
            name: $name,
            reading_name: $reading_name,
            unit: $unit,
            place: Place::$place,
            numerator: $scale.0,
            denominator: $scale.1,
            offset: $scale.2,
        }
    };
}

const PERCENT: (u32, u32, i16) = (100, 255, 0);
const TRIM: (u32, u32, i16) = (100, 128, -100);
const ONE: (u32, u32, i16) = (1, 1, 0);
const CELSIUS: (u32, u32, i16) = (1, 1, -40);
const CATALYST_CELSIUS: (u32, u32, i16) = (1, 10, -40);
const TORQUE: (u32, u32, i16) = (1, 1, -125);

const PIDS: &[Pid] = &[
    pid!(0x04, "EngineLoad", Byte, PERCENT, "%"),
    pid!(
        0x05,
        "CoolantTemperature",
        Byte,
        CELSIUS,
        "°C",
        "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature"
    ),
    pid!(0x06, "ShortTermFuelTrim1", Byte, TRIM, "%"),
    pid!(0x07, "LongTermFuelTrim1", Byte, TRIM, "%"),
    pid!(0x08, "ShortTermFuelTrim2", Byte, TRIM, "%"),
    pid!(0x09, "LongTermFuelTrim2", Byte, TRIM, "%"),
    pid!(0x0a, "FuelPressure", Byte, (3, 1, 0), "kPa"),
    pid!(0x0b, "MAP", Byte, ONE, "kPa"),
    pid!(0x0c, "EngineSpeed", Word, (1, 4, 0), "rpm", "Vehicle.Powertrain.CombustionEngine.Speed"),
    pid!(0x0d, "Speed", Byte, ONE, "km/h", "Vehicle.Speed"),
    pid!(0x0e, "TimingAdvance", Byte, (1, 2, -64), "degrees"),
    pid!(0x0f, "IntakeTemp", Byte, CELSIUS, "°C"),
    pid!(0x10, "MAF", Word, (1, 100, 0), "g/s"),
    pid!(0x11, "ThrottlePosition", Byte, PERCENT, "%"),
    pid!(0x14, "O2.Sensor1.Voltage", Byte, (1, 200, 0), "V"),
    pid!(0x15, "O2.Sensor2.Voltage", Byte, (1, 200, 0), "V"),
    pid!(0x16, "O2.Sensor3.Voltage", Byte, (1, 200, 0), "V"),
    pid!(0x17, "O2.Sensor4.Voltage", Byte, (1, 200, 0), "V"),
    pid!(0x18, "O2.Sensor5.Voltage", Byte, (1, 200, 0), "V"),
    pid!(0x19, "O2.Sensor6.Voltage", Byte, (1, 200, 0), "V"),
    pid!(0x1a, "O2.Sensor7.Voltage", Byte, (1, 200, 0), "V"),
    pid!(0x1b, "O2.Sensor8.Voltage", Byte, (1, 200, 0), "V"),
    pid!(0x1f, "RunTime", Word, ONE, "s"),
    pid!(0x21, "DistanceWithMIL", Word, ONE, "km"),
    pid!(0x22, "FuelRailPressureVac", Word, (79, 1_000, 0), "kPa"),
    pid!(0x23, "FuelRailPressureDirect", Word, (10, 1, 0), "kPa"),
    pid!(0x24, "O2WR.Sensor1.Voltage", SecondWord, (8, 65_535, 0), "V"),
    pid!(0x25, "O2WR.Sensor2.Voltage", SecondWord, (8, 65_535, 0), "V"),
    pid!(0x26, "O2WR.Sensor3.Voltage", SecondWord, (8, 65_535, 0), "V"),
    pid!(0x27, "O2WR.Sensor4.Voltage", SecondWord, (8, 65_535, 0), "V"),
    pid!(0x28, "O2WR.Sensor5.Voltage", SecondWord, (8, 65_535, 0), "V"),
    pid!(0x29, "O2WR.Sensor6.Voltage", SecondWord, (8, 65_535, 0), "V"),
    pid!(0x2a, "O2WR.Sensor7.Voltage", SecondWord, (8, 65_535, 0), "V"),
    pid!(0x2b, "O2WR.Sensor8.Voltage", SecondWord, (8, 65_535, 0), "V"),
    pid!(0x2c, "CommandedEGR", Byte, PERCENT, "%"),
    pid!(0x2d, "EGRError", Byte, TRIM, "%"),
    pid!(0x2e, "CommandedEVAP", Byte, PERCENT, "%"),
    pid!(0x2f, "FuelLevel", Byte, PERCENT, "%", "Vehicle.Powertrain.FuelSystem.RelativeLevel"),
    pid!(0x30, "WarmupsSinceDTCClear", Byte, ONE, ""),
    pid!(0x31, "DistanceSinceDTCClear", Word, ONE, "km"),
    // SAE J1979, appendix B, PID $32: two bytes, a quarter of a pascal per bit, signed, from $8000 (-8192 Pa) to $7FFF
    // (8191.75 Pa): both bytes are one number in two's complement. python-OBD signs each byte by itself, so that -1 is
    // -64.25 Pa there; that range cannot be had that way.
    pid!(0x32, "EVAPVaporPressure", SignedWord, (1, 4, 0), "Pa"),
    pid!(0x33, "BarometricPressure", Byte, ONE, "kPa"),
    pid!(0x34, "O2WR.Sensor1.Current", SecondWord, (1, 256, -128), "mA"),
    pid!(0x35, "O2WR.Sensor2.Current", SecondWord, (1, 256, -128), "mA"),
    pid!(0x36, "O2WR.Sensor3.Current", SecondWord, (1, 256, -128), "mA"),
    pid!(0x37, "O2WR.Sensor4.Current", SecondWord, (1, 256, -128), "mA"),
    pid!(0x38, "O2WR.Sensor5.Current", SecondWord, (1, 256, -128), "mA"),
    pid!(0x39, "O2WR.Sensor6.Current", SecondWord, (1, 256, -128), "mA"),
    pid!(0x3a, "O2WR.Sensor7.Current", SecondWord, (1, 256, -128), "mA"),
    pid!(0x3b, "O2WR.Sensor8.Current", SecondWord, (1, 256, -128), "mA"),
    pid!(0x3c, "Catalyst.Bank1.Temperature1", Word, CATALYST_CELSIUS, "°C"),
    pid!(0x3d, "Catalyst.Bank2.Temperature1", Word, CATALYST_CELSIUS, "°C"),
    pid!(0x3e, "Catalyst.Bank1.Temperature2", Word, CATALYST_CELSIUS, "°C"),
    pid!(0x3f, "Catalyst.Bank2.Temperature2", Word, CATALYST_CELSIUS, "°C"),
    pid!(0x42, "ControlModuleVoltage", Word, (1, 1_000, 0), "V"),
    pid!(0x43, "AbsoluteLoad", Word, PERCENT, "%"),
    pid!(0x44, "CommandedEquivalenceRatio", Word, (2, 65_536, 0), ""),
    pid!(0x45, "RelativeThrottlePosition", Byte, PERCENT, "%"),
    pid!(0x46, "AmbientAirTemperature", Byte, CELSIUS, "°C", "Vehicle.Exterior.AirTemperature"),
    pid!(0x47, "ThrottlePositionB", Byte, PERCENT, "%"),
    pid!(0x48, "ThrottlePositionC", Byte, PERCENT, "%"),
    pid!(0x49, "AcceleratorPositionD", Byte, PERCENT, "%"),
    pid!(0x4a, "AcceleratorPositionE", Byte, PERCENT, "%"),
    pid!(0x4b, "AcceleratorPositionF", Byte, PERCENT, "%"),
    pid!(0x4c, "ThrottleActuator", Byte, PERCENT, "%"),
    pid!(0x4d, "RunTimeMIL", Word, ONE, "min"),
    pid!(0x4e, "TimeSinceDTCCleared", Word, ONE, "min"),
    pid!(0x50, "MaxMAF", Byte, (10, 1, 0), "g/s"),
    pid!(0x52, "EthanolPercent", Byte, PERCENT, "%"),
    pid!(0x53, "EVAPVaporPressureAbsolute", Word, (1, 200, 0), "kPa"),
    pid!(0x54, "EVAPVaporPressureAlternate", SignedWord, ONE, "Pa"),
    pid!(0x55, "ShortTermO2Trim1", Byte, TRIM, "%"),
    pid!(0x56, "LongTermO2Trim1", Byte, TRIM, "%"),
    pid!(0x57, "ShortTermO2Trim2", Byte, TRIM, "%"),
    pid!(0x58, "LongTermO2Trim2", Byte, TRIM, "%"),
    pid!(0x59, "FuelRailPressureAbsolute", Word, (10, 1, 0), "kPa"),
    pid!(0x5a, "RelativeAcceleratorPosition", Byte, PERCENT, "%"),
    pid!(0x5b, "HybridBatteryRemaining", Byte, PERCENT, "%"),
    pid!(0x5c, "OilTemperature", Byte, CELSIUS, "°C", "Vehicle.Powertrain.CombustionEngine.EngineOil.Temperature"),
    pid!(0x5d, "FuelInjectionTiming", Word, (1, 128, -210), "degrees"),
    pid!(0x5e, "FuelRate", Word, (1, 20, 0), "l/h"),
    pid!(0x61, "DriverDemandTorque", Byte, TORQUE, "%"),
    pid!(0x62, "ActualTorque", Byte, TORQUE, "%"),
    pid!(0x63, "ReferenceTorque", Word, ONE, "Nm"),
    pid!(0xa6, "Odometer", LongWord, (1, 10, 0), "km", "Vehicle.TraveledDistance"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(number: u8, data: &[u8], name: &str, value: f64) {
        let pid = find(number).expect("parameter");
        assert_eq!((pid.name, pid.value(data)), (name, Some(value)));
    }

    #[test]
    fn values_are_scaled_as_the_standard_says() {
        check(0x05, &[0x86], "CoolantTemperature", 94.0);
        check(0x0c, &[0x1b, 0xe4], "EngineSpeed", 1_785.0);
        check(0x2f, &[0xff], "FuelLevel", 100.0);
        check(0x36, &[0xff, 0xff, 0x40, 0x00], "O2WR.Sensor3.Current", -64.0);
        check(0xa6, &[0x00, 0x01, 0x86, 0xa1], "Odometer", 10_000.1);
    }

    /// Both bytes are one number in two's complement: -1 is a quarter of a pascal below zero.
    #[test]
    fn a_vapour_pressure_below_zero_is_one_signed_number() {
        check(0x32, &[0xff, 0xff], "EVAPVaporPressure", -0.25);
        check(0x32, &[0x18, 0x20], "EVAPVaporPressure", 1_544.0);
        check(0x32, &[0x92, 0x1f], "EVAPVaporPressure", -7_032.25);
    }

    #[test]
    fn every_parameter_is_found_and_its_value_lies_within_its_data() {
        for pid in PIDS {
            let found = find(pid.number).expect("sorted");
            let data = vec![0; data_bytes(pid.number).expect("length")];
            assert_eq!(found, pid);
            assert!(pid.value(&data).is_some(), "{}", pid.name);
            assert_eq!(pid.value(&[]), None, "{}", pid.name);
        }
    }
}
