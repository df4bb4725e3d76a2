//! gpsd and gpsfake, which plays a recording to it. Tests start both themselves, on ports of their own.

use std::path::PathBuf;

use anyhow::Result;

use crate::apt::{self, Need};
use crate::clock::Stopwatch;
use crate::interrupt::Interrupt;
use crate::program;

const NEED: Need = Need { packages: &["gpsd", "gpsd-clients"], autostarts: Some("gpsd.socket") };

/// Where gpsd is, once it and gpsfake are installed.
pub(crate) fn ensure(interrupt: &Interrupt, watch: Stopwatch) -> Result<PathBuf> {
    apt::ensure(NEED, interrupt, watch, || program::find("gpsfake").and(program::find("gpsd")))
}
