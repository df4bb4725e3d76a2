//! What the request under way carried, and what an answer to it may change.
//!
//! Promise: a receipt lets go only of what was sent in the request it answers. A gateway that claims more, by mistake or
//! because the spool's file is an old copy whose sequences it has seen before, makes nothing disappear. An answer that
//! settles nothing of what was sent is a failure, or the same records would be sent again without a pause.

use milepost_proto::{Batch, Lane, Receipt, SequenceRange};

use super::SendFailure;
use crate::spool::{Settled, SpoolError};

/// What one request carried.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    runs: Vec<(Lane, SequenceRange)>,
}

impl Sent {
    /// What these batches carry.
    #[must_use]
    pub fn of(batches: &[Batch]) -> Self {
        let run = |batch: &Batch| {
            let (first, last) = (batch.chunks.first()?.range.first(), batch.chunks.last()?.range.last());
            Some((batch.lane, SequenceRange::new(first, last).ok()?))
        };
        Self { runs: batches.iter().filter_map(run).collect() }
    }

    /// What `receipt` says of this, without what it says of anything else.
    #[must_use]
    pub fn concerning(&self, receipt: &Receipt) -> Receipt {
        let runs = || self.runs.iter().filter(|(lane, _)| *lane == receipt.lane).map(|(_, run)| *run);
        let covered = receipt.covered();
        let accepted = covered.iter().flat_map(|range| runs().filter_map(move |run| shared(range, run))).collect();
        let refused = receipt.refused.iter().filter(|refusal| runs().any(|run| run.covers(refusal.range)));
        Receipt { through: 0, accepted, refused: refused.cloned().collect(), ..*receipt }
    }

    /// Why the next request should wait although an answer came.
    #[must_use]
    pub fn obstacle(&self, settled: &Result<Settled, SpoolError>) -> Option<SendFailure> {
        match settled {
            Err(error) => Some(SendFailure::Broken { why: format!("its receipt could not be applied: {error}") }),
            Ok(Settled { settled: 0, refused: 0 }) if !self.runs.is_empty() => Some(SendFailure::Uncovered),
            Ok(_) => None,
        }
    }
}

fn shared(one: SequenceRange, other: SequenceRange) -> Option<SequenceRange> {
    SequenceRange::new(one.first().max(other.first()), one.last().min(other.last())).ok()
}

#[cfg(test)]
mod tests {
    use milepost_proto::uplink::Refusal;
    use milepost_proto::{Chunk, SpoolId};

    use super::*;

    fn range(first: u64, last: u64) -> SequenceRange {
        SequenceRange::new(first, last).expect("a range")
    }

    fn batch(lane: Lane, ranges: &[SequenceRange]) -> Batch {
        let chunks = ranges.iter().map(|range| Chunk { range: *range, checksum: 0, body: Vec::new() });
        Batch { lane, history: false, chunks: chunks.collect() }
    }

    fn sent() -> Sent {
        let live = batch(Lane::Telemetry, &[range(91, 95), range(96, 100)]);
        Sent::of(&[batch(Lane::Evidence, &[range(3, 3)]), live, batch(Lane::Telemetry, &[range(11, 20)])])
    }

    fn refusal(first: u64, last: u64) -> Refusal {
        Refusal { range: range(first, last), reason: "does not decode".to_owned() }
    }

    fn check(receipt: (Lane, u64, &[SequenceRange], &[Refusal]), accepted: &[SequenceRange], refused: &[Refusal]) {
        let (lane, through, claimed, refusals) = receipt;
        let (spool_id, refusals) = (SpoolId([1; 16]), refusals.to_vec());
        let receipt = Receipt { spool_id, lane, through, accepted: claimed.to_vec(), refused: refusals };
        let concerning = sent().concerning(&receipt);
        assert_eq!(concerning.covered().iter().collect::<Vec<_>>(), accepted);
        assert_eq!((concerning.spool_id, concerning.refused.as_slice()), (spool_id, refused));
    }

    #[test]
    fn a_receipt_lets_go_only_of_what_was_sent() {
        check((Lane::Telemetry, 15, &[range(91, 100)], &[]), &[range(11, 15), range(91, 100)], &[]);
        check((Lane::Telemetry, u64::MAX, &[], &[]), &[range(11, 20), range(91, 100)], &[]);
        check((Lane::Evidence, 2, &[range(4, 9)], &[]), &[], &[]);
        check((Lane::Event, 1_000, &[], &[]), &[], &[]);
    }

    #[test]
    fn a_refusal_counts_only_for_what_was_sent() {
        check((Lane::Telemetry, 0, &[], &[refusal(91, 95)]), &[], &[refusal(91, 95)]);
        check((Lane::Telemetry, 0, &[], &[refusal(1, 500), refusal(30, 31)]), &[], &[]);
    }

    #[test]
    fn an_answer_that_settles_nothing_is_a_failure() {
        let nothing = Ok(Settled::default());
        assert!(sent().obstacle(&nothing).is_some());
        assert_eq!(Sent::default().obstacle(&nothing), None, "a heartbeat has nothing to settle");
        assert_eq!(sent().obstacle(&Ok(Settled { settled: 1, refused: 0 })), None);
        assert_eq!(sent().obstacle(&Ok(Settled { settled: 0, refused: 1 })), None);
        let failed = sent().obstacle(&Err(SpoolError::Full("no space".to_owned()))).expect("an obstacle");
        assert!(failed.to_string().contains("no space"));
    }
}
