//! `[rules]`: what the engine decides by; what is left out keeps its default.

use milepost_proto::config_table::Table;

use crate::milestone::Rules;

/// Reads the section.
pub fn read(mut table: Table<'_>) -> Rules {
    let mut rules = Rules::default();
    macro_rules! fields {
        ($($field:ident),+ $(,)?) => {$(
            if let Some(value) = table.get(stringify!($field)) {
                rules.$field = value;
            }
        )+};
    }
    fields!(
        version,
        dwell_s_min,
        exit_margin_m,
        absence_s_min,
        accuracy_m_default,
        accuracy_m_per_hdop,
        accuracy_m_min,
        accuracy_m_max,
        jump_speed_mps_max,
        jump_agreeing_min,
        still_radius_m,
        moving_speed_mps_min,
        wheel_still_mps_max,
        wheel_age_s_max,
        lock_break_m,
        fix_log_odds_max,
        log_odds_max,
        log_odds_min,
        enter_log_odds,
        leave_log_odds,
        pod_lead_s_max,
        pod_lag_s_max,
        window_slack_s,
        revisit_s_max,
    );
    for mistake in rules.check() {
        let (field, rest) = mistake.split_once(' ').unwrap_or(("version", &mistake));
        table.fault(field, rest);
    }
    table.finish();
    rules
}

#[cfg(test)]
mod tests {
    use milepost_proto::config_table::Document;

    use super::*;

    /// A rule that the engine has but the file cannot set would be a rule nobody can tune.
    #[test]
    fn every_rule_can_be_set() {
        let rules = serde_json::to_value(Rules::default()).expect("json");
        let mut text = String::new();
        for (field, value) in rules.as_object().expect("an object") {
            text += &format!("{field} = {value}\n");
        }
        let document = Document::parse(&text);
        assert_eq!(read(document.root()), Rules::default());
        assert_eq!(document.into_faults(), []);
    }
}
