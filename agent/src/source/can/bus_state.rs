//! How a bus controller fares, as it reports it: by the kernel's error frames or by an adapter's status flags.
//!
//! Promise: pure. A state is given only when the report says one; a report about single damaged frames is none. The bits
//! are those of Linux's `can/error.h`, and of the LAWICEL protocol's `F` command.

use serde::{Deserialize, Serialize};

/// The fault confinement states of ISO 11898-1, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BusState {
    /// Normal operation.
    #[default]
    Active,
    /// Many errors: a loose connector, missing termination, a wrong bit rate.
    Warning,
    /// So many that the controller may no longer disturb others.
    Passive,
    /// The controller has left the bus.
    Off,
}

impl BusState {
    /// Its word, for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Warning => "warning",
            Self::Passive => "passive",
            Self::Off => "bus-off",
        }
    }
}

/// The controller's error counters (ISO 11898-1): from 96 on a warning, from 128 on passive; beyond 255 sent, bus-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ErrorCounters {
    /// Of sending (TEC).
    pub transmit: u8,
    /// Of receiving (REC).
    pub receive: u8,
}

/// What an error report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusReport {
    /// The state from now on, if it says so.
    pub state: Option<BusState>,
    /// Whether frames were lost because the controller was not emptied in time.
    pub overflow: bool,
    /// The controller's error counters, if it gives them.
    pub counters: Option<ErrorCounters>,
}

/// Controller problems; details are in byte 1.
const CLASS_CONTROLLER: u32 = 0x004;
/// The controller is off.
const CLASS_BUS_OFF: u32 = 0x040;
/// The controller was restarted.
const CLASS_RESTARTED: u32 = 0x100;
/// Bytes 6 and 7 are the error counters. Kernels before 6.0 give them without saying so.
const CLASS_COUNTERS: u32 = 0x200;

/// Data of an error frame.
const ERROR_BYTES: usize = 8;
const CONTROLLER_OVERFLOW: u8 = 0x01;
const CONTROLLER_WARNING: u8 = 0x04 | 0x08;
const CONTROLLER_PASSIVE: u8 = 0x10 | 0x20;
const CONTROLLER_ACTIVE: u8 = 0x40;

const FLAG_RECEIVE_FULL: u8 = 0x01;
const FLAG_WARNING: u8 = 0x04;
const FLAG_OVERRUN: u8 = 0x08;
const FLAG_PASSIVE: u8 = 0x20;

impl BusReport {
    /// What a kernel's error frame says: `class` is its identifier without flags.
    #[must_use]
    pub fn from_error_frame(class: u32, data: &[u8]) -> Self {
        let has = |bits| class & bits != 0;
        let controller = if has(CLASS_CONTROLLER) { data.get(1).copied().unwrap_or_default() } else { 0 };
        let state = if has(CLASS_BUS_OFF) {
            Some(BusState::Off)
        } else if controller & CONTROLLER_PASSIVE != 0 {
            Some(BusState::Passive)
        } else if controller & CONTROLLER_WARNING != 0 {
            Some(BusState::Warning)
        } else if has(CLASS_RESTARTED) || controller & CONTROLLER_ACTIVE != 0 {
            Some(BusState::Active)
        } else {
            None
        };
        let counters = match *data {
            [.., transmit, receive] if data.len() == ERROR_BYTES => {
                let given = has(CLASS_COUNTERS) || has(CLASS_CONTROLLER) && (transmit, receive) != (0, 0);
                given.then_some(ErrorCounters { transmit, receive })
            }
            _ => None,
        };
        Self { state, overflow: controller & CONTROLLER_OVERFLOW != 0, counters }
    }

    /// What an adapter's status flags say.
    #[must_use]
    pub const fn from_flags(flags: u8) -> Self {
        let state = if flags & FLAG_PASSIVE != 0 {
            BusState::Passive
        } else if flags & FLAG_WARNING != 0 {
            BusState::Warning
        } else {
            BusState::Active
        };
        Self { state: Some(state), overflow: flags & (FLAG_RECEIVE_FULL | FLAG_OVERRUN) != 0, counters: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_frame_says_the_state_only_when_it_is_about_the_state() {
        for (class, byte_1, state, overflow) in [
            (0x040, 0x00, Some(BusState::Off), false),
            (0x100, 0x00, Some(BusState::Active), false),
            (0x004, 0x04, Some(BusState::Warning), false),
            (0x004, 0x18, Some(BusState::Passive), false),
            (0x004, 0x40, Some(BusState::Active), false),
            (0x004, 0x01, None, true),
            (0x088, 0x10, None, false),
            (0x020, 0x00, None, false),
        ] {
            let report = BusReport::from_error_frame(class, &[0, byte_1, 0, 0, 0, 0, 0, 0]);
            assert_eq!(report, BusReport { state, overflow, counters: None }, "class {class:03X}, byte 1 {byte_1:02X}");
        }
        assert_eq!(BusReport::from_error_frame(0x004, &[]).state, None);
    }

    #[test]
    fn counters_are_given_where_the_kernel_says_so_or_they_are_not_zero() {
        let counters = |transmit, receive| Some(ErrorCounters { transmit, receive });
        for (class, data, expected) in [
            (0x204, &[0, 0x08, 0, 0, 0, 0, 96, 12][..], counters(96, 12)),
            (0x200, &[0, 0, 0, 0, 0, 0, 0, 0], counters(0, 0)),
            (0x004, &[0, 0x10, 0, 0, 0, 0, 128, 0], counters(128, 0)),
            (0x004, &[0, 0x08, 0, 0, 0, 0, 0, 0], None),
            (0x008, &[0, 0, 0, 0, 0, 0, 7, 7], None),
            (0x204, &[0, 0x08], None),
        ] {
            assert_eq!(BusReport::from_error_frame(class, data).counters, expected, "class {class:03X} {data:?}");
        }
        assert_eq!(BusReport::from_error_frame(0x204, &[0, 8, 0, 0, 0, 0, 1, 1]).state, Some(BusState::Warning));
    }

    #[test]
    fn an_adapters_flags_always_say_the_state() {
        for (flags, state, overflow) in [
            (0x00, BusState::Active, false),
            (0x04, BusState::Warning, false),
            (0xa4, BusState::Passive, false),
            (0x80, BusState::Active, false),
            (0x09, BusState::Active, true),
        ] {
            let expected = BusReport { state: Some(state), overflow, counters: None };
            assert_eq!(BusReport::from_flags(flags), expected, "{flags:02X}");
        }
    }
}
