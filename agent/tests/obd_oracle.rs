//! OBD-II answers against python-OBD.
//!
//! Promise: every answer of the recorded cars and every vector has the oracle's value, in its own frame. One parameter is
//! read otherwise on purpose: see [`ORACLE_WRONG_PID`].

#[path = "corpus/files.rs"]
mod files;

use std::fs;
use std::path::Path;

use milepost_agent::source::can::obd::{Answer, pid};
use milepost_agent::source::can::{Decoded, Decoder, candump};
use serde::Deserialize;

/// Actual torque, which the oracle does not know.
const ORACLE_UNKNOWN_PID: u8 = 0x62;

/// Evaporative system vapour pressure is one 16-bit number in two's complement (SAE J1979). The oracle gives each byte a
/// sign of its own, so it differs where the lower byte's highest bit is set; -1 is -64.25 Pa there.
const ORACLE_WRONG_PID: u8 = 0x32;

#[derive(Deserialize)]
struct Row {
    /// Absent in the vectors, which belong to no log.
    i: Option<usize>,
    pid: u8,
    data: String,
    value: f64,
}

#[test]
fn recorded_answers_equal_the_oracle() {
    let Some(root) = files::shared_data() else { return };
    let mut compared = 0;
    for log in files::logs(&root.join("can/obd")) {
        let found = answers(&log);
        let rows: Vec<Row> = files::rows(&fs::read_to_string(log.with_extension("obd.jsonl")).expect("oracle"));
        for row in &rows {
            let i = row.i.expect("frame");
            let [(number, value)] = found[i][..] else { panic!("{} frame {i}: {:?}", log.display(), found[i]) };
            assert_eq!(number, row.pid, "{} frame {i}", log.display());
            assert!(close(value, row.value), "{} frame {i}: {value}, oracle {}", log.display(), row.value);
            compared += 1;
        }
        let answered = found.iter().flatten().filter(|(number, _)| *number != ORACLE_UNKNOWN_PID).count();
        assert_eq!(answered, rows.len(), "{}: no answer that the oracle does not have", log.display());
    }
    eprintln!("{compared} recorded answers equal");
    assert!(compared > 1_000, "the corpus is incomplete");
}

#[test]
fn vectors_equal_the_oracle() {
    let Some(root) = files::shared_data() else { return };
    let rows: Vec<Row> = files::rows(&fs::read_to_string(root.join("can/obd/pid_vectors.jsonl")).expect("vectors"));
    let (mut compared, mut excused) = (0, 0);
    for row in &rows {
        let data = bytes(&row.data);
        let found = pid::find(row.pid).and_then(|pid| pid.value(&data)).expect("a known parameter");
        assert_eq!(pid::data_bytes(row.pid), Some(data.len()), "parameter {}", row.pid);
        if row.pid == ORACLE_WRONG_PID && data[1] >= 0x80 {
            excused += 1;
            continue;
        }
        assert!(close(found, row.value), "parameter {} {}: {found}, oracle {}", row.pid, row.data, row.value);
        compared += 1;
    }
    eprintln!("{compared} vectors equal, {excused} where the oracle is wrong");
    assert!(compared > 300 && excused < 8, "the corpus is incomplete");
}

/// What each readable frame of a log answers.
fn answers(log: &Path) -> Vec<Vec<(u8, f64)>> {
    let mut decoder = Decoder::default();
    let bytes = fs::read(log).expect("log");
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(candump::parse);
    let answers = lines.map(|line| match decoder.decode(&line.frame) {
        Ok(Some(Decoded::Obd(Answer::CurrentData(data)))) => {
            data.values().flatten().map(|(pid, value)| (pid.number, value)).collect()
        }
        _ => Vec::new(),
    });
    answers.collect()
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).expect("hexadecimal");
    (0..hexadecimal.len()).step_by(2).map(pair).collect()
}
