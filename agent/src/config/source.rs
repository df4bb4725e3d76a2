//! `[[source]]` tables: where observations come from.

use std::path::{Path, PathBuf};

use milepost_proto::config_table::Table;

use super::bus::BusConfig;
use super::{bus, gnss};
use crate::source::gpsd::GpsdServer;
use crate::source::serial::NmeaReceiver;
use crate::source::slcan::Bitrate;

/// Names no source may have: none, and those under which the driver app's ways in appear among the sources.
const RESERVED_NAMES: [&str; 3] = ["", "http", "mqtt"];

/// `[[source]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// Unique name, shown on the status page.
    pub name: String,
    /// What it is.
    pub kind: SourceKind,
    /// How it is read, if it is a vehicle bus.
    pub bus: BusConfig,
}

/// What a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// A GNSS receiver on a serial line.
    NmeaSerial {
        /// The device, best under `/dev/serial/by-id`.
        path: PathBuf,
        /// What is on the line.
        receiver: NmeaReceiver,
    },
    /// Receivers that gpsd owns.
    Gpsd(GpsdServer),
    /// A candump log, replayed once at its own pace.
    Candump {
        /// The log.
        path: PathBuf,
    },
    /// A CAN interface of the kernel.
    SocketCan {
        /// Its name, such as `can0`.
        interface: String,
        /// Whether CAN FD frames are received as well.
        fd: bool,
        /// Whether this source may send: what `[source.obd]` asks, and nothing else.
        transmit: bool,
    },
    /// A CAN adapter on a serial line that speaks the LAWICEL protocol.
    Slcan {
        /// The device, best under `/dev/serial/by-id`.
        path: PathBuf,
        /// Line speed, baud; adapters on USB do not care.
        baud: u32,
        /// Bit rate of the bus.
        bitrate: Bitrate,
        /// Whether the adapter takes part in the bus: it acknowledges frames, and sends what `[source.obd]` asks. Otherwise
        /// it only listens.
        transmit: bool,
    },
}

impl SourceKind {
    /// The kind's word in the configuration.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NmeaSerial { .. } => "nmea_serial",
            Self::Gpsd(_) => "gpsd",
            Self::Candump { .. } => "candump",
            Self::SocketCan { .. } => "socketcan",
            Self::Slcan { .. } => "slcan",
        }
    }

    /// Whether it is a satellite receiver, which sets the clock sooner or later.
    #[must_use]
    pub const fn is_receiver(&self) -> bool {
        matches!(self, Self::NmeaSerial { .. } | Self::Gpsd(_))
    }

    /// Whether it may send frames.
    #[must_use]
    pub const fn may_transmit(&self) -> bool {
        matches!(self, Self::SocketCan { transmit: true, .. } | Self::Slcan { transmit: true, .. })
    }

    /// Whether it is a vehicle bus.
    const fn is_bus(&self) -> bool {
        match self {
            Self::NmeaSerial { .. } | Self::Gpsd(_) => false,
            Self::Candump { .. } | Self::SocketCan { .. } | Self::Slcan { .. } => true,
        }
    }

    /// The device or file it reads, if it is one.
    const fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::NmeaSerial { path, .. } | Self::Candump { path } | Self::Slcan { path, .. } => Some(path),
            Self::SocketCan { .. } | Self::Gpsd(_) => None,
        }
    }

    /// Whether both read one device, whatever each calls it. A name whose device is not there stands for itself.
    fn reads_the_same(&self, other: &Self) -> bool {
        match (self.path(), other.path()) {
            (Some(path), Some(other)) => {
                let device = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
                device(path) == device(other)
            }
            (None, None) => self.place() == other.place(),
            _ => false,
        }
    }

    /// What it reads and no other source may: a device, a file or an address.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::NmeaSerial { path, .. } | Self::Candump { path } | Self::Slcan { path, .. } => {
                path.display().to_string()
            }
            Self::SocketCan { interface, .. } => interface.clone(),
            Self::Gpsd(GpsdServer { host, port, device, .. }) => {
                format!("{host}:{port}{}", device.as_ref().map(|device| format!(" {device}")).unwrap_or_default())
            }
        }
    }

    /// The configuration's key for [`SourceKind::place`].
    const fn place_key(&self) -> &'static str {
        match self {
            Self::NmeaSerial { .. } | Self::Candump { .. } | Self::Slcan { .. } => "path",
            Self::SocketCan { .. } => "interface",
            Self::Gpsd(_) => "host",
        }
    }
}

/// All of them, in file order.
pub(super) fn sources(root: &mut Table<'_>, folder: &Path) -> Vec<SourceConfig> {
    let mut sources: Vec<SourceConfig> = Vec::new();
    for mut table in root.tables("source") {
        let name = table.require::<String>("name");
        if let Some(name) = name.as_deref().filter(|name| RESERVED_NAMES.contains(name)) {
            table.fault("name", &format!("must not be {name:?}; give the source a name of its own"));
        }
        let kind = source_kind(&mut table, folder);
        if sources.iter().any(|other| Some(&other.name) == name.as_ref()) {
            table.fault("name", "is used by another source; give each its own");
        }
        if let Some(kind) = &kind
            && let Some(other) = sources.iter().find(|other| other.kind.reads_the_same(kind))
        {
            table.fault(kind.place_key(), &format!("{}; one device has one source", claimed_by(other, kind)));
        }
        let is_bus = kind.as_ref().is_some_and(SourceKind::is_bus);
        let bus = if is_bus {
            bus::read(&mut table, folder, kind.as_ref().is_some_and(SourceKind::may_transmit))
        } else {
            bus::refuse(&mut table);
            BusConfig::default()
        };
        table.finish();
        sources.extend(name.zip(kind).map(|(name, kind)| SourceConfig { name, kind, bus }));
    }
    sources
}

/// Who reads the device already, and under which name.
fn claimed_by(other: &SourceConfig, kind: &SourceKind) -> String {
    let (name, place, own) = (&other.name, other.kind.place(), kind.place());
    let is_one_name = match (other.kind.path(), kind.path()) {
        (Some(path), Some(own)) => path == own,
        _ => place == own,
    };
    if is_one_name {
        format!("is already read by source {name:?} as {place}")
    } else {
        format!("is {own}, the same as {place} that is already read by source {name:?}")
    }
}

fn source_kind(table: &mut Table<'_>, folder: &Path) -> Option<SourceKind> {
    match table.require::<String>("kind")?.as_str() {
        "nmea_serial" => gnss::nmea_serial(table, folder),
        "gpsd" => Some(gnss::gpsd(table)),
        "socketcan" => bus::socketcan(table),
        "slcan" => bus::slcan(table, folder),
        "candump" => Some(SourceKind::Candump { path: folder.join(table.require::<PathBuf>("path")?) }),
        other => {
            let kinds = "use nmea_serial, gpsd, socketcan, slcan or candump";
            table.fault("kind", &format!("{other:?} is not a kind of source; {kinds}"));
            None
        }
    }
}
