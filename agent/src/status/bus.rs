//! What a vehicle bus has to say beyond other sources: its controller, questions, files, and whose vehicle it is.
//!
//! Promise: what was never heard of is absent; lists are bounded.

use serde::{Deserialize, Serialize};

use crate::source::can::bus_state::{BusState, ErrorCounters};

/// Most mistakes of DBC files that are shown; the others are only counted.
pub const MISTAKES_MAX: usize = 5;

/// A bus; everything is absent for other sources.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BusStatus {
    /// The controller, once it has reported.
    pub controller: Option<ControllerStatus>,
    /// The questions, if any are asked.
    pub polling: Option<PollingStatus>,
    /// The DBC files, if there are any.
    pub dbc: Option<DbcStatus>,
    /// The alarm that this is another vehicle's bus.
    pub wrong_vehicle: Option<WrongVehicle>,
}

impl BusStatus {
    /// Whether there is nothing to show.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How the bus controller fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ControllerStatus {
    /// Its state.
    pub state: BusState,
    /// Its error counters, where it gives them.
    pub errors: Option<ErrorCounters>,
}

/// What became of the questions asked on the bus since the agent started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PollingStatus {
    /// Questions sent.
    pub requests: u64,
    /// Those that were answered.
    pub answers: u64,
    /// Those that nobody answered in time.
    pub timeouts: u64,
    /// Whether nobody has answered for a while, so that it is asked rarely.
    pub asleep: bool,
    /// What is not asked for, because the vehicle says that it does not have it.
    pub unsupported: Vec<String>,
}

/// What could be used of the DBC files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DbcStatus {
    /// Messages that are decoded.
    pub messages: u64,
    /// Mistakes that cost a message, a signal or a selection.
    pub mistakes: u64,
    /// Things that are strange, and used as they stand.
    pub oddities: u64,
    /// The first of the mistakes, or of the oddities if there are none, each with its place and its mend; at most
    /// [`MISTAKES_MAX`].
    pub first: Vec<String>,
}

/// Another vehicle than the configured one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongVehicle {
    /// The vehicle identification number in the configuration.
    pub configured: String,
    /// The one that the bus gave.
    pub heard: String,
}
