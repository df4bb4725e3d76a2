//! `cargo xtask bench NAME`: one benchmark, built for release together with the binaries it measures.

use anyhow::{Result, ensure};
use clap::Args;

use crate::interrupt::Interrupt;
use crate::workspace;

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
    build.args(["build", "--release", "-p", "system-tests", "--bin", "bench"]).args(binaries.as_flattened());
    ensure!(interrupt.run(&mut build)?.success(), "the benchmark does not build");
    let release = workspace::target()?.join("release");
    let mut bench = std::process::Command::new(release.join("bench"));
    bench.arg(&options.name).args(&options.arguments).env("MILEPOST_BIN_DIR", &release);
    ensure!(interrupt.run(&mut bench)?.success(), "benchmark {} failed", options.name);
    Ok(())
}
