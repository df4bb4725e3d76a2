//! The real agent on real CAN interfaces: a kernel's `vcan0`, its `slcan0`, and a serial line that speaks as an adapter.
//!
//! Promise: what canplayer sends is recorded as the same log is decoded without any bus; a full 1 Mbit/s bus loses
//! nothing silently; what becomes of an interface and of its controller is told.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use milepost_agent::reporting::{Reporter, ReportingPolicy};
use milepost_agent::source::can::{Observer, candump};
use milepost_agent::source::fault::Faults;
use milepost_proto::reading::Health;
use milepost_proto::{Lane, Reading, Record, TimeQuality, Timestamp};
use serde_json::Value;
use system_tests::guest::{Guest, faults};

const LIMIT: Duration = Duration::from_secs(120);
/// Every change is kept, and nothing that did not change.
const KEEP_CHANGES: &str = "[reporting]\nsignal_interval_s = 86400\nsignal_change_percent = 0\n";

fn socketcan(name: &str, interface: &str) -> String {
    format!("[[source]]\nname = \"{name}\"\nkind = \"socketcan\"\ninterface = \"{interface}\"\nfd = true\n")
}

/// What a log holds, by the agent's own decoder, without a bus.
#[derive(Default)]
struct Decoded {
    readings: Vec<Reading>,
    faults: BTreeMap<String, u64>,
}

impl Decoded {
    fn of(log: &str) -> Self {
        let (mut observer, mut faults, mut readings) = (Observer::default(), Faults::default(), Vec::new());
        for line in log.lines() {
            let frame = candump::parse(line.as_bytes()).expect("a frame").frame;
            observer.observe(&frame, &mut faults, |reading| readings.push(reading));
        }
        let faults = faults.take().into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect();
        Self { readings, faults }
    }

    /// What of it the agent's policy keeps when everything happens within a day, by lane.
    fn kept(&self, lane: Lane) -> Vec<Reading> {
        let policy = ReportingPolicy { signal_interval_s: 86_400, signal_change_percent: 0.0, ..Default::default() };
        let mut reporter = Reporter::new(policy);
        let record = |reading: &Reading| Record {
            event_time: Timestamp::EPOCH,
            monotonic_ms: 0,
            time_quality: TimeQuality::UNKNOWN,
            reading: reading.clone(),
            seal: None,
        };
        let kept = self.readings.iter().flat_map(|reading| reporter.keep(record(reading)));
        kept.map(|record| record.reading).filter(|reading| reading.lane() == lane).collect()
    }

    /// That `source` heard exactly this, and the `sentinels` frames of no table that end each playing.
    fn check(&self, source: &Value, sentinels: u64) {
        assert_eq!(source["observed"], self.readings.len(), "{source}");
        let mut expected = self.faults.clone();
        *expected.entry("unknown_id".to_owned()).or_default() += sentinels;
        assert_eq!(faults(source), expected, "{source}");
    }
}

/// A recording in canplayer's form, for `interface`, a frame every `gap_us`.
fn paced(log: &str, interface: &str, gap_us: usize) -> String {
    let mut paced = String::new();
    for (index, line) in log.lines().enumerate() {
        let frame = line.rsplit(' ').next().expect("a frame");
        let us = index * gap_us;
        writeln!(paced, "({}.{:06}) {interface} {frame}", us / 1_000_000, us % 1_000_000).expect("text");
    }
    paced
}

fn recording() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings/j1939.log");
    std::fs::read_to_string(path).expect("the recording")
}

/// The corpus, where somebody put one beside the project.
fn shared_data() -> Option<PathBuf> {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    folders.map(|folder| folder.join("shared/data")).find(|data| data.is_dir())
}

#[test]
fn a_recorded_bus_is_recorded_again_as_it_is_decoded() {
    play_and_compare(&recording());
}

/// The corpus is no part of the project; without it the test says so.
#[test]
fn trucks_of_the_corpus_are_recorded_again_as_they_are_decoded() {
    let Some(folder) = shared_data() else {
        eprintln!("skipped: no shared data");
        return;
    };
    for name in ["css_11111111.log", "css_FCBF0606.log"] {
        play_and_compare(&std::fs::read_to_string(folder.join("can/j1939").join(name)).expect("a log"));
    }
}

/// Plays a log on a bus that an agent listens to, and compares what it recorded with what the log decodes to.
fn play_and_compare(log: &str) {
    let Some(guest) = Guest::new(&(KEEP_CHANGES.to_owned() + &socketcan("bus", "vcan0"))).expect("furnished") else {
        return;
    };
    std::fs::write(guest.path("bus.log"), paced(log, "vcan0", 500)).expect("written");
    let script = "
        ip link add vcan0 type vcan && ip link set vcan0 up || fail vcan0
        start_agent
        until_status 10 '\"name\":\"bus\",\"kind\":\"socketcan\",\"state\":\"silent\"'
        canplayer -I /mnt/bus.log || fail canplayer
        sentinel vcan0 1
        keep end
        cat /sys/class/net/vcan0/statistics/tx_packets >/mnt/sent
        stop_agent";
    guest.run(script, LIMIT).expect("runs");
    let decoded = Decoded::of(log);
    decoded.check(&guest.source("end", "bus").expect("kept"), 1);
    let spooled = |lane| guest.spooled(lane).expect("a spool").into_iter().map(|record| record.reading);
    let signals: Vec<Reading> = spooled(Lane::Telemetry).collect();
    let events: Vec<Reading> = spooled(Lane::Event).filter(is_of_the_bus).collect();
    println!("{} frames: {} signals and {} events kept", log.lines().count(), signals.len(), events.len());
    assert!(!signals.is_empty(), "a recording without signals proves nothing");
    assert_eq!(signals, decoded.kept(Lane::Telemetry));
    assert_eq!(events, decoded.kept(Lane::Event));
    let sent = std::fs::read_to_string(guest.path("sent")).expect("kept");
    assert_eq!(sent.trim().parse(), Ok(log.lines().count() + 1), "the log and the sentinel; the agent sends nothing");
}

/// Whether a reading is of the bus, not of the agent itself.
fn is_of_the_bus(reading: &Reading) -> bool {
    use Health::{SourceHeard, SourceLost, Started};
    !matches!(reading, Reading::Health(Started { .. } | SourceHeard { .. } | SourceLost { .. }))
}

/// The kernel's own SLCAN driver is at the other end of the line.
#[test]
fn an_adapter_on_a_serial_line_and_the_kernels_driver_hear_the_same() {
    let adapter = "[[source]]\nname = \"line\"\nkind = \"slcan\"\npath = \"/run/line\"\nbitrate = 250000\n";
    let Some(guest) = Guest::new(&(adapter.to_owned() + &socketcan("driver", "slcan0"))).expect("furnished") else {
        return;
    };
    let log = recording();
    std::fs::write(guest.path("bus.log"), paced(&log, "slcan0", 1_000)).expect("written");
    let script = "
        socat pty,raw,echo=0,link=/run/line pty,raw,echo=0,link=/run/far &
        socat=$!
        until_there /run/far
        far=$(busybox readlink /run/far)
        slcand -F \"${far#/dev/}\" slcan0 &
        slcand=$!
        until_there /sys/class/net/slcan0
        ip link set slcan0 txqueuelen 10000 && ip link set slcan0 up || fail slcan0
        start_agent
        until_status 20 '\"name\":\"line\",\"kind\":\"slcan\",\"state\":\"silent\"'
        until_status 20 '\"name\":\"driver\",\"kind\":\"socketcan\",\"state\":\"silent\"'
        canplayer -I /mnt/bus.log || fail canplayer
        sentinel slcan0 1
        until_status 60 'line 1FFFFF01#5E'
        until_status 60 'driver 1FFFFF01#5E'
        keep end
        kill $slcand $socat
        until_status 30 '\"name\":\"line\",\"kind\":\"slcan\",\"state\":\"lost\"'
        until_status 30 '\"name\":\"driver\",\"kind\":\"socketcan\",\"state\":\"lost\"'
        stop_agent";
    guest.run(script, LIMIT).expect("runs");
    let decoded = Decoded::of(&log);
    decoded.check(&guest.source("end", "driver").expect("kept"), 1);
    decoded.check(&guest.source("end", "line").expect("kept"), 1);
}

/// Frames of one kind, so that readings count frames.
fn engine_speeds(frames: usize) -> String {
    (0..frames).fold(String::new(), |mut log, index| {
        let [low, high] = u16::try_from(index % 60_000).expect("16 bits").to_le_bytes();
        writeln!(log, "(0.0) x 0CF00400#FFFF7D{low:02X}{high:02X}FFFFFF").expect("text");
        log
    })
}

/// 8,000 frames/s is what a 1 Mbit/s bus carries at most: a frame takes about 125 µs. The log is faster, for canplayer lags.
#[test]
fn a_full_bus_is_heard_whole_and_what_a_stopped_agent_misses_is_counted() {
    const FRAMES: usize = 24_000;
    const FLOOD: usize = 40_000;
    let Some(guest) = Guest::new(&socketcan("bus", "vcan0")).expect("furnished") else { return };
    std::fs::write(guest.path("full.log"), paced(&engine_speeds(FRAMES), "vcan0", 110)).expect("written");
    std::fs::write(guest.path("flood.log"), paced(&engine_speeds(FLOOD), "vcan0", 1)).expect("written");
    let script = "
        ip link add vcan0 type vcan && ip link set vcan0 up || fail vcan0
        start_agent
        until_status 10 '\"name\":\"bus\",\"kind\":\"socketcan\",\"state\":\"silent\"'
        read up _ </proc/uptime
        canplayer -I /mnt/full.log || fail canplayer
        read end _ </proc/uptime; echo \"$up $end\" >/mnt/sending
        sentinel vcan0 1
        keep full
        kill -STOP $agent
        canplayer -I /mnt/flood.log || fail canplayer
        kill -CONT $agent
        until_status 10 '\"dropped\":'
        # The socket's buffer is full until what it held has been read.
        busybox sleep 2
        sentinel vcan0 2
        keep flood
        stop_agent";
    guest.run(script, LIMIT).expect("runs");
    let sending = std::fs::read_to_string(guest.path("sending")).expect("kept");
    let uptimes: Vec<f64> = sending.split_whitespace().map(|text| text.parse().expect("seconds")).collect();
    let per_frame = Decoded::of(&engine_speeds(100)).readings.len() as u64 / 100;
    let count = |name: &str| {
        let source = guest.source(name, "bus").expect("kept");
        let heard = source["observed"].as_u64().expect("a number") / per_frame;
        (heard, faults(&source).get("dropped").copied().unwrap_or(0))
    };
    let (full, flood) = (count("full"), count("flood"));
    println!("{FRAMES} frames sent in {:.2} s: {} heard, {} dropped", uptimes[1] - uptimes[0], full.0, full.1);
    println!("{FLOOD} more while stopped: {} heard, {} dropped in all", flood.0, flood.1);
    assert_eq!(full.0 + full.1, FRAMES as u64, "each frame was heard or counted as dropped");
    assert_eq!(flood.0 + flood.1, (FRAMES + FLOOD) as u64, "each frame was heard or counted as dropped");
    assert!(flood.1 > full.1, "no buffer holds the flood");
}

#[test]
fn what_becomes_of_an_interface_and_its_controller_is_told_and_recorded() {
    let Some(guest) = Guest::new(&socketcan("bus", "vcan0")).expect("furnished") else { return };
    let script = "
        state() { until_status 40 \"\\\"name\\\":\\\"bus\\\",\\\"kind\\\":\\\"socketcan\\\",\\\"state\\\":\\\"$1\\\",\\\"why\\\":$2\"; }
        start_agent
        state lost '\"there is no CAN interface vcan0;'
        ip link add vcan0 type vcan || fail vcan0
        state lost '\"vcan0 is down; start it'
        ip link set vcan0 up || fail up
        state silent null
        cansend vcan0 18FEF100#FF005AFFFFFFFFFF
        state heard null
        cansend vcan0 18FEF100#R
        cansend vcan0 18FEF100##1FF005AFFFFFFFFFF
        cansend vcan0 20000004#0010000000000000
        cansend vcan0 20000040#0000000000000000
        state lost '\"the controller of bus has left the bus'
        cansend vcan0 20000100#0000000000000000
        state heard null
        until_status 10 '\"error_frame\":3'
        keep controller
        ip link set vcan0 down
        state lost '\"vcan0 is down; start it'
        ip link set vcan0 up
        state silent null
        ip link del vcan0
        state lost '\"there is no CAN interface vcan0;'
        stop_agent";
    guest.run(script, LIMIT).expect("runs");
    let source = guest.source("controller", "bus").expect("kept");
    let faults = faults(&source);
    assert_eq!((faults.get("remote_request"), faults.get("error_frame")), (Some(&1), Some(&3)), "{faults:?}");
    // Two speeds, and two switches at each of three changes.
    assert_eq!(source["observed"], 8, "{source}");
    let switches: Vec<(String, bool)> = guest
        .spooled(Lane::Event)
        .expect("a spool")
        .into_iter()
        .filter_map(|record| match record.reading {
            Reading::Switch(switch) => Some((switch.name, switch.on)),
            _ => None,
        })
        .collect();
    let switch = |name: &str, on| (format!("bus.{name}"), on);
    assert_eq!(
        switches,
        [
            switch("error_passive", true),
            switch("bus_off", false),
            switch("bus_off", true),
            switch("error_passive", false),
            switch("bus_off", false),
        ]
    );
}
