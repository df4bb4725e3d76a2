//! Milepost's chores: `cargo xtask CHORE`. This file is the table of contents; every chore has a file of its own.
//!
//! Promise to whoever types one: it installs and starts what it lacks, says what it is doing and how long it took, and
//! stops what it started, however it ends.

mod apt;
mod bench;
pub mod certs;
mod clock;
mod demo;
mod fuzz;
mod gpsd;
mod interrupt;
mod mosquitto;
mod nats;
mod nmea;
mod odoo;
pub mod odoo_story;
pub mod port;
mod postgres;
mod program;
mod recordings;
mod scratch;
mod service;
mod services;
mod test;
pub mod uml;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Milepost's chores.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run every test, with the real services they need
    Test(test::Options),
    /// Start the services the tests use, for manual work, or stop them
    Services(services::Options),
    /// Show the whole system at work on a recorded drive
    Demo(demo::Options),
    /// Build for release and run one benchmark
    Bench(bench::Options),
    /// Feed a decoder what nobody would send, for some minutes
    Fuzz(fuzz::Options),
    /// Make a throw-away certificate authority with gateway and device certificates
    Certs(certs::Options),
    /// Write the recordings that are derived from other recordings
    Recordings,
}

/// Does the chore that the command line names.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Test(options) => test::run(&options),
        Chore::Services(options) => services::run(&options),
        Chore::Demo(options) => demo::run(&options),
        Chore::Bench(options) => bench::run(&options),
        Chore::Fuzz(options) => fuzz::run(&options),
        Chore::Certs(options) => certs::run(&options),
        Chore::Recordings => recordings::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
