//! Why records are missing: what devices report as lost.
//!
//! Promise: every chunk that stands for lost records is counted under exactly one reason, whose word is the same in SQL,
//! pages, metrics and the custody answer. The numbers in SQL are only ever appended to.

use milepost_proto::ChunkBody;
use milepost_proto::SequenceRange;
use milepost_proto::reading::GapReason;

/// Why records are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LossReason {
    /// Given up by the spool's quota policy.
    Evicted,
    /// The gateway refused them.
    Refused,
    /// Set aside in the vehicle after failing to be sent repeatedly.
    Quarantined,
    /// Unreadable in the spool file.
    Damaged,
    /// Left out to save room; what is kept stays within the shape's error bound.
    Thinned,
}

impl LossReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [Self::Evicted, Self::Refused, Self::Quarantined, Self::Damaged, Self::Thinned];

    /// The reason's word in answers, pages and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::Refused => "refused",
            Self::Quarantined => "quarantined",
            Self::Damaged => "damaged",
            Self::Thinned => "thinned",
        }
    }

    /// The reason's number in SQL.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::Evicted => 1,
            Self::Refused => 2,
            Self::Quarantined => 3,
            Self::Damaged => 4,
            Self::Thinned => 5,
        }
    }

    /// The reason of a number in SQL; nothing for 0 and for numbers of a newer gateway.
    #[must_use]
    pub fn of_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

impl From<GapReason> for LossReason {
    fn from(reason: GapReason) -> Self {
        match reason {
            GapReason::Evicted => Self::Evicted,
            GapReason::Refused => Self::Refused,
            GapReason::Quarantined => Self::Quarantined,
            GapReason::Damaged => Self::Damaged,
        }
    }
}

/// What a chunk reports as lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// Why.
    pub reason: LossReason,
    /// How many records.
    pub records: u64,
}

impl Loss {
    /// What a chunk over `range` with this body reports as lost; nothing when it holds a record for every sequence.
    #[must_use]
    pub fn of(range: SequenceRange, body: &ChunkBody) -> Option<Self> {
        match body {
            ChunkBody::Records { .. } => None,
            ChunkBody::Gap(gap) => Some(Self { reason: gap.reason.into(), records: range.count() }),
            ChunkBody::Thinned { kept, .. } => {
                let records = range.count().saturating_sub(kept.len() as u64);
                (records > 0).then_some(Self { reason: LossReason::Thinned, records })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use milepost_proto::reading::{Gap, Switch};
    use milepost_proto::{BootId, Reading, Record, TimeQuality, Timestamp};

    use super::*;

    #[test]
    fn reasons_come_back_from_their_numbers_and_words_differ() {
        for reason in LossReason::ALL {
            assert_eq!(LossReason::of_code(reason.code()), Some(reason));
        }
        assert_eq!((LossReason::of_code(0), LossReason::of_code(99)), (None, None));
    }

    #[test]
    fn a_gap_loses_all_its_sequences() {
        let range = SequenceRange::new(5, 9).expect("a range");
        let gap = ChunkBody::Gap(Gap { reason: GapReason::Quarantined, detail: String::new() });
        assert_eq!(Loss::of(range, &gap), Some(Loss { reason: LossReason::Quarantined, records: 5 }));
    }

    #[test]
    fn what_was_thinned_loses_the_sequences_that_are_not_kept() {
        let record = Record {
            event_time: Timestamp::EPOCH,
            monotonic_ms: 0,
            time_quality: TimeQuality::UNKNOWN,
            reading: Reading::Switch(Switch { name: "door".to_owned(), on: true }),
            seal: None,
        };
        let check = |range: SequenceRange, records: Option<u64>| {
            let kept = vec![(5, record.clone()), (9, record.clone())];
            let body = ChunkBody::Thinned { boot_id: BootId([1; 16]), kept };
            let expected = records.map(|records| Loss { reason: LossReason::Thinned, records });
            assert_eq!(Loss::of(range, &body), expected);
        };
        check(SequenceRange::new(5, 9).expect("a range"), Some(3));
        check(SequenceRange::new(1, 100).expect("a range"), Some(98));
    }
}
