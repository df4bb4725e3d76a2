//! `agent.toml`.
//!
//! Promise: a [`Config`] that exists has no mistake that reading the file alone can show. Every mistake is reported at
//! once with its line; relative paths are taken from the file's own folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use milepost_proto::DeviceId;
use milepost_proto::config_table::{ConfigFault, Document, Table};

use crate::reporting::ReportingPolicy;

mod bus;
mod gateway;
mod gnss;
mod signal;
mod source;

pub use bus::{BusConfig, DbcConfig};
pub use gateway::GatewayConfig;
pub use signal::Selection;
pub use source::{SourceConfig, SourceKind};

/// Everything the agent is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The device's name; must be the common name of its certificate.
    pub device: DeviceId,
    /// Store and forward.
    pub spool: SpoolConfig,
    /// Where records go.
    pub gateway: GatewayConfig,
    /// The local pages and the driver app's HTTP contract.
    pub http: Option<HttpConfig>,
    /// The driver app's MQTT contract.
    pub mqtt: Option<MqttConfig>,
    /// Which observations are worth keeping.
    pub reporting: ReportingPolicy,
    /// Where observations come from.
    pub sources: Vec<SourceConfig>,
}

/// `[spool]`.
#[derive(Debug, Clone, PartialEq)]
pub struct SpoolConfig {
    /// The file.
    pub path: PathBuf,
    /// Most bytes on disk, write-ahead log included.
    pub quota_bytes: u64,
    /// With less than this free on its disk, it takes no more than it has, bytes; 0 for no such floor.
    pub free_bytes_min: u64,
    /// Longest time telemetry waits for its group's commit, milliseconds: what a power cut may cost.
    pub group_ms: u64,
    /// A group of this many bytes is committed before that time.
    pub group_bytes: u64,
    /// Which voltage tells that the power is about to go.
    pub low_voltage: Option<LowVoltage>,
}

/// The signal that carries the battery's voltage unless another is named.
const BATTERY_VOLTAGE: &str = "Vehicle.LowVoltageBattery.CurrentVoltage";

/// `flush_signal` and `flush_below_volts`.
#[derive(Debug, Clone, PartialEq)]
pub struct LowVoltage {
    /// The signal's name, as records have it.
    pub signal: String,
    /// Below this the power is about to go, volts.
    pub below_volts: f64,
}

/// `[http]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where to listen; loopback unless the driver app's phone must reach it.
    pub listen: SocketAddr,
}

/// `[mqtt]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttConfig {
    /// The broker in the vehicle.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User name, if it wants one.
    pub username: Option<String>,
    /// File that holds the password.
    pub password_file: Option<PathBuf>,
}

impl Config {
    /// Reads `text`, the content of a file in `folder`.
    ///
    /// # Errors
    /// Every mistake in the file.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Vec<ConfigFault>> {
        let document = Document::parse(text);
        let config = read(document.root(), folder);
        match (config, document.into_faults()) {
            (Some(config), faults) if faults.is_empty() => Ok(config),
            (_, faults) => Err(faults),
        }
    }
}

fn read(mut root: Table<'_>, folder: &Path) -> Option<Config> {
    let device = root.require_parsed("device");
    let spool = root.require_table("spool").and_then(|table| spool(table, folder));
    let gateway = root.require_table("gateway").and_then(|table| gateway::read(table, folder));
    let http = root.table("http").map(http);
    let mqtt = root.table("mqtt").map(|table| mqtt(table, folder));
    let mut reporting = root.table("reporting").map(reporting).unwrap_or_default();
    let mut sources = source::sources(&mut root, folder);
    signal::read(&mut root, &mut sources, &mut reporting);
    root.finish();
    Some(Config {
        device: device?,
        spool: spool?,
        gateway: gateway?,
        http: match http {
            Some(section) => Some(section?),
            None => None,
        },
        mqtt: match mqtt {
            Some(section) => Some(section?),
            None => None,
        },
        reporting,
        sources,
    })
}

fn spool(mut table: Table<'_>, folder: &Path) -> Option<SpoolConfig> {
    let path = table.require::<PathBuf>("path");
    let quota_mib = table.get_in("quota_mib", 4..=65_536, 256_u64);
    let free_mib_min = table.get_in("free_mib_min", 0..=65_536, 16_u64);
    let group_ms = table.get_in("group_ms", 10..=60_000, 1_000_u64);
    let group_kib = table.get_in("group_kib", 1..=1_024, 64_u64);
    let low_voltage = low_voltage(&mut table);
    table.finish();
    Some(SpoolConfig {
        path: folder.join(path?),
        quota_bytes: quota_mib * 1024 * 1024,
        free_bytes_min: free_mib_min * 1024 * 1024,
        group_ms,
        group_bytes: group_kib * 1024,
        low_voltage,
    })
}

/// By default the voltage that trucks report (J1939 SPN 168).
fn low_voltage(table: &mut Table<'_>) -> Option<LowVoltage> {
    let signal = table.get::<String>("flush_signal");
    if table.has("flush_below_volts") {
        let below_volts = table.get_in("flush_below_volts", 1.0..=1_000.0, 1.0);
        return Some(LowVoltage { signal: signal.unwrap_or_else(|| BATTERY_VOLTAGE.to_owned()), below_volts });
    }
    if signal.is_some() {
        table.fault("flush_signal", "needs flush_below_volts, e.g. 22.0 in a truck of 24 V");
    }
    None
}

fn http(mut table: Table<'_>) -> Option<HttpConfig> {
    let listen = table.require_parsed("listen");
    table.finish();
    Some(HttpConfig { listen: listen? })
}

fn mqtt(mut table: Table<'_>, folder: &Path) -> Option<MqttConfig> {
    let host = table.get_or("host", "127.0.0.1".to_owned());
    let port = table.get_in("port", 1..=u16::MAX, 1883);
    let username = table.get("username");
    let password_file = table.get::<PathBuf>("password_file").map(|path| folder.join(path));
    if table.get::<String>("password").is_some() {
        table.fault("password", "must not be in this file; put it in a file of its own and name it in password_file");
    }
    table.finish();
    Some(MqttConfig { host, port, username, password_file })
}

fn reporting(mut table: Table<'_>) -> ReportingPolicy {
    let default = ReportingPolicy::default();
    let policy = ReportingPolicy {
        interval_s: table.get_in("interval_s", 1..=86_400, default.interval_s),
        distance_m: table.get_in("distance_m", 1.0..=100_000.0, default.distance_m),
        heading_deg: table.get_in("heading_deg", 1.0..=180.0, default.heading_deg),
        signal_interval_s: table.get_in("signal_interval_s", 1..=86_400, default.signal_interval_s),
        signal_change_percent: table.get_in("signal_change_percent", 0.0..=100.0, default.signal_change_percent),
        signals: default.signals,
    };
    table.finish();
    policy
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const GOOD: &str = r#"
device = "truck-7"

[spool]
path = "spool.db"

[gateway]
url = "https://gateway.example:8443/"
ca = "ca.pem"
certificate = "truck-7.pem"
key = "/etc/milepost/truck-7.key"

[[source]]
name = "gnss"
kind = "nmea_serial"
path = "/dev/ttyUSB0"
baud = 4800
"#;

    pub(crate) fn faults(text: &str) -> Vec<String> {
        match Config::parse(text, Path::new("/etc/milepost")) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn the_sample_has_no_mistakes_and_says_what_the_defaults_are() {
        let sample = Config::parse(include_str!("../../deploy/agent.toml"), Path::new("/")).expect("no mistakes");
        assert_eq!(sample.reporting, ReportingPolicy::default());
        let GatewayConfig { gather_ms, heartbeat_s, retry_s_max, .. } = sample.gateway;
        let default = Config::parse(GOOD, Path::new("/")).expect("no mistakes").gateway;
        assert_eq!(
            [gather_ms, heartbeat_s, retry_s_max],
            [default.gather_ms, default.heartbeat_s, default.retry_s_max]
        );
    }

    /// What sets the clock decides whether the low-water mark may be claimed before it has.
    #[test]
    fn every_kind_of_receiver_is_one_and_a_bus_is_none() {
        let text = format!(
            "{GOOD}\n[[source]]\nname = \"shared\"\nkind = \"gpsd\"\n\
             [[source]]\nname = \"bus\"\nkind = \"socketcan\"\ninterface = \"can0\"\n"
        );
        let sources = Config::parse(&text, Path::new("/")).expect("no mistakes").sources;
        let receivers: Vec<_> = sources.iter().map(|source| source.kind.is_receiver()).collect();
        assert_eq!(receivers, [true, true, false]);
    }

    #[test]
    fn paths_are_taken_from_the_files_folder() {
        let config = Config::parse(GOOD, Path::new("/srv")).expect("no mistakes");
        assert_eq!(config.spool.path, Path::new("/srv/spool.db"));
        assert_eq!(config.gateway.key, Path::new("/etc/milepost/truck-7.key"));
        assert_eq!(config.gateway.urls, ["https://gateway.example:8443"]);
    }

    #[test]
    fn three_mistakes_are_reported_together_with_their_lines() {
        let text = GOOD
            .replace("device = \"truck-7\"", "device = \"truck 7\"")
            .replace("https://", "http://")
            .replace("baud = 4800", "baud = \"fast\"");
        assert_eq!(
            faults(&text),
            [
                "line 2: device is not usable: a name is made of letters, digits, '.', '_' and '-', not ' '",
                "line 8: gateway.url must begin with https:// (records travel over mutual TLS only)",
                "line 17: source.baud must be a whole number or \"auto\", not \"fast\"",
            ]
        );
    }

    #[test]
    fn two_sources_cannot_claim_one_device() {
        let text = format!("{GOOD}\n[[source]]\nname = \"b\"\nkind = \"nmea_serial\"\npath = \"/dev/ttyUSB0\"\n");
        assert_eq!(
            faults(&text),
            ["line 22: source.path is already read by source \"gnss\" as /dev/ttyUSB0; one device has one source"]
        );
    }

    /// A link such as those of `/dev/serial/by-id` is another name of its device, whichever source has which.
    #[test]
    fn two_names_of_one_device_are_one_device() {
        let folder = tempfile::tempdir().expect("folder");
        let folder = folder.path().canonicalize().expect("there");
        std::fs::create_dir(folder.join("by-id")).expect("folder");
        std::fs::write(folder.join("ttyUSB0"), "").expect("file");
        std::os::unix::fs::symlink("../ttyUSB0", folder.join("by-id/usb-u-blox")).expect("link");
        let check = |first: &str, second: &str, is_same: bool| {
            let gnss = GOOD.replace("/dev/ttyUSB0", first);
            let adapter = "[[source]]\nname = \"b\"\nkind = \"slcan\"\nbitrate = 250000";
            let text = format!("{gnss}\n{adapter}\npath = \"{second}\"\n");
            let found: Vec<String> = match Config::parse(&text, &folder) {
                Ok(_) => Vec::new(),
                Err(faults) => faults.iter().map(ToString::to_string).collect(),
            };
            let (first, second) = (folder.join(first), folder.join(second));
            let names = if first == second {
                format!("is already read by source \"gnss\" as {}", first.display())
            } else {
                let (first, second) = (first.display(), second.display());
                format!("is {second}, the same as {first} that is already read by source \"gnss\"")
            };
            let expected = format!("line 23: source.path {names}; one device has one source");
            assert_eq!(found, if is_same { vec![expected] } else { Vec::new() });
        };
        check("by-id/usb-u-blox", "ttyUSB0", true);
        check("ttyUSB0", "by-id/../by-id/usb-u-blox", true);
        check("ttyUSB0", "./ttyUSB0", true);
        check("absent", "./absent", true);
        check("absent", "ttyUSB0", false);
        check("ttyUSB0", "by-id/absent", false);
    }

    #[test]
    fn names_and_addresses_that_cannot_work_are_refused() {
        let check = |from: &str, to: &str, expected: &str| assert_eq!(faults(&GOOD.replace(from, to)), [expected]);
        check("\"gnss\"", "\"\"", "line 14: source.name must not be \"\"; give the source a name of its own");
        check("\"gnss\"", "\"http\"", "line 14: source.name must not be \"http\"; give the source a name of its own");
        let why = "is not an address such as https://gateway.example:8443 (empty host)";
        check("https://gateway.example:8443/", "https://", &format!("line 8: gateway.url {why}"));
    }

    #[test]
    fn a_vin_that_is_none_is_refused_with_what_one_looks_like() {
        let bus = |vin: &str| {
            format!("{GOOD}\n[[source]]\nname = \"bus\"\nkind = \"candump\"\npath = \"bus.log\"\nvin = {vin:?}\n")
        };
        assert_eq!(faults(&bus("1XPBD49X1MD000001")), Vec::<String>::new());
        assert_eq!(
            faults(&bus("1XPBD49X1MDO00001")),
            ["line 23: source.vin is not usable: a VIN has 17 capital letters and digits, without I, O and Q"]
        );
    }

    #[test]
    fn the_spools_groups_and_bounds_are_read_and_their_mistakes_named() {
        let spool = |lines: &str| GOOD.replace("path = \"spool.db\"\n", &format!("path = \"spool.db\"\n{lines}\n"));
        let read = |lines: &str| Config::parse(&spool(lines), Path::new("/")).expect("no mistakes").spool;
        let config = read("group_kib = 16\nfree_mib_min = 100\nflush_signal = \"V\"\nflush_below_volts = 22");
        assert_eq!((config.group_bytes, config.free_bytes_min), (16 * 1024, 100 << 20));
        assert_eq!(config.low_voltage, Some(LowVoltage { signal: "V".to_owned(), below_volts: 22.0 }));
        assert_eq!(read("").low_voltage, None);
        let check = |lines: &str, expected: &str| assert_eq!(faults(&spool(lines)), [expected]);
        check("group_kib = 0", "line 6: spool.group_kib must be 1 to 1024, not 0");
        check("free_mib_min = -1", "line 6: spool.free_mib_min must be a whole number, not -1");
        check("flush_below_volts = 0.5", "line 6: spool.flush_below_volts must be 1 to 1000, not 0.5");
        assert_eq!(read("flush_below_volts = 22.0").low_voltage.expect("one").signal, BATTERY_VOLTAGE);
        let why = "needs flush_below_volts, e.g. 22.0 in a truck of 24 V";
        check("flush_signal = \"V\"", &format!("line 6: spool.flush_signal {why}"));
    }

    #[test]
    fn a_password_in_the_file_is_refused() {
        let found = faults(&format!("{GOOD}\n[mqtt]\npassword = \"secret\"\n"));
        assert!(found[0].contains("password_file"), "{found:?}");
        assert!(!found[0].contains("secret"));
    }
}
