//! OBD-II answers of recorded cars, and vectors of parameters, against python-OBD.

use anyhow::Context as _;
use milepost_agent::source::can::obd::{Answer, pid};
use milepost_agent::source::can::{Decoded, Decoder, Frame};
use serde_json::Value;

use crate::corpus::{self, Score};
use crate::figure;

/// Evaporative system vapour pressure is one 16-bit number in two's complement (SAE J1979). The oracle gives each byte a
/// sign of its own and is wrong where the lower byte's highest bit is set; those vectors are counted apart.
const ORACLE_WRONG_PID: u8 = 0x32;

/// Prints the figures.
pub(crate) fn run() -> anyhow::Result<()> {
    let folder = corpus::shared_data()?.join("can/obd");
    let mut recorded = Score::default();
    for log in corpus::logs(&folder)? {
        let found = answers(&corpus::frames(&log)?);
        for row in corpus::rows(&log.with_extension("obd.jsonl"))? {
            let value = number(&row).zip(row["value"].as_f64());
            recorded.add(match (found[corpus::frame_index(&row)?].as_slice(), value) {
                ([(number, found)], Some((expected_number, expected))) => {
                    *number == expected_number && close(*found, expected)
                }
                _ => false,
            });
        }
    }
    let (mut vectors, mut oracle_wrong) = (Score::default(), 0);
    for row in corpus::rows(&folder.join("pid_vectors.jsonl"))? {
        let data = bytes(&row).context("a vector has data")?;
        if number(&row) == Some(ORACLE_WRONG_PID) && data.get(1).is_some_and(|low| *low >= 0x80) {
            oracle_wrong += 1;
            continue;
        }
        let found = number(&row).and_then(pid::find).and_then(|pid| pid.value(&data));
        vectors.add(found.zip(row["value"].as_f64()).is_some_and(|(found, expected)| close(found, expected)));
    }
    recorded.print("can.obd_recorded");
    vectors.print("can.obd_vectors");
    figure::print("can.obd_vectors_oracle_wrong{pid=0x32}", f64::from(oracle_wrong), "values");
    recorded.merge(&vectors);
    recorded.print("can.obd");
    Ok(())
}

/// The parameters each frame answers, with their values.
fn answers(frames: &[Frame]) -> Vec<Vec<(u8, f64)>> {
    let mut decoder = Decoder::default();
    let answers = frames.iter().map(|frame| match decoder.decode(frame) {
        Ok(Some(Decoded::Obd(Answer::CurrentData(data)))) => {
            data.values().flatten().map(|(pid, value)| (pid.number, value)).collect()
        }
        _ => Vec::new(),
    });
    answers.collect()
}

fn number(row: &Value) -> Option<u8> {
    row["pid"].as_u64().and_then(|number| number.try_into().ok())
}

fn bytes(row: &Value) -> Option<Vec<u8>> {
    let hexadecimal = row["data"].as_str()?;
    (0..hexadecimal.len()).step_by(2).map(|at| u8::from_str_radix(hexadecimal.get(at..at + 2)?, 16).ok()).collect()
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
}
