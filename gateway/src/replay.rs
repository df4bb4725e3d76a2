//! `replay`: the engine alone, offline.

use std::io::{BufRead, Write};

/// Replays `records` (JSON lines) against `plan` (the text of a `plan.json`) and writes what stands at the end to `out`
/// as JSON lines; bad lines go to `faults` and are passed over.
///
/// # Errors
/// When the plan cannot be used, or reading or writing fails.
pub fn run(
    _plan: Option<&str>,
    _records: impl BufRead,
    _shuffle: Option<u64>,
    _out: &mut impl Write,
    _faults: &mut impl Write,
) -> anyhow::Result<()> {
    Ok(())
}
