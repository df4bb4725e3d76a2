//! The gpsd source against a real gpsd, fed by gpsfake with the project's own recording.
//!
//! The recording's GGA sentences name no satellites, which gpsd takes for "no fix": it is fed the RMC sentences alone.
//!
//! Promise: what gpsd makes of the recording arrives as dated positions that lie where the recording's own sentences
//! say; gpsd going away is told once, and it is heard again when it is back. Without gpsd the test says so.

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
use milepost_proto::Reading;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::mpsc;
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
    /// Plays the recording over and over on `port`.
    fn start(port: u16) -> Self {
        use std::os::unix::process::CommandExt as _;
        let folder = tempfile::tempdir().expect("folder");
        let log = folder.path().join("drive.nmea");
        let recorded = std::fs::read_to_string(recording()).expect("recording");
        let rmc = recorded.lines().filter(|line| line.starts_with("$GPRMC"));
        std::fs::write(&log, rmc.map(|line| format!("{line}\r\n")).collect::<String>()).expect("log");
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

/// Compares the next fixes with the recording; says how many were compared.
async fn compare_fixes(events: &mut mpsc::Receiver<Event>, places: &BTreeMap<String, (f64, f64)>) -> usize {
    let mut compared = 0;
    while compared < FIXES {
        let SourceNews::Observed { observations, .. } = next(events).await else { continue };
        for observation in observations {
            let Reading::Position(position) = observation.reading else { panic!("a position") };
            let time = observation.event_time.expect("dated by the clock of the recording").to_string();
            let (lat, lon) =
                places.get(&time[11..]).copied().unwrap_or_else(|| panic!("nothing was recorded at {time}"));
            assert!((position.lat_deg() - lat).abs() < 1e-6 && (position.lon_deg() - lon).abs() < 1e-6, "at {time}");
            compared += 1;
        }
    }
    compared
}

#[tokio::test]
async fn a_real_gpsd_is_heard_lost_and_heard_again() {
    if !is_installed() {
        eprintln!("skipped: no gpsd");
        return;
    }
    let places = recorded();
    let port = free_port();
    let kind =
        SourceKind::Gpsd(GpsdServer { host: "127.0.0.1".to_owned(), port, device: None, fixes: FixPolicy::default() });
    let gpsd = Gpsfake::start(port);
    let (sender, mut events) = mpsc::channel(EVENTS_MAX);
    let shutdown = CancellationToken::new();
    let began = "2019-10-31T23:00:00Z".parse().expect("time");
    let link = SourceLink::new("gpsd", sender, Clock::replay(began, 1.0));
    let source = source::spawn(
        &SourceConfig { name: "gpsd".to_owned(), kind, bus: BusConfig::default() },
        link,
        shutdown.clone(),
    );

    assert_eq!(compare_fixes(&mut events, &places).await, FIXES);
    drop(gpsd);
    let why = loop {
        if let SourceNews::Lost { why } = next(&mut events).await {
            break why;
        }
    };
    assert!(why.contains("gpsd"), "{why}");
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "gpsd is gone");
    let _gpsd = Gpsfake::start(port);
    assert_eq!(compare_fixes(&mut events, &places).await, FIXES);
    shutdown.cancel();
    source.await.expect("source");
}
