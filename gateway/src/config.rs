//! gateway.toml.
//!
//! Promise: every mistake is reported at once, each with its line and its mend; what loads is complete and consistent in
//! itself. Paths in the file are relative to the file. No secret is ever in the file: it names where the key is.

pub mod limits;
pub mod odoo;
pub mod roster;
pub mod rules;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use milepost_proto::FleetId;
use milepost_proto::config_table::{ConfigFault, Document, Table};

pub use self::limits::{CustodySection, LimitsSection, RetentionSection};
pub use self::odoo::{KeySource, OdooMode, OdooSection};
pub use self::roster::{DeviceEntry, VehicleEntry};
use crate::milestone::Rules;

/// Where pages are served unless the file says otherwise.
const PAGES_LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8480);

/// A gateway's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The fleet it serves.
    pub fleet: FleetId,
    /// The store file.
    pub store_path: PathBuf,
    /// Where devices connect.
    pub ingest: IngestSection,
    /// Where people connect.
    pub pages_listen: SocketAddr,
    /// Odoo, when there is one.
    pub odoo: Option<OdooSection>,
    /// Devices and what they serve.
    pub devices: Vec<DeviceEntry>,
    /// Vehicles.
    pub vehicles: Vec<VehicleEntry>,
    /// A plan.json to take in at start.
    pub plan: Option<PathBuf>,
    /// What the engine decides by.
    pub rules: Rules,
    /// When missing evidence is trouble.
    pub custody: CustodySection,
    /// What is dropped when it is old.
    pub retention: RetentionSection,
}

/// `[ingest]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestSection {
    /// Address and port.
    pub listen: SocketAddr,
    /// The gateway's certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The CA that signs this fleet's devices, PEM.
    pub client_ca: PathBuf,
    /// How much one device may ask for.
    pub limits: LimitsSection,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file has mistakes.
    #[error("{}", listed(.path, .faults))]
    Faults {
        /// Which file.
        path: PathBuf,
        /// All of them, in file order.
        faults: Vec<ConfigFault>,
    },
}

fn listed(path: &Path, faults: &[ConfigFault]) -> String {
    let lines: Vec<String> = faults.iter().map(|fault| format!("{}: {fault}", path.display())).collect();
    lines.join("\n")
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        Self::read(&text, folder).map_err(|faults| ConfigError::Faults { path: path.to_owned(), faults })
    }

    /// Reads `text`, whose paths are relative to `folder`.
    ///
    /// # Errors
    /// Every mistake, in file order.
    pub fn read(text: &str, folder: &Path) -> Result<Self, Vec<ConfigFault>> {
        let document = Document::parse(text);
        let config = Self::from_root(document.root(), folder);
        let faults = document.into_faults();
        match config {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(faults),
        }
    }

    /// Nothing when something indispensable is missing; the faults are noted in the document all the same.
    fn from_root(mut root: Table<'_>, folder: &Path) -> Option<Self> {
        let fleet = root.require_parsed("fleet");
        let store_path = root.require_table("store").and_then(|mut store| {
            let path = required_path(&mut store, "path", folder);
            store.finish();
            path
        });
        let ingest = root.require_table("ingest").and_then(|ingest| read_ingest(ingest, folder));
        let pages_listen = root.table("pages").map(|mut pages| {
            let listen = pages.parsed("listen");
            pages.finish();
            listen.unwrap_or(PAGES_LISTEN_DEFAULT)
        });
        let odoo = root.table("odoo").map(|odoo| odoo::read(odoo, folder));
        let vehicles = roster::read_vehicles(&mut root);
        let devices = roster::read_devices(&mut root);
        let plan = root.get::<PathBuf>("plan").map(|path| folder.join(path));
        let rules = root.table("rules").map(rules::read).unwrap_or_default();
        let custody = root.table("custody").map(limits::read_custody).unwrap_or_default();
        let retention = root.table("retention").map(limits::read_retention).unwrap_or_default();
        root.finish();
        Some(Self {
            fleet: fleet?,
            store_path: store_path?,
            ingest: ingest?,
            pages_listen: pages_listen.unwrap_or(PAGES_LISTEN_DEFAULT),
            odoo: match odoo {
                Some(section) => Some(section?),
                None => None,
            },
            devices,
            vehicles,
            plan,
            rules,
            custody,
            retention,
        })
    }
}

fn read_ingest(mut table: Table<'_>, folder: &Path) -> Option<IngestSection> {
    let listen = table.require_parsed("listen");
    let certificate = required_path(&mut table, "certificate", folder);
    let key = required_path(&mut table, "key", folder);
    let client_ca = required_path(&mut table, "client_ca", folder);
    let limits = limits::read_limits(&mut table);
    table.finish();
    Some(IngestSection { listen: listen?, certificate: certificate?, key: key?, client_ca: client_ca?, limits })
}

fn required_path(table: &mut Table<'_>, key: &str, folder: &Path) -> Option<PathBuf> {
    table.require::<PathBuf>(key).map(|path| folder.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
fleet = "north"
plan = "plan.json"

[store]
path = "gateway.sqlite"

[ingest]
listen = "0.0.0.0:8443"
certificate = "gateway.pem"
key = "gateway.key"
client_ca = "/etc/milepost/ca.pem"

[odoo]
url = "https://odoo.example"
database = "prod"
api_key_file = "odoo.key"

[rules]
dwell_s_min = 90

[[vehicle]]
id = "truck-7"
license_plate = "ZH 123"

[[device]]
id = "box-7"
vehicle = "truck-7"
valid_from = "2026-01-01T00:00:00Z"

[[device]]
id = "yard-box"
site = "yard"
"#;

    #[test]
    fn a_whole_file_reads() {
        let config = Config::read(GOOD, Path::new("/etc/milepost")).expect("reads");
        assert_eq!(config.store_path, Path::new("/etc/milepost/gateway.sqlite"));
        assert_eq!(config.pages_listen, PAGES_LISTEN_DEFAULT);
        assert!(config.pages_listen.ip().is_loopback());
        assert_eq!((config.devices.len(), config.vehicles.len(), config.rules.dwell_s_min), (2, 1, 90));
        let odoo = config.odoo.expect("there");
        assert_eq!((odoo.mode, odoo.request_limit_s), (OdooMode::Live, 120));
    }

    #[track_caller]
    fn check(from: &str, to: &str, expected: &[&str]) {
        assert!(GOOD.contains(from), "{from} is not in the file");
        let faults = Config::read(&GOOD.replace(from, to), Path::new("")).expect_err("has mistakes");
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults, expected);
    }

    #[test]
    fn every_mistake_names_its_line_and_its_mend() {
        check(
            "api_key_file = \"odoo.key\"",
            "api_key = \"s3cret\"",
            &[
                "line 17: odoo.api_key must not be in this file: put the key alone in a file that only the gateway's user \
               can read and name it in api_key_file, or name an environment variable in api_key_env",
            ],
        );
        check("vehicle = \"truck-7\"\n", "", &["line 27: device.id needs a vehicle or a site to serve"]);
        check(
            "site = \"yard\"",
            "site = \"yard\"\nvehicle = \"truck-7\"",
            &["line 33: device.site cannot stand next to vehicle: a device serves one of them at a time"],
        );
        check("dwell_s_min = 90", "dwel_s_min = 90", &["line 20: rules.dwel_s_min is not a known key here"]);
    }

    #[test]
    fn three_mistakes_are_reported_together() {
        let text = "fleet = \"a/b\"\n[store]\npath = 7\n[ingest]\nlisten = \"here\"\ncertificate = \"c\"\nkey = \"k\"\n\
                    client_ca = \"a\"\n";
        let faults = Config::read(text, Path::new("")).expect_err("has mistakes");
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [1, 3, 5], "{faults:?}");
    }

    #[test]
    fn a_device_cannot_serve_two_at_once() {
        let twice = "[[device]]\nid = \"box-7\"\nvehicle = \"van-1\"\nvalid_from = \"2027-01-01T00:00:00Z\"\n";
        let text = format!("{GOOD}\n{twice}");
        let faults = Config::read(&text, Path::new("")).expect_err("has mistakes");
        let fault = faults[0].to_string();
        assert!(fault.contains("box-7 already serves something then"), "{fault}");
    }
}
