//! `check`: what is wrong with this configuration and with what it points at, without changing anything.

use std::fmt;
use std::path::Path;

use crate::config::{Config, SourceKind};
use crate::identity;

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
