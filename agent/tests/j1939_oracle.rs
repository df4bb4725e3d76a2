//! Recorded trucks against what cantools makes of them.
//!
//! Promise: engine speed and wheel-based speed equal the oracle's in every frame where the sender gives a value. The
//! oracle does not mask codes that are no values; those must be absent here. Trouble codes of single frames are equal.
//! The corpus is no part of the project; without it the test says so.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use milepost_agent::source::can::candump::{self, Line};
use milepost_agent::source::can::{Decoded, decode};
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
    via: String,
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
    let (mut compared, mut masked, mut codes) = (0, 0, 0);
    for log in logs(&root.join("can/j1939")) {
        let bytes = fs::read(&log).expect("log");
        let frames: Vec<Line<'_>> = bytes.split(|byte| *byte == b'\n').filter_map(candump::parse).collect();
        for expected in gunzip_lines(&log.with_extension("dbc.jsonl.gz")) {
            let expected: Expected = serde_json::from_str(&expected).expect("row");
            for (ours, theirs) in SIGNALS {
                let Some(value) = expected.signals.get(theirs) else { continue };
                let found = signal(&frames[expected.i], ours);
                if expected.raw[theirs] > RAW_MAX {
                    assert_eq!(found, None, "{} frame {}", log.display(), expected.i);
                    masked += 1;
                } else {
                    let found = found.expect("value");
                    assert!((found - value).abs() < 1e-9, "{} frame {}: {found}", log.display(), expected.i);
                    compared += 1;
                }
            }
        }
        for line in fs::read_to_string(log.with_extension("dm1.jsonl")).expect("dm1").lines() {
            let expected: ExpectedCodes = serde_json::from_str(line).expect("row");
            if expected.via == "frame" {
                assert_eq!(trouble_codes(&frames[expected.i]), expected.dtcs, "{}", log.display());
                codes += 1;
            }
        }
    }
    eprintln!("{compared} values equal, {masked} masked, {codes} trouble code frames equal");
    assert!(compared > 1_000 && codes > 0, "the corpus is incomplete");
}

fn signal(line: &Line<'_>, name: &str) -> Option<f64> {
    let Ok(Decoded::Message(message)) = decode(&line.frame) else { return None };
    message.signals().find(|(spec, _)| spec.name == name).and_then(|(_, value)| value.ok())
}

fn trouble_codes(line: &Line<'_>) -> Vec<ExpectedCode> {
    let Ok(Decoded::Dm1(dm1)) = decode(&line.frame) else { return Vec::new() };
    dm1.codes().map(|code| ExpectedCode { spn: code.spn, fmi: code.fmi, oc: code.occurrence }).collect()
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
