//! The three priority classes, each with a contiguous sequence of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A priority class. Order is urgency: evidence leaves first and is never dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Proof of delivery and driver actions.
    Evidence,
    /// Ignition, trouble codes, state changes.
    Event,
    /// Positions and signals.
    Telemetry,
}

impl Lane {
    /// Every lane, most urgent first.
    pub const ALL: [Self; 3] = [Self::Evidence, Self::Event, Self::Telemetry];

    /// The lane's word on the wire, in SQL and in pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::Event => "event",
            Self::Telemetry => "telemetry",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
