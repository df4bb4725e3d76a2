//! Active trouble codes (SAE J1939-73 DM1).
//!
//! Promise: a code is read by the layout of version 4 (conversion method 0), as every unit since 1996 sends it; the
//! all-zero and all-one fillers are no codes. One code fits a frame; longer lists come by [`super::transport`].

/// Its parameter group.
pub const PGN: u32 = 65226;

const LAMP_BYTES: usize = 2;
const CODE_BYTES: usize = 4;

/// What one control unit reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dm1<'a> {
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

impl<'a> Dm1<'a> {
    /// Lamps and codes; none when there is not even room for the lamps.
    #[must_use]
    pub const fn new(source: u8, data: &'a [u8]) -> Option<Self> {
        if data.len() < LAMP_BYTES { None } else { Some(Self { source, data }) }
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
        let codes = |data: &[u8]| Dm1::new(0, data).map(|dm1| dm1.codes().collect::<Vec<_>>());
        let code = TroubleCode { spn: 91, fmi: 3, occurrence: 1 };
        assert_eq!(codes(&[0x40, 0xff, 0x5b, 0x00, 0x03, 0x01, 0xff, 0xff]), Some(vec![code]));
        assert_eq!(codes(&[0x00, 0xff, 0, 0, 0, 0, 0xff, 0xff]), Some(vec![]));
        assert_eq!(codes(&[0x00, 0xff, 0xff, 0xff, 0xff, 0xff]), Some(vec![]));
        assert_eq!(codes(&[0x00]), None);
        let high_spn = TroubleCode { spn: 0x7_ffff, fmi: 31, occurrence: 126 };
        assert_eq!(codes(&[0, 0xff, 0xff, 0xff, 0xff, 0xfe]), Some(vec![high_spn]));
    }
}
