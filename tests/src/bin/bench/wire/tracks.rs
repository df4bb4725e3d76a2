//! Real tracks as records: what a vehicle would have sent.
//!
//! Fixes of receivers go through the agent's own NMEA decoder. What no recording has is the monotonic clock: it is the
//! event time's pace, with up to 8 ms of unevenness from a generator with a fixed seed, as a serial line delivers.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use milepost_agent::source::nmea::{Decoder, Epoch};
use milepost_proto::reading::FixType;
use milepost_proto::{Position, Reading, Record, TimeQuality, TimeSource, Timestamp};
use serde_json::Value;
use system_tests::chance::Chance;

/// Folders of receiver logs.
const FOLDERS: [&str; 3] = ["gpsd", "pynmea2", "pynmeagps"];
/// Fewest full fixes a second apart for a log to be taken.
const FIXES_MIN: usize = 20;
/// How unevenly a serial line delivers, milliseconds.
const UNEVEN_MS: u64 = 8;

/// Fixes of one kind, in order.
pub(crate) struct Track {
    /// What they are.
    pub(crate) name: &'static str,
    /// The records.
    pub(crate) records: Vec<Record>,
    /// How many recordings they come from.
    pub(crate) recordings: usize,
}

/// Full fixes once a second, one receiver's after the other's.
pub(crate) fn full_fixes(data: &Path) -> anyhow::Result<Track> {
    let (mut fixes, mut recordings) = (Vec::new(), 0);
    for folder in FOLDERS {
        let folder = data.join("nmea").join(folder);
        let mut logs: Vec<_> =
            std::fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        logs.sort();
        for log in logs {
            let run = seconds(full_fixes_of(&std::fs::read(&log)?));
            if run.len() >= FIXES_MIN {
                recordings += 1;
                fixes.extend(run);
            }
        }
    }
    Ok(Track { name: "full_1hz", records: records(&fixes), recordings })
}

fn full_fixes_of(log: &[u8]) -> Vec<(Timestamp, Position)> {
    let (mut decoder, mut fixes) = (Decoder::default(), Vec::new());
    let mut take = |epoch: Epoch| {
        if let (Some(at), Some(position)) = (epoch.event_time, epoch.position)
            && position.altitude_cm.is_some()
            && position.speed_cmps.is_some()
            && position.satellites.is_some()
            && position.hdop_centi.is_some()
        {
            fixes.push((at, position));
        }
    };
    decoder.push(log, &mut take);
    decoder.flush().map(&mut take);
    fixes
}

/// Those that follow another by a second, and the first.
fn seconds(fixes: Vec<(Timestamp, Position)>) -> Vec<(Timestamp, Position)> {
    let mut kept: Vec<(Timestamp, Position)> = Vec::new();
    for (at, position) in fixes {
        let since_ms = kept.last().map_or(1_000, |(last, _)| at.millis_since(*last));
        if (900..=1_100).contains(&since_ms) {
            kept.push((at, position));
        } else if !(0..900).contains(&since_ms) && kept.len() < FIXES_MIN {
            kept = vec![(at, position)];
        }
    }
    kept
}

/// Fixes of a recording of the project, as they come.
pub(crate) fn recording(path: &Path) -> anyhow::Result<Track> {
    let log = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    let (mut decoder, mut fixes) = (Decoder::default(), Vec::new());
    let mut take = |epoch: Epoch| fixes.extend(epoch.event_time.zip(epoch.position));
    decoder.push(&log, &mut take);
    decoder.flush().map(&mut take);
    Ok(Track { name: "recording", records: records(&fixes), recordings: 1 })
}

/// Time and position of delivery vehicles and their drivers on foot, every 5 s.
pub(crate) fn moving(data: &Path) -> anyhow::Result<Track> {
    let packed = data.join("trajectories/goal/tracks.csv.gz");
    let text = Command::new("gzip").arg("-dc").arg(&packed).output().context("failed to run gzip")?.stdout;
    let text = String::from_utf8(text)?;
    let (mut fixes, mut recordings) = (Vec::new(), 0);
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |at: usize| -> anyhow::Result<f64> { Ok(fields.get(at).context("a short row")?.parse()?) };
        let (t_s, lat, lon) = (number(1)?, number(2)?, number(3)?);
        recordings += usize::from(t_s == 0.0);
        let began_ms = 1_600_000_000_000 + 1_000_000 * recordings as i64;
        fixes.push((Timestamp::from_millis(began_ms + (t_s * 1e3).round() as i64), place(lat, lon)));
    }
    Ok(Track { name: "moving_5s", records: records(&fixes), recordings })
}

/// A car with a precise receiver, ten times a second.
pub(crate) fn fast(data: &Path) -> anyhow::Result<Track> {
    let text = std::fs::read_to_string(data.join("can/comma2k19/civic_0_30.gnss.jsonl"))?;
    let mut fixes = Vec::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line)?;
        let number = |name: &str| row[name].as_f64().with_context(|| format!("no {name} in {line}"));
        let position = Position {
            altitude_cm: Some((number("alt_m")? * 100.0).round() as i32),
            speed_cmps: Some((number("speed_mps")? * 100.0).round() as u32),
            course_cdeg: Some((number("bearing")? * 100.0).round().rem_euclid(36_000.0) as u16),
            satellites: Some(12),
            hdop_centi: Some(80),
            ..place(number("lat")?, number("lon")?)
        };
        fixes.push((Timestamp::from_millis(number("utc_ms")? as i64), position));
    }
    Ok(Track { name: "moving_10hz", records: records(&fixes), recordings: 1 })
}

fn place(lat: f64, lon: f64) -> Position {
    Position {
        lat_e7: (lat * 1e7).round() as i32,
        lon_e7: (lon * 1e7).round() as i32,
        altitude_cm: None,
        speed_cmps: None,
        course_cdeg: None,
        fix: FixType::Fix3d,
        satellites: None,
        hdop_centi: None,
        accuracy_cm: None,
    }
}

fn records(fixes: &[(Timestamp, Position)]) -> Vec<Record> {
    let mut chance = Chance::new(1);
    let (mut monotonic_ms, mut last) = (3_600_000_u64, None);
    let record = |(at, position): &(Timestamp, Position)| {
        let since_ms = last.map_or(1_000, |last| at.millis_since(last));
        monotonic_ms += if (0..3_600_000).contains(&since_ms) { since_ms as u64 } else { 1_000 };
        last = Some(*at);
        Record {
            event_time: *at,
            monotonic_ms: monotonic_ms + chance.below(UNEVEN_MS + 1),
            time_quality: TimeQuality { source: TimeSource::Gnss, error_ms: 1_000 },
            reading: Reading::Position(position.clone()),
            seal: None,
        }
    };
    fixes.iter().map(record).collect()
}
