//! What holds for any drive and any way in which its facts arrive.

use milepost_gateway::milestone::{Fact, FactKind, Milestone, Refold, Rules, Status, VehicleState, revise};
use milepost_proto::driver_app::Outcome as PodOutcome;
use milepost_proto::{Timestamp, Trip};
use proptest::prelude::*;

use crate::drive::{Drive, Noise, delivery, fleet, fold, stop, trip};

/// One leg of a random drive.
#[derive(Debug, Clone)]
enum Leg {
    Drive { to: [f64; 2], mps: f64 },
    Stand { seconds: f64 },
    Pod { stop: &'static str, completed: bool, revision: u32 },
    Ignition { on: bool },
    Unseen { seconds: f64, to: [f64; 2] },
    Accuracy { cm: Option<u32> },
    Every { seconds: f64 },
}

fn place() -> impl Strategy<Value = [f64; 2]> {
    prop_oneof![
        3 => (-40.0..40.0, -40.0..40.0).prop_map(|(east, north)| [east, north]),
        2 => (560.0..640.0, -40.0..40.0).prop_map(|(east, north)| [east, north]),
        2 => (-1500.0..1500.0, -1500.0..1500.0).prop_map(|(east, north)| [east, north]),
    ]
}

/// Three proofs in four are the first of their shipment.
fn leg() -> impl Strategy<Value = Leg> {
    prop_oneof![
        4 => (place(), 1.0..20.0).prop_map(|(to, mps)| Leg::Drive { to, mps }),
        4 => (5.0..400.0).prop_map(|seconds| Leg::Stand { seconds }),
        2 => (prop_oneof!["S1", "S2", "S9"], any::<bool>(), prop_oneof![3 => Just(1), 1 => 2_u32..4]).prop_map(|(stop, completed, revision)| Leg::Pod {
            stop: match stop.as_str() { "S1" => "S1", "S2" => "S2", _ => "S9" },
            completed,
            revision
        }),
        1 => any::<bool>().prop_map(|on| Leg::Ignition { on }),
        1 => (1.0..4000.0, place()).prop_map(|(seconds, to)| Leg::Unseen { seconds, to }),
        1 => proptest::option::of(0_u32..40_000).prop_map(|cm| Leg::Accuracy { cm }),
        1 => (1.0..60.0).prop_map(|seconds| Leg::Every { seconds }),
    ]
}

/// The facts, in order, of a drive with 5 m of noise and a fix every 10 s unless it says otherwise.
fn drive(legs: &[Leg], seed: u64) -> Vec<Fact> {
    let mut drive = Drive::from([-300.0, 0.0]).noisy(5.0, seed);
    drive.fix_every_s = 10.0;
    for leg in legs {
        match *leg {
            Leg::Drive { to, mps } => drive.drive(to, mps),
            Leg::Stand { seconds } => drive.stand(seconds),
            Leg::Pod { stop, completed, revision } => {
                drive.pod(stop, if completed { PodOutcome::Completed } else { PodOutcome::Failed }, revision)
            }
            Leg::Ignition { on } => drive.ignition(on),
            Leg::Unseen { seconds, to } => drive.unseen(seconds, to),
            Leg::Accuracy { cm } => {
                drive.accuracy_cm = cm;
                &mut drive
            }
            Leg::Every { seconds } => {
                drive.fix_every_s = seconds;
                &mut drive
            }
        };
    }
    drive.facts.sort();
    drive.facts
}

fn trips() -> Vec<Trip> {
    trip(vec![
        delivery("S1", [0.0, 0.0]),
        stop("S2", "pickup", [600.0, 0.0], 80.0),
        stop("S3", "delivery", [60.0, 0.0], 60.0),
    ])
}

/// Any order, some facts twice, batches of any size.
fn deliver_disordered(facts: &[Fact], seed: u64) -> Refold {
    let mut chance = Noise::from_seed(seed);
    let mut below = |bound: usize| (chance.uniform() * bound as f64) as usize;
    let mut order: Vec<usize> = (0..facts.len()).chain((0..facts.len() / 4).map(|_| below(facts.len()))).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, below(last + 1));
    }
    let mut refold = Refold::new(VehicleState::new(&fleet(), &trips(), &Rules::default()));
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(rest.len().min(1 + below(facts.len() / 4 + 1)));
        refold.deliver(batch.iter().map(|&index| facts[index].clone()));
        rest = later;
    }
    refold
}

proptest! {
    #[test]
    fn any_order_duplication_and_batching_gives_the_same_state(
        legs in prop::collection::vec(leg(), 1..16), seed: u64,
    ) {
        let facts = drive(&legs, seed);
        let expected = fold(&trips(), &facts);
        let disordered = deliver_disordered(&facts, seed ^ 1);
        prop_assert_eq!(disordered.state(), &expected);
    }

    /// What is confirmed is never taken back by facts that keep to the low-water mark, unless by a proof that revises
    /// another, which the mark does not cover.
    #[test]
    fn what_is_confirmed_stays_as_it_is(legs in prop::collection::vec(leg(), 1..16), seed: u64) {
        let facts = drive(&legs, seed);
        let revises = |fact: &Fact| matches!(&fact.kind, FactKind::Pod(proof) if proof.revision > 1);
        let facts = facts.iter().filter(|fact| !revises(fact));
        let mut state = VehicleState::new(&fleet(), &trips(), &Rules::default());
        let mut confirmed: Vec<Milestone> = Vec::new();
        for fact in facts {
            state.apply(fact);
            let standing = state.standing(Some(fact.key().event_time));
            for one in &confirmed {
                prop_assert!(standing.contains(one), "lost {one:?}");
            }
            confirmed = standing.into_iter().filter(|one| one.status == Status::Confirmed).collect();
        }
    }

    /// Whoever hears only of revisions ends up believing exactly what stands.
    #[test]
    fn revisions_told_along_the_way_add_up_to_what_stands(
        legs in prop::collection::vec(leg(), 1..16), seed: u64,
    ) {
        let facts = drive(&legs, seed);
        let mut refold = Refold::new(VehicleState::new(&fleet(), &trips(), &Rules::default()));
        let mut held: Vec<Milestone> = Vec::new();
        let mut parts: Vec<&[Fact]> = facts.chunks(facts.len().div_ceil(6).max(1)).collect();
        let first = usize::try_from(seed % 6).unwrap_or(0).min(parts.len());
        parts.rotate_left(first);
        for batch in parts {
            refold.deliver(batch.to_vec());
            hear(&mut held, refold.state().standing(None));
        }
        let standing = refold.state().standing(Some(Timestamp::MAX));
        hear(&mut held, standing.clone());
        let mut believed: Vec<Milestone> = held.iter().filter(|one| one.status != Status::Retracted).cloned().collect();
        believed.sort_by(|one, other| one.milestone_id.cmp(&other.milestone_id));
        believed.iter_mut().for_each(|one| one.revision = 0);
        let mut standing = standing;
        standing.sort_by(|one, other| one.milestone_id.cmp(&other.milestone_id));
        prop_assert_eq!(believed, standing);
    }

    #[test]
    fn a_state_taken_up_again_from_its_snapshot_goes_on_as_if_never_put_down(
        legs in prop::collection::vec(leg(), 1..16), seed: u64, cut in 0.0..1.0_f64,
    ) {
        let facts = drive(&legs, seed);
        let (before, after) = facts.split_at((facts.len() as f64 * cut) as usize);
        let mut state = VehicleState::new(&fleet(), &trips(), &Rules::default());
        before.iter().for_each(|fact| { state.apply(fact); });
        let snapshot = postcard::to_stdvec(&state).expect("serialises");
        let mut state: VehicleState = postcard::from_bytes(&snapshot).expect("deserialises");
        after.iter().for_each(|fact| { state.apply(fact); });
        prop_assert_eq!(state, fold(&trips(), &facts));
    }
}

/// Takes revisions as a reader does, who sees them rise by one.
fn hear(held: &mut Vec<Milestone>, standing: Vec<Milestone>) {
    for one in revise(held, standing) {
        match held.iter_mut().find(|before| before.milestone_id == one.milestone_id) {
            Some(before) => {
                assert_eq!(one.revision, before.revision + 1);
                *before = one;
            }
            None => {
                assert_eq!(one.revision, 1);
                held.push(one);
            }
        }
    }
}
