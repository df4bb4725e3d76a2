//! Real recordings, and the replay command from text to text.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use milepost_gateway::milestone::fact::Fix;
use milepost_gateway::milestone::refold::refold;
use milepost_gateway::milestone::{Fact, FactKey, FactKind, MilestoneKind, Rules};
use milepost_gateway::replay;
use milepost_proto::{Lane, SpoolId, Timestamp};

use crate::drive::{fleet, stop_at, trip};

/// The folder of shared recordings: `MILEPOST_SHARED_DATA`, or `shared/data` beside the project or above it.
fn tracks() -> Option<PathBuf> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("shared/data"));
    let named = std::env::var_os("MILEPOST_SHARED_DATA").map(PathBuf::from);
    let mut folders = named.into_iter().chain(above).map(|folder| folder.join("trajectories/tracks"));
    let found = folders.find(|folder| folder.is_dir());
    if found.is_none() {
        println!("skipped: no shared data");
    }
    found
}

fn columns(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().skip(1).map(|line| line.split(',').collect())
}

fn degrees(text: &str) -> f64 {
    text.parse().expect("degrees")
}

/// A bus in Seattle: 322 fixes, without speed or accuracy, mostly 2 to 40 s apart. Its stops as the R package stopr found
/// them (an algorithm, not the truth) become the plan; each has to be arrived at, at about that time. All but one: before
/// B10 the bus crawls away from B9 and pauses for 21 s halfway, which stands nearer to B9 and is told as its visit.
#[test]
fn a_real_bus_arrives_at_the_stops_that_another_method_found() {
    let Some(folder) = tracks() else { return };
    let track = fs::read_to_string(folder.join("stopr_seattle_bus.csv")).expect("the track");
    let facts = columns(&track).zip(1..).map(|(line, sequence)| {
        let e7 = |text: &str| (degrees(text) * 1e7).round() as i32;
        let (lat_e7, lon_e7) = (e7(line[1]), e7(line[2]));
        let fix = Fix { lat_e7, lon_e7, speed_cmps: None, accuracy_cm: None, hdop_centi: None };
        let key = FactKey {
            event_time: line[0].parse().expect("a time"),
            device: "bus".parse().expect("a name"),
            spool: SpoolId([0; 16]),
            lane: Lane::Telemetry,
            sequence,
        };
        Fact::new(key, FactKind::Fix(fix))
    });
    let expected = fs::read_to_string(folder.join("stopr_seattle_bus.stopr_expected.csv")).expect("the stops");
    let expected: Vec<Vec<&str>> = columns(&expected).collect();
    let stops = expected.iter().enumerate();
    let stops = stops.map(|(index, line)| stop_at(&format!("B{index}"), degrees(line[2]), degrees(line[3]), 60.0));
    // A bus stands for 20 s where a van delivers for 60.
    let rules = Rules { version: "bus-1".to_owned(), dwell_s_min: 20, ..Rules::default() };
    let standing = refold(&fleet(), &trip(stops.collect()), &rules, facts).standing(Some(Timestamp::MAX));

    let arrivals = || standing.iter().filter(|one| one.kind == MilestoneKind::DeliveryArrived);
    let mut missed = Vec::new();
    for (index, line) in expected.iter().enumerate() {
        let (from, to): (Timestamp, Timestamp) = (line[0].parse().expect("a time"), line[1].parse().expect("a time"));
        let near = arrivals().any(|one| {
            one.stop.as_deref() == Some(&format!("B{index}"))
                && from.plus_millis(-60_000) <= one.event_time
                && one.event_time <= to
        });
        if !near {
            missed.push(format!("B{index} {}", line[0]));
        }
    }
    println!("{} of {} found, {} arrivals", expected.len() - missed.len(), expected.len(), arrivals().count());
    assert_eq!(missed, ["B10 2019-10-31T23:29:58Z"]);
}

const PLAN: &str = r#"{"trips":[{"id":"T1","device":"truck-7","stops":[
    {"id":"S1","shipment":"P1","kind":"pickup","lat":47.0,"lon":8.0,"radius_m":50},
    {"id":"S2","shipment":"P1","kind":"delivery","lat":47.02,"lon":8.0,"radius_m":50}]}]}"#;

/// Ten minutes at S1, a drive of 2.2 km, ten minutes at S2 with a proof, and away.
fn records() -> String {
    let start = "2026-11-24T08:00:00Z".parse::<Timestamp>().expect("a time");
    let mut text = String::new();
    for second in (0..1_500_i64).step_by(5) {
        let lat = 47.0 + 0.02 * ((second - 600) as f64 / 220.0).clamp(0.0, 1.0);
        let lat = if second > 1_420 { lat + (second - 1_420) as f64 * 1e-4 } else { lat };
        let (seq, t) = (second / 5 + 1, start.plus_millis(second * 1000));
        writeln!(text, r#"{{"device":"truck-7","seq":{seq},"t":"{t}","lat":{lat:.7},"lon":8.0,"acc_m":5}}"#)
            .expect("writes");
    }
    let t = start.plus_millis(1_400_000);
    let pod = r#"{"client_ref":"c","stop":"S2","shipment":"P1","outcome":"completed"}"#;
    writeln!(text, r#"{{"device":"truck-7","seq":1,"t":"{t}","pod":{pod}}}"#).expect("writes");
    text
}

/// What `replay` prints and reports.
fn replayed(plan: Option<&str>, records: &str, shuffle: Option<u64>) -> (String, String) {
    let (mut out, mut faults) = (Vec::new(), Vec::new());
    replay::run(plan, records.as_bytes(), shuffle, &mut out, &mut faults).expect("replays");
    (String::from_utf8(out).expect("text"), String::from_utf8(faults).expect("text"))
}

fn kinds(out: &str) -> Vec<String> {
    let kind = |line: &str| -> String {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        format!("{} {}", line["kind"].as_str().expect("a kind"), line["status"].as_str().unwrap_or("-"))
    };
    out.lines().map(kind).collect()
}

#[test]
fn a_hundred_shuffles_print_the_same_milestones() {
    let (in_order, _) = replayed(Some(PLAN), &records(), None);
    let expected = [
        "pickup.arrived confirmed",
        "pickup.departed confirmed",
        "delivery.arrived confirmed",
        "delivery.completed confirmed",
        "delivery.departed confirmed",
    ];
    assert_eq!(kinds(&in_order), expected);
    for seed in 0..100 {
        assert_eq!(replayed(Some(PLAN), &records(), Some(seed)).0, in_order, "seed {seed}");
    }
}

#[test]
fn without_a_plan_the_stays_are_told() {
    let (in_order, _) = replayed(None, &records(), None);
    assert_eq!(kinds(&in_order), ["stay -", "stay -"]);
    assert!(in_order.contains(r#""arrived":"2026-11-24T08:00:00.000Z","departed":"2026-11-24T08:10:"#), "{in_order}");
    assert_eq!(replayed(None, &records(), Some(3)).0, in_order);
}

#[test]
fn bad_lines_are_reported_with_their_mend_and_the_others_count() {
    let bad = [
        "not json",
        r#"{"device":"truck-7","seq":900,"t":"yesterday"}"#,
        r#"{"device":"truck-7","seq":901,"t":"2026-11-24T08:00:01Z","lat":47.0}"#,
        r#"{"device":"truck-7","seq":2,"t":"2026-11-24T08:00:02Z","lat":47.0,"lon":8.0}"#,
        r#"{"device":"a/b","seq":1,"t":"2026-11-24T08:00:02Z"}"#,
    ];
    let long = format!("{{\"device\":\"{}\"}}", "x".repeat(100_000));
    let records = format!("{}{}\n{long}\n", records(), bad.join("\n"));
    let (out, faults) = replayed(Some(PLAN), &records, None);
    assert_eq!(kinds(&out).len(), 5);
    let named = |line_no: usize, text: &str| {
        let found = faults.lines().any(|line| line.starts_with(&format!("line {line_no}: ")) && line.contains(text));
        assert!(found, "line {line_no} {text:?} in:\n{faults}");
    };
    named(302, "expected");
    named(303, "is not a time such as");
    named(304, "give both or neither");
    named(305, "other content");
    named(306, "letters, digits");
    named(307, "longer than");
    assert!(faults.contains("6 of 307 lines"), "{faults}");
}

#[test]
fn a_plan_that_cannot_be_used_is_an_error_that_names_its_mistakes() {
    let run = |plan: &str| replay::run(Some(plan), &b""[..], None, &mut Vec::new(), &mut Vec::new());
    let twice = PLAN.replace("S2", "S1");
    let error = run(&twice).expect_err("a mistake").to_string();
    assert!(error.contains("appears twice"), "{error}");
    assert!(run("{}").is_err());
}
