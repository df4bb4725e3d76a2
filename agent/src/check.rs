//! `check`: what is wrong with this configuration and with what it points at, without changing anything.

use std::fmt;
use std::path::Path;

use crate::config::{Config, SourceConfig, SourceKind};
use crate::identity;
use crate::source::can::dbc::{Database, Severity};

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
            format!("certificate and key for {}", config.gateway.url),
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
    findings.extend(config.sources.iter().map(|source| {
        let (path, kind) = (source.kind.path(), source.kind.as_str());
        Finding::new(format!("source {} ({kind} {})", source.name, path.display()), check_source(&source.kind))
    }));
    findings.extend(config.sources.iter().filter(|source| !source.dbc.files.is_empty()).flat_map(check_dbc));
    findings
}

/// One finding for the messages there are, one for each mistake in a file and each selected signal that is in none.
fn check_dbc(source: &SourceConfig) -> Vec<Finding> {
    let (mut database, faults) = Database::load(&source.dbc.files);
    let what = format!("DBC files of source {}", source.name);
    let count = database.messages().len();
    let none = || "no message can be used; mend the files or remove dbc".to_owned();
    let found = if count > 0 { Ok(()) } else { Err(none()) };
    let mut findings = vec![Finding::new(format!("{what}: {count} messages"), found)];
    findings.extend(faults.iter().map(|fault| match fault.fault.severity {
        Severity::Refused => Finding::new(what.clone(), Err(fault.to_string())),
        Severity::Odd => Finding::new(format!("{what}, but {fault}"), Ok(())),
    }));
    let selected = source.dbc.selected.iter().map(|one| (one.from.as_str(), one.name.as_str()));
    let unknown = database.select(selected).err().unwrap_or_default();
    findings.extend(unknown.into_iter().map(|why| Finding::new(what.clone(), Err(why))));
    findings
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

fn check_source(kind: &SourceKind) -> Result<(), String> {
    match kind {
        SourceKind::NmeaSerial { path, baud } => {
            let port = tokio_serial::new(path.to_string_lossy(), *baud);
            let opened = port.open();
            opened.map(drop).map_err(|error| format!("{error}; plug the receiver in or mend path"))
        }
        SourceKind::Candump { path } => {
            std::fs::File::open(path).map(drop).map_err(|error| format!("{error}; mend path"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DbcConfig, Selection};

    #[test]
    fn mistakes_in_dbc_files_have_file_and_line_and_oddities_are_no_mistakes() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("bus.dbc");
        let signal = |name: &str, start: u8| format!(" SG_ {name} : {start}|8@1+ (1,0) [0|0] \"\" X\n");
        let text = ["BO_ 1 A: 1 X\n".to_owned(), signal("S", 0), signal("T", 8), "BO_ 4096 B: 8 X\n".to_owned()];
        std::fs::write(&file, text.concat()).expect("write");
        let select = |from: &str| Selection { from: from.to_owned(), name: from.to_owned() };
        let dbc = DbcConfig { files: vec![file.clone()], selected: vec![select("A.S"), select("A.U")] };
        let kind = SourceKind::Candump { path: "bus.log".into() };
        let shown: Vec<_> =
            check_dbc(&SourceConfig { name: "bus".to_owned(), kind, dbc }).iter().map(ToString::to_string).collect();
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
