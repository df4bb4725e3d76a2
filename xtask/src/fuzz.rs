//! `cargo xtask fuzz NAME`: one fuzz target for some minutes, with the address sanitizer.
//!
//! Promise: it installs what it lacks, begins from the committed inputs and leaves them alone. What it finds on its way
//! stays in the build folder; an input that fails is printed with its file.

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::interrupt::Interrupt;
use crate::workspace;

/// Longest input, bytes: as long as a committed one may be.
const INPUT_BYTES_MAX: u32 = 1_024;

/// What to fuzz and for how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The target's name, a file in tests/fuzz/fuzz_targets, e.g. nmea
    name: String,
    /// Minutes to run
    #[arg(long, default_value_t = 10)]
    minutes: u32,
}

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    let interrupt = Interrupt::install()?;
    let folder = workspace::root().join("tests/fuzz");
    let found = workspace::target()?.join("fuzz");
    let inputs = found.join("corpus").join(&options.name);
    std::fs::create_dir_all(&inputs).with_context(|| format!("failed to create {}", inputs.display()))?;
    let installed = nightly(&["fuzz", "--version"]).output().is_ok_and(|output| output.status.success());
    if !installed {
        let mut install = nightly(&["install", "--locked", "cargo-fuzz"]);
        ensure!(interrupt.run(&mut install)?.success(), "failed to install cargo-fuzz; is there a nightly toolchain?");
    }
    let mut fuzz = nightly(&["fuzz", "run", "--fuzz-dir"]);
    fuzz.arg(&folder).arg("--target-dir").arg(&found).arg(&options.name);
    fuzz.arg(&inputs).arg(folder.join("corpus").join(&options.name)).arg("--");
    fuzz.args([
        format!("-max_total_time={}", options.minutes.saturating_mul(60)),
        format!("-max_len={INPUT_BYTES_MAX}"),
    ]);
    ensure!(interrupt.run(&mut fuzz)?.success(), "fuzz target {} found something", options.name);
    Ok(())
}

/// Cargo of the nightly toolchain, which the sanitizer needs; nothing else here does.
fn nightly(arguments: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new("rustup");
    command.args(["run", "nightly", "cargo"]).args(arguments).current_dir(workspace::root());
    command
}
