//! SAE J1939-21 identifiers.
//!
//! Promise: a 29-bit identifier always splits; which parameter group it names does not depend on the receiver's address.

/// A split identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// 0 (first) to 7.
    pub priority: u8,
    /// Parameter group number, 18 bits.
    pub pgn: u32,
    /// Source address.
    pub source: u8,
    /// Destination address; absent when the group is for everybody.
    pub destination: Option<u8>,
}

impl Address {
    /// Splits a 29-bit identifier.
    #[must_use]
    pub const fn from_id(id: u32) -> Self {
        let [_, _, specific, source] = id.to_be_bytes();
        let priority = (id >> 26 & 0b111).to_le_bytes()[0];
        let group = id >> 8 & 0x3_ffff;
        // Below 240 the format byte is PDU1: the byte after it is a destination and no part of the group.
        if group >> 8 & 0xff < 0xf0 {
            Self { priority, pgn: group & 0x3_ff00, source, destination: Some(specific) }
        } else {
            Self { priority, pgn: group, source, destination: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_split_by_their_format() {
        for (id, priority, pgn, source, destination) in [
            (0x0CF0_0400, 3, 61444, 0x00, None),
            (0x18FE_F121, 6, 65265, 0x21, None),
            (0x18EF_000B, 6, 0xEF00, 0x0B, Some(0x00)),
            (0x19EF_050B, 6, 0x1_EF00, 0x0B, Some(0x05)),
            (0x1CF0_0400, 7, 61444, 0x00, None),
        ] {
            assert_eq!(Address::from_id(id), Address { priority, pgn, source, destination }, "{id:08X}");
        }
    }
}
