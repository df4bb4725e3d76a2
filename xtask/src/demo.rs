//! `cargo xtask demo`: the whole system at work on a recorded drive.

use anyhow::{Result, bail};
use clap::Args;

/// What to show.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// End by itself in under a minute
    #[arg(long)]
    quick: bool,
    /// Against a real Odoo 19, started for it
    #[arg(long)]
    odoo: bool,
}

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    bail!("the demo is not in this commit (asked for: quick {}, odoo {})", options.quick, options.odoo)
}
