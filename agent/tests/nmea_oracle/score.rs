//! Scoring our fixes against an oracle's, log by log.

use std::fs;
use std::path::{Path, PathBuf};

use milepost_agent::source::nmea::{Decoder, Epoch};
use serde_json::Value;

/// The corpus's folders of receiver logs.
const FOLDERS: [&str; 4] = ["gpsd", "pynmea2", "pynmeagps", "corrupt"];

/// How we did.
#[derive(Debug, Default)]
pub(crate) struct Score {
    /// The oracle's valid positions.
    pub(crate) expected: usize,
    /// Those of them that we found: time of day to 1 ms, coordinates to 1e-5 degree.
    pub(crate) matched: usize,
    /// Log and line of matched positions whose date, speed (to 0.05 m/s) or course (to 0.1 degree) differs.
    pub(crate) different: Vec<(String, u64)>,
    /// Positions where the oracle has none.
    pub(crate) false_positions: Vec<String>,
    /// What was missed and what differs, for people.
    pub(crate) remarks: Vec<String>,
}

impl Score {
    /// Scores every log of the corpus at `nmea`.
    pub(crate) fn of(nmea: &Path) -> Self {
        let mut score = Self::default();
        for folder in FOLDERS {
            let mut logs = logs(&nmea.join(folder));
            logs.sort();
            logs.iter().for_each(|log| score.log(log));
        }
        score
    }

    /// Share of the oracle's positions that we found in full, percent.
    pub(crate) fn percent(&self) -> f64 {
        100.0 * (self.matched - self.different.len()) as f64 / self.expected as f64
    }

    fn log(&mut self, log: &Path) {
        let name = log.file_stem().and_then(|stem| stem.to_str()).expect("log name");
        let expected = expected(&log.with_file_name("expected").join(format!("{name}.fixes.jsonl")));
        let mut found = positions(&fs::read(log).expect("log"));
        self.expected += expected.len();
        for fix in &expected {
            match found.iter().position(|epoch| agrees(epoch, fix)) {
                Some(at) => {
                    self.matched += 1;
                    self.details(name, &found.remove(at), fix);
                }
                None => self.remarks.push(format!("{name}: nothing for {fix}")),
            }
        }
        self.false_positions.extend(found.iter().map(|epoch| format!("{name}: not expected: {epoch:?}")));
    }

    fn details(&mut self, name: &str, epoch: &Epoch, fix: &Value) {
        let position = epoch.position.as_ref().expect("kept only these");
        let date = epoch.event_time.map(|time| time.to_string()[..10].to_owned());
        let same_date = fix["date"].as_str().is_none_or(|expected| date.as_deref() == Some(expected));
        let speed = position.speed_cmps.map(|cmps| f64::from(cmps) / 100.0);
        let course = position.course_cdeg.map(|cdeg| f64::from(cdeg) / 100.0);
        let expected_course = fix["course"].as_f64().map(|course| course % 360.0);
        if !(same_date && near(speed, fix["speed_mps"].as_f64(), 0.05) && near(course, expected_course, 0.1)) {
            self.different.push((name.to_owned(), fix["first_line"].as_u64().unwrap_or_default()));
            self.remarks.push(format!("{name}: {date:?}, {speed:?} m/s, {course:?} degree, not {fix}"));
        }
    }
}

/// Our positions in a log.
fn positions(log: &[u8]) -> Vec<Epoch> {
    let (mut decoder, mut found) = (Decoder::default(), Vec::new());
    decoder.push(log, |epoch| found.push(epoch));
    found.extend(decoder.flush());
    found.retain(|epoch| epoch.position.is_some());
    found
}

/// The oracle's.
fn expected(fixes: &Path) -> Vec<Value> {
    let text = fs::read_to_string(fixes).expect("expected fixes");
    let fixes = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("fix"));
    fixes.filter(|fix| fix["valid"] == true && fix["lat"].is_number()).collect()
}

fn agrees(epoch: &Epoch, fix: &Value) -> bool {
    let Some(position) = &epoch.position else { return false };
    near(epoch.time_of_day_ms.map(|ms| f64::from(ms) / 1e3), fix["tod"].as_f64(), 1e-3)
        && near(Some(position.lat_deg()), fix["lat"].as_f64(), 1e-5)
        && near(Some(position.lon_deg()), fix["lon"].as_f64(), 1e-5)
}

fn near(found: Option<f64>, expected: Option<f64>, tolerance: f64) -> bool {
    match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() <= tolerance,
        (found, expected) => found.is_none() && expected.is_none(),
    }
}

fn logs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("corpus folder");
    let paths = entries.map(|entry| entry.expect("entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect()
}

/// The corpus, where somebody put one beside the project at `manifest` or above it.
pub(crate) fn corpus(manifest: &str) -> Option<PathBuf> {
    Path::new(manifest).ancestors().map(|folder| folder.join("shared/data/nmea")).find(|nmea| nmea.is_dir())
}
