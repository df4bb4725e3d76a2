//! The spool alone: how fast it takes records, and how much it writes to the device for them.
//!
//! Payload is the uncompressed postcard of the records. Bytes to the device are what the kernel accounts to this process as
//! written to storage (`write_bytes` in `/proc/self/io`): whole pages of the page cache, each time one that was clean is
//! written. The file system's own journal is not in it. Commits, syncs, checkpoints, offers and settling are.

use std::path::Path;

use anyhow::{Context as _, ensure};
use milepost_agent::capture::DriverCapture;
use milepost_agent::spool::group::{Group, GroupLimits};
use milepost_agent::spool::{CaptureKey, OfferLimits, Spool, SpoolOptions};
use milepost_proto::driver_app::{ActionKind, DriverAction};
use milepost_proto::reading::{FixType, Signal};
use milepost_proto::{
    BootId, Lane, Position, Reading, Receipt, Record, SequenceRange, SpoolId, TimeQuality, TimeSource, Timestamp,
};
use system_tests::wait;
use tokio::runtime::Runtime;

use crate::figure;

const BOOT: BootId = BootId([7; 16]);
const SPOOL: SpoolId = SpoolId([1; 16]);
/// Simulated seconds of driving.
const DRIVE_S: u64 = 300;
/// Fixes a second.
const FIXES: u64 = 10;
/// Signals a second, of [`NAMES`] names in turn.
const SIGNALS: u64 = 100;
const NAMES: [&str; 10] = [
    "Vehicle.Speed",
    "Vehicle.Powertrain.CombustionEngine.Speed",
    "Vehicle.Powertrain.CombustionEngine.ECT",
    "Vehicle.Powertrain.FuelSystem.InstantConsumption",
    "Vehicle.Powertrain.FuelSystem.RelativeLevel",
    "Vehicle.Chassis.Accelerator.PedalPosition",
    "Vehicle.Chassis.Brake.PedalPosition",
    "Vehicle.Powertrain.Transmission.CurrentGear",
    "Vehicle.Exterior.AirTemperature",
    "Vehicle.TraveledDistance",
];
/// Receipts come this often, simulated seconds.
const SETTLE_EVERY_S: u64 = 5;
/// Most bytes of an offer.
const OFFER_BYTES: usize = 256 * 1024;
/// Records appended to find out how fast that is, and how many at once.
const FAST_RECORDS: u64 = 2_000_000;
const FAST_GROUP: u64 = 1_000;
/// Appends under way at once, so that they share commits.
const IN_FLIGHT: usize = 8;
/// Captures, for what evidence costs.
const CAPTURES: u64 = 500;

/// Runs all parts. The first argument says where the files go; otherwise they go beside the binaries.
pub(crate) fn run() -> anyhow::Result<()> {
    let place = std::env::args().nth(2).map_or_else(beside_the_binary, |path| Ok(path.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    figure::print("spool.payload_bytes_per_s", payload_bytes(&second(0))? as f64, "bytes");
    for (name, limits, settles) in [
        ("group=1s", GroupLimits { ms: 1_000, bytes: u64::MAX }, true),
        ("group=64KiB", GroupLimits { ms: u64::MAX, bytes: 64 * 1024 }, true),
        ("group=1s,offline", GroupLimits { ms: 1_000, bytes: u64::MAX }, false),
        ("group=64KiB,offline", GroupLimits { ms: u64::MAX, bytes: 64 * 1024 }, false),
    ] {
        drive(&runtime, &place, name, limits, settles)?;
    }
    evidence(&runtime, &place)?;
    fast(&runtime, &place)
}

fn beside_the_binary() -> anyhow::Result<std::path::PathBuf> {
    Ok(std::env::current_exe()?.parent().context("a folder")?.to_owned())
}

/// Some minutes of driving, committed in groups, with a receipt every few seconds or none at all.
fn drive(runtime: &Runtime, place: &Path, name: &str, limits: GroupLimits, settles: bool) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(place)?;
    let spool = open(folder.path())?;
    let (mut group, mut payload) = (Group::new(limits), 0);
    let before = device_bytes()?;
    for at_s in 0..DRIVE_S {
        for record in second(at_s) {
            let at_ms = record.monotonic_ms;
            payload += payload_bytes(std::slice::from_ref(&record))?;
            group.push(record, at_ms);
            if group.due_ms().is_some_and(|due_ms| due_ms <= at_ms) {
                runtime.block_on(spool.append(Lane::Telemetry, BOOT, group.take()))?;
            }
        }
        if settles && at_s % SETTLE_EVERY_S == SETTLE_EVERY_S - 1 {
            settle(runtime, &spool)?;
        }
    }
    runtime.block_on(spool.append(Lane::Telemetry, BOOT, group.take()))?;
    let measure = runtime.block_on(spool.measure())?;
    close(spool, folder.path());
    let written = device_bytes()? - before;
    figure::print(&format!("spool.device_bytes_per_payload_byte{{{name}}}"), written as f64 / payload as f64, "");
    let stored = measure.lanes[2].waiting_bytes as f64 / payload as f64;
    if !settles {
        figure::print(&format!("spool.stored_bytes_per_payload_byte{{{name}}}"), stored, "");
    }
    Ok(())
}

/// What captures cost, each committed alone as a driver's are, settled one by one.
fn evidence(runtime: &Runtime, place: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(place)?;
    let spool = open(folder.path())?;
    let (before, mut payload) = (device_bytes()?, 0);
    for n in 0..CAPTURES {
        let (key, record) = arrival(n);
        payload += payload_bytes(std::slice::from_ref(&record))?;
        runtime.block_on(spool.capture(key, BOOT, record))?.map_err(|rejection| anyhow::anyhow!("{rejection:?}"))?;
        settle(runtime, &spool)?;
    }
    close(spool, folder.path());
    let written = device_bytes()? - before;
    figure::print("spool.device_bytes_per_evidence{settled one by one}", written as f64 / CAPTURES as f64, "bytes");
    figure::print("spool.payload_bytes_per_evidence", payload as f64 / CAPTURES as f64, "bytes");
    Ok(())
}

/// Appends as fast as the spool takes them, offline.
fn fast(runtime: &Runtime, place: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(place)?;
    let spool = open(folder.path())?;
    let groups: Vec<Vec<Record>> = (0..IN_FLIGHT as u64).map(|n| long_group(n * 10)).collect();
    let rounds = FAST_RECORDS / FAST_GROUP / IN_FLIGHT as u64;
    let mut elapsed_s = 0.0;
    for _ in 0..rounds {
        // Making the records is not the spool's work.
        let groups = groups.clone();
        let watch = wait::now();
        runtime.block_on(async {
            let mut under_way = tokio::task::JoinSet::new();
            let local = tokio::task::LocalSet::new();
            for records in groups {
                let spool = spool.clone();
                under_way.spawn_local_on(async move { spool.append(Lane::Telemetry, BOOT, records).await }, &local);
            }
            local
                .run_until(async {
                    while let Some(done) = under_way.join_next().await {
                        done??;
                    }
                    anyhow::Ok(())
                })
                .await
        })?;
        elapsed_s += watch.elapsed().as_secs_f64();
    }
    let waiting = runtime.block_on(spool.measure())?.lanes[2].last_sequence;
    ensure!(waiting == rounds * FAST_GROUP * IN_FLIGHT as u64, "{waiting} records were taken");
    figure::print("spool.append_records_per_s", waiting as f64 / elapsed_s, "records/s");
    Ok(())
}

fn long_group(from_s: u64) -> Vec<Record> {
    (from_s..).flat_map(second).take(usize::try_from(FAST_GROUP).unwrap_or_default()).collect()
}

fn open(folder: &Path) -> anyhow::Result<Spool> {
    let path = folder.join("spool.db");
    let options = SpoolOptions {
        path: &path,
        quota_bytes: 4 << 30,
        boot_id: BOOT,
        fresh_spool_id: SPOOL,
        signer: Box::new(|digest| Ok([digest, digest, &digest[..8]].concat())),
    };
    Ok(Spool::open(options)?.0)
}

/// Lets go of the spool and waits until its writer has brought the log into the file.
fn close(spool: Spool, folder: &Path) {
    drop(spool);
    wait::until_true("the log to go", std::time::Duration::from_secs(60), || !folder.join("spool.db-wal").exists());
}

/// Hands over what waits, as the uplink does, until nothing does.
fn settle(runtime: &Runtime, spool: &Spool) -> anyhow::Result<()> {
    loop {
        let offer = runtime.block_on(spool.offer(OfferLimits { bytes_max: OFFER_BYTES, live_from: u64::MAX }))?;
        let receipts = offer.batches.iter().map(|batch| {
            let accepted: Vec<SequenceRange> = batch.chunks.iter().map(|chunk| chunk.range).collect();
            Receipt { spool_id: SPOOL, lane: batch.lane, through: 0, accepted, refused: Vec::new() }
        });
        runtime.block_on(spool.settle(receipts.collect(), Vec::new()))?;
        if !offer.more {
            return Ok(());
        }
    }
}

/// One second of driving: fixes and signals, evenly.
fn second(at_s: u64) -> Vec<Record> {
    let fixes = (0..FIXES).map(|n| at_s * 1_000 + n * (1_000 / FIXES)).map(fix);
    let signals = (0..SIGNALS).map(|n| signal(at_s * SIGNALS + n));
    let mut records: Vec<Record> = fixes.chain(signals).collect();
    records.sort_by_key(|record| record.monotonic_ms);
    records
}

fn fix(at_ms: u64) -> Record {
    let at = at_ms as f64 / 1e3;
    let wander = (at / 7.0).sin();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a drive of some minutes in Europe")]
    let position = Position {
        lat_e7: 520_000_000 + (at * 1_800.0 + wander * 300.0) as i32,
        lon_e7: 49_000_000 + (at * 900.0 - wander * 500.0) as i32,
        altitude_cm: Some((wander * 200.0) as i32 + 350),
        speed_cmps: Some((2_000.0 + wander * 150.0) as u32),
        course_cdeg: Some((2_700.0 + wander * 900.0) as u16),
        fix: FixType::Fix3d,
        satellites: Some(11),
        hdop_centi: Some(90),
        accuracy_cm: Some(180 + (wander * 40.0) as u32),
    };
    record(at_ms, Reading::Position(position))
}

fn signal(n: u64) -> Record {
    let (at_ms, which) = (n * 1_000 / SIGNALS, n % NAMES.len() as u64);
    // As a bus gives it: a whole number of steps, moving.
    let steps = (n as f64 / 97.0).sin() * 400.0 + which as f64 * 50.0;
    let name = NAMES[usize::try_from(which).unwrap_or_default()].to_owned();
    record(at_ms, Reading::Signal(Signal { name, value: steps.round() * 0.125, unit: "km/h".to_owned() }))
}

fn arrival(n: u64) -> (CaptureKey, Record) {
    let action = DriverAction {
        client_ref: format!("019abcde-0000-7000-8000-{n:012}"),
        action: ActionKind::Arrived,
        stop: Some(format!("S{n}")),
        at: Some(at(n * 1_000)),
        driver: Some("d-17".to_owned()),
    };
    let key = CaptureKey::of(&DriverCapture::Action(Box::new(action.clone())));
    (key, record(n * 1_000, Reading::DriverAction(Box::new(action))))
}

fn record(at_ms: u64, reading: Reading) -> Record {
    let time_quality = TimeQuality { source: TimeSource::Gnss, error_ms: 1_000 };
    Record { event_time: at(at_ms), monotonic_ms: at_ms, time_quality, reading, seal: None }
}

fn at(at_ms: u64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000).plus_millis(i64::try_from(at_ms).unwrap_or_default())
}

fn payload_bytes(records: &[Record]) -> anyhow::Result<u64> {
    let sizes = records.iter().map(|record| postcard::experimental::serialized_size(record).map(|size| size as u64));
    Ok(sizes.sum::<Result<u64, _>>()?)
}

/// Bytes that this process has caused to be written to storage.
fn device_bytes() -> anyhow::Result<u64> {
    let counters = std::fs::read_to_string("/proc/self/io")?;
    let field = counters.lines().find_map(|line| line.strip_prefix("write_bytes: ")).context("the kernel counts")?;
    Ok(field.trim().parse()?)
}
