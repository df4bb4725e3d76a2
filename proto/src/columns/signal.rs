//! Values of signals by column: each signal's values on the scale of the table that decoded them.
//!
//! Promise: the value that comes back is the one that went in, bit for bit, also where it is not a number. A signal whose
//! values are all whole multiples of one of [`SCALES`] is told in these; any other by the bits that changed.

use super::integer::{Integers, unexpected};
use super::range_coder::Coder;
use super::series::Series;

/// Bits that tell a scale.
const SCALE_BITS: u32 = 5;
/// The largest count that a double holds exactly.
const COUNT_MAX: f64 = 9_007_199_254_740_992.0;

/// What a count is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// Divided: decimals, as text is read, and the binary fractions of J1939.
    Divided(f64),
    /// Multiplied: as DBC tables compute, which for a factor of 0.1 is not the same number.
    Times(f64),
    /// No count: the bits themselves.
    Bits,
}

/// The scales, in the order in which they are tried; only ever appended, and at most 32.
const SCALES: [Scale; 20] = [
    Scale::Divided(1.0),
    Scale::Divided(2.0),
    Scale::Divided(10.0),
    Scale::Times(0.1),
    Scale::Times(0.4),
    Scale::Divided(8.0),
    Scale::Divided(100.0),
    Scale::Times(0.05),
    Scale::Times(0.01),
    Scale::Divided(32.0),
    Scale::Divided(128.0),
    Scale::Divided(256.0),
    Scale::Divided(1_000.0),
    Scale::Times(0.001),
    Scale::Divided(10_000.0),
    Scale::Divided(100_000.0),
    Scale::Divided(1_000_000.0),
    Scale::Divided(10_000_000.0),
    Scale::Divided(65_536.0),
    Scale::Bits,
];

impl Scale {
    /// The first on which all of `values` lie.
    pub(super) fn of(values: &[f64]) -> Self {
        let fits = |scale: &&Self| values.iter().all(|value| scale.count(*value).is_some());
        SCALES.iter().find(fits).copied().unwrap_or(Self::Bits)
    }

    /// Passes which one it is.
    fn code<C: Coder>(self, coder: &mut C) -> Self {
        let index = SCALES.iter().position(|scale| *scale == self).unwrap_or(SCALES.len() - 1);
        let index = coder.plain(SCALE_BITS, index as u64);
        usize::try_from(index).ok().and_then(|index| SCALES.get(index)).copied().unwrap_or(Self::Bits)
    }

    /// How often `value` holds the scale, if that brings back every bit of it.
    fn count(self, value: f64) -> Option<i64> {
        let count = match self {
            Self::Divided(by) => (value * by).round(),
            Self::Times(factor) => (value / factor).round(),
            Self::Bits => return Some(value.to_bits().cast_signed()),
        };
        if !(-COUNT_MAX..=COUNT_MAX).contains(&count) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a whole number within ±2^53")]
        let count = count as i64;
        (self.value(count).to_bits() == value.to_bits()).then_some(count)
    }

    /// What `count` of it are.
    fn value(self, count: i64) -> f64 {
        match self {
            Self::Divided(by) => count as f64 / by,
            Self::Times(factor) => count as f64 * factor,
            Self::Bits => f64::from_bits(count.cast_unsigned()),
        }
    }
}

/// One signal of a chunk.
#[derive(Debug, Clone)]
pub(super) struct SignalSeries {
    scale: Scale,
    counts: Series,
    bits: u64,
    is_begun: bool,
}

impl SignalSeries {
    /// A signal of which nothing was seen; its scale is told with its first value.
    pub(super) const fn new(scale: Scale) -> Self {
        Self { scale, counts: Series::new(10, 4), bits: 0, is_begun: false }
    }

    /// Passes the next value.
    pub(super) fn code<C: Coder>(&mut self, coder: &mut C, integers: &mut Integers, value: f64) -> f64 {
        if !self.is_begun {
            self.scale = self.scale.code(coder);
            self.is_begun = true;
        }
        if self.scale == Scale::Bits {
            // Both ends of a changed value's bits are mostly zeros: sign and exponent stay, and floats that were integers end so.
            let changed = (self.bits ^ value.to_bits()).reverse_bits();
            self.bits ^= unexpected(coder, changed.cast_signed()).cast_unsigned().reverse_bits();
            return f64::from_bits(self.bits);
        }
        // In decoding there is no value yet, and the count does not matter.
        let count = self.scale.count(value).unwrap_or_default();
        self.scale.value(self.counts.code(coder, integers, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scales_of_tables_and_texts_are_found() {
        let check = |values: &[f64], expected: Scale| assert_eq!(Scale::of(values), expected, "{values:?}");
        check(&[0.0, 3.0, -40.0], Scale::Divided(1.0));
        check(&(0..2_000).map(|raw| f64::from(raw) * 0.125).collect::<Vec<_>>(), Scale::Divided(8.0));
        check(&(0..2_000).map(|raw| f64::from(raw) * 0.1).collect::<Vec<_>>(), Scale::Times(0.1));
        check(&(0..2_000).map(|raw| f64::from(raw) * 0.05).collect::<Vec<_>>(), Scale::Times(0.05));
        check(&[0.1, 0.2, 0.3, 0.7], Scale::Divided(10.0));
        check(&[1187.53, 0.07], Scale::Divided(100.0));
        check(&[f64::NAN], Scale::Bits);
        check(&[-0.0], Scale::Bits);
        check(&[1e300], Scale::Bits);
        check(&[std::f64::consts::PI], Scale::Bits);
    }
}
