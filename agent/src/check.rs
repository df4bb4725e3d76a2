//! `check`: what is wrong with this configuration and with what it points at, without changing anything.
//!
//! Promise: each source is opened as the agent would and listened to for [`LISTEN`]; what it said is shown. A bus that the
//! configuration lets the agent ask is asked. A receiver that says nothing is wrong; a bus may well be silent while the
//! ignition is off.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::config::{Config, SourceConfig, SourceKind};
use crate::identity;
use crate::source::dbc_files;
use crate::source::listen::{Heard, listen};

/// How long each source is listened to.
pub const LISTEN: Duration = Duration::from_secs(2);
/// How much longer for each further line speed that may have to be tried.
const SPEED_TRIAL: Duration = Duration::from_secs(4);
/// Most of the latest raw input that is shown, characters.
const RAW_CHARS_MAX: usize = 90;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    what: String,
    /// What is wrong and what would mend it; absent when it is good.
    trouble: Option<String>,
}

impl Finding {
    /// Whether nothing is wrong with it.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.trouble.is_none()
    }

    fn new(what: impl Into<String>, result: Result<(), String>) -> Self {
        Self { what: what.into(), trouble: result.err() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.trouble {
            None => write!(f, "ok    {}", self.what),
            Some(trouble) => write!(f, "WRONG {}: {trouble}", self.what),
        }
    }
}

/// Looks at everything the configuration names.
#[must_use]
pub fn check(config: &Config) -> Vec<Finding> {
    let mut findings = vec![
        Finding::new(
            format!("certificate and key for {}", config.gateway.urls.join(", ")),
            identity::load(&config.gateway).map(drop).map_err(|error| format!("{error:#}")),
        ),
        Finding::new(
            format!("spool folder {}", folder(&config.spool.path).display()),
            check_folder(folder(&config.spool.path)),
        ),
    ];
    if let Some(http) = &config.http {
        let bound = std::net::TcpListener::bind(http.listen).map(drop);
        let trouble = |error| format!("cannot listen: {error}; is another agent running?");
        findings.push(Finding::new(format!("local pages on {}", http.listen), bound.map_err(trouble)));
    }
    if let Some(mqtt) = &config.mqtt {
        let connected = std::net::TcpStream::connect((mqtt.host.as_str(), mqtt.port)).map(drop);
        let trouble = |error| format!("{error}; the agent will keep trying, start the broker or mend host and port");
        findings.push(Finding::new(format!("MQTT broker {}:{}", mqtt.host, mqtt.port), connected.map_err(trouble)));
    }
    findings.extend(check_sources(&config.sources));
    findings.extend(config.sources.iter().filter(|source| !source.bus.dbc.files.is_empty()).flat_map(check_dbc));
    findings
}

/// One finding for the messages there are, one for each mistake in a file and each selected signal that is in none.
fn check_dbc(source: &SourceConfig) -> Vec<Finding> {
    let dbc_files::Loaded { database, mistakes, oddities } = dbc_files::load_selected(&source.bus.dbc);
    let what = format!("DBC files of source {}", source.name);
    let count = database.messages().len();
    let none = || "no message can be used; mend the files or remove dbc".to_owned();
    let found = if count > 0 { Ok(()) } else { Err(none()) };
    let mut findings = vec![Finding::new(format!("{what}: {count} messages"), found)];
    findings.extend(oddities.into_iter().map(|why| Finding::new(format!("{what}, but {why}"), Ok(()))));
    findings.extend(mistakes.into_iter().map(|why| Finding::new(what.clone(), Err(why))));
    findings
}

/// Listens to all at the same time.
fn check_sources(sources: &[SourceConfig]) -> Vec<Finding> {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![Finding::new("the sources", Err(format!("cannot be listened to: {error}")))],
    };
    runtime.block_on(async {
        let trials = sources.iter().map(|source| {
            let source = source.clone();
            tokio::spawn(async move {
                let heard = listen(&source, patience(&source.kind)).await;
                judge(&source, &heard)
            })
        });
        let mut findings = Vec::new();
        for trial in trials.collect::<Vec<_>>() {
            findings.extend(trial.await);
        }
        findings
    })
}

fn patience(kind: &SourceKind) -> Duration {
    let further_speeds = match kind {
        SourceKind::NmeaSerial { receiver, .. } => receiver.bauds.len().saturating_sub(1),
        _ => 0,
    };
    LISTEN + SPEED_TRIAL * u32::try_from(further_speeds).unwrap_or(u32::MAX)
}

/// What to say of a source of which this was heard.
fn judge(source: &SourceConfig, heard: &Heard) -> Finding {
    let what = format!("source {} ({} {})", source.name, source.kind.as_str(), source.kind.place());
    let faults = heard.faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ");
    if let Some(why) = &heard.lost {
        return Finding::new(what, Err(why.clone()));
    }
    let receiver = source.kind.is_receiver();
    if heard.reports == 0 && !faults.is_empty() {
        let mend = if receiver { "is this the right device, at the right baud?" } else { "is this the right device?" };
        return Finding::new(what, Err(format!("only unusable input was heard ({faults}); {mend}")));
    }
    if heard.reports == 0 && receiver {
        return Finding::new(what, Err("says nothing; is the receiver powered and set to send?".to_owned()));
    }
    let mut said = match (heard.reports, heard.observations) {
        (0, _) => "nothing was heard".to_owned(),
        (_, 0) if receiver => "it speaks, but has no fix".to_owned(),
        (_, observations) => format!("{observations} observations"),
    };
    if let Some(polling) = &heard.polling {
        said.push_str(&format!("; {} questions asked, {} answered", polling.requests, polling.answers));
    }
    if let Some(raw) = &heard.raw {
        said.push_str(&format!("; last: {}", raw.chars().take(RAW_CHARS_MAX).collect::<String>()));
    }
    if !faults.is_empty() {
        said.push_str(&format!("; unusable: {faults}"));
    }
    Finding::new(format!("{what}: {said}"), Ok(()))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn check_folder(folder: &Path) -> Result<(), String> {
    let metadata = std::fs::metadata(folder).map_err(|error| format!("{error}; create it"))?;
    if !metadata.is_dir() {
        return Err("is not a folder".to_owned());
    }
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)
        .map_err(|error| format!("cannot be written ({error}); give it to the user that runs the agent"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::config::{BusConfig, DbcConfig, Selection};
    use crate::source::pty::Pty;
    use crate::source::serial::NmeaReceiver;
    use crate::status::PollingStatus;

    fn receiver(path: &Path) -> SourceConfig {
        let kind = SourceKind::NmeaSerial { path: path.to_owned(), receiver: NmeaReceiver::default() };
        SourceConfig { name: "gnss".to_owned(), kind, bus: BusConfig::default() }
    }

    #[test]
    fn what_a_receiver_says_decides_whether_it_is_good() {
        let source = receiver(Path::new("/dev/x"));
        let heard = |reports, observations, faults: &[(&'static str, u64)]| Heard {
            opened: true,
            reports,
            observations,
            faults: faults.iter().copied().collect(),
            raw: (reports > 0).then(|| "$GPRMC".to_owned()),
            ..Heard::default()
        };
        let lost = Heard { lost: Some("it is gone".to_owned()), ..heard(3, 3, &[]) };
        for (heard, expected) in [
            (heard(2, 2, &[]), "ok    source gnss (nmea_serial /dev/x): 2 observations; last: $GPRMC"),
            (
                heard(2, 0, &[("noise", 1)]),
                "ok    source gnss (nmea_serial /dev/x): it speaks, but has no fix; last: $GPRMC; unusable: noise 1",
            ),
            (
                heard(0, 0, &[("noise", 9)]),
                "WRONG source gnss (nmea_serial /dev/x): only unusable input was heard (noise 9); is this the right \
                 device, at the right baud?",
            ),
            (
                heard(0, 0, &[]),
                "WRONG source gnss (nmea_serial /dev/x): says nothing; is the receiver powered and set to send?",
            ),
            (lost, "WRONG source gnss (nmea_serial /dev/x): it is gone"),
        ] {
            assert_eq!(judge(&source, &heard).to_string(), expected);
        }
    }

    #[test]
    fn what_became_of_a_buss_questions_is_said() {
        let kind = SourceKind::SocketCan { interface: "can0".to_owned(), fd: false, transmit: true };
        let source = SourceConfig { name: "bus".to_owned(), kind, bus: BusConfig::default() };
        let polling = PollingStatus { requests: 4, answers: 3, ..PollingStatus::default() };
        let heard = Heard { opened: true, reports: 3, observations: 2, polling: Some(polling), ..Heard::default() };
        let said = "ok    source bus (socketcan can0): 2 observations; 4 questions asked, 3 answered";
        assert_eq!(judge(&source, &heard).to_string(), said);
    }

    #[test]
    fn a_receiver_that_speaks_is_heard_and_one_that_is_absent_is_named() {
        let mut pty = Pty::open().expect("pty");
        pty.master.write_all(b"$GPGLL,5206.00,N,00454.00,E,120001.00,A,A*6F\r\n").expect("write");
        let findings = check_sources(&[receiver(&pty.slave), receiver(Path::new("/dev/no-such-device"))]);
        let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(shown[0].starts_with("ok") && shown[0].contains("1 observations; last: $GPGLL"), "{shown:?}");
        assert!(shown[1].starts_with("WRONG") && shown[1].contains("plug the device in"), "{shown:?}");
    }

    #[test]
    fn mistakes_in_dbc_files_have_file_and_line_and_oddities_are_no_mistakes() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("bus.dbc");
        let signal = |name: &str, start: u8| format!(" SG_ {name} : {start}|8@1+ (1,0) [0|0] \"\" X\n");
        let text = ["BO_ 1 A: 1 X\n".to_owned(), signal("S", 0), signal("T", 8), "BO_ 4096 B: 8 X\n".to_owned()];
        std::fs::write(&file, text.concat()).expect("write");
        let select = |from: &str| Selection { from: from.to_owned(), name: from.to_owned() };
        let dbc = DbcConfig { files: vec![file.clone()], selected: vec![select("A.S"), select("A.U")] };
        let bus = BusConfig { dbc, ..BusConfig::default() };
        let kind = SourceKind::Candump { path: "bus.log".into() };
        let shown: Vec<_> =
            check_dbc(&SourceConfig { name: "bus".to_owned(), kind, bus }).iter().map(ToString::to_string).collect();
        let file = file.display();
        assert_eq!(
            shown,
            [
                "ok    DBC files of source bus: 1 messages".to_owned(),
                format!(
                    "ok    DBC files of source bus, but {file}:3: signal A.T ends in byte 2 of a message of 1; correct the \
                     length or the start"
                ),
                format!(
                    "WRONG DBC files of source bus: {file}:4: message B: identifier 4096 has more than 11 bits; for an \
                     extended frame add 2147483648 (bit 31); until then it is left out"
                ),
                "WRONG DBC files of source bus: message A has no signal U; it has S, T".to_owned(),
            ]
        );
    }
}
