//! Whether the power is about to go.
//!
//! Promise: the moment the ignition goes off, or the configured voltage falls below its bound, is told once, and nothing
//! in memory waits from then on. While the voltage stays low, groups are short, so that a battery that dies slowly costs
//! little, and flash is still not worn by every record.

use milepost_proto::Reading;

use crate::config::LowVoltage;

/// Longest that telemetry waits for its commit while the voltage is low, milliseconds.
pub(super) const WEAK_GROUP_MS: u64 = 100;
/// A voltage that was low is low until it is this much above its bound, volts: it shakes while an engine is cranked.
const RECOVERED_VOLTS: f64 = 0.5;

/// Watches what sources observe, before anything of it is left out.
#[derive(Debug)]
pub(super) struct PowerWatch {
    low_voltage: Option<LowVoltage>,
    is_weak: bool,
    ignition_on: bool,
}

impl PowerWatch {
    /// Nothing seen yet.
    pub(super) const fn new(low_voltage: Option<LowVoltage>) -> Self {
        Self { low_voltage, is_weak: false, ignition_on: true }
    }

    /// Whether the power is about to go, now that this was observed, and was not before.
    pub(super) fn observe(&mut self, reading: &Reading) -> bool {
        match (reading, &self.low_voltage) {
            (Reading::Switch(switch), _) if switch.name == "ignition" => {
                std::mem::replace(&mut self.ignition_on, switch.on) && !switch.on
            }
            (Reading::Signal(signal), Some(low)) if signal.name == low.signal => {
                let bound_volts = low.below_volts + if self.is_weak { RECOVERED_VOLTS } else { 0.0 };
                let is_weak = signal.value < bound_volts;
                !std::mem::replace(&mut self.is_weak, is_weak) && is_weak
            }
            _ => false,
        }
    }

    /// Whether the voltage is low.
    pub(super) const fn is_weak(&self) -> bool {
        self.is_weak
    }
}

#[cfg(test)]
mod tests {
    use milepost_proto::reading::{Signal, Switch};

    use super::*;

    fn volts(value: f64) -> Reading {
        Reading::Signal(Signal { name: "Battery".to_owned(), value, unit: "V".to_owned() })
    }

    fn watch() -> PowerWatch {
        PowerWatch::new(Some(LowVoltage { signal: "Battery".to_owned(), below_volts: 22.0 }))
    }

    #[test]
    fn a_falling_voltage_is_told_once_until_it_has_recovered() {
        let mut watch = watch();
        let told: Vec<bool> = [24.0, 21.9, 21.0, 22.3, 21.9, 22.5, 21.9].map(|v| watch.observe(&volts(v))).to_vec();
        assert_eq!(told, [false, true, false, false, false, false, true]);
        assert!(watch.is_weak());
        assert!(!watch.observe(&volts(25.0)) && !watch.is_weak());
        assert!(!watch.observe(&volts(f64::NAN)) && !watch.is_weak(), "no number is no voltage");
    }

    #[test]
    fn ignition_off_is_told_once_and_other_switches_and_signals_never() {
        let mut watch = watch();
        let switch = |name: &str, on| Reading::Switch(Switch { name: name.to_owned(), on });
        assert!(!watch.observe(&switch("door", false)));
        assert!(watch.observe(&switch("ignition", false)));
        assert!(!watch.observe(&switch("ignition", false)));
        assert!(!watch.observe(&switch("ignition", true)));
        assert!(watch.observe(&switch("ignition", false)));
        let other = Reading::Signal(Signal { name: "Speed".to_owned(), value: 0.0, unit: String::new() });
        assert!(!watch.observe(&other));
    }
}
