//! The steps in which a receiver writes its numbers, found again in the units that records have.
//!
//! Promise: a number that lies on a grid is told by its place on it, and comes back to the last bit. A receiver that
//! writes ten-thousandths of a minute gives one in 16.7 latitudes of 1e-7 degree; telling which one costs 4 bits less.

use super::range_coder::Coder;

/// Numbers that come from `place * numerator / denominator`, rounded half away from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grid {
    numerator: i64,
    denominator: i64,
}

const fn grid(numerator: i64, denominator: i64) -> Grid {
    Grid { numerator, denominator }
}

/// Coordinates in 1e-7 degree: minutes with three, four and five decimals, degrees with five and six.
pub(super) const COORDINATE: [Grid; 6] = [grid(500, 3), grid(100, 1), grid(50, 3), grid(10, 1), grid(5, 3), Grid::UNIT];
/// Hundredths of anything, given to whole units or to tenths.
pub(super) const HUNDREDTHS: [Grid; 3] = [grid(100, 1), grid(10, 1), Grid::UNIT];
/// Speeds in centimetres per second: tenths of a metre per second, tenths of a knot.
pub(super) const SPEED: [Grid; 3] = [grid(514_444, 100_000), grid(10, 1), Grid::UNIT];

impl Grid {
    /// Every number lies on this one.
    pub(super) const UNIT: Self = grid(1, 1);

    /// The coarsest of `grids` on which all of `numbers` lie; the last of them is taken to be [`Self::UNIT`].
    pub(super) fn of(grids: &[Self], numbers: &(impl Iterator<Item = i64> + Clone)) -> Self {
        let fits = |grid: &&Self| numbers.clone().all(|number| grid.number(grid.place(number)) == number);
        grids.iter().find(fits).copied().unwrap_or(Self::UNIT)
    }

    /// Passes which of `grids` it is.
    pub(super) fn code<C: Coder>(self, coder: &mut C, grids: &[Self]) -> Self {
        let index = grids.iter().position(|grid| *grid == self).unwrap_or(grids.len() - 1);
        let bits = usize::BITS - (grids.len() - 1).leading_zeros();
        let index = coder.plain(bits, index as u64);
        usize::try_from(index).ok().and_then(|index| grids.get(index)).copied().unwrap_or(Self::UNIT)
    }

    /// The place nearest to `number`.
    pub(super) const fn place(self, number: i64) -> i64 {
        rounded(number.wrapping_mul(self.denominator), self.numerator)
    }

    /// The number at `place`.
    pub(super) const fn number(self, place: i64) -> i64 {
        rounded(place.wrapping_mul(self.numerator), self.denominator)
    }
}

/// `dividend / divisor`, rounded half away from zero.
const fn rounded(dividend: i64, divisor: i64) -> i64 {
    let half = divisor / 2;
    if dividend < 0 { dividend.wrapping_sub(half) / divisor } else { dividend.wrapping_add(half) / divisor }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The roundings are those of the agent's NMEA decoder.
    #[test]
    fn minutes_and_knots_are_found_again() {
        let minutes = |decimals: u32| move |count: i64| (count * 10_i64.pow(9 - decimals) + 3_000) / 6_000;
        let knots = |count: i64| (count * 100 * 514_444 + 5_000_000) / 10_000_000;
        let check = |grids: &[Grid], numbers: Vec<i64>, expected: Grid| {
            assert_eq!(Grid::of(grids, &numbers.iter().copied()), expected);
            numbers.iter().for_each(|number| assert_eq!(expected.number(expected.place(*number)), *number));
        };
        check(&COORDINATE, (0..50_000).map(minutes(4)).collect(), COORDINATE[2]);
        check(&COORDINATE, (-500_000..-400_000).map(|at| -minutes(5)(-at)).collect(), COORDINATE[4]);
        check(&SPEED, (0..5_000).map(knots).collect(), SPEED[0]);
        let ends = i64::from(i32::MIN);
        check(&COORDINATE, (ends..ends + 5).chain([i64::from(i32::MAX)]).collect(), Grid::UNIT);
        check(&HUNDREDTHS, vec![-110, 20, 0], HUNDREDTHS[1]);
    }
}
