//! nats-server, which `bench peers` compares with; nothing of the product speaks to it yet.

use std::path::PathBuf;

use anyhow::Result;

use crate::apt::{self, Need};
use crate::clock::Stopwatch;
use crate::interrupt::Interrupt;
use crate::program;

const NEED: Need = Need { packages: &["nats-server"], autostarts: Some("nats-server") };

/// The program, installed first if it is missing.
pub(crate) fn find_or_install(interrupt: &Interrupt, watch: Stopwatch) -> Result<PathBuf> {
    apt::ensure(NEED, interrupt, watch, || program::find("nats-server"))
}
