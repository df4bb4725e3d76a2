//! A bus described by a DBC file, from the configuration to what is worth keeping.
//!
//! Promise: the configuration's text alone decides which signals come, under which names, and which changes are kept.

use std::path::Path;

use milepost_agent::clock::Clock;
use milepost_agent::config::Config;
use milepost_agent::event::{EVENTS_MAX, Event};
use milepost_agent::reporting::Reporter;
use milepost_agent::source::{self, SourceLink, SourceNews};
use milepost_proto::{Reading, Record, TimeQuality, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const CONFIG: &str = r#"device = "truck-7"
spool.path = "spool.db"
gateway = { url = "https://gateway.example:8443", ca = "ca.pem", certificate = "a.pem", key = "a.key" }

[[source]]
name = "bus"
kind = "candump"
path = "bus.log"
dbc = ["body.dbc"]

[[signal]]
from = "BODY.CargoTemp"
name = "Vehicle.Cargo.Temperature"
deadband = 0.5

[[signal]]
from = "BODY.Lamp"
name = "Vehicle.Cargo.Lamp"
on_change = true
"#;

const DBC: &str = r#"BO_ 291 BODY: 8 X
 SG_ CargoTemp : 0|8@1- (0.25,-25) [0|0] "°C" X
 SG_ Lamp : 8|1@1+ (1,0) [0|0] "" X
 SG_ NotSelected : 16|8@1+ (1,0) [0|0] "" X
"#;

const LOG: &str = "\
(1.00) can0 123#6400010000000000
(1.01) can0 123#6500020000000000
(1.02) can0 123#6601030000000000
(1.03) can0 0CF00400#F07D84F92514F084
";

/// What the source gives for the log.
async fn observed(folder: &Path, config: &Config) -> Vec<Reading> {
    let (sender, mut events) = mpsc::channel(EVENTS_MAX);
    let link = SourceLink::new("bus", sender, Clock::system());
    std::fs::write(folder.join("body.dbc"), DBC).expect("write");
    std::fs::write(folder.join("bus.log"), LOG).expect("write");
    let source = source::spawn(&config.sources[0], link, CancellationToken::new());
    let mut readings = Vec::new();
    while let Some(Event::Source(report)) = events.recv().await {
        if let SourceNews::Observed { observations, .. } = report.news {
            readings.extend(observations.into_iter().map(|observation| observation.reading));
        }
    }
    source.await.expect("no panic");
    readings
}

/// The signals, as `name value unit`.
fn shown(readings: &[Reading]) -> Vec<String> {
    let signals = readings.iter().filter_map(|reading| match reading {
        Reading::Signal(signal) => Some(signal),
        _ => None,
    });
    signals.map(|signal| format!("{} {} {}", signal.name, signal.value, signal.unit)).collect()
}

#[tokio::test]
async fn signals_are_selected_renamed_and_kept_by_their_own_policies() {
    let folder = tempfile::tempdir().expect("folder");
    let config = Config::parse(CONFIG, folder.path()).expect("no mistakes");
    let readings = observed(folder.path(), &config).await;
    let found = shown(&readings);
    let expected = [
        "Vehicle.Cargo.Temperature 0 °C",
        "Vehicle.Cargo.Lamp 0 ",
        "Vehicle.Cargo.Temperature 0.25 °C",
        "Vehicle.Cargo.Lamp 0 ",
        "Vehicle.Cargo.Temperature 0.5 °C",
        "Vehicle.Cargo.Lamp 1 ",
    ];
    assert_eq!(found[..expected.len()], expected);
    assert!(found.len() > expected.len(), "the built-in tables' signals come besides: {found:?}");

    let mut reporter = Reporter::new(config.reporting);
    let record = |reading| Record {
        event_time: Timestamp::EPOCH,
        monotonic_ms: 0,
        time_quality: TimeQuality::UNKNOWN,
        reading,
        seal: None,
    };
    let kept: Vec<_> =
        readings.into_iter().flat_map(|reading| reporter.keep(record(reading))).map(|record| record.reading).collect();
    let cargo: Vec<_> = shown(&kept).into_iter().filter(|signal| signal.starts_with("Vehicle.Cargo")).collect();
    assert_eq!(cargo, [expected[0], expected[1], expected[4], expected[5]]);
}
