//! `[[source]]` tables of CAN buses.

use std::path::{Path, PathBuf};

use milepost_proto::config_table::Table;

use super::{Selection, SourceKind};
use crate::source::can::vin::Vin;
use crate::source::slcan::Bitrate;

/// Longest name of a network interface, bytes (Linux's `IFNAMSIZ` with its end).
const INTERFACE_NAME_MAX: usize = 15;

/// How a bus is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BusConfig {
    /// The vehicle whose bus it is; another VIN on it raises an alarm.
    pub vin: Option<Vin>,
    /// How it is read besides by the built-in tables.
    pub dbc: DbcConfig,
}

/// DBC files and what is taken from them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DbcConfig {
    /// The files; of two messages with one identifier the first counts.
    pub files: Vec<PathBuf>,
    /// The signals; all when none is selected.
    pub selected: Vec<Selection>,
}

/// The keys that only a bus has.
pub(super) fn read(table: &mut Table<'_>, folder: &Path) -> BusConfig {
    let files: Vec<PathBuf> = table.get("dbc").unwrap_or_default();
    let files = files.iter().map(|file| folder.join(file)).collect();
    BusConfig { vin: table.parsed("vin"), dbc: DbcConfig { files, selected: Vec::new() } }
}

/// Refuses those keys for a source that is no bus.
pub(super) fn refuse(table: &mut Table<'_>) {
    for key in ["vin", "dbc"] {
        if table.has(key) {
            table.fault(key, "describes a vehicle bus, which this source is not; move it to the bus's");
        }
    }
}

/// `kind = "socketcan"`.
pub(super) fn socketcan(table: &mut Table<'_>) -> Option<SourceKind> {
    let interface = table.require::<String>("interface");
    if interface.as_ref().is_some_and(|name| name.is_empty() || name.len() > INTERFACE_NAME_MAX || name.contains('/')) {
        table.fault("interface", "must be the name of a network interface, such as can0");
    }
    let fd = table.get_or("fd", false);
    let transmit = table.get_or("transmit", false);
    Some(SourceKind::SocketCan { interface: interface?, fd, transmit })
}

/// `kind = "slcan"`.
pub(super) fn slcan(table: &mut Table<'_>, folder: &Path) -> Option<SourceKind> {
    let path = table.require::<PathBuf>("path");
    let baud = table.get_in("baud", 300..=4_000_000, 115_200);
    let bit_s = table.require::<u32>("bitrate");
    let bitrate = bit_s.and_then(Bitrate::from_bit_s);
    if bit_s.is_some() && bitrate.is_none() {
        table.fault("bitrate", &format!("must be one of {} bits per second", Bitrate::all()));
    }
    let transmit = table.get_or("transmit", false);
    Some(SourceKind::Slcan { path: folder.join(path?), baud, bitrate: bitrate?, transmit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::tests::{GOOD, faults};

    #[test]
    fn a_bus_is_only_listened_to_unless_the_file_says_otherwise() {
        let text = format!(
            "{GOOD}\n[[source]]\nname = \"a\"\nkind = \"socketcan\"\ninterface = \"can0\"\n\
             [[source]]\nname = \"b\"\nkind = \"slcan\"\npath = \"/dev/ttyACM0\"\nbitrate = 500000\n"
        );
        let sources = Config::parse(&text, Path::new("/")).expect("no mistakes").sources;
        let kinds: Vec<_> = sources.into_iter().skip(1).map(|source| source.kind).collect();
        let bitrate = Bitrate::from_bit_s(500_000).expect("known");
        assert_eq!(
            kinds,
            [
                SourceKind::SocketCan { interface: "can0".to_owned(), fd: false, transmit: false },
                SourceKind::Slcan { path: "/dev/ttyACM0".into(), baud: 115_200, bitrate, transmit: false },
            ]
        );
    }

    #[test]
    fn mistakes_of_a_bus_are_named_with_what_would_do() {
        let bus = |name: &str, more: &str| format!("[[source]]\nname = \"{name}\"\n{more}\n");
        let text = [
            GOOD.to_owned(),
            bus("a", "kind = \"socketcan\"\ninterface = \"/dev/can0\""),
            bus("b", "kind = \"slcan\"\npath = \"/dev/x\"\nbitrate = 333000"),
            bus("c", "kind = \"socketcan\"\ninterface = \"can0\""),
            bus("d", "kind = \"socketcan\"\ninterface = \"can0\""),
        ];
        let found = faults(&text.concat());
        assert_eq!(found.len(), 3, "{found:?}");
        for (fault, part) in found.iter().zip([
            "source.interface must be the name",
            "source.bitrate must be one of 10000, ",
            "source.interface is already read by source \"c\"",
        ]) {
            assert!(fault.contains(part), "{fault}");
        }
    }
}
