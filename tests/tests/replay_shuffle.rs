//! The standing milestones are a function of the set of records: the demo's records in 100 orders give the same.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use system_tests::program;

const SEEDS: u64 = 100;

#[test]
fn a_hundred_shuffles_of_the_demos_records_give_the_same_milestones() {
    let folder = tempfile::tempdir().expect("a folder");
    let records = folder.path().join("records.jsonl");
    std::fs::write(&records, demo_records()).expect("written");
    let in_order = replay(&records, None);
    let kinds: Vec<&str> = in_order.iter().filter_map(|milestone| milestone["kind"].as_str()).collect();
    // The third stand is shorter than the default dwell of a minute.
    for (kind, count) in [("delivery.arrived", 2), ("delivery.departed", 2), ("delivery.completed", 1)] {
        assert_eq!(kinds.iter().filter(|found| **found == kind).count(), count, "{kind} in {kinds:?}");
    }
    for seed in 0..SEEDS {
        assert_eq!(replay(&records, Some(seed)), in_order, "seed {seed}");
    }
}

/// The recorded drive as the engine's records, with one proof of delivery at the first consignee.
fn demo_records() -> String {
    let nmea = recording("seattle-bus.nmea");
    let ended = program::run("milepost-agent", &["decode", "nmea", &nmea.to_string_lossy()]).expect("runs");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let fixes = ended.out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let fixes = fixes.filter(|line| line.get("lat").is_some());
    let mut records = String::new();
    let mut last = 0;
    for (seq, fix) in (1..).zip(fixes) {
        let record = json!({
            "device": "truck-7", "seq": seq, "t": fix["time"], "lat": fix["lat"], "lon": fix["lon"],
            "speed_mps": fix["speed_mps"],
        });
        writeln!(records, "{record}").expect("written");
        last = seq;
    }
    assert!(last > 300, "the recording has 322 fixes, {last} were decoded");
    let pod = json!({
        "device": "truck-7", "seq": last + 1, "t": "2019-10-31T23:20:30Z",
        "pod": {"client_ref": "p1", "stop": "stop-1", "shipment": "WH/OUT/00001", "outcome": "completed"},
    });
    writeln!(records, "{pod}").expect("written");
    records
}

/// What the gateway's engine makes of the records, without what depends on history.
fn replay(records: &Path, shuffle: Option<u64>) -> Vec<Value> {
    let (plan, records) = (recording("seattle-bus.plan.json"), records.to_string_lossy());
    let mut arguments = vec!["replay", "--plan", plan.to_str().expect("text"), "--records", &records];
    let seed = shuffle.map(|seed| seed.to_string());
    if let Some(seed) = &seed {
        arguments.extend(["--shuffle", seed]);
    }
    let ended = program::run("milepost-gateway", &arguments).expect("runs");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
        .out
        .lines()
        .map(|line| {
            let mut milestone: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            milestone.as_object_mut().map(|fields| fields.remove("revision"));
            milestone
        })
        .collect()
}

fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings").join(name)
}
