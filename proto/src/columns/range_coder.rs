//! An adaptive binary range coder: yes-or-no decisions into as few bytes as their likelihood allows, and back.
//!
//! Promise: what the decoder answers is what the encoder was given, decision by decision, as long as both ask with models
//! in the same state; and that is assured by writing every column once, over [`Coder`], for both. Whatever bytes a decoder
//! is given, it answers every question without a panic; past the end it reads zeros, so trailing zeros are never written.
//!
//! Integers only, so that every processor gives the same bytes (after G. N. N. Martin, "Range encoding", 1979; the
//! binary form is that of LZMA, with an adaptation that slows down as a model learns).

/// Bits of a probability.
const PROBABILITY_BITS: u32 = 16;
/// Of these, how many divide the range.
const DIVIDING_BITS: u32 = 12;
/// The range is kept at or above this.
const RANGE_MIN: u32 = 1 << 24;
/// How far a model moves towards what was seen, by how often it was asked, in 1/65536.
const RATES: [u16; 24] = [
    26_000, 20_000, 15_000, 12_000, 10_000, 8_700, 7_600, 6_800, 6_100, 5_600, 5_100, 4_700, 4_400, 4_100, 3_800,
    3_600, 3_400, 3_200, 3_000, 2_800, 2_600, 2_400, 2_200, 2_048,
];

/// How likely the answer "yes" is to one kind of question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Likelihood {
    /// In 1/65536.
    yes: u16,
    /// How often it was asked, up to the slowest rate.
    asked: u8,
}

impl Likelihood {
    /// Nothing is known.
    pub(super) const EVEN: Self = Self::of(1, 2);

    /// `yes` of `all` are expected to be "yes", before anything was seen.
    pub(super) const fn of(yes: u64, all: u64) -> Self {
        let share = (yes << PROBABILITY_BITS) / all;
        let share = if share < 600 {
            600
        } else if share > 64_936 {
            64_936
        } else {
            share
        };
        #[expect(clippy::cast_possible_truncation, reason = "clamped to 600..=64936 just above")]
        Self { yes: share as u16, asked: 2 }
    }

    fn learn(&mut self, yes: bool) {
        let rate = u32::from(RATES[usize::from(self.asked)]);
        let was = u32::from(self.yes);
        let moved = if yes { was + (((65_536 - was) * rate) >> 16) } else { was - ((was * rate) >> 16) };
        // At the slowest rate of 1/32 it comes no closer than 32 to either end, so it fits and neither answer becomes free.
        self.yes = u16::try_from(moved).unwrap_or(u16::MAX);
        self.asked = (self.asked + 1).min(23);
    }

    fn bound(self, range: u32) -> u32 {
        (range >> DIVIDING_BITS) * (u32::from(self.yes) >> (PROBABILITY_BITS - DIVIDING_BITS)).max(1)
    }
}

/// One end of the conversation: the encoder is told the answers, the decoder gives them.
pub(super) trait Coder {
    /// One decision.
    fn decide(&mut self, likelihood: &mut Likelihood, yes: bool) -> bool;

    /// The lowest `count` bits of `value`, each as likely as not; `count` is at most 64.
    fn plain(&mut self, count: u32, value: u64) -> u64;
}

/// Writes decisions.
#[derive(Debug)]
pub(super) struct Encoder {
    low: u64,
    range: u32,
    bytes: Vec<u8>,
}

impl Encoder {
    /// Appends to `bytes`.
    pub(super) const fn new(bytes: Vec<u8>) -> Self {
        Self { low: 0, range: u32::MAX, bytes }
    }

    /// The bytes, with everything that was decided.
    pub(super) fn finish(mut self, coded_from: usize) -> Vec<u8> {
        // Of all numbers that decode alike, the one with most zeros at its end.
        let end = self.low + u64::from(self.range) - 1;
        let kept = (0..=32_u32).rev().map(|bits| end & !((1 << bits) - 1)).find(|number| *number >= self.low);
        self.low = kept.unwrap_or(end);
        for _ in 0..4 {
            self.shift();
        }
        while self.bytes.len() > coded_from && self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
        self.bytes
    }

    fn narrow(&mut self, from: u64, range: u32) {
        self.low += from;
        self.range = range;
        while self.range < RANGE_MIN {
            self.shift();
            self.range <<= 8;
        }
    }

    fn shift(&mut self) {
        if self.low >> 32 != 0 {
            // The carry runs back through bytes of all ones; there is always one before them that takes it.
            for byte in self.bytes.iter_mut().rev() {
                *byte = byte.wrapping_add(1);
                if *byte != 0 {
                    break;
                }
            }
        }
        let [_, _, _, _, top, ..] = self.low.to_be_bytes();
        self.bytes.push(top);
        self.low = (self.low << 8) & 0xFFFF_FFFF;
    }
}

impl Coder for Encoder {
    #[inline]
    fn decide(&mut self, likelihood: &mut Likelihood, yes: bool) -> bool {
        let bound = likelihood.bound(self.range);
        likelihood.learn(yes);
        let (from, range) = if yes { (0, bound) } else { (u64::from(bound), self.range - bound) };
        self.narrow(from, range);
        yes
    }

    fn plain(&mut self, count: u32, value: u64) -> u64 {
        let mut left = count;
        while left > 0 {
            let taken = left.min(8);
            left -= taken;
            let piece = (value >> left) & ((1 << taken) - 1);
            let range = self.range >> taken;
            self.narrow(u64::from(range) * piece, range);
        }
        value
    }
}

/// Reads decisions.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    /// What was read, less the bottom of the range.
    code: u32,
    range: u32,
    bytes: std::slice::Iter<'a, u8>,
}

impl<'a> Decoder<'a> {
    /// Reads from `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Self { code: 0, range: u32::MAX, bytes: bytes.iter() };
        for _ in 0..4 {
            decoder.shift();
        }
        decoder
    }

    /// Bytes that nothing was read from yet.
    pub(super) fn unread(&self) -> usize {
        self.bytes.len()
    }

    fn shift(&mut self) {
        self.code = (self.code << 8) | u32::from(self.bytes.next().copied().unwrap_or_default());
    }

    fn settle(&mut self) {
        while self.range < RANGE_MIN {
            self.shift();
            self.range <<= 8;
        }
    }
}

impl Coder for Decoder<'_> {
    #[inline]
    fn decide(&mut self, likelihood: &mut Likelihood, _: bool) -> bool {
        let bound = likelihood.bound(self.range);
        let yes = self.code < bound;
        if yes {
            self.range = bound;
        } else {
            self.code -= bound;
            self.range -= bound;
        }
        likelihood.learn(yes);
        self.settle();
        yes
    }

    fn plain(&mut self, count: u32, _: u64) -> u64 {
        let (mut left, mut value) = (count, 0);
        while left > 0 {
            let taken = left.min(8);
            left -= taken;
            self.range >>= taken;
            // Bytes that no encoder wrote can point past the range.
            let piece = (self.code / self.range).min((1 << taken) - 1);
            self.code = self.code.wrapping_sub(piece.wrapping_mul(self.range));
            value = (value << taken) | u64::from(piece);
            self.settle();
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Said {
        Decision(usize, bool),
        Plain(u32, u64),
    }

    fn said() -> impl Strategy<Value = Said> {
        prop_oneof![
            4 => (0..4_usize, prop::bool::weighted(0.95)).prop_map(|(model, yes)| Said::Decision(model, yes)),
            1 => (0..=64_u32, any::<u64>()).prop_map(|(count, value)| {
                Said::Plain(count, if count == 64 { value } else { value & ((1 << count) - 1) })
            }),
        ]
    }

    fn speak(coder: &mut impl Coder, said: &[Said]) -> Vec<Said> {
        let mut models = [Likelihood::EVEN; 4];
        let one = |said: &Said| match *said {
            Said::Decision(model, yes) => Said::Decision(model, coder.decide(&mut models[model], yes)),
            Said::Plain(count, value) => Said::Plain(count, coder.plain(count, value)),
        };
        said.iter().map(one).collect()
    }

    proptest! {
        #[test]
        fn what_was_said_is_heard(words in prop::collection::vec(said(), 0..600)) {
            let mut encoder = Encoder::new(Vec::new());
            speak(&mut encoder, &words);
            let bytes = encoder.finish(0);
            let mut decoder = Decoder::new(&bytes);
            let silent: Vec<Said> = words.iter().map(|said| match *said {
                Said::Decision(model, _) => Said::Decision(model, false),
                Said::Plain(count, _) => Said::Plain(count, 0),
            }).collect();
            prop_assert_eq!(speak(&mut decoder, &silent), words);
            prop_assert_eq!(decoder.unread(), 0);
        }

        #[test]
        fn noise_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..64), words in prop::collection::vec(said(), 0..600)) {
            prop_assert_eq!(speak(&mut Decoder::new(&bytes), &words).len(), words.len());
        }
    }

    #[test]
    fn what_always_happens_costs_next_to_nothing() {
        let mut encoder = Encoder::new(Vec::new());
        speak(&mut encoder, &[Said::Decision(0, true); 4_000]);
        assert!(encoder.finish(0).len() < 8);
    }

    #[test]
    fn nothing_said_is_no_bytes() {
        assert!(Encoder::new(Vec::new()).finish(0).is_empty());
    }
}
