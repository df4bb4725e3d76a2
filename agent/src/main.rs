//! Parses, runs, exits: see the library for what happens in between.

use std::process::ExitCode;

fn main() -> ExitCode {
    milepost_agent::cli::main()
}
