//! Lists of trouble codes and lamps (SAE J1939-73 DM1 and DM2).
//!
//! Promise: a code is read by the layout of version 4 (conversion method 0), as every unit since 1996 sends it; the
//! all-zero and all-one fillers are no codes. One code fits a frame; longer lists come by [`super::transport`].

/// DM1: codes that are active now.
pub const ACTIVE_PGN: u32 = 65226;
/// DM2: codes that were active before.
pub const PREVIOUS_PGN: u32 = 65227;

const LAMP_BYTES: usize = 2;
const CODE_BYTES: usize = 4;

/// Which list it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// Codes that are active now.
    Active,
    /// Codes that were active before.
    Previous,
}

impl ListKind {
    /// The list a parameter group carries, if it carries one.
    #[must_use]
    pub const fn of_pgn(pgn: u32) -> Option<Self> {
        match pgn {
            ACTIVE_PGN => Some(Self::Active),
            PREVIOUS_PGN => Some(Self::Previous),
            _ => None,
        }
    }

    /// The standard's name of the message.
    #[must_use]
    pub const fn message_name(self) -> &'static str {
        match self {
            Self::Active => "DM1",
            Self::Previous => "DM2",
        }
    }
}

/// What one control unit reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeList<'a> {
    /// Which list it is.
    pub kind: ListKind,
    /// The unit's source address.
    pub source: u8,
    data: &'a [u8],
}

/// One trouble code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TroubleCode {
    /// Suspect parameter number, 19 bits.
    pub spn: u32,
    /// Failure mode identifier, 0 to 31.
    pub fmi: u8,
    /// Occurrence count; 127 when the unit does not count.
    pub occurrence: u8,
}

/// A warning lamp of the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lamp {
    /// Something else is wrong; not emission related.
    Protect,
    /// Look at it soon.
    AmberWarning,
    /// Stop the vehicle.
    RedStop,
    /// An emission related code is active.
    Malfunction,
}

impl Lamp {
    /// All, from the lowest bits up.
    pub const ALL: [Self; 4] = [Self::Protect, Self::AmberWarning, Self::RedStop, Self::Malfunction];

    /// The name of the switch that says whether it is lit.
    #[must_use]
    pub const fn switch_name(self) -> &'static str {
        match self {
            Self::Protect => "lamp_protect",
            Self::AmberWarning => "lamp_amber_warning",
            Self::RedStop => "lamp_red_stop",
            Self::Malfunction => "lamp_malfunction",
        }
    }
}

impl<'a> CodeList<'a> {
    /// Lamps and codes; none when there is not even room for the lamps.
    #[must_use]
    pub const fn new(kind: ListKind, source: u8, data: &'a [u8]) -> Option<Self> {
        if data.len() < LAMP_BYTES { None } else { Some(Self { kind, source, data }) }
    }

    /// Whether the unit wants this lamp lit; absent when it does not say.
    #[must_use]
    pub fn lamp(&self, lamp: Lamp) -> Option<bool> {
        match self.data[0] >> (2 * lamp as u8) & 0b11 {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// The codes, without fillers.
    pub fn codes(&self) -> impl Iterator<Item = TroubleCode> + use<'a> {
        self.data[LAMP_BYTES..].chunks_exact(CODE_BYTES).filter_map(|code| match *code {
            [0, 0, 0, 0] | [0xff, 0xff, 0xff, 0xff] => None,
            [low, middle, high, count] => Some(TroubleCode {
                spn: u32::from_le_bytes([low, middle, high >> 5, 0]),
                fmi: high & 0x1f,
                occurrence: count & 0x7f,
            }),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_and_fillers_are_not() {
        let codes = |data: &[u8]| CodeList::new(ListKind::Active, 0, data).map(|list| list.codes().collect::<Vec<_>>());
        let code = TroubleCode { spn: 91, fmi: 3, occurrence: 1 };
        assert_eq!(codes(&[0x40, 0xff, 0x5b, 0x00, 0x03, 0x01, 0xff, 0xff]), Some(vec![code]));
        assert_eq!(codes(&[0x00, 0xff, 0, 0, 0, 0, 0xff, 0xff]), Some(vec![]));
        assert_eq!(codes(&[0x00, 0xff, 0xff, 0xff, 0xff, 0xff]), Some(vec![]));
        assert_eq!(codes(&[0x00]), None);
        let high_spn = TroubleCode { spn: 0x7_ffff, fmi: 31, occurrence: 126 };
        assert_eq!(codes(&[0, 0xff, 0xff, 0xff, 0xff, 0xfe]), Some(vec![high_spn]));
    }

    #[test]
    fn lamps_are_on_off_or_untold() {
        let list = CodeList::new(ListKind::Active, 0, &[0b01_00_11_10, 0xff]).expect("list");
        assert_eq!(Lamp::ALL.map(|lamp| list.lamp(lamp)), [None, None, Some(false), Some(true)]);
    }
}
