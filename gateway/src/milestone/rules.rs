//! The numbers the engine decides by.
//!
//! Promise: every threshold is here, with its unit in its name, so a milestone's `rule_version` says exactly what it was
//! judged by. The defaults suit last-mile work; a full-truck fleet would raise [`Rules::dwell_s_min`] to 180.

use serde::{Deserialize, Serialize};

/// Thresholds of one version of the rules. Fields left out of a configuration keep their default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Names this set of numbers in every milestone; change it with any of them.
    pub version: String,
    /// Standing still this long inside a fence, in seconds, is an arrival.
    pub dwell_s_min: u32,
    /// Leaving needs this distance beyond the fence, in metres: entering uses the fence itself.
    pub exit_margin_m: f64,
    /// Outside for less than this, in seconds, is no departure.
    pub absence_s_min: u32,
    /// Horizontal error assumed where a fix states none, in metres.
    pub accuracy_m_default: f64,
    /// Horizontal error per unit of HDOP where a fix states only that, in metres.
    pub accuracy_m_per_hdop: f64,
    /// A fix that claims to be better than this, in metres, is not believed to be.
    pub accuracy_m_min: f64,
    /// A fix worse than this, in metres, is dropped.
    pub accuracy_m_max: f64,
    /// A fix that would need more than this speed to reach, in metres per second, is a jump.
    pub jump_speed_mps_max: f64,
    /// This many jumps in a row that agree with each other are where the vehicle is.
    pub jump_agreeing_min: u32,
    /// Fixes within this distance of each other, in metres and beyond their accuracy, are one standstill.
    pub still_radius_m: f64,
    /// A stated speed from here on, in metres per second, is no standstill.
    pub moving_speed_mps_min: f64,
    /// Wheels turning slower than this, in metres per second, stand.
    pub wheel_still_mps_max: f64,
    /// How long a wheel speed speaks for, in seconds.
    pub wheel_age_s_max: u32,
    /// A vehicle said to stand that is this far away, in metres, has moved all the same.
    pub lock_break_m: f64,
    /// Most that one fix may say for or against being inside, in log-odds.
    pub fix_log_odds_max: f64,
    /// Surest that a vehicle is inside, in log-odds.
    pub log_odds_max: f64,
    /// Surest that it is outside, in log-odds. Nearer to 0 than the other: entering is cheap, as dwell guards it.
    pub log_odds_min: f64,
    /// Inside from here on, in log-odds.
    pub enter_log_odds: f64,
    /// Outside from here on, in log-odds.
    pub leave_log_odds: f64,
    /// A proof this long before a visit, in seconds, still belongs to it.
    pub pod_lead_s_max: u32,
    /// A proof this long after a visit, in seconds, still belongs to it.
    pub pod_lag_s_max: u32,
    /// How far outside a stop's time window a visit may be and still count, in seconds.
    pub window_slack_s: u32,
    /// Coming back later than this after a visit, in seconds, is other work at the same place.
    pub revisit_s_max: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            version: "last-mile-1".to_owned(),
            dwell_s_min: 60,
            exit_margin_m: 30.0,
            absence_s_min: 30,
            accuracy_m_default: 10.0,
            accuracy_m_per_hdop: 5.0,
            accuracy_m_min: 3.0,
            accuracy_m_max: 200.0,
            jump_speed_mps_max: 70.0,
            jump_agreeing_min: 3,
            still_radius_m: 30.0,
            moving_speed_mps_min: 3.0,
            wheel_still_mps_max: 0.5,
            wheel_age_s_max: 10,
            lock_break_m: 200.0,
            fix_log_odds_max: 3.0,
            log_odds_max: 4.0,
            log_odds_min: -2.0,
            enter_log_odds: 1.0,
            leave_log_odds: -1.0,
            pod_lead_s_max: 900,
            pod_lag_s_max: 1800,
            window_slack_s: 43_200,
            revisit_s_max: 43_200,
        }
    }
}

impl Rules {
    /// Every mistake in the rules, each naming its field and the mend; empty when there is none.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut need = |holds: bool, mistake: &str| {
            if !holds {
                mistakes.push(mistake.to_owned());
            }
        };
        need(!self.version.is_empty(), "version is empty: give these rules a name");
        need(self.exit_margin_m >= 0.0, "exit_margin_m must be 0 or more: leaving lies outside of entering");
        need(
            0.0 < self.accuracy_m_min && self.accuracy_m_min <= self.accuracy_m_max,
            "accuracy_m_min must be above 0 and not above accuracy_m_max",
        );
        need(self.accuracy_m_default > 0.0, "accuracy_m_default must be above 0");
        need(self.jump_speed_mps_max > 0.0, "jump_speed_mps_max must be above 0");
        need(self.fix_log_odds_max > 0.0, "fix_log_odds_max must be above 0, or no fix says anything");
        need(
            self.log_odds_min <= self.leave_log_odds
                && self.leave_log_odds < self.enter_log_odds
                && self.enter_log_odds <= self.log_odds_max,
            "log_odds_min, leave_log_odds, enter_log_odds and log_odds_max must rise in this order",
        );
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound_and_a_mistake_is_named() {
        assert_eq!(Rules::default().check(), Vec::<String>::new());
        let inverted = Rules { enter_log_odds: -3.0, exit_margin_m: -1.0, ..Rules::default() };
        assert_eq!(inverted.check().len(), 2, "{:?}", inverted.check());
    }

    #[test]
    fn a_configuration_names_only_what_differs() {
        let rules: Rules = serde_json::from_str(r#"{"version":"full-truck-1","dwell_s_min":180}"#).expect("reads");
        assert_eq!(rules, Rules { version: "full-truck-1".to_owned(), dwell_s_min: 180, ..Rules::default() });
        assert!(serde_json::from_str::<Rules>(r#"{"dwell_min":3}"#).is_err());
    }
}
