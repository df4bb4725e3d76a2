//! `[[signal]]`: which signals are taken from DBC files, under which name, and when each is kept.
//!
//! Promise: a signal is selected once; a table that selects nothing and changes nothing is a mistake, not a silent one.

use milepost_proto::config_table::Table;

use super::SourceConfig;
use crate::reporting::{ChangeRule, ReportingPolicy, SignalPolicy};

/// A signal of a DBC file and what it is called from there on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// `MESSAGE.SIGNAL`, as the file names them.
    pub from: String,
    /// Its name in readings: the VSS path where there is one.
    pub name: String,
}

/// Reads all tables; what they select goes to the sources with DBC files, when to keep it to the policy.
pub(super) fn read(root: &mut Table<'_>, sources: &mut [SourceConfig], reporting: &mut ReportingPolicy) {
    for mut table in root.tables("signal") {
        let from = table.get::<String>("from");
        let name = table.get::<String>("name").or_else(|| from.clone());
        let policy = policy(&mut table);
        if let Some(from) = &from {
            if from.split_once('.').is_none_or(|(message, signal)| message.is_empty() || signal.is_empty()) {
                table.fault("from", "must be MESSAGE.SIGNAL, as the DBC file names them");
            }
            if sources.iter().all(|source| source.bus.dbc.files.is_empty()) {
                table.fault("from", "selects from DBC files, but no source has any; give the bus dbc = [\"FILE\"]");
            }
        } else if policy == SignalPolicy::default() {
            table.fault("from", "is missing; without it on_change, deadband or interval_s must say what is different");
        }
        match name {
            Some(name) => {
                if reporting.signals.insert(name.clone(), policy).is_some() {
                    table.fault("name", &format!("{name:?} is used by another signal; give each its own"));
                }
                for dbc in sources.iter_mut().map(|source| &mut source.bus.dbc).filter(|dbc| !dbc.files.is_empty()) {
                    let from = from.clone();
                    dbc.selected.extend(from.map(|from| Selection { from, name: name.clone() }));
                }
            }
            None => table.fault("name", "is missing"),
        }
        table.finish();
    }
}

fn policy(table: &mut Table<'_>) -> SignalPolicy {
    let on_change = table.get::<bool>("on_change");
    let deadband = table.get::<f64>("deadband");
    let interval_s = table.get::<u32>("interval_s");
    if deadband.is_some_and(|deadband| !deadband.is_finite() || deadband < 0.0) {
        table.fault("deadband", "must be 0 or more, in the signal's unit");
    }
    if interval_s == Some(0) {
        table.fault("interval_s", "must be 1 or more");
    }
    if deadband.is_some() && on_change.is_some() {
        table.fault("deadband", "says how much must change, on_change that any change or none does; keep one of them");
    }
    let on_change = on_change.map(|any| if any { ChangeRule::By(0.0) } else { ChangeRule::Never });
    SignalPolicy { change: deadband.map(ChangeRule::By).or(on_change), interval_s }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    const BUS: &str = r#"device = "truck-7"
spool.path = "spool.db"
gateway = { url = "https://gateway.example:8443", ca = "ca.pem", certificate = "a.pem", key = "a.key" }
[[source]]
name = "gnss"
kind = "nmea_serial"
path = "/dev/ttyUSB0"
[[source]]
name = "bus"
kind = "candump"
path = "bus.log"
dbc = ["a.dbc", "/srv/b.dbc"]
"#;

    #[test]
    fn signals_are_selected_renamed_and_given_policies() {
        let text = format!(
            "{BUS}[[signal]]\nfrom = \"CCVS.Speed\"\nname = \"Vehicle.Speed\"\ndeadband = 2\ninterval_s = 5\n\
             [[signal]]\nfrom = \"EEC1.EngSpeed\"\non_change = true\n\
             [[signal]]\nname = \"Vehicle.Exterior.AirTemperature\"\non_change = false\n"
        );
        let config = Config::parse(&text, Path::new("/etc")).expect("no mistakes");
        let [gnss, bus] = &config.sources[..] else { panic!("two sources") };
        assert!(gnss.bus.dbc.files.is_empty() && gnss.bus.dbc.selected.is_empty());
        assert_eq!(bus.bus.dbc.files, [Path::new("/etc/a.dbc"), Path::new("/srv/b.dbc")]);
        let selected: Vec<_> = bus.bus.dbc.selected.iter().map(|one| (one.from.as_str(), one.name.as_str())).collect();
        assert_eq!(selected, [("CCVS.Speed", "Vehicle.Speed"), ("EEC1.EngSpeed", "EEC1.EngSpeed")]);
        let policies: Vec<_> = config.reporting.signals.into_iter().collect();
        let policy = |change, interval_s| SignalPolicy { change: Some(change), interval_s };
        assert_eq!(
            policies,
            [
                ("EEC1.EngSpeed".to_owned(), policy(ChangeRule::By(0.0), None)),
                ("Vehicle.Exterior.AirTemperature".to_owned(), policy(ChangeRule::Never, None)),
                ("Vehicle.Speed".to_owned(), policy(ChangeRule::By(2.0), Some(5))),
            ]
        );
    }

    /// The mistakes of the configuration with this `[[signal]]` in place of a good one.
    fn check(text: &str, signal: &str, expected: &[&str]) {
        let faults = Config::parse(&format!("{text}[[signal]]\n{signal}\n"), Path::new("/")).expect_err("mistakes");
        assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{signal}");
    }

    #[test]
    fn mistakes_have_their_lines_and_mends() {
        check(BUS, "from = \"Speed\"", &["line 14: signal.from must be MESSAGE.SIGNAL, as the DBC file names them"]);
        check(
            BUS,
            "name = \"Vehicle.Speed\"",
            &[
                "line 13: signal.from is missing; without it on_change, deadband or interval_s must say what is different",
            ],
        );
        check(
            BUS,
            "from = \"A.B\"\non_change = true\ndeadband = -1.0",
            &[
                "line 16: signal.deadband must be 0 or more, in the signal's unit",
                "line 16: signal.deadband says how much must change, on_change that any change or none does; keep one of \
                 them",
            ],
        );
        check(
            &BUS.replace("dbc =", "# dbc ="),
            "from = \"A.B\"",
            &["line 14: signal.from selects from DBC files, but no source has any; give the bus dbc = [\"FILE\"]"],
        );
        check(
            &BUS.replace("path = \"/dev/ttyUSB0\"", "path = \"/dev/ttyUSB0\"\ndbc = [\"a.dbc\"]"),
            "from = \"A.B\"\n[[signal]]\nfrom = \"C.D\"\nname = \"A.B\"",
            &[
                "line 8: source.dbc describes a vehicle bus, which this source is not; move it to the bus's",
                "line 18: signal.name \"A.B\" is used by another signal; give each its own",
            ],
        );
    }
}
