//! Recorded trucks against what cantools makes of them.
//!
//! Promise: engine speed and wheel-based speed equal the oracle's in every frame where the sender gives a value. The
//! oracle does not mask codes that are no values; those must be absent here. Trouble codes are equal, also those that
//! came by transport protocol.
//! The corpus is no part of the project; without it the test says so.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use milepost_agent::source::can::{Decoded, Decoder, candump};
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    i: usize,
    signals: BTreeMap<String, f64>,
    raw: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct ExpectedCodes {
    i: usize,
    dtcs: Vec<ExpectedCode>,
}

#[derive(Deserialize, Debug, PartialEq)]
struct ExpectedCode {
    spn: u32,
    fmi: u8,
    oc: u8,
}

/// Our name, the oracle's, and the largest raw value that is one.
const SIGNALS: [(&str, &str); 2] = [("EngSpeed", "EngineSpeed"), ("WheelBasedVehicleSpeed", "WheelBasedVehicleSpeed")];
const RAW_MAX: f64 = 64_255.0;

#[test]
fn speeds_and_trouble_codes_agree_with_cantools() {
    let Some(root) = shared_data() else {
        eprintln!("skipped: no shared data");
        return;
    };
    let (mut compared, mut codes) = (0, 0);
    for log in logs(&root.join("can/j1939")) {
        let found = decoded(&fs::read(&log).expect("log"));
        let name = log.display();
        for expected in gunzip_lines(&log.with_extension("dbc.jsonl.gz")) {
            let expected: Expected = serde_json::from_str(&expected).expect("row");
            for (ours, theirs) in SIGNALS {
                let Some(value) = expected.signals.get(theirs) else { continue };
                let value = (expected.raw[theirs] <= RAW_MAX).then_some(*value);
                assert_eq!(found[expected.i].signals.get(ours).copied(), value, "{name} frame {}", expected.i);
                compared += 1;
            }
        }
        for line in fs::read_to_string(log.with_extension("dm1.jsonl")).expect("dm1").lines() {
            let expected: ExpectedCodes = serde_json::from_str(line).expect("row");
            assert_eq!(found[expected.i].codes, Some(expected.dtcs), "{name} frame {}", expected.i);
            codes += 1;
        }
        let lists = found.iter().filter(|frame| frame.codes.is_some()).count();
        let expected = fs::read_to_string(log.with_extension("dm1.jsonl")).expect("dm1").lines().count();
        assert_eq!(lists, expected, "{name}: no list of codes that the oracle does not have");
    }
    eprintln!("{compared} values and {codes} lists of trouble codes equal");
    assert!(compared > 1_000 && codes > 0, "the corpus is incomplete");
}

/// What one frame gives.
#[derive(Default)]
struct Found {
    signals: BTreeMap<&'static str, f64>,
    codes: Option<Vec<ExpectedCode>>,
}

/// What each readable frame of a log gives.
fn decoded(log: &[u8]) -> Vec<Found> {
    let mut decoder = Decoder::default();
    let lines = log.split(|byte| *byte == b'\n').filter_map(candump::parse);
    lines.map(|line| decoder.decode(&line.frame).ok().flatten().map(found).unwrap_or_default()).collect()
}

fn found(decoded: Decoded<'_>) -> Found {
    match decoded {
        Decoded::Message(message) => {
            let values = message.signals().filter_map(|(spec, value)| Some((spec.name, value.ok()?)));
            Found { signals: values.collect(), codes: None }
        }
        Decoded::Dm1(dm1) => {
            let codes = dm1.codes().map(|code| ExpectedCode { spn: code.spn, fmi: code.fmi, oc: code.occurrence });
            Found { signals: BTreeMap::new(), codes: Some(codes.collect()) }
        }
    }
}

fn gunzip_lines(path: &Path) -> Vec<String> {
    let output = Command::new("gzip").arg("-dc").arg(path).output().expect("gzip");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

fn logs(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).expect("corpus folder").map(|entry| entry.expect("entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect()
}

/// The corpus, where somebody put one beside the project.
fn shared_data() -> Option<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared/data"))
        .find(|data| data.is_dir())
}
