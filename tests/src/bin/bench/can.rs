//! The vehicle bus: how much of what other decoders find is found, and how fast.
//!
//! Promise: speeds are of one thread that turns frames already in memory into signal values, over and over the frames of
//! a recorded truck; every value is looked at, so none can be left out.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use milepost_agent::source::can::dbc::Database;
use milepost_agent::source::can::{Decoded, Decoder, Frame, FrameBody, candump};
use system_tests::wait;

use crate::figure;

#[path = "../../../../agent/tests/dbc_vectors/score.rs"]
mod dbc_score;

/// How long each speed is measured.
const MEASURED: Duration = Duration::from_secs(3);
/// Most that is said of values which differ.
const DIFFERENCES_MAX: usize = 10;
/// What a fleet needs of a truck's bus, as a DBC file says it.
const TRUCK: &str = include_str!("truck.dbc");

/// Runs all parts.
pub(crate) fn run() -> anyhow::Result<()> {
    dbc_vectors();
    speeds()
}

/// DBC files against cantools: made-up frames, and recorded vehicles.
fn dbc_vectors() {
    let Some(can) = shared_can() else {
        println!("can.dbc_vectors_matched_percent: skipped, no shared data");
        return;
    };
    print_score("can.dbc_vectors_matched_percent", &dbc_score::score(&can.join("dbcvectors")));
    print_score("can.dbc_logs_matched_percent", &dbc_score::score_logs(&can));
}

fn print_score(name: &str, score: &dbc_score::Score) {
    for difference in score.differences.iter().take(DIFFERENCES_MAX) {
        println!("# {difference}");
    }
    println!("# {} of {} values", score.equal, score.compared);
    figure::print(name, score.equal as f64 / score.compared as f64 * 100.0, "%");
}

/// Frames a second, by the built-in tables and by a DBC file.
fn speeds() -> anyhow::Result<()> {
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings/j1939.log");
    let text = std::fs::read(&log).with_context(|| format!("failed to read {}", log.display()))?;
    let frames: Vec<_> = text.split(|byte| *byte == b'\n').filter_map(candump::parse).map(|line| line.frame).collect();
    let mut decoder = Decoder::default();
    let built_in = frames_per_s(&frames, |frame| match decoder.decode(frame) {
        Ok(Some(Decoded::Message(message))) => message.signals().filter_map(|(_, value)| value.ok()).sum(),
        _ => 0.0,
    });
    figure::print("can.frames_per_s{tables=built_in}", built_in, "frames/s");
    let (database, faults) = Database::parse(TRUCK.as_bytes());
    anyhow::ensure!(faults.is_empty(), "truck.dbc has mistakes: {faults:?}");
    let by_dbc = |frame: &Frame| match (&frame.body, database.find(frame.id)) {
        (FrameBody::Data(data), Some(message)) => {
            let values = message.values(data.as_bytes());
            values.filter_map(|(_, sample)| sample.ok()).map(|sample| sample.value).sum()
        }
        _ => 0.0,
    };
    figure::print("can.frames_per_s{tables=dbc}", frames_per_s(&frames, by_dbc), "frames/s");
    let known: Vec<_> = frames.into_iter().filter(|frame| database.find(frame.id).is_some()).collect();
    figure::print("can.frames_per_s{tables=dbc,frames=known}", frames_per_s(&known, by_dbc), "frames/s");
    Ok(())
}

/// How many frames a second `decode` turns into the sum of their values.
fn frames_per_s(frames: &[Frame], mut decode: impl FnMut(&Frame) -> f64) -> f64 {
    let (watch, mut count) = (wait::now(), 0_usize);
    while watch.elapsed() < MEASURED {
        for frame in frames {
            black_box(decode(black_box(frame)));
        }
        count += frames.len();
    }
    count as f64 / watch.elapsed().as_secs_f64()
}

/// The corpus, where somebody put one beside the project.
fn shared_can() -> Option<PathBuf> {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    folders.map(|folder| folder.join("shared/data/can")).find(|folder| folder.is_dir())
}
