//! Integers of an expected size, as decisions: zero or not, the sign, the number of bits, then the bits.
//!
//! Promise: every `i64` passes, and costs the less the better its size was expected. The expectation is a
//! [`Size`]; before a column has taught anything its likelihoods are those of a Laplace distribution of that size, so that
//! chunks of a few records are small too.

use super::range_coder::{Coder, Likelihood};

/// How many expected sizes are told apart.
const SIZES: usize = 24;
/// Bits that tell how many bits a number has: 1 to 64.
const LENGTH_BITS: u32 = 6;
/// Answers that can be given about a number's length, as a tree.
const LENGTH_NODES: usize = 1 << LENGTH_BITS;
/// Bits after a number's first one whose likelihoods are learned; the rest are noise.
const LEARNED_BITS: u32 = 2;

/// How large a number is expected to be: steps of a factor of two, from a quarter of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(usize);

impl Size {
    /// The size of numbers that have about `bits` bits.
    pub(super) const fn of_bits(bits: usize) -> Self {
        Self(if bits + 2 < SIZES { bits + 2 } else { SIZES - 1 })
    }
}

/// The decaying mean of what predictions missed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Miss {
    /// In sixteenths.
    mean_x16: u32,
}

impl Miss {
    /// About `units` to begin with.
    pub(super) const fn of(units: u32) -> Self {
        Self { mean_x16: units << 4 }
    }

    /// Takes in another miss.
    pub(super) fn learn(&mut self, by: i64) {
        let by_x16 = u32::try_from(by.unsigned_abs().min(1 << 26)).unwrap_or_default() << 4;
        self.mean_x16 = self.mean_x16 - self.mean_x16 / 8 + by_x16 / 8;
    }

    /// What to expect next.
    pub(super) const fn size(self) -> Size {
        let bits = (u32::BITS - (self.mean_x16 >> 2).leading_zeros()) as usize;
        Size(if bits < SIZES { bits } else { SIZES - 1 })
    }
}

/// The likelihoods of numbers of one expected size.
#[derive(Debug, Clone)]
struct Sized {
    zero: Likelihood,
    /// By the sign of the number before: none, plus, minus.
    negative: [Likelihood; 3],
    length: [Likelihood; LENGTH_NODES],
}

/// What is likely before anything was seen.
static UNTAUGHT: [Sized; SIZES] = {
    let mut table = [const { Sized::untaught(0) }; SIZES];
    let mut size = 0;
    while size < SIZES {
        table[size] = Sized::untaught(size);
        size += 1;
    }
    table
};

impl Sized {
    const fn untaught(size: usize) -> Self {
        // One in `rarity` is zero: a quarter of all where one is expected, fewer where more is.
        let zero = match size {
            0 => Likelihood::of(60, 64),
            1 => Likelihood::of(50, 64),
            2 => Likelihood::of(36, 64),
            _ => Likelihood::of(1, if size < 9 { 1 << (size - 1) } else { 256 }),
        };
        // Leaves are lengths 1 to 64; the likeliest has as many bits as the expected size.
        let centre = if size > 2 { size - 2 } else { 1 };
        let mut weights = [0_u64; 2 * LENGTH_NODES];
        let mut length = 1;
        while length <= LENGTH_NODES {
            let off = if length > centre { 2 * (length - centre) } else { centre - length };
            weights[LENGTH_NODES + length - 1] = 1 + (1 << 20 >> if off < 20 { off } else { 20 });
            length += 1;
        }
        let mut node = LENGTH_NODES - 1;
        while node > 0 {
            weights[node] = weights[2 * node] + weights[2 * node + 1];
            node -= 1;
        }
        let mut nodes = [Likelihood::EVEN; LENGTH_NODES];
        let mut node = 1;
        while node < LENGTH_NODES {
            nodes[node] = Likelihood::of(weights[2 * node + 1], weights[node]);
            node += 1;
        }
        Self { zero, negative: [Likelihood::EVEN; 3], length: nodes }
    }
}

/// A column of integers, or several alike.
#[derive(Debug)]
pub(super) struct Integers {
    sized: Vec<Sized>,
    /// By length: the bit after the first, and the one after it by what that was.
    after: Vec<[Likelihood; 3]>,
    sign_before: usize,
}

impl Integers {
    /// A column that has seen nothing.
    pub(super) fn new() -> Self {
        Self { sized: UNTAUGHT.to_vec(), after: vec![[Likelihood::of(7, 16); 3]; LENGTH_NODES], sign_before: 0 }
    }

    /// Passes `number`, expected to be of about `size`.
    #[inline]
    pub(super) fn code<C: Coder>(&mut self, coder: &mut C, size: Size, number: i64) -> i64 {
        let sized = &mut self.sized[size.0];
        if coder.decide(&mut sized.zero, number == 0) {
            return 0;
        }
        let is_negative = coder.decide(&mut sized.negative[self.sign_before], number < 0);
        self.sign_before = if is_negative { 2 } else { 1 };
        let magnitude = number.unsigned_abs();
        let length = tree(coder, &mut sized.length, u64::from(63 - magnitude.max(1).leading_zeros())) + 1;
        let magnitude = self.bits(coder, length, magnitude);
        // The magnitude of the lowest number is one more than that of any other, and its negative is itself.
        let number = magnitude.cast_signed();
        if is_negative { number.wrapping_neg() } else { number }
    }

    /// The bits of a number of `length` bits below its first.
    fn bits<C: Coder>(&mut self, coder: &mut C, length: u32, magnitude: u64) -> u64 {
        let after = &mut self.after[length as usize - 1];
        let (mut left, mut read, mut node) = (length - 1, 1_u64, 0);
        for _ in 0..LEARNED_BITS.min(left) {
            left -= 1;
            let bit = coder.decide(&mut after[node], (magnitude >> left) & 1 == 1);
            read = (read << 1) | u64::from(bit);
            node = 1 + usize::from(bit);
        }
        if left == 0 {
            return read;
        }
        (read << left) | coder.plain(left, magnitude & ((1 << left) - 1))
    }
}

/// Passes one of 64 symbols, from its highest bit.
fn tree<C: Coder>(coder: &mut C, nodes: &mut [Likelihood; LENGTH_NODES], symbol: u64) -> u32 {
    let mut node = 1_usize;
    for bit in (0..LENGTH_BITS).rev() {
        let yes = coder.decide(&mut nodes[node], (symbol >> bit) & 1 == 1);
        node = 2 * node + usize::from(yes);
    }
    u32::try_from(node - LENGTH_NODES).unwrap_or_default()
}

/// Passes a number of which nothing is expected: a length of 7 bits, then its bits.
pub(super) fn unexpected<C: Coder>(coder: &mut C, number: i64) -> i64 {
    let zigzag = (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned();
    let length = coder.plain(7, u64::from(u64::BITS - zigzag.leading_zeros())).min(64);
    let zigzag = coder.plain(u32::try_from(length).unwrap_or(64), zigzag);
    (zigzag >> 1).cast_signed() ^ (zigzag & 1).cast_signed().wrapping_neg()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::range_coder::{Decoder, Encoder};
    use super::*;

    fn speak(coder: &mut impl Coder, numbers: &[i64]) -> Vec<i64> {
        let (mut column, mut miss) = (Integers::new(), Miss::of(4));
        let pass = |number: &i64| {
            let passed = column.code(coder, miss.size(), *number);
            miss.learn(passed);
            assert_eq!(unexpected(coder, passed), passed);
            passed
        };
        numbers.iter().map(pass).collect()
    }

    fn check(numbers: &[i64]) {
        let mut encoder = Encoder::new(Vec::new());
        speak(&mut encoder, numbers);
        let bytes = encoder.finish(0);
        let heard = speak(&mut Decoder::new(&bytes), &vec![0; numbers.len()]);
        assert_eq!(heard, numbers);
    }

    #[test]
    fn the_ends_of_the_number_line_pass() {
        check(&[i64::MIN, i64::MAX, 0, -1, 1, i64::MIN + 1, 1 << 62, -(1 << 62), 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn every_number_passes(numbers in prop::collection::vec(any::<i64>(), 0..40), shift in 0..64_u32) {
            check(&numbers.iter().map(|number| number >> shift).collect::<Vec<_>>());
        }
    }

    /// A column of numbers of known size costs little more than their entropy, from the first on.
    #[test]
    fn a_few_numbers_of_the_expected_size_are_small() {
        let mut encoder = Encoder::new(Vec::new());
        let (mut column, size) = (Integers::new(), Miss::of(4).size());
        for number in [3, -5, 2, 7, -1, 4, -4, 0] {
            column.code(&mut encoder, size, number);
        }
        let bytes = encoder.finish(0).len();
        assert!(bytes <= 5, "{bytes} bytes for eight numbers of 4 bits");
    }
}
