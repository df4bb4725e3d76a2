//! `cargo xtask services`: the services the tests use, for working by hand.
//!
//! Promise: `up` prints what a test would be told and keeps the services until Ctrl-C or `down`; `down` stops exactly the
//! run that `up` recorded, and returns when it is gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use rustix::process::{Pid, Signal, kill_process};

use crate::clock::{Stopwatch, pause};
use crate::interrupt::Interrupt;
use crate::mosquitto::Mosquitto;
use crate::odoo::Odoo;
use crate::scratch::Scratch;
use crate::workspace;

const STOP_PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What to do with the services.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start them, say where they are, and keep them until Ctrl-C or `services down`
    Up {
        /// Without Odoo and its PostgreSQL
        #[arg(long)]
        fast: bool,
    },
    /// Stop what `services up` started
    Down,
}

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    match options.action {
        Action::Up { fast } => up(fast),
        Action::Down => down(),
    }
}

/// What tests are told about the broker.
pub(crate) fn broker_variables(broker: &Mosquitto) -> Vec<(&'static str, String)> {
    vec![("MILEPOST_MQTT_PORT", broker.port().to_string())]
}

/// What tests are told about Odoo.
pub(crate) fn odoo_variables(odoo: &Odoo) -> Vec<(&'static str, String)> {
    vec![
        ("MILEPOST_ODOO_URL", odoo.url().to_owned()),
        ("MILEPOST_ODOO_DB", odoo.database().to_owned()),
        ("MILEPOST_ODOO_KEY_FILE", odoo.key_file().display().to_string()),
        ("MILEPOST_ODOO_POSTGRES_PORT", odoo.postgres_port().to_string()),
    ]
}

fn up(fast: bool) -> Result<()> {
    let record = Record::open()?;
    if let Some(pid) = record.running() {
        bail!("services are already up (pid {}); stop them with: cargo xtask services down", pid.as_raw_nonzero());
    }
    let watch = Stopwatch::start();
    let interrupt = Interrupt::install()?;
    let scratch = Scratch::create("up")?;
    record.write()?;
    let outcome = serve(fast, &scratch, &interrupt, watch);
    // Only when everything is gone may `down` return or the next `up` start.
    drop(scratch);
    record.remove();
    outcome
}

fn serve(fast: bool, scratch: &Scratch, interrupt: &Interrupt, watch: Stopwatch) -> Result<()> {
    let broker = Mosquitto::start(scratch, interrupt, watch)?;
    let odoo = if fast { None } else { Some(Odoo::start(scratch, interrupt, watch)?) };
    for (name, value) in broker_variables(&broker).into_iter().chain(odoo.iter().flat_map(odoo_variables)) {
        println!("export {name}='{value}'");
    }
    watch.say("ready; Ctrl-C or `cargo xtask services down` stops them");
    interrupt.wait_for_ever();
    watch.say("stopping");
    Ok(())
}

fn down() -> Result<()> {
    let record = Record::open()?;
    let Some(pid) = record.running() else {
        record.remove();
        bail!("no services are up");
    };
    kill_process(pid, Signal::TERM).context("failed to signal the services' process")?;
    let watch = Stopwatch::start();
    while record.running().is_some() {
        if watch.elapsed() > STOP_PATIENCE {
            bail!("process {} is still stopping its services", pid.as_raw_nonzero());
        }
        pause(LOOK_EVERY);
    }
    Ok(())
}

/// The file in which `up` leaves its process id for `down`.
#[derive(Debug)]
struct Record {
    path: PathBuf,
}

impl Record {
    fn open() -> Result<Self> {
        Ok(Self { path: workspace::target()?.join("services.pid") })
    }

    /// The recorded process, if it is still there and still a chore of ours: ids are used again.
    fn running(&self) -> Option<Pid> {
        let pid: i32 = fs::read_to_string(&self.path).ok()?.trim().parse().ok()?;
        let name = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("comm")).ok()?;
        if name.trim() == "xtask" { Pid::from_raw(pid) } else { None }
    }

    fn write(&self) -> Result<()> {
        fs::write(&self.path, std::process::id().to_string())
            .with_context(|| format!("failed to write {}", self.path.display()))
    }

    fn remove(&self) {
        // It may never have been written.
        let _ = fs::remove_file(&self.path);
    }
}
