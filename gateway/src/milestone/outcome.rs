//! What became of each fact in the fold.
//!
//! Promise: a fact that changed nothing has an outcome that says why, and the fold counts it, so nobody has to guess
//! where the fixes went.

use serde::{Deserialize, Serialize};

/// What became of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was folded.
    Used,
    /// A fix that is not on Earth, or exactly at latitude 0, longitude 0.
    OutOfRange,
    /// A fix with a larger error than the rules allow.
    Inaccurate,
    /// A fix that no vehicle could have reached.
    Jump,
    /// The head again, or a fix that repeats the one before it.
    Duplicate,
    /// Before the head: fold again from before it.
    Stale,
    /// A proof or driver action about a stop that no trip of this vehicle has.
    Unplanned,
    /// Of a kind that these rules draw nothing from, or beyond a bound of the state.
    Unused,
}

impl Outcome {
    /// Every outcome, in the order of [`OutcomeCounts`].
    pub const ALL: [Self; 8] = [
        Self::Used,
        Self::OutOfRange,
        Self::Inaccurate,
        Self::Jump,
        Self::Duplicate,
        Self::Stale,
        Self::Unplanned,
        Self::Unused,
    ];

    /// The outcome's word in metrics and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::OutOfRange => "out_of_range",
            Self::Inaccurate => "inaccurate",
            Self::Jump => "jump",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Unplanned => "unplanned",
            Self::Unused => "unused",
        }
    }
}

/// How many facts had each outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OutcomeCounts([u64; Outcome::ALL.len()]);

impl OutcomeCounts {
    /// Counts one more.
    pub const fn add(&mut self, outcome: Outcome) {
        self.0[outcome as usize] += 1;
    }

    /// How many facts had this outcome.
    #[must_use]
    pub const fn of(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize]
    }

    /// Each outcome with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::ALL.into_iter().zip(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_own_count() {
        let mut counts = OutcomeCounts::default();
        for outcome in Outcome::ALL {
            counts.add(outcome);
            assert_eq!(counts.of(outcome), 1, "{outcome:?}");
        }
    }
}
