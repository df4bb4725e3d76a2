//! `records.jsonl`: one line per moment of one device, read into facts.
//!
//! Promise: every line is either used or reported with its number, what is wrong and what mends it; no line, however
//! long or strange, stops the reading. Two lines that claim the same record with other content are a conflict: the same
//! one of them stands, wherever it is in the file.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};

use milepost_proto::driver_app::{ActionKind, Outcome};
use milepost_proto::{DeviceId, Lane, SpoolId, Timestamp};
use serde::Deserialize;

use crate::milestone::fact::{Fix, Proof};
use crate::milestone::{Fact, FactKey, FactKind};

/// Longest line, in bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Most lines reported one by one; the rest are only counted.
const REPORTS_MAX: u64 = 100;

/// The usable facts of a file, each record once.
pub(super) fn read(mut records: impl BufRead, faults: &mut impl Write) -> io::Result<Vec<Fact>> {
    let mut facts = BTreeMap::new();
    let mut fault_count = 0_u64;
    let mut line_no = 0_u64;
    while let Some(line) = read_line(&mut records)? {
        line_no += 1;
        let used = line.and_then(|line| keep(&line, line_no, &mut facts));
        if let Err(fault) = used {
            fault_count += 1;
            if fault_count <= REPORTS_MAX {
                writeln!(faults, "line {line_no}: {fault}")?;
            }
        }
    }
    if fault_count > 0 {
        writeln!(faults, "{fault_count} of {line_no} lines were not used as they stand")?;
    }
    Ok(facts.into_values().collect())
}

/// The next line without its end; a fault in its place if it is too long or not text; nothing at the end.
fn read_line(records: &mut impl BufRead) -> io::Result<Option<Result<String, String>>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    if records.by_ref().take(limit + 1).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.len() > LINE_BYTES_MAX && !bytes.ends_with(b"\n") {
        records.skip_until(b'\n')?;
        return Ok(Some(Err(format!("longer than {LINE_BYTES_MAX} bytes; put one record on each line"))));
    }
    let text = String::from_utf8(bytes).map_err(|_| "not UTF-8; write the file as UTF-8".to_owned());
    Ok(Some(text.map(|text| text.trim().to_owned())))
}

type RecordKey = (DeviceId, SpoolId, Lane, u64);

fn keep(line: &str, line_no: u64, facts: &mut BTreeMap<RecordKey, Fact>) -> Result<(), String> {
    if line.is_empty() {
        return Ok(());
    }
    let line: Line = serde_json::from_str(line)
        .map_err(|error| format!("{error}; expected {{\"device\":…,\"seq\":…,\"t\":\"…Z\", …}}"))?;
    let mut conflict = Ok(());
    for fact in line.facts(line_no)? {
        let key = fact.key();
        let record = (key.device.clone(), key.spool, key.lane, key.sequence);
        let held = facts.entry(record).or_insert_with(|| fact.clone());
        if *held != fact {
            let key = fact.key();
            conflict = Err(format!(
                "seq {} of {} was on another line with other content; give every record a seq of its own",
                key.sequence, key.device
            ));
            *held = fact.min(held.clone());
        }
    }
    conflict
}

#[derive(Deserialize)]
struct Line {
    device: DeviceId,
    seq: Option<u64>,
    t: Timestamp,
    lat: Option<f64>,
    lon: Option<f64>,
    acc_m: Option<f64>,
    hdop: Option<f64>,
    speed_mps: Option<f64>,
    ignition: Option<bool>,
    wheel_speed_mps: Option<f64>,
    odometer_m: Option<f64>,
    pod: Option<PodLine>,
    action: Option<ActionKind>,
    stop: Option<String>,
}

/// What the engine needs of a POD; the rest of its fields may be there.
#[derive(Deserialize)]
struct PodLine {
    stop: Option<String>,
    shipment: String,
    outcome: Outcome,
    reason: Option<String>,
    #[serde(default = "first_revision")]
    revision: u32,
}

const fn first_revision() -> u32 {
    1
}

impl Line {
    /// A line may hold several records of the telemetry lane; each column has a spool of its own, so that their
    /// sequences do not meet.
    fn facts(self, line_no: u64) -> Result<Vec<Fact>, String> {
        let sequence = self.seq.unwrap_or(line_no);
        let fix = self.fix()?;
        let wheel_speed = whole("wheel_speed_mps", self.wheel_speed_mps, 100.0)?;
        let odometer = whole("odometer_m", self.odometer_m, 1.0)?;
        let columns = [
            (0, Lane::Telemetry, fix.map(FactKind::Fix)),
            (1, Lane::Telemetry, wheel_speed.map(|cmps| FactKind::WheelSpeed { cmps })),
            (2, Lane::Telemetry, odometer.map(|m| FactKind::Odometer { m: u64::from(m) })),
            (0, Lane::Event, self.ignition.map(|on| FactKind::Ignition { on })),
            (0, Lane::Evidence, self.pod.map(|pod| pod.proof(self.stop.as_ref())).transpose()?.map(FactKind::Pod)),
            (1, Lane::Evidence, self.action.map(|action| FactKind::DriverAction { stop: self.stop.clone(), action })),
        ];
        let key = |spool, lane| {
            let (event_time, device) = (self.t, self.device.clone());
            FactKey { event_time, device, spool: SpoolId([spool; 16]), lane, sequence }
        };
        let facts = columns.into_iter().filter_map(|(spool, lane, kind)| Some(Fact::new(key(spool, lane), kind?)));
        Ok(facts.collect())
    }

    fn fix(&self) -> Result<Option<Fix>, String> {
        let (lat, lon) = match (self.lat, self.lon) {
            (Some(lat), Some(lon)) => (lat, lon),
            (None, None) => return Ok(None),
            _ => return Err("lat without lon, or lon without lat; give both or neither".to_owned()),
        };
        Ok(Some(Fix {
            lat_e7: degrees_e7("lat", lat)?,
            lon_e7: degrees_e7("lon", lon)?,
            speed_cmps: whole("speed_mps", self.speed_mps, 100.0)?,
            accuracy_cm: whole("acc_m", self.acc_m, 100.0)?,
            hdop_centi: whole("hdop", self.hdop, 100.0)?.map(|hdop| u16::try_from(hdop).unwrap_or(u16::MAX)),
        }))
    }
}

impl PodLine {
    fn proof(self, line_stop: Option<&String>) -> Result<Proof, String> {
        let Some(stop) = self.stop.or_else(|| line_stop.cloned()) else {
            return Err("a pod without a stop; add \"stop\"".to_owned());
        };
        let Self { shipment, outcome, reason, revision, .. } = self;
        Ok(Proof { stop, shipment, outcome, reason, revision })
    }
}

/// Whether it is on Earth is for the engine to say, and to count; here it only has to fit.
fn degrees_e7(name: &str, degrees: f64) -> Result<i32, String> {
    if degrees.abs() > 200.0 || degrees.is_nan() {
        return Err(format!("{name} {degrees} is no coordinate; give degrees"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    Ok((degrees * 1e7).round() as i32)
}

fn whole(name: &str, value: Option<f64>, per_unit: f64) -> Result<Option<u32>, String> {
    let Some(value) = value else { return Ok(None) };
    let scaled = (value * per_unit).round();
    if !(0.0..=f64::from(u32::MAX)).contains(&scaled) {
        return Err(format!("{name} {value} is out of range; leave out what is not known"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    Ok(Some(scaled as u32))
}
