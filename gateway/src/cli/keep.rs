//! `custody`, `backup`, `restore` and `verify`: what is held, a copy of it, and whether it is whole.
//!
//! Promise: these read the store and change nothing in it while a gateway serves it; `restore` takes the gateway's lock.
//! `custody` and `verify` answer on standard output; `verify` ends with status 1 when something does not hold.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Args;
use milepost_proto::{DeviceId, FleetId};
use rusqlite::{Connection, OpenFlags};

use super::Configured;
use crate::clock;
use crate::config::Config;
use crate::serve::lock::Lock;
use crate::store::custody::{self, DeviceCustody, FleetLine, LaneCustody};
use crate::store::{StoreFault, backup, migration, verify};

/// Most lanes in the table about the whole fleet.
const LINES_MAX: usize = 1000;

/// What is missing or lost.
#[derive(Debug, Args)]
pub(super) struct Custody {
    #[command(flatten)]
    configured: Configured,
    /// One device, whatever its state, instead of everything in the fleet that is missing, lost or contested.
    #[arg(long)]
    device: Option<DeviceId>,
    /// As JSON: for a device what `GET /v1/devices/{id}/custody` answers, for the fleet what `GET /v1/custody` does.
    #[arg(long)]
    json: bool,
    /// Losses after this journal position, for a device.
    #[arg(long, default_value_t = 0)]
    after: u64,
}

/// Where to copy the store.
#[derive(Debug, Args)]
pub(super) struct BackUp {
    #[command(flatten)]
    configured: Configured,
    /// The new file.
    #[arg(long)]
    to: PathBuf,
}

/// Which copy to put back.
#[derive(Debug, Args)]
pub(super) struct Restore {
    #[command(flatten)]
    configured: Configured,
    /// The backup.
    #[arg(long)]
    from: PathBuf,
    /// Put it in the place of the store that is there, which is set aside under a new name.
    #[arg(long)]
    force: bool,
}

/// Which store to look at.
#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    configured: Configured,
    /// Look at this file instead of the configured store, a backup for instance.
    #[arg(long)]
    file: Option<PathBuf>,
}

/// `custody`
pub(super) fn custody(command: &Custody) -> anyhow::Result<()> {
    let config = Config::load(&command.configured.config)?;
    let connection = open(&config.store_path)?;
    let text = match &command.device {
        Some(device) => {
            let found = custody::of_device(&connection, &config.fleet, device, command.after)?;
            let found = found.with_context(|| no_such_device(&config.fleet, device))?;
            if command.json { serde_json::to_string_pretty(&found)? } else { device_table(&found) }
        }
        None => {
            let lines = custody::troubled_lanes(&connection, &config.fleet, LINES_MAX)?;
            if command.json { serde_json::to_string_pretty(&lines)? } else { fleet_table(&lines) }
        }
    };
    println!("{text}");
    Ok(())
}

/// `backup`
pub(super) fn back_up(command: &BackUp) -> anyhow::Result<()> {
    let config = Config::load(&command.configured.config)?;
    let pages = backup::back_up(&config.store_path, &command.to)?;
    eprintln!("{} holds all {pages} pages of {}", command.to.display(), config.store_path.display());
    Ok(())
}

/// `restore`
pub(super) fn restore(command: &Restore) -> anyhow::Result<()> {
    let config = Config::load(&command.configured.config)?;
    let store = &config.store_path;
    let _lock = Lock::take(store)?;
    let aside = format!("before-{}", clock::now().as_millis());
    if let Some(aside) = backup::restore(&command.from, store, command.force, &aside)? {
        eprintln!("what was there is now {}", aside.display());
    }
    eprintln!(
        "{} is what {} holds. Devices forgot what was receipted since that backup was taken; what they still hold they \
         send again",
        store.display(),
        command.from.display()
    );
    Ok(())
}

/// `verify`
pub(super) fn verify(command: &Verify) -> anyhow::Result<ExitCode> {
    let path = match &command.file {
        Some(file) => file.clone(),
        None => Config::load(&command.configured.config)?.store_path,
    };
    let connection = open(&path)?;
    let moment = connection.unchecked_transaction()?;
    let report = verify::verify(&moment)?;
    report.findings.iter().for_each(|finding| println!("problem  {finding}"));
    let verify::Report { lanes, chunks, blobs, findings } = &report;
    println!(
        "{}: {lanes} lanes, {chunks} chunks and {blobs} blobs looked at, {} problems",
        path.display(),
        findings.len()
    );
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The store as it is, at this gateway's schema: neither migrated nor created.
fn open(path: &Path) -> anyhow::Result<Connection> {
    let named = || format!("cannot read the store {}", path.display());
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).with_context(named)?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).with_context(named)?;
    let known = migration::known();
    if found > known {
        return Err(StoreFault::Newer { found, known }.into());
    }
    ensure!(
        found == known,
        "{}: it is at schema {found}; `milepost-gateway serve` brings it to {known}",
        path.display()
    );
    Ok(connection)
}

fn no_such_device(fleet: &FleetId, device: &DeviceId) -> String {
    format!("fleet {fleet} has no device {device}; `milepost-gateway device list` names those it has")
}

const HEADER: &str = "LANE       THROUGH    HIGHEST    MISSING    CONTESTED  DROPPED    LOST";

fn lane_line(lane: &LaneCustody) -> String {
    let lost: Vec<String> = lane.lost.iter().map(|sum| format!("{} {}", sum.records, sum.reason)).collect();
    let lost = if lost.is_empty() { "-".to_owned() } else { lost.join(", ") };
    let LaneCustody { lane, through, highest, missing_records, contested_chunks, dropped_records, .. } = lane;
    format!(
        "{lane:<10} {through:<10} {highest:<10} {missing_records:<10} {contested_chunks:<10} {dropped_records:<10} {lost}"
    )
}

fn fleet_table(lines: &[FleetLine]) -> String {
    if lines.is_empty() {
        return "nothing is missing, lost or contested".to_owned();
    }
    let mut table = vec![format!("{:<20} {:<34} {HEADER}", "DEVICE", "SPOOL")];
    table.extend(
        lines.iter().map(|line| format!("{:<20} {:<34} {}", line.device_id, line.spool_id, lane_line(&line.lane))),
    );
    table.join("\n")
}

fn device_table(device: &DeviceCustody) -> String {
    let heard = device.last_seen_at.map_or_else(|| "never heard".to_owned(), |at| format!("last heard {at}"));
    let mut lines = vec![format!("{} ({}), {heard}", device.device_id, device.state)];
    for spool in &device.spools {
        let open = if spool.open { "open" } else { "closed" };
        let mark = spool.low_water_mark.map_or_else(|| "not known".to_owned(), |mark| mark.to_string());
        lines.push(format!("\nspool {} ({open}), told everything up to: {mark}", spool.spool_id));
        lines.push(HEADER.to_owned());
        for lane in &spool.lanes {
            lines.push(lane_line(lane));
            lines.extend(lane.missing.iter().map(|hole| format!("           missing {hole}")));
        }
    }
    let blobs = &device.blobs;
    lines.push(format!("\nphotos and signatures: {} complete, {} begun", blobs.complete, blobs.incomplete));
    lines.extend(device.losses.iter().map(|loss| {
        format!(
            "lost {} {} of {}: {} records, reported {}",
            loss.lane, loss.range, loss.reason, loss.records, loss.received_at
        )
    }));
    lines.extend(device.next.map(|next| format!("more losses: --after {next}")));
    lines.join("\n")
}
