//! The real agent on real CAN interfaces: a kernel's `vcan0`, its `slcan0`, and a serial line that speaks as an adapter.
//!
//! Promise: what canplayer sends is recorded as the same log is decoded without any bus; a full 1 Mbit/s bus loses
//! nothing silently; what becomes of an interface and of its controller is told. A vehicle is asked only where the
//! configuration says so, and then only what it has.

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
        Self::of_vehicle(log, None)
    }

    /// The same on a bus that should be this vehicle's.
    fn of_vehicle(log: &str, vin: Option<&str>) -> Self {
        let mut observer = Observer::new(vin.map(|vin| vin.parse().expect("a VIN")));
        let (mut faults, mut readings) = (Faults::default(), Vec::new());
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
    use Health::{ClockSet, SourceHeard, SourceLost, Started};
    !matches!(reading, Reading::Health(ClockSet { .. } | Started { .. } | SourceHeard { .. } | SourceLost { .. }))
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
    guest.run(&format!("{LINE}{script}"), LIMIT).expect("runs");
    let decoded = Decoded::of(&log);
    decoded.check(&guest.source("end", "driver").expect("kept"), 1);
    decoded.check(&guest.source("end", "line").expect("kept"), 1);
}

/// A control unit of a car on INTERFACE that has speed, fuel level and a number, and a truck's unit with another number.
const UNITS: &str = r#"
        until_logged() {
            end=$(($(busybox date +%s) + 30))
            until busybox grep -q "$1" /mnt/bus.log; do
                [ "$(busybox date +%s)" -lt "$end" ] || fail "no $1 on the bus"
                busybox usleep 50000
            done
        }
        units() {
            candump -L "$1,7DF:7FF,7E0:7FF,18EAFFF9:1FFFFFFF" | while read -r _ _ frame; do
                case "$frame" in
                    7DF#020100*) cansend "$1" 7E8#0641000018000100 ;;
                    7DF#020120*) cansend "$1" 7E8#0641200002000000 ;;
                    7DF#02010D*) cansend "$1" 7E8#03410D5A00000000 ;;
                    7DF#02012F*) cansend "$1" 7E8#03412F8000000000 ;;
                    7DF#020900*) cansend "$1" 7E8#0649004000000000 ;;
                    7DF#020902*) cansend "$1" 7E8#1014490201315850 ;;
                    7E0#30*)
                        cansend "$1" 7E8#214244343958314D
                        cansend "$1" 7E8#2244303030303031 ;;
                    18EAFFF9#ECFE00)
                        cansend "$1" 18ECFF00#20120003FFECFE00
                        cansend "$1" 18EBFF00#0131585042443439
                        cansend "$1" 18EBFF00#0258314D44303030
                        cansend "$1" 18EBFF00#033030322AFFFFFF ;;
                esac
            done
        }"#;

/// What to ask, and of which vehicle; it has no odometer.
const ASK: &str = "transmit = true\nvin = \"1XPBD49X1MD000001\"\n[source.obd]\n\
                   every_s = { speed = 1, fuel_level = 2, odometer = 1, vin = 3, j1939_vin = 3 }\n";

/// Lets an agent ask the units on `interface`, which `setup` brings up, until they have answered often and one has raised
/// the alarm; then nobody answers any more. Compares what was recorded with what went over the bus.
fn ask_and_compare(source: &str, interface: &str, setup: &str) {
    let Some(guest) = Guest::new(&(KEEP_CHANGES.to_owned() + source + ASK)).expect("furnished") else { return };
    let script = format!(
        "{UNITS}
        {setup}
        candump -L {interface} >/mnt/bus.log &
        log=$!
        units {interface} &
        units=$!
        start_agent
        until_status 30 '\"wrong_vehicle\":\\{{\"configured\":\"1XPBD49X1MD000001\",\"heard\":\"1XPBD49X1MD000002\"'
        until_status 30 '\"answers\":[1-9][0-9],.*\"unsupported\":.\"odometer\"'
        # A shell is a slow unit: what it answers too late is asked again.
        for question in 7DF#02010D 7DF#02012F 7DF#020902 7E0#30 18EAFFF9#; do
            until_logged \"$question\"
        done
        # Ends the reader, and with it whoever writes to it.
        kill $units; busybox killall candump; wait $log
        keep answered
        until_status 60 '\"asleep\":true'
        keep asleep
        stop_agent"
    );
    guest.run(&script, LIMIT).expect("runs");
    let log = std::fs::read_to_string(guest.path("bus.log")).expect("kept");
    let asked = |line: &&str| [" 7DF#", " 7E0#", " 18EAFFF9#"].iter().any(|id| line.contains(id));
    let questions: std::collections::BTreeSet<&str> =
        log.lines().filter(asked).filter_map(|line| line.rsplit(' ').next()).collect();
    let obd = |mode_and_item: &str| format!("7DF#02{mode_and_item}0000000000");
    let expected = ["0100", "010D", "0120", "012F", "0900", "0902"].map(obd);
    let expected = expected.iter().map(String::as_str).chain(["18EAFFF9#ECFE00", "7E0#3000000000000000"]);
    assert_eq!(questions, expected.collect(), "all that the units have, and no odometer");
    let answers: String = log.lines().filter(|line| !asked(line)).map(|line| format!("{line}\n")).collect();
    let decoded = Decoded::of_vehicle(&answers, Some("1XPBD49X1MD000001"));
    let spooled = |lane| guest.spooled(lane).expect("a spool").into_iter().map(|record| record.reading);
    assert_eq!(spooled(Lane::Telemetry).collect::<Vec<_>>(), decoded.kept(Lane::Telemetry));
    assert_eq!(spooled(Lane::Event).filter(is_of_the_bus).collect::<Vec<_>>(), decoded.kept(Lane::Event));
    let polling = |name: &str| {
        guest.source(name, if interface == "vcan0" { "bus" } else { "line" }).expect("kept")["bus"]["polling"].clone()
    };
    let (answered, asleep) = (polling("answered"), polling("asleep"));
    println!("{answered} {asleep}");
    assert_eq!(answered["unsupported"], serde_json::json!(["odometer"]));
    assert!(answered["answers"].as_u64() >= Some(10) && asleep["timeouts"].as_u64() >= Some(10), "{answered} {asleep}");
}

#[test]
fn a_vehicle_is_asked_what_it_has_and_let_sleep_when_it_does_not_answer() {
    let source = "[[source]]\nname = \"bus\"\nkind = \"socketcan\"\ninterface = \"vcan0\"\n";
    ask_and_compare(source, "vcan0", "ip link add vcan0 type vcan && ip link set vcan0 up || fail vcan0");
}

#[test]
fn a_vehicle_is_asked_through_an_adapter_on_a_serial_line() {
    let source = "[[source]]\nname = \"line\"\nkind = \"slcan\"\npath = \"/run/line\"\nbitrate = 250000\n";
    ask_and_compare(source, "slcan0", LINE);
}

/// A serial line, at its other end the kernel's own SLCAN driver.
const LINE: &str = r#"
        socat pty,raw,echo=0,link=/run/line pty,raw,echo=0,link=/run/far &
        socat=$!
        until_there /run/far
        far=$(busybox readlink /run/far)
        slcand -F "${far#/dev/}" slcan0 &
        slcand=$!
        until_there /sys/class/net/slcan0
        ip link set slcan0 txqueuelen 10000 && ip link set slcan0 up || fail slcan0"#;

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
        cansend vcan0 20000204#0008000000006003
        until_status 10 '\"controller\":.\"state\":\"warning\",\"errors\":.\"transmit\":96,\"receive\":3'
        cansend vcan0 20000004#0010000000000000
        cansend vcan0 20000040#0000000000000000
        state lost '\"the controller of bus has left the bus'
        cansend vcan0 20000100#0000000000000000
        state heard null
        until_status 10 '\"error_frame\":4'
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
    assert_eq!((faults.get("remote_request"), faults.get("error_frame")), (Some(&1), Some(&4)), "{faults:?}");
    // Two speeds, two counters, and three switches at each of four changes.
    assert_eq!(source["observed"], 16, "{source}");
    assert_eq!(source["bus"]["controller"]["state"], "active", "{source}");
    let counters: Vec<_> = guest
        .spooled(Lane::Telemetry)
        .expect("a spool")
        .into_iter()
        .filter_map(|record| match record.reading {
            Reading::Signal(signal) if signal.name.ends_with("_errors") => Some((signal.name, signal.value)),
            _ => None,
        })
        .collect();
    assert_eq!(counters, [("bus.transmit_errors".to_owned(), 96.0), ("bus.receive_errors".to_owned(), 3.0)]);
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
            switch("error_warning", true),
            switch("error_passive", false),
            switch("bus_off", false),
            switch("error_passive", true),
            switch("bus_off", true),
            switch("error_warning", false),
            switch("error_passive", false),
            switch("bus_off", false),
        ]
    );
}
