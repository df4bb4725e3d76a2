//! A bus described by a DBC file, from the configuration to what is worth keeping.
//!
//! Promise: the configuration's text alone decides which signals come, under which names, and which changes are kept; a
//! message of several frames comes once it is whole; what is wrong with a file is told before anything is heard.

use std::path::Path;

use milepost_agent::clock::Clock;
use milepost_agent::config::Config;
use milepost_agent::event::{EVENTS_MAX, Event};
use milepost_agent::reporting::Reporter;
use milepost_agent::source::{self, BusNews, SourceLink, SourceNews};
use milepost_agent::status::DbcStatus;
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

/// What the source says for a log of a bus that this file describes.
async fn told(folder: &Path, config: &Config, dbc: &str, log: &str) -> Vec<SourceNews> {
    let (sender, mut events) = mpsc::channel(EVENTS_MAX);
    let link = SourceLink::new("bus", sender, Clock::system());
    std::fs::write(folder.join("body.dbc"), dbc).expect("write");
    std::fs::write(folder.join("bus.log"), log).expect("write");
    let source = source::spawn(&config.sources[0], link, CancellationToken::new());
    let mut told = Vec::new();
    while let Some(Event::Source(report)) = events.recv().await {
        told.push(report.news);
    }
    source.await.expect("no panic");
    told
}

/// The readings among it.
fn readings(told: Vec<SourceNews>) -> Vec<Reading> {
    let observations = told.into_iter().filter_map(|news| match news {
        SourceNews::Observed { observations, .. } => Some(observations),
        _ => None,
    });
    observations.flatten().map(|observation| observation.reading).collect()
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
    let readings = readings(told(folder.path(), &config, DBC, LOG).await);
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

#[tokio::test]
async fn mistakes_of_a_partly_good_file_are_told_first_and_the_good_messages_used() {
    let folder = tempfile::tempdir().expect("folder");
    let config = Config::parse(CONFIG, folder.path()).expect("no mistakes");
    let dbc = DBC.replace(" SG_ Lamp : 8|1@1+ (1,0) [0|0] \"\" X\n", "") + "BO_ 4096 ODD: 8 X\n";
    let mut told = told(folder.path(), &config, &dbc, LOG).await;
    let SourceNews::Bus(BusNews::Dbc(DbcStatus { messages, mistakes, oddities, first })) = told.remove(0) else {
        panic!("{told:?}");
    };
    assert_eq!((messages, mistakes, oddities), (1, 2, 0));
    assert!(first[0].contains("body.dbc:4: message ODD: identifier 4096 has more than 11 bits"), "{first:?}");
    assert!(first[1].contains("message BODY has no signal Lamp"), "{first:?}");
    assert!(shown(&readings(told)).contains(&"Vehicle.Cargo.Temperature 0.25 °C".to_owned()));
}

#[tokio::test]
async fn a_message_of_several_frames_is_selected_and_renamed_as_any_other() {
    let folder = tempfile::tempdir().expect("folder");
    let config = Config::parse(&CONFIG.replace("Lamp\"", "Seal\""), folder.path()).expect("no mistakes");
    // 18FF00FEx: nobody's address, which means any sender's.
    let dbc = "BO_ 2566848766 BODY: 10 X\n SG_ CargoTemp : 72|8@1- (0.25,-25) [0|0] \"°C\" X\n \
               SG_ Seal : 0|1@1+ (1,0) [0|0] \"\" X\n";
    let log = "(1.0) can0 1CECFF00#200A0002FF00FF00\n(1.1) can0 1CEBFF00#0101020304050607\n\
               (1.2) can0 1CEBFF00#02080964FFFFFFFF\n";
    let told = told(folder.path(), &config, dbc, log).await;
    assert!(!told.iter().any(|news| matches!(news, SourceNews::Faults(_))), "{told:?}");
    assert_eq!(shown(&readings(told)), ["Vehicle.Cargo.Temperature 0 °C", "Vehicle.Cargo.Seal 1 "]);
}
