//! `bench peers`: our agent beside what else a fleet might use, in one run, with the same work.
//!
//! Each rival takes in 200,000 records while its centre is down, then hands them over; then again, killed (-9) at half of
//! the backlog; then again, killed [`KILLS_WHILE_DRAINING`] times while it drains. Figures are of the vehicle's end alone. Device bytes are the kernel's
//! `write_bytes` of each process (see [`process::Usage`]) per byte of the records' JSON.

mod filler;
mod forwarder;
mod mosquitto;
mod naive;
mod nats;
mod nats_line;
mod ours;
mod process;
mod record;
mod relay;
mod rival;
mod sink;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use system_tests::wait;

use crate::figure;
use process::Usage;
use rival::Rival;

/// Records of one run.
const RECORDS: u32 = 200_000;
/// Bytes that they have as JSON.
const PAYLOAD_BYTES: f64 = RECORDS as f64 * record::JSON_BYTES as f64;
/// How long handing over may make no progress before it is over.
const QUIET: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// One kill seldom falls between the centre's answer and what a rival makes of it.
const KILLS_WHILE_DRAINING: u32 = 7;
/// Records of one request of the forwarder, compressed for comparison.
const BATCH: u32 = 1_000;

/// What one rival showed.
#[derive(Debug, Clone, Copy)]
struct Figures {
    in_per_s: f64,
    out_per_s: f64,
    usage: Usage,
    wire_bytes_per_record: f64,
}

/// Runs every rival.
pub(crate) fn run() -> anyhow::Result<()> {
    println!(
        "{RECORDS} records of {} bytes as JSON, {KILLS_WHILE_DRAINING} kills while draining; device bytes by /proc/PID/io",
        record::JSON_BYTES
    );
    let floor = floor()?;
    let naive = compare("naive", &|folder| Ok(Box::new(naive::Naive::start(folder, RECORDS)?)))?;
    let ours = compare("milepost", &|_| Ok(Box::new(ours::Ours::start()?)))?;
    print_ratios(&ours, &naive, floor)?;
    compare_if_there("mosquitto", "MILEPOST_MOSQUITTO", |program, folder| {
        Ok(Box::new(mosquitto::Mosquitto::start(program, folder)?))
    });
    compare_if_there("nats", "MILEPOST_NATS", |program, folder| Ok(Box::new(nats::Nats::start(program, folder)?)));
    Ok(())
}

/// Runs as one rival's process; `words` are its own.
pub(crate) fn run_peer(words: &[String]) -> anyhow::Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["forwarder", file, url, records] => forwarder::run(Path::new(file), url, records.parse()?),
        ["spool", file, records] => filler::fill_spool(Path::new(file), records.parse()?),
        ["file", file, records] => filler::fill_file(Path::new(file), records.parse()?),
        _ => bail!("{words:?} is no rival's process"),
    }
}

/// A rival that somebody else installed; one that is missing or fails is told and does not end the comparison.
fn compare_if_there(name: &str, variable: &str, start: impl Fn(&Path, &Path) -> anyhow::Result<Box<dyn Rival>>) {
    let Some(program) = std::env::var_os(variable).map(PathBuf::from) else {
        println!("{name}: not available: {variable} names no program (cargo xtask bench peers installs it)");
        return;
    };
    if let Err(error) = compare(name, &|folder| start(&program, folder)) {
        println!("{name}: not available: {error:#}");
    }
}

/// Append and sync of the same bytes: records per second, and device bytes per byte.
fn floor() -> anyhow::Result<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let watch = wait::now();
    let path = folder.path().join("floor");
    let mut filler = filler::Filler::start(&["file", &path.to_string_lossy(), &RECORDS.to_string()])?;
    filler.wait_for(RECORDS)?;
    let per_s = f64::from(RECORDS) / watch.elapsed().as_secs_f64();
    let device = filler.finish()?.device_bytes as f64 / PAYLOAD_BYTES;
    figure::print("peers.in_records_per_s{rival=floor}", per_s, "records/s");
    figure::print_fine("peers.device_bytes_per_byte_in{rival=floor}", device, "bytes");
    if device == 0.0 {
        println!("the scratch folder is on no disk: device bytes mean nothing here (set TMPDIR)");
    }
    Ok((per_s, device))
}

/// The three runs of a rival.
fn compare(name: &str, start: &dyn Fn(&Path) -> anyhow::Result<Box<dyn Rival>>) -> anyhow::Result<Figures> {
    let fresh = |what: &str, run: &dyn Fn(&mut dyn Rival) -> anyhow::Result<Figures>| {
        let folder = tempfile::tempdir()?;
        let mut rival = start(folder.path()).with_context(|| format!("starting {name}"))?;
        run(rival.as_mut()).with_context(|| format!("{name}, {what}"))
    };
    let figures = fresh("whole", &|rival| whole(name, rival))?;
    fresh("killed in the backlog", &|rival| {
        rival.fill(RECORDS / 2, RECORDS)?;
        rival.crash()?;
        rival.fill(RECORDS, RECORDS)?;
        rival.connect()?;
        wait_for(rival, RECORDS)?;
        print_custody(name, "backlog", rival)?;
        Ok(figures)
    })?;
    fresh("killed while draining", &|rival| {
        rival.fill(RECORDS, RECORDS)?;
        rival.connect()?;
        for kill in 1..=KILLS_WHILE_DRAINING {
            wait_for(rival, RECORDS / (KILLS_WHILE_DRAINING + 1) * kill)?;
            rival.crash()?;
        }
        wait_for(rival, RECORDS)?;
        print_custody(name, "draining", rival)?;
        Ok(figures)
    })?;
    Ok(figures)
}

fn whole(name: &str, rival: &mut dyn Rival) -> anyhow::Result<Figures> {
    let watch = wait::now();
    rival.fill(RECORDS, RECORDS)?;
    let in_per_s = f64::from(RECORDS) / watch.elapsed().as_secs_f64();
    let device_in = rival.usage().device_bytes as f64 / PAYLOAD_BYTES;
    let connecting = wait::now();
    rival.connect()?;
    // From the first arrival: how soon a rival looks again for its centre is its configuration, not its speed.
    wait_for(rival, 1)?;
    let (first, watch) = (rival.arrived()?, wait::now());
    wait_for(rival, RECORDS)?;
    let out_per_s = if first < RECORDS {
        f64::from(RECORDS - first) / watch.elapsed().as_secs_f64()
    } else {
        // All of them arrived at once: from the connection on, which is too slow a figure.
        f64::from(RECORDS) / connecting.elapsed().as_secs_f64()
    };
    let usage = rival.usage();
    let wire_bytes_per_record = rival.wire_bytes() as f64 / f64::from(RECORDS);
    let print = |figure: &str, value: f64, unit: &str| {
        figure::print_fine(&format!("peers.{figure}{{rival={name}}}"), value, unit);
    };
    print("in_records_per_s", in_per_s, "records/s");
    print("out_records_per_s", out_per_s, "records/s");
    print("rss_mib_max", usage.resident_mib_max, "MiB");
    print("cpu_s_per_million", usage.cpu_s * 1e6 / f64::from(RECORDS), "s");
    print("device_bytes_per_byte_in", device_in, "bytes");
    print("device_bytes_per_byte", usage.device_bytes as f64 / PAYLOAD_BYTES, "bytes");
    print("wire_bytes_per_record", wire_bytes_per_record, "bytes");
    Ok(Figures { in_per_s, out_per_s, usage, wire_bytes_per_record })
}

/// Waits until `count` records arrived, or nothing more does.
fn wait_for(rival: &mut dyn Rival, count: u32) -> anyhow::Result<()> {
    let (mut arrived, mut since) = (rival.arrived()?, wait::now());
    while arrived < count && since.elapsed() < QUIET {
        wait::pause(LOOK_EVERY);
        let now = rival.arrived()?;
        if now != arrived {
            (arrived, since) = (now, wait::now());
        }
    }
    Ok(())
}

fn print_custody(name: &str, kill: &str, rival: &mut dyn Rival) -> anyhow::Result<()> {
    let numbers = rival.numbers()?;
    let distinct: BTreeSet<u32> = numbers.iter().copied().filter(|n| (1..=RECORDS).contains(n)).collect();
    let lost = RECORDS as usize - distinct.len() + rival.forgotten() as usize;
    let doubled = numbers.len() - distinct.len();
    figure::print(&format!("peers.lost{{rival={name},kill={kill}}}"), lost as f64, "records");
    figure::print(&format!("peers.doubled{{rival={name},kill={kill}}}"), doubled as f64, "records");
    Ok(())
}

/// Ours by theirs, with the goals of the design beside them.
fn print_ratios(ours: &Figures, naive: &Figures, floor: (f64, f64)) -> anyhow::Result<()> {
    let zstd = json_zstd_bytes_per_record()?;
    figure::print_fine("peers.json_zstd_bytes_per_record", zstd, "bytes");
    let device = |figures: &Figures| figures.usage.device_bytes as f64;
    let ratio = |name: &str, value: f64, goal: &str| {
        figure::print_fine(&format!("peers.{name}_ratio"), value, &format!("(goal {goal})"));
    };
    ratio("in_rate", ours.in_per_s / naive.in_per_s, ">= 1");
    ratio("out_rate", ours.out_per_s / naive.out_per_s, ">= 1");
    ratio("cpu", ours.usage.cpu_s / naive.usage.cpu_s, "<= 1");
    ratio("device_bytes", device(ours) / device(naive), "<= 0.5");
    ratio("wire_bytes", ours.wire_bytes_per_record / naive.wire_bytes_per_record, "<= 0.1");
    ratio("wire_bytes_to_json_zstd", ours.wire_bytes_per_record / zstd, "<= 0.5");
    ratio("floor_to_in_rate", floor.0 / ours.in_per_s, "<= 2");
    ratio("device_bytes_to_floor", device(ours) / PAYLOAD_BYTES / floor.1, "<= 2");
    Ok(())
}

/// What the forwarder's requests would take if it compressed them (zstd, its default level).
fn json_zstd_bytes_per_record() -> anyhow::Result<f64> {
    let mut bytes = 0;
    for first in (1..=RECORDS).step_by(BATCH as usize) {
        let lines: Vec<String> = (first..first + BATCH).map(record::json).collect();
        bytes += zstd::encode_all(lines.join("\n").as_bytes(), 0)?.len();
    }
    Ok(bytes as f64 / f64::from(RECORDS))
}
