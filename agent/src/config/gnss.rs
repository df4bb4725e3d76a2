//! `[[source]]` tables of satellite receivers.

use std::path::{Path, PathBuf};

use milepost_proto::config_table::Table;
use milepost_proto::reading::FixType;

use super::SourceKind;
use crate::source::gnss::FixPolicy;
use crate::source::gpsd::GpsdServer;
use crate::source::nmea::Checksum;
use crate::source::serial::{BAUDS_AUTO, NmeaReceiver};

/// Most speeds to look for a line's among.
const BAUDS_MAX: usize = 16;
const BAUD_MIN: u32 = 300;
const BAUD_MAX: u32 = 4_000_000;

/// `kind = "nmea_serial"`.
pub(super) fn nmea_serial(table: &mut Table<'_>, folder: &Path) -> Option<SourceKind> {
    let path = table.require::<PathBuf>("path");
    let receiver = NmeaReceiver { bauds: bauds(table), checksum: checksum(table), fixes: fix_policy(table) };
    Some(SourceKind::NmeaSerial { path: folder.join(path?), receiver })
}

/// `kind = "gpsd"`.
pub(super) fn gpsd(table: &mut Table<'_>) -> SourceKind {
    SourceKind::Gpsd(GpsdServer {
        host: table.get_or("host", "127.0.0.1".to_owned()),
        port: table.get_in("port", 1..=u16::MAX, 2_947),
        device: table.get("device"),
        fixes: fix_policy(table),
    })
}

/// `baud` for one that is known, `bauds` for one that must be found among these, `baud = "auto"` for one that must be found
/// among these or the usual ones.
fn bauds(table: &mut Table<'_>) -> Vec<u32> {
    let auto = table.is_text("baud");
    let known = if auto { find_word(table) } else { vec![table.get_in("baud", BAUD_MIN..=BAUD_MAX, 9_600)] };
    let Some(bauds) = table.get::<Vec<u32>>("bauds") else { return known };
    if bauds.is_empty() || bauds.len() > BAUDS_MAX || bauds.iter().any(|baud| !(BAUD_MIN..=BAUD_MAX).contains(baud)) {
        table.fault(
            "bauds",
            &format!("must be 1 to {BAUDS_MAX} speeds of {BAUD_MIN} to {BAUD_MAX}, the likeliest first"),
        );
    }
    if !auto && table.get::<u32>("baud").is_some() {
        table.fault("bauds", "cannot stand beside baud; keep one of the two, or write baud = \"auto\"");
    }
    bauds
}

fn find_word(table: &mut Table<'_>) -> Vec<u32> {
    if let Some(word) = table.get::<String>("baud").filter(|word| word != "auto") {
        table.fault("baud", &format!("must be a whole number or \"auto\", not {word:?}"));
    }
    BAUDS_AUTO.to_vec()
}

fn checksum(table: &mut Table<'_>) -> Checksum {
    match table.get::<String>("checksum").as_deref() {
        None | Some("required") => Checksum::Required,
        Some("optional") => Checksum::Optional,
        Some(other) => {
            table.fault("checksum", &format!("{other:?} is no policy; use required or optional"));
            Checksum::Required
        }
    }
}

fn fix_policy(table: &mut Table<'_>) -> FixPolicy {
    FixPolicy {
        fix_min: fix_min(table),
        hdop_centi_max: limit(table, "hdop_max", 655.0).map(hundredths).and_then(|centi| u16::try_from(centi).ok()),
        accuracy_cm_max: limit(table, "accuracy_m_max", 100_000.0).map(hundredths),
        satellites_min: table.get("satellites_min"),
        jump_mps_max: table.get("jump_mps_max"),
    }
}

fn fix_min(table: &mut Table<'_>) -> Option<FixType> {
    Some(match table.get::<String>("fix_min")?.as_str() {
        "2d" => FixType::Fix2d,
        "3d" => FixType::Fix3d,
        "dgps" => FixType::Dgps,
        "rtk_float" => FixType::RtkFloat,
        "rtk_fixed" => FixType::RtkFixed,
        other => {
            table.fault("fix_min", &format!("{other:?} is no kind of fix; use 2d, 3d, dgps, rtk_float or rtk_fixed"));
            return None;
        }
    })
}

/// A limit that is off when absent.
fn limit(table: &mut Table<'_>, key: &str, max: f64) -> Option<f64> {
    let value = table.get::<f64>(key)?;
    if !(0.0..=max).contains(&value) {
        table.fault(key, &format!("must be 0 to {max}, not {value}"));
    }
    Some(value)
}

fn hundredths(value: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer casts saturate")]
    {
        (value * 100.0).round() as u32
    }
}

#[cfg(test)]
mod tests {
    use milepost_proto::config_table::Document;

    use super::*;

    /// What a receiver's table says, or its mistakes.
    fn read(text: &str) -> Result<SourceKind, Vec<String>> {
        let document = Document::parse(text);
        let mut table = document.root();
        let kind = nmea_serial(&mut table, Path::new("/dev"));
        table.finish();
        let faults = document.into_faults();
        kind.filter(|_| faults.is_empty()).ok_or_else(|| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_policy_is_off_unless_asked_for() {
        let plain = read("path = \"gnss\"").expect("no mistakes");
        let expected = SourceKind::NmeaSerial { path: "/dev/gnss".into(), receiver: NmeaReceiver::default() };
        assert_eq!(plain, expected);
        let strict = "path = \"gnss\"\nbauds = [4800, 9600]\nchecksum = \"optional\"\nfix_min = \"3d\"\nhdop_max = 4\n\
                      accuracy_m_max = 25.5\nsatellites_min = 4\njump_mps_max = 70\n";
        let receiver = NmeaReceiver {
            bauds: vec![4_800, 9_600],
            checksum: Checksum::Optional,
            fixes: FixPolicy {
                fix_min: Some(FixType::Fix3d),
                hdop_centi_max: Some(400),
                accuracy_cm_max: Some(2_550),
                satellites_min: Some(4),
                jump_mps_max: Some(70),
            },
        };
        assert_eq!(read(strict), Ok(SourceKind::NmeaSerial { path: "/dev/gnss".into(), receiver }));
    }

    #[test]
    fn a_speed_is_found_among_the_usual_ones_or_those_listed() {
        for (text, expected) in [
            ("baud = \"auto\"", &BAUDS_AUTO[..]),
            ("baud = \"auto\"\nbauds = [4800, 115200]", &[4_800, 115_200]),
            ("bauds = [4800, 115200]", &[4_800, 115_200]),
            ("baud = 4800", &[4_800]),
            ("", &[9_600]),
        ] {
            let Ok(SourceKind::NmeaSerial { receiver, .. }) = read(&format!("path = \"gnss\"\n{text}\n")) else {
                panic!("{text}");
            };
            assert_eq!(receiver.bauds, expected, "{text}");
        }
        let faults = read("path = \"gnss\"\nbaud = \"automatic\"\n").expect_err("no speed");
        assert_eq!(faults, ["line 2: baud must be a whole number or \"auto\", not \"automatic\""]);
    }

    #[test]
    fn mistakes_name_their_mend() {
        let faults =
            read("path = \"gnss\"\nbauds = [9]\nbaud = 9600\nchecksum = \"no\"\nfix_min = \"4d\"\nhdop_max = -1.0");
        assert_eq!(
            faults.expect_err("mistakes"),
            [
                "line 2: bauds cannot stand beside baud; keep one of the two, or write baud = \"auto\"",
                "line 2: bauds must be 1 to 16 speeds of 300 to 4000000, the likeliest first",
                "line 4: checksum \"no\" is no policy; use required or optional",
                "line 5: fix_min \"4d\" is no kind of fix; use 2d, 3d, dgps, rtk_float or rtk_fixed",
                "line 6: hdop_max must be 0 to 655, not -1",
            ]
        );
    }
}
