//! Our decoding of DBC files beside cantools'.
//!
//! Promise: a row counts as equal only when the same signals are there and each has the same raw value, physical value
//! (1e-9 of it) and choice; a frame cantools cannot decode, only when we too say that it is short, that its page is unknown
//! or that its signals share bits.

use std::path::{Path, PathBuf};
use std::process::Command;

use milepost_agent::source::can::dbc::{Database, DbcFault, Message, Raw, Sample};
use milepost_agent::source::can::{CanId, FrameBody, candump};
use serde_json::Value;

/// How far a float may be from the oracle's, as a share of it.
const SHARE: f64 = 1e-9;

/// How many values were compared and how many were equal.
#[derive(Default)]
pub(crate) struct Score {
    /// Physical values, raw values, choices and refusals.
    pub(crate) compared: u64,
    /// Those that are equal.
    pub(crate) equal: u64,
    /// Those that are not, in a sentence.
    pub(crate) differences: Vec<String>,
}

impl Score {
    fn count(&mut self, is_equal: bool, difference: impl FnOnce() -> String) {
        self.compared += 1;
        self.equal += u64::from(is_equal);
        if !is_equal {
            self.differences.push(difference());
        }
    }
}

/// Compares every row of every file in the folder.
pub(crate) fn score(folder: &Path) -> Score {
    let mut score = Score::default();
    for file in files(folder) {
        let file = OracleFile::new(&file);
        for row in rows(&file.path) {
            let (id, data) = frame(&row);
            compare(&file, id, &data, &row, &mut score);
        }
    }
    score
}

/// Recorded vehicles, and the file each is decoded by.
const LOGS: [(&str, &str); 4] = [
    ("obd/css_3BA199E2_164_5.log", "canmod-gps.dbc"),
    ("obd/css_3BA199E2_165_1.log", "canmod-gps.dbc"),
    ("j1939/css_11111111.log", "CSS-Electronics-SAE-J1939-DEMO.dbc"),
    ("j1939/css_FCBF0606.log", "CSS-Electronics-SAE-J1939-DEMO.dbc"),
];

/// Compares every row of the recorded vehicles, which names its frame by the place among the readable ones.
pub(crate) fn score_logs(can: &Path) -> Score {
    let mut score = Score::default();
    for (log, dbc) in LOGS {
        let (log, dbc) = (can.join(log), OracleFile::new(&can.join("dbc").join(dbc)));
        let text = std::fs::read(&log).expect("log");
        let lines = text.split(|byte| *byte == b'\n').filter_map(candump::parse);
        let frames: Vec<_> = lines.map(|line| line.frame).collect();
        for row in rows(&log) {
            let frame = &frames[usize::try_from(row["i"].as_u64().expect("place")).expect("place")];
            let FrameBody::Data(data) = &frame.body else { panic!("{row} has no data") };
            compare(&dbc, frame.id, data.as_bytes(), &row, &mut score);
        }
    }
    score
}

/// A file and what we make of it.
struct OracleFile {
    path: PathBuf,
    database: Database,
    faults: Vec<DbcFault>,
}

impl OracleFile {
    fn new(path: &Path) -> Self {
        let (database, faults) = Database::parse(&std::fs::read(path).expect("file"));
        Self { path: path.to_owned(), database, faults }
    }

    fn has_shared_bits(&self, message: &Message) -> bool {
        let shared = self.faults.iter().filter(|fault| fault.message.contains("use the same bits"));
        shared.map(|fault| &fault.message).any(|why| why.starts_with(&format!("signals {}.", message.name)))
    }
}

/// The DBC files, in the order of their names.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).expect("corpus folder").map(|entry| entry.expect("entry").path());
    let mut files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|extension| extension == "dbc")).collect();
    files.sort();
    files
}

/// What cantools makes of frames of this file's messages.
fn rows(file: &Path) -> Vec<Value> {
    let output = Command::new("gzip").arg("-dc").arg(file.with_extension("dbc.jsonl.gz")).output().expect("gzip");
    let text = String::from_utf8(output.stdout).expect("text");
    // Python writes these where JSON has no word.
    let text = text.replace(":NaN", ":\"NaN\"").replace(":Infinity", ":\"inf\"").replace(":-Infinity", ":\"-inf\"");
    text.lines().map(|line| serde_json::from_str(line).expect("row")).collect()
}

/// The frame of a row.
fn frame(row: &Value) -> (CanId, Vec<u8>) {
    let id = u32::try_from(row["id"].as_u64().expect("id")).expect("32 bits");
    let id = match row["ext"].as_bool() {
        Some(true) => CanId::Extended(id),
        _ => CanId::Standard(u16::try_from(id).expect("11 bits")),
    };
    let text = row["data"].as_str().expect("data");
    let bytes = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"));
    (id, bytes.collect())
}

fn compare(file: &OracleFile, id: CanId, data: &[u8], row: &Value, score: &mut Score) {
    let place = format!("{} {} {data:02X?}", file.path.display(), row["message"]);
    let Some(message) = file.database.find(id).filter(|message| row["message"] == *message.name) else {
        return score.count(false, || format!("{place}: no such message"));
    };
    if row.get("error").is_some() {
        let is_short = message.samples(data).any(|(_, sample)| sample.is_err());
        let is_refused = is_short || message.is_unknown_page(data) || file.has_shared_bits(message);
        return score.count(is_refused, || format!("{place}: is decoded"));
    }
    let expected = row["signals"].as_object().expect("signals");
    let found = message.samples(data).count();
    score.count(found == expected.len() && !message.is_unknown_page(data), || format!("{place}: {found} signals"));
    for (name, physical) in expected {
        let sample = sample(message, data, name);
        let is_near = |expected: &Value, found: f64| near(number(expected), found);
        let raw = &row["raw"][name];
        let choice = row.get("choices").and_then(|choices| choices.get(name)).and_then(Value::as_str);
        score.count(sample.is_some_and(|sample| is_near(physical, sample.value)), || {
            format!("{place} {name}: {physical} is {sample:?}")
        });
        score.count(sample.is_some_and(|sample| is_raw(raw, sample.raw)), || {
            format!("{place} {name}: raw {raw} is {sample:?}")
        });
        // Of recorded logs the oracle's choices are not known.
        if row.get("data").is_some() {
            score.count(sample.is_some_and(|sample| sample.text == choice), || {
                format!("{place} {name}: choice {choice:?} is {sample:?}")
            });
        }
    }
}

fn sample<'a>(message: &'a Message, data: &'a [u8], name: &str) -> Option<Sample<'a>> {
    message.samples(data).find(|(signal, _)| *signal.name == *name)?.1.ok()
}

fn is_raw(expected: &Value, found: Raw) -> bool {
    let whole = expected.as_i64().map(i128::from).or(expected.as_u64().map(i128::from));
    match found {
        Raw::Real(found) => near(number(expected), found),
        Raw::Unsigned(_) | Raw::Signed(_) => found.whole() == whole,
    }
}

fn number(value: &Value) -> f64 {
    let written = value.as_str().map(|text| text.parse().expect("number"));
    value.as_f64().or(written).expect("number")
}

fn near(expected: f64, found: f64) -> bool {
    let is_same = expected.to_bits() == found.to_bits() || (expected.is_nan() && found.is_nan()) || expected == found;
    is_same || (expected - found).abs() <= SHARE * expected.abs()
}
