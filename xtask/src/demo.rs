//! `cargo xtask demo`: the whole system at work on a recorded drive.
//!
//! ```text
//! seattle-bus.nmea ─ pseudo terminal ┐                          ┌ milestones, as they become known
//! j1939.log ──────── candump replay ─┼─ agent ── relay ── gateway ┼ the exact Odoo calls
//! driver ─────────── HTTP ───────────┘     (cut in the middle)  └ board
//! ```
//!
//! Promise: needs nothing but Rust and a C compiler (with `--odoo` it fetches a real Odoo), uses the product's own binaries
//! and interfaces only, fails when a milestone that the drive must give is missing, and leaves nothing behind.

mod audience;
mod driver;
mod relay;
mod stage;
mod summary;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use milepost_proto::Timestamp;

use crate::clock::Stopwatch;
use crate::interrupt::Interrupt;
use crate::odoo::Odoo;
use crate::scratch::Scratch;
use crate::workspace;
use audience::Audience;
use stage::{Orders, Stage};

/// What to show.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// End by itself in under a minute
    #[arg(long)]
    quick: bool,
    /// Against a real Odoo 19, started for it
    #[arg(long)]
    odoo: bool,
    /// How many times faster than it was recorded the drive runs
    #[arg(long)]
    speed: Option<f64>,
}

/// The recording's middle third, in which the link is cut.
const CUT: (&str, &str) = ("2019-10-31T23:17:38Z", "2019-10-31T23:26:29Z");
/// When the driver captures the proof of delivery: at the first consignee, while the link is cut.
const POD_AT: &str = "2019-10-31T23:20:30Z";
/// When the drive is over.
const END: &str = "2019-10-31T23:35:21Z";
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Longest time the agent's status may stand still.
const STALL_PATIENCE: Duration = Duration::from_secs(30);
/// Longest time everything may take to arrive once the drive is over.
const DRAIN_PATIENCE: Duration = Duration::from_secs(60);

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    let watch = Stopwatch::start();
    let interrupt = Interrupt::install()?;
    watch.say("building the agent and the gateway");
    let status = interrupt.run(workspace::cargo().args(["build", "--workspace", "--quiet"]))?;
    ensure!(status.success(), "the workspace does not build");

    let scratch = Scratch::create("demo")?;
    let odoo = if options.odoo { Some(Odoo::start(&scratch, &interrupt, watch)?) } else { None };
    let orders = match &odoo {
        Some(odoo) => Orders::in_odoo(odoo, watch)?,
        None => Orders::InPlanFile,
    };
    let speed = options.speed.unwrap_or(if options.quick { 60.0 } else { 20.0 });
    let mut stage = Stage::set(scratch.path(), &orders, &interrupt, watch)?;
    stage.wait_for_orders(&orders, &interrupt)?;
    stage.start_drive(speed, &interrupt, watch)?;

    let mut audience = Audience::new(stage.api(), speed);
    play(&stage, &mut audience, &interrupt, watch)?;
    summary::print(&stage, &audience, &orders)?;
    audience.check()?;
    if !options.quick {
        stage.print_where_to_click(odoo.as_ref());
        watch.say("everything stays up; Ctrl-C ends it");
        interrupt.wait_for_ever();
    }
    Ok(())
}

/// The drive, from the first fix to an empty spool.
fn play(stage: &Stage, audience: &mut Audience, interrupt: &Interrupt, watch: Stopwatch) -> Result<()> {
    let [cut, mend, pod_at, end] = [CUT.0, CUT.1, POD_AT, END].map(str::parse::<Timestamp>);
    let (cut, mend, pod_at, end) = (cut?, mend?, pod_at?, end?);
    let mut pod_sent = false;
    let mut over_since = None;
    let mut moved = (Timestamp::EPOCH, watch.elapsed());
    loop {
        interrupt.wait(LOOK_EVERY)?;
        let status = stage.agent_status().context("the agent does not answer")?;
        let now = status.now()?;
        if now > moved.0 {
            moved = (now, watch.elapsed());
        }
        ensure!(watch.elapsed() - moved.1 < STALL_PATIENCE, "the agent's status stands still at {now}");
        audience.look(now)?;
        if stage.relay().set_cut((cut..mend).contains(&now)) {
            watch.say(&status.describe_link(stage.relay().is_cut()));
        }
        if now >= pod_at && !pod_sent {
            driver::deliver(stage, watch)?;
            pod_sent = true;
        }
        if now >= end {
            let since = *over_since.get_or_insert_with(|| watch.elapsed());
            if status.is_drained() && audience.has_seen_everything() {
                return Ok(());
            }
            ensure!(watch.elapsed() - since < DRAIN_PATIENCE, "not everything arrived; {}", audience.missing());
        }
    }
}
