//! Parses, runs, exits: see the library for what happens in between.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use milepost_gateway::cli::{self, Cli};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    // It fails only when one is installed already, and then ring it is: nothing else is compiled in.
    drop(rustls::crypto::ring::default_provider().install_default());
    match cli::run(Cli::parse(), shutdown_by_signal()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            cli::exit_code(&error)
        }
    }
}

/// Cancelled by the first SIGTERM or SIGINT.
fn shutdown_by_signal() -> CancellationToken {
    let shutdown = CancellationToken::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        match signal(kind) {
            Ok(mut received) => {
                let shutdown = shutdown.clone();
                tokio::spawn(async move {
                    received.recv().await;
                    shutdown.cancel();
                });
            }
            Err(error) => tracing::error!(%error, "cannot listen for a stop signal"),
        }
    }
    shutdown
}
