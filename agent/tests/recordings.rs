//! The project's own recordings through the agent's decoders and reporting policy.
//!
//! Promise: every recorded point becomes one dated position, no sentence and no frame of the recordings is damaged, and
//! the default policy keeps where the drive began and where it ended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use milepost_agent::decode;
use milepost_agent::replay::Recording;
use milepost_agent::reporting::{Reporter, ReportingPolicy};
use milepost_agent::source::nmea::Decoder;
use milepost_proto::{Record, TimeQuality};

fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings").join(name)
}

/// The drive's records, as the agent seals them.
fn drive() -> Vec<Record> {
    let bytes = std::fs::read(recording("seattle-bus.nmea")).expect("recording");
    let (mut decoder, mut epochs) = (Decoder::default(), Vec::new());
    decoder.push(&bytes, |epoch| epochs.push(epoch));
    epochs.extend(decoder.flush());
    let observations = epochs.into_iter().filter_map(|epoch| epoch.into_observation());
    let record = |observation: milepost_agent::source::Observation| Record {
        event_time: observation.event_time.expect("dated"),
        monotonic_ms: 0,
        time_quality: TimeQuality::UNKNOWN,
        reading: observation.reading,
        seal: None,
    };
    observations.map(record).collect()
}

#[test]
fn every_recorded_point_becomes_one_position_at_its_own_time() {
    let drive = drive();
    let text = std::fs::read_to_string(recording("seattle-bus.nmea")).expect("recording");
    assert_eq!(drive.len(), text.matches("RMC,").count());
    assert!(drive.is_sorted_by(|a, b| a.event_time < b.event_time));
    let played = Recording::parse(text.as_bytes());
    assert_eq!(played.began, drive.first().map(|record| record.event_time));
    let duration_ms = drive[drive.len() - 1].event_time.millis_since(drive[0].event_time);
    assert_eq!(played.lines.last().map(|line| line.offset.as_millis()), u128::try_from(duration_ms).ok());
}

#[test]
fn the_default_policy_keeps_where_the_drive_began_and_ended_and_invents_nothing() {
    let drive = drive();
    let mut reporter = Reporter::new(ReportingPolicy::default());
    let mut kept: Vec<Record> = drive.iter().cloned().flat_map(|record| reporter.keep(record)).collect();
    kept.extend(reporter.release());
    assert_eq!((kept.first(), kept.last()), (drive.first(), drive.last()));
    assert!(kept.iter().all(|record| drive.contains(record)));
    assert!(kept.is_sorted_by(|a, b| a.event_time < b.event_time));
}

#[test]
fn the_bus_recording_is_read_without_a_malformed_line() {
    let log = std::fs::read(recording("j1939.log")).expect("recording");
    let (mut lines, mut faults) = (Vec::new(), Vec::new());
    decode::can(&log[..], &mut lines, &mut faults).expect("in memory");
    let faults: BTreeMap<String, u64> = serde_json::from_slice(&faults).expect("faults");
    assert!(!faults.contains_key("malformed") && !faults.contains_key("transport_broken"), "{faults:?}");
    let lines = String::from_utf8(lines).expect("text");
    for name in ["EEC1", "CCVS1", "ET1", "DM1"] {
        assert!(lines.contains(&format!("\"name\":\"{name}\"")), "no {name}");
    }
}
