//! Which observations are worth keeping.

/// `[reporting]`: when an observation is kept although little changed, and how much must change otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReportingPolicy {
    /// A position is kept at least this often, seconds.
    pub interval_s: u32,
    /// A position is kept when the vehicle moved this far since the last one kept, metres.
    pub distance_m: f64,
    /// A position is kept when the course changed this much since the last one kept, degrees.
    pub heading_deg: f64,
    /// A signal is kept at least this often, seconds.
    pub signal_interval_s: u32,
    /// A signal is kept when it changed this much of its last kept value, percent.
    pub signal_change_percent: f64,
}

impl Default for ReportingPolicy {
    fn default() -> Self {
        Self { interval_s: 10, distance_m: 50.0, heading_deg: 15.0, signal_interval_s: 30, signal_change_percent: 10.0 }
    }
}
