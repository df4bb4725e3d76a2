//! The gpsd source against a real gpsd, fed by gpsfake with the project's own recording.
//!
//! The recording's GGA sentences name no satellites, which gpsd takes for "no fix": it is fed the RMC sentences alone, or
//! with satellites, dilution and height made up beside the recorded times and places.
//!
//! Promise: what gpsd makes of the recording arrives as dated positions that lie where the recording's own sentences
//! say, with satellites, dilution, height and error where the log has them, and without where it has not; gpsd going away
//! is told once, and it is heard again when it is back. Without gpsd the tests say so.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use milepost_agent::clock::Clock;
use milepost_agent::config::{BusConfig, SourceConfig, SourceKind};
use milepost_agent::event::{EVENTS_MAX, Event};
use milepost_agent::source::gnss::FixPolicy;
use milepost_agent::source::gpsd::GpsdServer;
use milepost_agent::source::nmea::Decoder;
use milepost_agent::source::{self, SourceLink, SourceNews};
use milepost_proto::reading::FixType;
use milepost_proto::{Position, Reading};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);
/// How many fixes are compared before gpsd is stopped.
const FIXES: usize = 20;

/// gpsfake and the gpsd under it, in a process group of their own.
struct Gpsfake {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Gpsfake {
    /// Plays these sentences over and over on `port`.
    fn start(port: u16, sentences: &str) -> Self {
        use std::os::unix::process::CommandExt as _;
        let folder = tempfile::tempdir().expect("folder");
        let log = folder.path().join("drive.nmea");
        std::fs::write(&log, sentences).expect("log");
        let mut gpsfake = Command::new("gpsfake");
        gpsfake.args(["-q", "-c", "0.05", "-P", &port.to_string()]).arg(log);
        gpsfake.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Self { child: gpsfake.spawn().expect("gpsfake"), _folder: folder }
    }
}

impl Drop for Gpsfake {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process_group(group, Signal::KILL).ok();
        }
        self.child.wait().ok();
    }
}

/// The recording's RMC sentences alone.
fn bare() -> String {
    let recorded = std::fs::read_to_string(recording()).expect("recording");
    let rmc = recorded.lines().filter(|line| line.starts_with("$GPRMC"));
    rmc.map(|line| format!("{line}\r\n")).collect()
}

const HDOP: f64 = 1.4;
const ALTITUDE_CM: i32 = 1_250;
/// gpsd estimates the horizontal error (eph) as the dilution times 19 m, for a receiver that gives none.
const ACCURACY_CM: u32 = 2_660;

/// The recording with four to eight satellites, dilution and height; and the satellites by time of day.
fn full() -> (String, BTreeMap<String, u8>) {
    let recorded = std::fs::read_to_string(recording()).expect("recording");
    let (mut log, mut satellites) = (String::new(), BTreeMap::new());
    let (rmc, gga): (Vec<&str>, Vec<&str>) =
        recorded.lines().filter(|line| line.starts_with('$')).partition(|line| line.starts_with("$GPRMC"));
    for ((rmc, gga), used) in rmc.iter().zip(gga).zip((4..=8_u8).cycle()) {
        let place: Vec<&str> = gga.split(',').skip(1).take(5).collect();
        let prn = |n: u8| 2 + 3 * n;
        let used_prns: Vec<String> =
            (0..12).map(|n| if n < used { format!("{:02}", prn(n)) } else { String::new() }).collect();
        let sky = |n: u8| format!("{:02},{},{},{}", prn(n), 20 + n, 40 * u32::from(n), 30 + n);
        let sentences = [
            format!("GPGGA,{},1,{used:02},{HDOP},12.5,M,-17.0,M,,", place.join(",")),
            format!("GPGSA,A,3,{},2.1,{HDOP},1.6", used_prns.join(",")),
            format!("GPGSV,2,1,08,{}", [0, 1, 2, 3].map(sky).join(",")),
            format!("GPGSV,2,2,08,{}", [4, 5, 6, 7].map(sky).join(",")),
        ];
        for body in sentences {
            let checksum = body.bytes().fold(0, |sum, byte| sum ^ byte);
            log.push_str(&format!("${body}*{checksum:02X}\r\n"));
        }
        log.push_str(&format!("{rmc}\r\n"));
        let time = place[0];
        satellites.insert(format!("{}:{}:{}.000Z", &time[..2], &time[2..4], &time[4..6]), used);
    }
    (log, satellites)
}

fn recording() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings/seattle-bus.nmea")
}

/// Whether gpsd and gpsfake are installed, or the chore that runs the tests promised that they are.
fn is_installed() -> bool {
    let starts = |program: &str| Command::new(program).arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status();
    std::env::var_os("MILEPOST_GPSD").is_some() || (starts("gpsd").is_ok() && starts("gpsfake").is_ok())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("port");
    listener.local_addr().expect("address").port()
}

/// Where the recording's own sentences say the vehicle was, by time of day.
fn recorded() -> BTreeMap<String, (f64, f64)> {
    let (mut decoder, mut places) = (Decoder::default(), BTreeMap::new());
    decoder.push(&std::fs::read(recording()).expect("recording"), |epoch| {
        if let Some((time, position)) = epoch.event_time.zip(epoch.position) {
            places.insert(time.to_string()[11..].to_owned(), (position.lat_deg(), position.lon_deg()));
        }
    });
    places
}

/// What the source says next.
async fn next(events: &mut mpsc::Receiver<Event>) -> SourceNews {
    match tokio::time::timeout(PATIENCE, events.recv()).await.expect("in time") {
        Some(Event::Source(report)) => report.news,
        other => panic!("{other:?}"),
    }
}

/// The next positions and their times of day.
async fn next_positions(events: &mut mpsc::Receiver<Event>) -> Vec<(Option<String>, Position)> {
    let SourceNews::Observed { observations, .. } = next(events).await else { return Vec::new() };
    let positions = observations.into_iter().map(|observation| {
        let Reading::Position(position) = observation.reading else { panic!("a position") };
        (observation.event_time.map(|time| time.to_string()[11..].to_owned()), position)
    });
    positions.collect()
}

/// Compares the next fixes with the recording; says how many were compared.
async fn compare_fixes(events: &mut mpsc::Receiver<Event>, places: &BTreeMap<String, (f64, f64)>) -> usize {
    let mut compared = 0;
    while compared < FIXES {
        for (time, position) in next_positions(events).await {
            let time = time.expect("dated by the clock of the recording");
            let (lat, lon) = places.get(&time).copied().unwrap_or_else(|| panic!("nothing was recorded at {time}"));
            assert_eq!((position.satellites, position.hdop_centi), (None, None), "at {time}");
            assert!((position.lat_deg() - lat).abs() < 1e-6 && (position.lon_deg() - lon).abs() < 1e-6, "at {time}");
            compared += 1;
        }
    }
    compared
}

/// The source under test, with its news and what ends it.
fn listen(port: u16) -> (mpsc::Receiver<Event>, JoinHandle<()>, CancellationToken) {
    let server = GpsdServer { host: "127.0.0.1".to_owned(), port, device: None, fixes: FixPolicy::default() };
    let (sender, events) = mpsc::channel(EVENTS_MAX);
    let shutdown = CancellationToken::new();
    // A clock that a receiver set believes what lies within ten minutes: the recording's first thirteen.
    let began = "2019-10-31T23:12:00Z".parse().expect("time");
    let link = SourceLink::new("gpsd", sender, Clock::replay(began, 1.0));
    let kind = SourceKind::Gpsd(server);
    let config = SourceConfig { name: "gpsd".to_owned(), kind, bus: BusConfig::default() };
    let source = source::spawn(&config, link, shutdown.clone());
    (events, source, shutdown)
}

#[tokio::test]
async fn a_real_gpsd_is_heard_lost_and_heard_again() {
    if !is_installed() {
        eprintln!("skipped: no gpsd");
        return;
    }
    let places = recorded();
    let port = free_port();
    let gpsd = Gpsfake::start(port, &bare());
    let (mut events, source, shutdown) = listen(port);

    assert_eq!(compare_fixes(&mut events, &places).await, FIXES);
    drop(gpsd);
    let why = loop {
        if let SourceNews::Lost { why } = next(&mut events).await {
            break why;
        }
    };
    assert!(why.contains("gpsd"), "{why}");
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "gpsd is gone");
    let _gpsd = Gpsfake::start(port, &bare());
    assert_eq!(compare_fixes(&mut events, &places).await, FIXES);
    shutdown.cancel();
    source.await.expect("source");
}

/// gpsd tells of the satellites in another report than of the place: both belong to one fix.
#[tokio::test]
async fn satellites_dilution_height_and_error_arrive_where_the_log_has_them() {
    if !is_installed() {
        eprintln!("skipped: no gpsd");
        return;
    }
    let (log, satellites) = full();
    let (places, port) = (recorded(), free_port());
    let _gpsd = Gpsfake::start(port, &log);
    let (mut events, source, shutdown) = listen(port);
    let mut compared = 0;
    while compared < FIXES {
        for (time, position) in next_positions(&mut events).await {
            // The first epoch may have begun before anybody listened, and before gpsd had heard a date.
            let Some(time) = time.filter(|_| position.satellites.is_some() && position.altitude_cm.is_some()) else {
                assert_eq!(compared, 0, "{position:?}");
                continue;
            };
            let (lat, lon) = places.get(&time).copied().unwrap_or_else(|| panic!("nothing was recorded at {time}"));
            assert!((position.lat_deg() - lat).abs() < 1e-6 && (position.lon_deg() - lon).abs() < 1e-6, "at {time}");
            let found = (position.satellites, position.hdop_centi, position.altitude_cm, position.accuracy_cm);
            let expected = (satellites.get(&time).copied(), Some(140), Some(ALTITUDE_CM), Some(ACCURACY_CM));
            assert_eq!(found, expected, "at {time}");
            assert_eq!(position.fix, FixType::Fix3d);
            compared += 1;
        }
    }
    shutdown.cancel();
    source.await.expect("source");
}
