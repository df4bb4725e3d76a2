//! Random actions against a model.

use super::*;

#[derive(Debug, Clone)]
enum Action {
    /// Lane, records, time of the first, milliseconds.
    Append(Lane, u8, i64),
    /// How many bytes.
    Offer(usize),
    Settle(Lane, u64, u64),
    Reopen,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let lane = prop::sample::select(vec![Lane::Event, Lane::Telemetry]);
    let action = prop_oneof![
        4 => (lane.clone(), 1_u8..20, 0_i64..5_000).prop_map(|(lane, count, ms)| Action::Append(lane, count, ms)),
        1 => (1_usize..4_000).prop_map(Action::Offer),
        3 => (lane, 1_u64..80, 0_u64..40).prop_map(|(lane, first, more)| Action::Settle(lane, first, first + more)),
        1 => Just(Action::Reopen),
    ];
    prop::collection::vec(action, 1..25)
}

/// What should wait: chunks in the order they were begun.
#[derive(Default)]
struct Model {
    chunks: Vec<Waiting>,
    last: std::collections::BTreeMap<Lane, u64>,
}

struct Waiting {
    lane: Lane,
    range: SequenceRange,
    oldest_ms: i64,
    /// Whether it still grows.
    grows: bool,
}

impl Model {
    fn append(&mut self, lane: Lane, count: u64, from_ms: i64) {
        let last = self.last.entry(lane).or_default();
        let added = range(*last + 1, *last + count);
        *last += count;
        let oldest_ms = from_ms - 10;
        let tail = self.chunks.iter_mut().rev().find(|chunk| chunk.lane == lane);
        match tail.filter(|tail| tail.grows && tail.range.count() < 600) {
            Some(tail) => {
                tail.range = range(tail.range.first(), added.last());
                tail.oldest_ms = tail.oldest_ms.min(oldest_ms);
            }
            None => self.chunks.push(Waiting { lane, range: added, oldest_ms, grows: true }),
        }
    }

    fn close(&mut self, is_met: impl Fn(Lane, SequenceRange) -> bool) {
        let met = self.chunks.iter_mut().filter(|chunk| is_met(chunk.lane, chunk.range));
        met.for_each(|chunk| chunk.grows = false);
    }

    /// Checks an offer: chunks as they wait, and the earliest of those left out.
    fn check(&mut self, offer: &OfferedBatches) {
        let offered: BTreeSet<_> =
            offer.batches.iter().flat_map(|batch| batch.chunks.iter().map(|chunk| (batch.lane, chunk.range))).collect();
        let waiting: BTreeSet<_> = self.chunks.iter().map(|chunk| (chunk.lane, chunk.range)).collect();
        assert!(offered.is_subset(&waiting), "{offered:?} of {waiting:?}");
        let left = self.chunks.iter().filter(|chunk| !offered.contains(&(chunk.lane, chunk.range)));
        assert_eq!(offer.oldest_left, left.map(|chunk| Timestamp::from_millis(chunk.oldest_ms)).min());
        assert_eq!(offer.more, offered.len() < waiting.len());
        self.close(|lane, range| offered.contains(&(lane, range)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The model: a chunk is on offer exactly when it was appended and no receipt covered all of it; it grows until it is
    /// offered; and what is left out bounds the low-water mark exactly.
    #[test]
    fn the_spool_holds_what_was_appended_and_not_covered(actions in actions()) {
        let mut bench = Bench::new();
        let mut model = Model::default();
        for action in actions {
            match action {
                Action::Append(lane, count, from_ms) => {
                    bench.append(lane, signals(from_ms, count.into())).expect("kept");
                    model.append(lane, count.into(), from_ms);
                }
                Action::Offer(bytes_max) => {
                    model.check(&bench.offer(OfferLimits { bytes_max, live_from: u64::MAX }));
                }
                Action::Settle(lane, first, end) => {
                    bench.settle(lane, 0, vec![range(first, end)], Vec::new());
                    model.close(|of, chunk| of == lane && chunk.first() <= end && first <= chunk.last());
                    model.chunks.retain(|chunk| chunk.lane != lane || !range(first, end).covers(chunk.range));
                }
                Action::Reopen => {
                    bench.reopen();
                    model.close(|_, _| true);
                }
            }
            for (place, lane) in [(1, Lane::Event), (2, Lane::Telemetry)] {
                let waiting = model.chunks.iter().filter(|chunk| chunk.lane == lane);
                prop_assert_eq!(bench.measure().lanes[place].waiting, waiting.map(|chunk| chunk.range.count()).sum::<u64>());
            }
        }
        model.check(&bench.offer(EVERYTHING));
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// However full it was: what is delivered and what is counted lost make all sequences, none of them twice.
    #[test]
    fn delivered_and_counted_lost_make_all(
        steps in prop::collection::vec((1_u16..1_200, 0_u8..10), 20..50),
        quota_kib in 100_u64..300,
    ) {
        let bench = Bench::with_quota(quota_kib * 1024);
        let (mut appended, mut at_ms) = (0_u64, 0);
        let mut delivered = BTreeSet::new();
        let mut claims: std::collections::BTreeMap<SequenceRange, milepost_proto::Chunk> = Default::default();
        for (count, what) in steps {
            bench.append(Lane::Telemetry, signals(at_ms, count.into())).expect("telemetry always fits");
            at_ms += i64::from(count);
            appended += u64::from(count);
            let offer = bench.offer(OfferLimits { bytes_max: usize::from(what) * 4_096 + 1, live_from: u64::MAX });
            for chunk in offer.batches.iter().flat_map(|batch| &batch.chunks) {
                // The same sequences are offered again as the same bytes, or as a gap.
                let first = claims.entry(chunk.range).or_insert_with(|| chunk.clone());
                prop_assert!(first == chunk || matches!(chunk.open(), Ok(ChunkBody::Gap(_))));
            }
            if what < 3 {
                settle_all(&bench, &offer, &mut delivered);
            }
        }
        loop {
            let offer = bench.offer(ALL);
            if offer.batches.is_empty() {
                break;
            }
            settle_all(&bench, &offer, &mut delivered);
        }
        prop_assert_eq!(delivered, (1..=appended).collect::<BTreeSet<_>>());
        prop_assert_eq!(bench.measure().lanes[2].waiting_bytes, 0);
    }
}

/// Settles an offer; every sequence in it, as a record or counted lost, must be new.
fn settle_all(bench: &Bench, offer: &OfferedBatches, delivered: &mut BTreeSet<u64>) {
    for batch in &offer.batches {
        for chunk in &batch.chunks {
            chunk.open().expect("opens");
            (chunk.range.first()..=chunk.range.last()).for_each(|n| assert!(delivered.insert(n), "{n} twice"));
        }
        bench.settle(batch.lane, 0, batch.chunks.iter().map(|chunk| chunk.range).collect(), Vec::new());
    }
}
