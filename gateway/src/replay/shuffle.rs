//! Delivers facts the way a bad network would: in any order, in batches of any size, some of them again.
//!
//! Promise: the same seed does the same on every machine, today and in ten years.

use super::{Vehicles, deliver_batch};
use crate::milestone::Fact;

/// Batches are at most this part of everything, or late facts would make the fold start again too many times.
const BATCHES_MIN: usize = 16;
/// One fact in this many is delivered again in a later batch.
const COPIES_ONE_IN: usize = 8;

/// Reproducible chance: the SplitMix64 generator (Steele, Lea and Flood, 2014).
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or 0 where there is none. Its bias is far below what a shuffle could show.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }
}

/// Delivers every fact at least once.
pub(super) fn deliver_shuffled(mut facts: Vec<Fact>, chance: &mut Chance, vehicles: &mut Vehicles) {
    shuffle(&mut facts, chance);
    let batch_max = facts.len().div_ceil(BATCHES_MIN).max(1);
    let mut delivered = 0;
    while delivered < facts.len() {
        let end = facts.len().min(delivered + 1 + chance.below(batch_max));
        let mut batch = facts[delivered..end].to_vec();
        for _ in 0..batch.len().div_ceil(COPIES_ONE_IN) {
            batch.push(facts[chance.below(end)].clone());
        }
        shuffle(&mut batch, chance);
        deliver_batch(batch, vehicles);
        delivered = end;
    }
}

/// Fisher and Yates.
fn shuffle(facts: &mut [Fact], chance: &mut Chance) {
    for last in (1..facts.len()).rev() {
        facts.swap(last, chance.below(last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The generator's published first outputs for seed 1234567.
    #[test]
    fn chance_is_the_published_generator() {
        let mut chance = Chance::from_seed(1_234_567);
        assert_eq!(
            [chance.next(), chance.next(), chance.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }
}
