//! How much of what real receivers say is understood, and how fast.
//!
//! The share is over the corpus beside the project, scored as the agent's own test does; the speed is over the project's
//! recording, held in memory and decoded on one core, so that every sentence is one that must be read in full. A second is
//! one of processor time: what else the machine does meanwhile does not count.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use milepost_agent::source::nmea::Decoder;
use rustix::time::{ClockId, clock_gettime};

use crate::figure;

#[path = "../../../../agent/tests/nmea_oracle/score.rs"]
mod score;

/// How long to decode.
const MEASURED: Duration = Duration::from_secs(2);
/// How many bytes a read from a serial line brings at most.
const PIECE_BYTES: usize = 4_096;

/// Runs both parts.
pub(crate) fn run() -> anyhow::Result<()> {
    understood();
    speed()
}

fn understood() {
    let Some(corpus) = score::corpus(env!("CARGO_MANIFEST_DIR")) else {
        println!("skipped nmea.epochs_matched_percent: no shared data");
        return;
    };
    let score = score::Score::of(&corpus);
    score.remarks.iter().chain(&score.false_positions).for_each(|line| eprintln!("{line}"));
    figure::print("nmea.epochs_matched_percent", score.percent(), "%");
    figure::print("nmea.epochs_expected", score.expected as f64, "epochs");
    figure::print("nmea.false_positions", score.false_positions.len() as f64, "positions");
}

fn speed() -> anyhow::Result<()> {
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings/seattle-bus.nmea");
    let bytes = std::fs::read(&recording).with_context(|| format!("failed to read {}", recording.display()))?;
    let (mut decoder, mut positions) = (Decoder::default(), 0_u64);
    let began = processor_time();
    while processor_time() - began < MEASURED {
        for piece in bytes.chunks(PIECE_BYTES) {
            decoder.push(piece, |epoch| positions += u64::from(black_box(epoch).position.is_some()));
        }
    }
    let seconds = (processor_time() - began).as_secs_f64();
    figure::print("nmea.sentences_per_s", decoder.sentences() as f64 / seconds, "sentences/s");
    figure::print("nmea.positions_per_s", positions as f64 / seconds, "positions/s");
    Ok(())
}

/// Processor time that this thread has used.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
