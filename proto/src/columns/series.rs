//! One quantity in time order: each value as its distance from the best of a few predictions.
//!
//! Promise: lossless for every `i64`. Which prediction is best is never told: both ends see which one has missed by least
//! of late.

use super::integer::{Integers, Miss, Size};
use super::range_coder::Coder;

/// What a series has shown so far.
#[derive(Debug, Clone)]
pub(super) struct Series {
    last: Option<i64>,
    step: i64,
    first: Size,
    /// How far each prediction was off: as before, half the last step on, the whole step on.
    misses: [Miss; 3],
    /// Values are angles and go round at this many; 0 when they do not.
    turn: i64,
}

impl Series {
    /// A series whose first value has about `first_bits` bits, and that then changes by about `change`.
    pub(super) const fn new(first_bits: usize, change: u32) -> Self {
        // Standing still is taken to be likelier than going on, until something was seen.
        let misses = [Miss::of(change), Miss::of(change + 1), Miss::of(change + 2)];
        Self { last: None, step: 0, first: Size::of_bits(first_bits), misses, turn: 0 }
    }

    /// The same, of angles `0..turn`.
    pub(super) const fn of_angles(self, turn: i64) -> Self {
        Self { turn, ..self }
    }

    /// Passes the next value.
    pub(super) fn code<C: Coder>(&mut self, coder: &mut C, integers: &mut Integers, value: i64) -> i64 {
        let Some(last) = self.last else {
            let value = integers.code(coder, self.first, value);
            self.last = Some(value);
            return value;
        };
        let predictions = [0, self.step / 2, self.step].map(|step| self.round(last.wrapping_add(step)));
        let (miss, predicted) = likeliest(self.misses, predictions);
        let off = integers.code(coder, miss.size(), self.shortest(value.wrapping_sub(predicted)));
        let value = self.round(predicted.wrapping_add(off));
        let by = predictions.map(|predicted| self.shortest(value.wrapping_sub(predicted)));
        self.misses.iter_mut().zip(by).for_each(|(miss, by)| miss.learn(by));
        self.step = self.shortest(value.wrapping_sub(last));
        self.last = Some(value);
        value
    }

    /// An angle back within one turn.
    const fn round(&self, value: i64) -> i64 {
        if self.turn == 0 { value } else { value.rem_euclid(self.turn) }
    }

    /// The shorter way round.
    const fn shortest(&self, way: i64) -> i64 {
        match self.turn {
            0 => way,
            turn => {
                let way = way.rem_euclid(turn);
                if way > turn / 2 { way - turn } else { way }
            }
        }
    }
}

/// The prediction that has missed by least, and by how much.
pub(super) fn likeliest<const N: usize>(misses: [Miss; N], predictions: [i64; N]) -> (Miss, i64) {
    let mut best = 0;
    for other in 1..N {
        if misses[other] < misses[best] {
            best = other;
        }
    }
    (misses[best], predictions[best])
}

/// A series with likelihoods of its own.
#[derive(Debug)]
pub(super) struct Column {
    series: Series,
    integers: Integers,
}

impl Column {
    /// See [`Series::new`].
    pub(super) fn new(series: Series) -> Self {
        Self { series, integers: Integers::new() }
    }

    /// Passes the next value.
    pub(super) fn code<C: Coder>(&mut self, coder: &mut C, value: i64) -> i64 {
        self.series.code(coder, &mut self.integers, value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::range_coder::{Decoder, Encoder};
    use super::*;

    fn size_of(series: &Series, values: &[i64]) -> usize {
        let mut encoder = Encoder::new(Vec::new());
        let mut column = Column::new(series.clone());
        values.iter().for_each(|value| {
            column.code(&mut encoder, *value);
        });
        let bytes = encoder.finish(0);
        let mut decoder = Decoder::new(&bytes);
        let mut column = Column::new(series.clone());
        values.iter().for_each(|value| assert_eq!(column.code(&mut decoder, 0), *value));
        bytes.len()
    }

    proptest! {
        #[test]
        fn every_value_and_every_angle_comes_back(values in prop::collection::vec(any::<i64>(), 0..50), angles in prop::collection::vec(0..3_600_i64, 0..50)) {
            size_of(&Series::new(8, 4), &values);
            size_of(&Series::new(8, 4).of_angles(3_600), &angles);
        }
    }

    #[test]
    fn a_steady_climb_and_a_turn_past_north_cost_little() {
        let climb: Vec<i64> = (0..300).map(|at| 1_000 + 7 * at).collect();
        assert!(size_of(&Series::new(10, 4), &climb) < 20);
        let turn: Vec<i64> = (0..300).map(|at| (3_500 + 2 * at) % 3_600).collect();
        assert!(size_of(&Series::new(10, 4).of_angles(3_600), &turn) < 20);
    }
}
