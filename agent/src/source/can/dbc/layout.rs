//! Where a signal's bits lie in a frame.
//!
//! Promise: a [`Field`] is worked out once and then read without a branch on the file's conventions. Bits are numbered
//! as DBC files do: bit `8 * byte + n` has the weight `2^n` in its byte.

/// Widest signal, bits.
pub(super) const BITS_MAX: u64 = 64;
/// Longest data a signal may lie in, bytes: the longest group of the J1939 transport protocol.
pub(super) const DATA_BYTES_MAX: u64 = 1_785;

/// Which end of a signal comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    /// The least significant byte first; the start bit is the least significant one.
    Intel,
    /// The most significant byte first; the start bit is the most significant one.
    Motorola,
}

/// A signal's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    /// First byte that holds one of them.
    first: u16,
    /// How many bytes hold them, at most nine.
    bytes: u8,
    /// How far they lie above the least significant bit of these bytes.
    shift: u8,
    bits: u8,
    order: ByteOrder,
}

impl Field {
    /// Bits beginning at `start`; none when there are too few or too many, or they lie beyond [`DATA_BYTES_MAX`].
    pub(super) fn new(start: u64, bits: u64, order: ByteOrder) -> Option<Self> {
        if !(1..=BITS_MAX).contains(&bits) || start >= DATA_BYTES_MAX * 8 {
            return None;
        }
        let first = start / 8;
        // How many bits of the first byte lie before the signal, in the order in which the signal runs.
        let before = match order {
            ByteOrder::Intel => start % 8,
            ByteOrder::Motorola => 7 - start % 8,
        };
        let bytes = (before + bits).div_ceil(8);
        let shift = match order {
            ByteOrder::Intel => before,
            ByteOrder::Motorola => bytes * 8 - before - bits,
        };
        if first + bytes > DATA_BYTES_MAX {
            return None;
        }
        Some(Self {
            first: u16::try_from(first).ok()?,
            bytes: u8::try_from(bytes).ok()?,
            shift: u8::try_from(shift).ok()?,
            bits: u8::try_from(bits).ok()?,
            order,
        })
    }

    /// The bits as a number; none when `data` ends before them.
    #[inline]
    pub(super) fn read(&self, data: &[u8]) -> Option<u64> {
        let first = usize::from(self.first);
        let bytes = data.get(first..first + usize::from(self.bytes))?;
        let mask = u64::MAX >> (64 - u32::from(self.bits));
        if bytes.len() <= 8 {
            let join = |word: u64, byte: &u8| word << 8 | u64::from(*byte);
            let word = match self.order {
                ByteOrder::Intel => bytes.iter().rev().fold(0, join),
                ByteOrder::Motorola => bytes.iter().fold(0, join),
            };
            return Some(word >> self.shift & mask);
        }
        let join = |word: u128, byte: &u8| word << 8 | u128::from(*byte);
        let word = match self.order {
            ByteOrder::Intel => bytes.iter().rev().fold(0, join),
            ByteOrder::Motorola => bytes.iter().fold(0, join),
        };
        u64::try_from(word >> self.shift & u128::from(mask)).ok()
    }

    /// Width, bits.
    pub(super) const fn bits(&self) -> u8 {
        self.bits
    }

    /// The first byte behind it.
    pub(super) fn end(&self) -> u64 {
        u64::from(self.first) + u64::from(self.bytes)
    }

    /// Whether a bit of the frame belongs to both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let are_near = u64::from(self.first) < other.end() && u64::from(other.first) < self.end();
        are_near && self.numbers().any(|bit| other.numbers().any(|other| other == bit))
    }

    /// The bits by their numbers, the least significant first.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> + use<> {
        let Self { first, bytes, shift, bits, order } = *self;
        (0..u64::from(bits)).map(move |n| {
            let (above, last) = (u64::from(shift) + n, u64::from(first) + u64::from(bytes) - 1);
            match order {
                ByteOrder::Intel => u64::from(first) * 8 + above,
                ByteOrder::Motorola => (last - above / 8) * 8 + above % 8,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ByteOrder::{Intel, Motorola};
    use super::*;

    const DATA: [u8; 9] = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x11];

    fn check(start: u64, bits: u64, order: ByteOrder, expected: u64) {
        let field = Field::new(start, bits, order).expect("fits");
        assert_eq!(field.read(&DATA), Some(expected), "{start}|{bits} {order:?}");
    }

    #[test]
    fn bits_are_read_in_either_order() {
        check(0, 8, Intel, 0x12);
        check(0, 16, Intel, 0x3412);
        check(4, 8, Intel, 0x41);
        check(7, 8, Motorola, 0x12);
        check(7, 16, Motorola, 0x1234);
        check(3, 8, Motorola, 0x23);
        check(0, 64, Intel, 0xf0de_bc9a_7856_3412);
        check(7, 64, Motorola, 0x1234_5678_9abc_def0);
    }

    #[test]
    fn a_signal_may_reach_into_nine_bytes() {
        check(4, 64, Intel, 0x1f0d_ebc9_a785_6341);
        check(3, 64, Motorola, 0x2345_6789_abcd_ef01);
    }

    #[test]
    fn data_that_ends_too_early_has_no_value() {
        assert_eq!(Field::new(64, 9, Intel).expect("fits").read(&DATA), None);
        assert_eq!(Field::new(0, 1, Intel).expect("fits").read(&[]), None);
    }

    #[test]
    fn what_fits_nowhere_is_no_field() {
        for (start, bits) in [(0, 0), (0, 65), (u64::MAX, 1), (DATA_BYTES_MAX * 8 - 1, 2)] {
            assert_eq!(Field::new(start, bits, Intel), None, "{start}|{bits}");
        }
    }

    #[test]
    fn fields_overlap_where_they_share_a_bit() {
        let field = |start, bits, order| Field::new(start, bits, order).expect("fits");
        assert!(field(0, 8, Intel).overlaps(&field(7, 1, Motorola)));
        assert!(!field(0, 8, Intel).overlaps(&field(15, 8, Motorola)));
        assert_eq!(field(3, 8, Motorola).numbers().collect::<Vec<_>>(), [12, 13, 14, 15, 0, 1, 2, 3]);
    }
}
