//! Random actions against a model.

use super::*;

#[derive(Debug, Clone)]
enum Action {
    Append(Lane, u8),
    Settle(Lane, u64, u64),
    Reopen,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let lane = prop::sample::select(vec![Lane::Event, Lane::Telemetry]);
    let action = prop_oneof![
        4 => (lane.clone(), 1_u8..20).prop_map(|(lane, count)| Action::Append(lane, count)),
        3 => (lane, 1_u64..80, 0_u64..40).prop_map(|(lane, first, more)| Action::Settle(lane, first, first + more)),
        1 => Just(Action::Reopen),
    ];
    prop::collection::vec(action, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The model: a chunk is on offer exactly when it was appended and no receipt covered all of it.
    #[test]
    fn the_spool_holds_what_was_appended_and_not_covered(actions in actions()) {
        let mut bench = Bench::new();
        let mut model: Vec<(Lane, SequenceRange)> = Vec::new();
        let mut last = std::collections::BTreeMap::new();
        for action in actions {
            match action {
                Action::Append(lane, count) => {
                    bench.append(lane, signals(0, count.into())).expect("kept");
                    let end = last.entry(lane).or_insert(0_u64);
                    model.push((lane, range(*end + 1, *end + u64::from(count))));
                    *end += u64::from(count);
                }
                Action::Settle(lane, first, end) => {
                    bench.settle(lane, 0, vec![range(first, end)], Vec::new());
                    model.retain(|(of, chunk)| *of != lane || !range(first, end).covers(*chunk));
                }
                Action::Reopen => bench.reopen(),
            }
            for lane in [Lane::Event, Lane::Telemetry] {
                let expected: Vec<u64> = model
                    .iter()
                    .filter(|(of, _)| *of == lane)
                    .flat_map(|(_, chunk)| chunk.first()..=chunk.last())
                    .collect();
                prop_assert_eq!(bench.offered(lane), expected);
            }
        }
    }
}
