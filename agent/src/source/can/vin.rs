//! Vehicle identification numbers (ISO 3779) as units send them, and which vehicle this is.
//!
//! Promise: a VIN is 17 letters and digits without I, O and Q; nothing shorter or longer is taken for one. Each VIN is
//! reported once; one that is not the configured vehicle's raises an alarm, because then records are filed under the
//! wrong vehicle.

use milepost_proto::reading::Health;

use crate::source::fault::{Fault, Faults};

/// Its parameter group.
pub const PGN: u32 = 65260;
/// Different VINs that are reported from one bus; more are counted.
pub const VINS_MAX: usize = 8;

const VIN_BYTES: usize = 17;

/// A VIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vin([u8; VIN_BYTES]);

impl Vin {
    /// The VIN that `data` begins with. A `*` ends it by the standard; units are seen to put rubbish before that.
    #[must_use]
    pub fn read(data: &[u8]) -> Option<Self> {
        let vin = data.first_chunk::<VIN_BYTES>()?;
        let longer = data.get(VIN_BYTES).is_some_and(|byte| is_vin_byte(*byte));
        (vin.iter().all(|byte| is_vin_byte(*byte)) && !longer).then_some(Self(*vin))
    }

    /// Its characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

const fn is_vin_byte(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'Z') && !matches!(byte, b'I' | b'O' | b'Q')
}

impl std::str::FromStr for Vin {
    type Err = NotAVin;

    fn from_str(text: &str) -> Result<Self, NotAVin> {
        if text.len() == VIN_BYTES { Self::read(text.as_bytes()).ok_or(NotAVin) } else { Err(NotAVin) }
    }
}

/// Not a vehicle identification number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a VIN has 17 capital letters and digits, without I, O and Q")]
pub struct NotAVin;

/// Follows which vehicle the bus belongs to.
#[derive(Debug, Clone, Default)]
pub struct VinWatch {
    configured: Option<Vin>,
    heard: Vec<Vin>,
}

impl VinWatch {
    /// Expects the vehicle `configured`; any, when none is.
    #[must_use]
    pub const fn new(configured: Option<Vin>) -> Self {
        Self { configured, heard: Vec::new() }
    }

    /// Takes a VIN that a unit sent; calls `news` with what it says about the vehicle.
    pub fn push(&mut self, vin: Vin, faults: &mut Faults, mut news: impl FnMut(Health)) {
        if self.heard.contains(&vin) {
            return;
        }
        if self.heard.len() >= VINS_MAX {
            faults.count(Fault::TooMany);
            return;
        }
        self.heard.push(vin);
        let heard = vin.as_str().to_owned();
        news(match self.configured.filter(|configured| *configured != vin) {
            None => Health::VehicleIdentified { vin: heard },
            Some(configured) => Health::WrongVehicle { configured: configured.as_str().to_owned(), heard },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(data: &[u8], expected: Option<&str>) {
        assert_eq!(Vin::read(data).as_ref().map(Vin::as_str), expected, "{data:?}");
    }

    #[test]
    fn a_vin_is_seventeen_characters_whatever_pads_it() {
        check(b"1XPBD49X1MD000001*", Some("1XPBD49X1MD000001"));
        check(b"1XPBD49X1MD000001", Some("1XPBD49X1MD000001"));
        check(b"1XPBD49X1MD000001\0\0\0", Some("1XPBD49X1MD000001"));
        check(b"1XPBD49X1MD000001>,\x05)]*", Some("1XPBD49X1MD000001"));
        check(b"1XPBD49X1MD00000*", None);
        check(b"1XPBD49X1MD0000012*", None);
        check(b"1XPBD49X1MDO00001*", None);
        check(b"*****************", None);
        check(&[0xff; 20], None);
    }

    /// What the bus of a configured vehicle says when these VINs are heard.
    fn check_watch(configured: &str, heard: &[&str], expected: &[&str]) {
        let mut watch = VinWatch::new(configured.parse().ok());
        let (mut faults, mut found) = (Faults::default(), Vec::new());
        for vin in heard {
            watch.push(vin.parse().expect("VIN"), &mut faults, |news| found.push(news));
        }
        let found: Vec<_> = found
            .iter()
            .map(|news| match news {
                Health::VehicleIdentified { vin } => format!("is {vin}"),
                Health::WrongVehicle { configured, heard } => format!("{heard} is not {configured}"),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(found, expected);
    }

    const TRUCK: &str = "1XPBD49X1MD000001";
    const OTHER: &str = "1XPBD49X1MD000002";

    #[test]
    fn a_vin_is_reported_once_and_another_vehicles_raises_an_alarm() {
        check_watch(TRUCK, &[TRUCK, TRUCK], &["is 1XPBD49X1MD000001"]);
        check_watch("", &[OTHER], &["is 1XPBD49X1MD000002"]);
        check_watch(TRUCK, &[OTHER, OTHER], &["1XPBD49X1MD000002 is not 1XPBD49X1MD000001"]);
    }

    #[test]
    fn a_bus_that_invents_vins_is_counted() {
        let (mut watch, mut faults, mut news) = (VinWatch::default(), Faults::default(), 0);
        for n in 0..VINS_MAX + 2 {
            let vin = format!("1XPBD49X1MD0000{n:02}").parse().expect("VIN");
            watch.push(vin, &mut faults, |_| news += 1);
        }
        assert_eq!((news, faults.total()), (VINS_MAX, 2));
    }
}
