//! Ranges of sequences, and sets of them: what a receipt promises and what a lane still misses.
//!
//! Promise: a [`SequenceRanges`] is always sorted, disjoint and merged, so two sets are equal exactly when they hold
//! the same sequences, and its size grows with the number of holes, never with the number of records.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Sequences `first..=last`; never empty, and the first sequence of a lane is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u64, u64)", into = "(u64, u64)")]
pub struct SequenceRange {
    first: u64,
    last: u64,
}

/// A range that starts below 1 or ends before it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{first}..={last} is not a range of sequences (they start at 1)")]
pub struct InvalidRange {
    first: u64,
    last: u64,
}

impl SequenceRange {
    /// The range `first..=last`.
    ///
    /// # Errors
    /// [`InvalidRange`] when it would be empty or start at 0.
    pub const fn new(first: u64, last: u64) -> Result<Self, InvalidRange> {
        if first == 0 || last < first { Err(InvalidRange { first, last }) } else { Ok(Self { first, last }) }
    }

    /// `count` sequences from `first`; nothing when `count` is 0 or the end does not fit.
    #[must_use]
    pub fn starting_at(first: u64, count: u64) -> Option<Self> {
        let last = first.checked_add(count)?.checked_sub(1)?;
        Self::new(first, last).ok()
    }

    /// Just `sequence` (0 is taken as 1).
    #[must_use]
    pub const fn single(sequence: u64) -> Self {
        let sequence = if sequence == 0 { 1 } else { sequence };
        Self { first: sequence, last: sequence }
    }

    /// The first sequence.
    #[must_use]
    pub const fn first(self) -> u64 {
        self.first
    }

    /// The last sequence.
    #[must_use]
    pub const fn last(self) -> u64 {
        self.last
    }

    /// How many sequences it has.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.last - self.first + 1
    }

    /// Whether every sequence of `other` is in this range.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }
}

impl fmt::Display for SequenceRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.first, self.last)
    }
}

impl TryFrom<(u64, u64)> for SequenceRange {
    type Error = InvalidRange;

    fn try_from((first, last): (u64, u64)) -> Result<Self, InvalidRange> {
        Self::new(first, last)
    }
}

impl From<SequenceRange> for (u64, u64) {
    fn from(range: SequenceRange) -> Self {
        (range.first, range.last)
    }
}

/// A set of sequences.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SequenceRanges {
    ranges: Vec<SequenceRange>,
}

impl SequenceRanges {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Adds every sequence of `range`.
    pub fn insert(&mut self, range: SequenceRange) {
        let start = self.ranges.partition_point(|held| held.last.saturating_add(1) < range.first);
        let end = self.ranges.partition_point(|held| held.first <= range.last.saturating_add(1));
        let merged = self.ranges[start..end].iter().fold(range, |merged, held| SequenceRange {
            first: merged.first.min(held.first),
            last: merged.last.max(held.last),
        });
        self.ranges.splice(start..end, [merged]);
    }

    /// Whether every sequence of `range` is in the set.
    #[must_use]
    pub fn covers(&self, range: SequenceRange) -> bool {
        let after = self.ranges.partition_point(|held| held.first <= range.first);
        after > 0 && self.ranges[after - 1].covers(range)
    }

    /// The largest N such that every sequence `1..=N` is in the set; 0 when 1 is not.
    #[must_use]
    pub fn through(&self) -> u64 {
        match self.ranges.first() {
            Some(range) if range.first == 1 => range.last,
            _ => 0,
        }
    }

    /// The disjoint ranges above [`through`](Self::through), lowest first.
    pub fn above_through(&self) -> impl Iterator<Item = SequenceRange> + '_ {
        let through = self.through();
        self.ranges.iter().copied().filter(move |range| range.first > through)
    }

    /// The disjoint ranges, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = SequenceRange> + '_ {
        self.ranges.iter().copied()
    }
}

impl FromIterator<SequenceRange> for SequenceRanges {
    fn from_iter<T: IntoIterator<Item = SequenceRange>>(ranges: T) -> Self {
        let mut set = Self::new();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn range(first: u64, last: u64) -> SequenceRange {
        SequenceRange::new(first, last).expect("a range")
    }

    #[test]
    fn neighbours_merge() {
        let set: SequenceRanges = [range(1, 3), range(8, 9), range(4, 5)].into_iter().collect();
        assert_eq!(set.through(), 5);
        assert_eq!(set.above_through().collect::<Vec<_>>(), [range(8, 9)]);
    }

    #[test]
    fn the_end_of_the_number_line_does_not_overflow() {
        let set: SequenceRanges = [range(u64::MAX, u64::MAX), range(1, 1)].into_iter().collect();
        assert_eq!(set.through(), 1);
        assert!(SequenceRange::starting_at(u64::MAX, 2).is_none());
        assert!(SequenceRange::starting_at(5, 0).is_none());
    }

    #[test]
    fn nonsense_does_not_deserialise() {
        assert!(postcard::from_bytes::<SequenceRange>(&[0, 4]).is_err());
        assert!(postcard::from_bytes::<SequenceRange>(&[5, 4]).is_err());
    }

    proptest! {
        #[test]
        fn a_set_of_ranges_behaves_as_a_set_of_numbers(pairs in prop::collection::vec((1u64..60, 0u64..8), 0..30)) {
            let mut set = SequenceRanges::new();
            let mut model = BTreeSet::new();
            for (first, more) in pairs {
                set.insert(range(first, first + more));
                model.extend(first..=first + more);
            }
            let held: BTreeSet<u64> = set.iter().flat_map(|r| r.first()..=r.last()).collect();
            prop_assert_eq!(&held, &model);
            prop_assert_eq!(set.through(), (1..).take_while(|n| model.contains(n)).count() as u64);
            for first in 1..60 {
                prop_assert_eq!(set.covers(range(first, first + 2)), (first..=first + 2).all(|n| model.contains(&n)));
            }
        }
    }
}
