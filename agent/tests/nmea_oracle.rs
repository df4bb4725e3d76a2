//! Real receivers' logs against what independent parsers make of them.
//!
//! Promise: over the whole corpus, every valid position of the oracle's is found at 1e-5 degree with its date, its speed
//! at 0.05 m/s and its course at 0.1 degree, but for the cases named below, and no position is given where the oracle
//! has none. The corpus is no part of the project; without it the test says so.

use std::fs;
use std::path::{Path, PathBuf};

use milepost_agent::source::nmea::{Decoder, Epoch};
use serde::Deserialize;

/// Share of the oracle's valid positions that must be found, percent.
const MATCHED_PERCENT_MIN: f64 = 100.0;

/// Where we differ from the oracle and why: log, line of the fix, reason.
const DIFFERENT: [(&str, u32, &str); 1] = [(
    "gp-320fw-2019-04-07-coldboot",
    22,
    "the log begins with the VTG of this fix's cycle; the oracle has no fix yet to count it for, we do",
)];

/// A fix as the oracle sees it.
#[derive(Deserialize)]
struct Expected {
    tod: Option<f64>,
    date: Option<String>,
    lat: Option<f64>,
    lon: Option<f64>,
    speed_mps: Option<f64>,
    course: Option<f64>,
    first_line: u32,
    valid: bool,
}

#[derive(Default)]
struct Score {
    expected: usize,
    matched: usize,
    different: Vec<(String, u32)>,
    remarks: Vec<String>,
    false_positions: Vec<String>,
}

#[test]
fn positions_agree_with_independent_parsers() {
    let Some(root) = shared_data() else {
        eprintln!("skipped: no shared data");
        return;
    };
    let mut score = Score::default();
    for folder in ["gpsd", "pynmea2", "pynmeagps", "corrupt"] {
        let mut logs = files(&root.join("nmea").join(folder));
        logs.sort();
        for log in logs {
            score_log(&log, &mut score);
        }
    }
    let percent = 100.0 * score.matched as f64 / score.expected as f64;
    for line in score.remarks.iter().chain(&score.false_positions) {
        eprintln!("{line}");
    }
    eprintln!("{} of {} positions matched ({percent:.2} %)", score.matched, score.expected);
    for (log, line, reason) in DIFFERENT {
        eprintln!("{log}: line {line} differs, as is known: {reason}");
    }
    assert!(score.expected > 1_000, "the corpus is incomplete");
    assert_eq!(score.false_positions, Vec::<String>::new());
    assert!(percent >= MATCHED_PERCENT_MIN);
    assert_eq!(score.different, DIFFERENT.map(|(log, line, _)| (log.to_owned(), line)));
}

fn score_log(log: &Path, score: &mut Score) {
    let name = log.file_stem().and_then(|stem| stem.to_str()).expect("log name");
    let expected = log.with_file_name("expected").join(format!("{name}.fixes.jsonl"));
    let expected: Vec<Expected> = fs::read_to_string(expected)
        .expect("expected fixes")
        .lines()
        .map(|line| serde_json::from_str(line).expect("fix"))
        .filter(|fix: &Expected| fix.valid && fix.lat.is_some())
        .collect();
    let mut found: Vec<Epoch> = Vec::new();
    let mut decoder = Decoder::default();
    decoder.push(&fs::read(log).expect("log"), |epoch| found.push(epoch));
    found.extend(decoder.flush());
    found.retain(|epoch| epoch.position.is_some());
    score.expected += expected.len();
    for fix in &expected {
        match found.iter().position(|epoch| agrees(epoch, fix)) {
            Some(at) => {
                score.matched += 1;
                score_details(name, &found.remove(at), fix, score);
            }
            None => score.remarks.push(format!("{name}: nothing for line {} ({:?})", fix.first_line, fix.tod)),
        }
    }
    score.false_positions.extend(found.iter().map(|epoch| format!("{name}: not expected: {epoch:?}")));
}

fn score_details(name: &str, epoch: &Epoch, fix: &Expected, score: &mut Score) {
    let position = epoch.position.as_ref().expect("kept only these");
    let date = epoch.event_time.map(|time| time.to_string()[..10].to_owned());
    if fix.date.is_some() && date != fix.date {
        score.different.push((name.to_owned(), fix.first_line));
        score.remarks.push(format!("{name}: line {}: date {date:?}, not {:?}", fix.first_line, fix.date));
    }
    let speed = position.speed_cmps.map(|cmps| f64::from(cmps) / 100.0);
    let course = position.course_cdeg.map(|cdeg| f64::from(cdeg) / 100.0);
    if !(near(speed, fix.speed_mps, 0.05) && near(course, fix.course.map(|course| course % 360.0), 0.1)) {
        score.different.push((name.to_owned(), fix.first_line));
        score.remarks.push(format!(
            "{name}: line {}: {speed:?} m/s {course:?}, not {:?} {:?}",
            fix.first_line, fix.speed_mps, fix.course
        ));
    }
}

fn agrees(epoch: &Epoch, fix: &Expected) -> bool {
    let Some(position) = &epoch.position else { return false };
    near(epoch.time_of_day_ms.map(|ms| f64::from(ms) / 1e3), fix.tod, 1e-3)
        && near(Some(position.lat_deg()), fix.lat, 1e-5)
        && near(Some(position.lon_deg()), fix.lon, 1e-5)
}

fn near(found: Option<f64>, expected: Option<f64>, tolerance: f64) -> bool {
    match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() <= tolerance,
        (found, expected) => found.is_none() && expected.is_none(),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("corpus folder");
    let paths = entries.map(|entry| entry.expect("entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect()
}

/// The corpus, where somebody put one beside the project.
fn shared_data() -> Option<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared/data"))
        .find(|data| data.is_dir())
}
