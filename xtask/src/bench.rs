//! `cargo xtask bench NAME`: one benchmark, built for release together with the binaries it measures.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use crate::clock::Stopwatch;
use crate::interrupt::Interrupt;
use crate::{mosquitto, nats, uml, workspace};

/// Which benchmark to run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The benchmark's name, e.g. e2e
    name: String,
    /// Passed on to it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    let interrupt = Interrupt::install()?;
    let binaries = ["milepost-agent", "milepost-gateway"].map(|name| ["-p", name, "--bin", name]);
    let mut build = workspace::cargo();
    build.args(["build", "--release", "-p", "system-tests", "--bins"]).args(binaries.as_flattened());
    ensure!(interrupt.run(&mut build)?.success(), "the benchmark does not build");
    let release = workspace::target()?.join("release");
    let mut bench = std::process::Command::new(release.join("bench"));
    bench.arg(&options.name).args(&options.arguments).env("MILEPOST_BIN_DIR", &release);
    bench.envs(compared_with(&options.name, &interrupt)?);
    ensure!(interrupt.run(&mut bench)?.success(), "benchmark {} failed", options.name);
    Ok(())
}

/// What the benchmark `name` needs from elsewhere, installed if it is missing, as variables that name the programs. What
/// cannot be had is told and left out: the benchmark then says what it does without.
fn compared_with(name: &str, interrupt: &Interrupt) -> Result<Vec<(&'static str, PathBuf)>> {
    let watch = Stopwatch::start();
    let mut found = Vec::new();
    let mut keep = |variable, program: Result<PathBuf>| match program {
        Ok(program) => found.push((variable, program)),
        Err(error) => watch.say(&format!("going on without: {error:#}")),
    };
    match name {
        "peers" => {
            keep("MILEPOST_MOSQUITTO", mosquitto::find_or_install(interrupt, watch));
            keep("MILEPOST_NATS", nats::find_or_install(interrupt, watch));
        }
        "custody" => {
            if let Some(kernel) = uml::find_or_install(interrupt, watch)? {
                keep("MILEPOST_UML", Ok(kernel));
            }
        }
        _ => {}
    }
    Ok(found)
}
