//! `[[source]]` tables of CAN buses.

use std::path::{Path, PathBuf};

use milepost_proto::config_table::Table;

use super::{Selection, SourceKind};
use crate::source::can::obd::poll::{Addressing, PollPlan, QUANTITIES_MAX, Quantity};
use crate::source::can::vin::Vin;
use crate::source::slcan::Bitrate;

/// Longest name of a network interface, bytes (Linux's `IFNAMSIZ` with its end).
const INTERFACE_NAME_MAX: usize = 15;
/// Longest period of a question, seconds.
const PERIOD_S_MAX: u32 = 86_400;

/// How a bus is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BusConfig {
    /// The vehicle whose bus it is; another VIN on it raises an alarm.
    pub vin: Option<Vin>,
    /// How it is read besides by the built-in tables.
    pub dbc: DbcConfig,
    /// What is asked on it; nothing unless the source may transmit.
    pub obd: Option<PollPlan>,
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
pub(super) fn read(table: &mut Table<'_>, folder: &Path, may_transmit: bool) -> BusConfig {
    let files: Vec<PathBuf> = table.get("dbc").unwrap_or_default();
    let files = files.iter().map(|file| folder.join(file)).collect();
    let obd = obd(table, may_transmit);
    BusConfig { vin: table.parsed("vin"), dbc: DbcConfig { files, selected: Vec::new() }, obd }
}

/// `[source.obd]`: what to ask the vehicle.
fn obd(table: &mut Table<'_>, may_transmit: bool) -> Option<PollPlan> {
    let mut obd = table.table("obd")?;
    if !may_transmit {
        let mend = "set transmit = true in a socketcan or slcan source if this bus may be asked, or remove the table";
        table.fault("obd", &format!("asks the vehicle, but this source only listens; {mend}"));
    }
    let addressing = match obd.get::<u8>("id_bits") {
        None | Some(11) => Addressing::Standard,
        Some(29) => Addressing::Extended,
        Some(other) => {
            obd.fault("id_bits", &format!("must be 11 or 29, not {other}"));
            Addressing::default()
        }
    };
    let every_s = every_s(&mut obd);
    obd.finish();
    Some(PollPlan { addressing, every_s: every_s? })
}

/// Quantities by their words or numbers, each with its period.
fn every_s(obd: &mut Table<'_>) -> Option<Vec<(Quantity, u32)>> {
    let mut table = obd.require_table("every_s")?;
    let mut plan: Vec<(Quantity, u32)> = Vec::new();
    let words = table.keys();
    if words.len() > QUANTITIES_MAX {
        obd.fault("every_s", &format!("has {} quantities; ask for at most {QUANTITIES_MAX}", words.len()));
    }
    for word in &words {
        let period_s = table.get_in(word, 1..=PERIOD_S_MAX, 1);
        match word.parse::<Quantity>() {
            Ok(quantity) if plan.iter().any(|(other, _)| *other == quantity) => {
                table.fault(word, &format!("is {quantity}, which is asked for already; keep one of them"));
            }
            Ok(quantity) => plan.push((quantity, period_s)),
            Err(unknown) => table.fault(word, &format!("is not usable: {unknown}")),
        }
    }
    if words.is_empty() {
        obd.fault("every_s", "asks for nothing; name what to ask for, such as speed = 5, or remove [source.obd]");
    }
    table.finish();
    Some(plan)
}

/// Refuses those keys for a source that is no bus.
pub(super) fn refuse(table: &mut Table<'_>) {
    for key in ["vin", "dbc", "obd"] {
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

    /// A bus with this in its table, and its `[source.obd]`.
    fn asking(more: &str, obd: &str) -> String {
        format!(
            "{GOOD}[[source]]\nname = \"b\"\nkind = \"socketcan\"\ninterface = \"can0\"\n{more}\n[source.obd]\n{obd}\n"
        )
    }

    #[test]
    fn what_to_ask_is_read_by_word_and_by_number() {
        let text = asking("transmit = true", "id_bits = 29\nevery_s = { speed = 1, 0x63 = 30, j1939_vin = 3600 }");
        let config = Config::parse(&text, Path::new("/")).expect("no mistakes");
        let every_s =
            vec![(Quantity::Parameter(0x0d), 1), (Quantity::Parameter(0x63), 30), (Quantity::J1939Vin, 3_600)];
        let plan = PollPlan { addressing: Addressing::Extended, every_s };
        assert_eq!(config.sources[1].bus.obd, Some(plan));
        assert_eq!(config.sources[0].bus.obd, None);
    }

    #[test]
    fn a_bus_that_is_only_listened_to_is_not_asked() {
        for listening in ["", "transmit = false"] {
            let found = faults(&asking(listening, "every_s = { speed = 1 }"));
            assert_eq!(
                found,
                [
                    "line 23: source.obd asks the vehicle, but this source only listens; set transmit = true in a socketcan or \
                  slcan source if this bus may be asked, or remove the table"
                ]
            );
        }
    }

    #[test]
    fn mistakes_in_what_to_ask_have_their_lines_and_mends() {
        let every_s = "velocity = 1\nspeed = 0\n0x0D = 5\n";
        let found = faults(&asking("transmit = true", &format!("id_bits = 12\n[source.obd.every_s]\n{every_s}")));
        assert_eq!(found.len(), 4, "{found:?}");
        for (fault, expected) in found.iter().zip([
            "line 24: source.obd.id_bits must be 11 or 29, not 12",
            "line 26: source.obd.every_s.velocity is not usable: \"velocity\" cannot be asked for; use engine_load, ",
            "line 27: source.obd.every_s.speed must be 1 to 86400, not 0",
            "line 28: source.obd.every_s.0x0D is speed, which is asked for already; keep one of them",
        ]) {
            assert!(fault.starts_with(expected), "{fault}");
        }
        let none = faults(&asking("transmit = true", "every_s = {}"));
        assert!(none[0].starts_with("line 24: source.obd.every_s asks for nothing;"), "{none:?}");
        assert_eq!(faults(&asking("transmit = true", "")), ["line 23: source.obd.every_s is missing"]);
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
