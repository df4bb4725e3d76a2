//! One test for each way in which arrivals went wrong for others.

use milepost_gateway::milestone::{Fact, Milestone, MilestoneKind, Outcome, Refold, Rules, Status, VehicleState};
use milepost_proto::driver_app::{ActionKind, Outcome as PodOutcome};
use milepost_proto::{Timestamp, Trip};

use crate::drive::{Drive, brief, delivery, fleet, fold, polygon, standing, stop, trip};

/// 50 km/h.
const TOWN_MPS: f64 = 13.9;

fn check(trips: &[Trip], drive: &Drive, expected: &[&str]) -> Vec<Milestone> {
    let milestones = standing(trips, &drive.facts);
    assert_eq!(brief(&milestones), expected);
    milestones
}

/// The first fix inside dates the arrival, the last one inside fence and margin the departure.
#[test]
fn a_plain_delivery_arrives_and_departs() {
    let mut drive = Drive::from([-500.0, 0.0]);
    drive.drive([0.0, 0.0], 10.0).stand(300.0).drive([500.0, 0.0], 10.0);
    let milestones = check(
        &trip(vec![delivery("S1", [0.0, 0.0])]),
        &drive,
        &["08:00:45 S1 delivery.arrived #1", "08:05:58 S1 delivery.departed #1"],
    );
    assert_eq!(milestones[0].shipment.as_deref(), Some("P-S1"));
    assert!(milestones[0].confidence > 0.9 && milestones[0].evidence.len() == 2, "{:?}", milestones[0]);
}

#[test]
fn a_pickup_and_a_depot_are_told_by_their_kind() {
    let stops = vec![stop("D", "depot", [-500.0, 0.0], 50.0), stop("U", "pickup", [0.0, 0.0], 50.0)];
    let mut drive = Drive::from([-500.0, 0.0]);
    drive.stand(300.0).drive([0.0, 0.0], 10.0).stand(120.0);
    drive.pod("U", PodOutcome::Completed, 1).stand(10.0).drive([500.0, 0.0], 10.0);
    let expected = ["08:05:45 U pickup.arrived #1", "08:07:50 U pickup.loaded #1", "08:08:08 U pickup.departed #1"];
    check(&trip(stops), &drive, &expected);
}

#[test]
fn boundary_flapping_is_one_visit() {
    let mut drive = Drive::from([-500.0, 0.0]);
    drive.drive([-48.0, 0.0], 10.0);
    for _ in 0..40 {
        drive.drive([-65.0, 0.0], 2.0).stand(20.0).drive([-40.0, 0.0], 2.0).stand(20.0);
    }
    drive.drive([-500.0, 0.0], 10.0);
    let found = brief(&standing(&trip(vec![delivery("S1", [0.0, 0.0])]), &drive.facts));
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn driving_by_at_50_km_per_h_is_no_arrival() {
    for every_s in [1.0, 5.0, 60.0] {
        let mut drive = Drive::from([-2000.0, 5.0]);
        drive.fix_every_s = every_s;
        drive.drive([2000.0, 5.0], TOWN_MPS);
        check(&trip(vec![stop("S1", "delivery", [0.0, 0.0], 200.0)]), &drive, &[]);
    }
}

/// A red light inside of a large fence: slow, but shorter than any delivery.
#[test]
fn a_red_light_inside_is_no_arrival() {
    let mut drive = Drive::from([-1000.0, 0.0]);
    drive.drive([0.0, 0.0], TOWN_MPS).stand(40.0).drive([1000.0, 0.0], TOWN_MPS);
    check(&trip(vec![stop("S1", "delivery", [0.0, 0.0], 150.0)]), &drive, &[]);
}

#[test]
fn when_the_first_fix_is_inside_already_it_dates_the_arrival_and_says_so() {
    let mut drive = Drive::from([0.0, 0.0]);
    drive.stand(600.0).drive([500.0, 0.0], 10.0);
    let expected = ["08:00:00 S1 delivery.arrived #1", "08:10:08 S1 delivery.departed #1"];
    let milestones = check(&trip(vec![delivery("S1", [0.0, 0.0])]), &drive, &expected);
    assert!(milestones[0].remarks.iter().any(|remark| remark.contains("earlier")), "{:?}", milestones[0].remarks);
}

#[test]
fn fixes_a_minute_apart_are_enough() {
    let mut drive = Drive::from([-5000.0, 0.0]);
    drive.fix_every_s = 60.0;
    drive.states_speed = false;
    drive.drive([0.0, 0.0], TOWN_MPS).stand(240.0).drive([5000.0, 0.0], TOWN_MPS);
    let expected = ["08:05:59 S1 delivery.arrived #1", "08:09:59 S1 delivery.departed #1"];
    check(&trip(vec![delivery("S1", [0.0, 0.0])]), &drive, &expected);
}

/// One fact at a time, newest first: what stands in the end is what stands in order.
#[test]
fn uploading_newest_first_changes_no_milestone() {
    let trips = trip(vec![delivery("S1", [0.0, 0.0])]);
    let mut drive = Drive::from([-500.0, 0.0]);
    drive.drive([0.0, 0.0], 10.0).stand(90.0).pod("S1", PodOutcome::Completed, 1).stand(30.0);
    drive.drive([500.0, 0.0], 10.0);
    let mut refold = Refold::new(VehicleState::new(&fleet(), &trips, &Rules::default()));
    for fact in drive.facts.iter().rev() {
        refold.deliver([fact.clone()]);
    }
    assert_eq!(*refold.state(), fold(&trips, &drive.facts));
    assert_eq!(refold.state().standing(None).len(), 3);
}

#[test]
fn eight_noisy_hours_of_standing_are_one_visit() {
    for seed in 1..=5 {
        let mut drive = Drive::from([-2000.0, 0.0]).noisy(15.0, seed);
        drive.accuracy_cm = Some(1000);
        drive.drive([0.0, 0.0], 10.0).stand(8.0 * 3600.0).drive([2000.0, 0.0], 10.0);
        let found = brief(&standing(&trip(vec![delivery("S1", [0.0, 0.0])]), &drive.facts));
        let kinds: Vec<&str> = found.iter().map(|line| &line[9..]).collect();
        assert_eq!(kinds, ["S1 delivery.arrived #1", "S1 delivery.departed #1"], "seed {seed}: {found:?}");
        assert!(found[1].starts_with("16:03:"), "seed {seed}: {found:?}");
    }
}

/// Drift of 150 m does not leave the fence while the ignition is off.
#[test]
fn the_ignition_holds_a_parked_vehicle_where_it_is() {
    let parked = |ignition_off: bool| {
        let mut drive = Drive::from([-500.0, 0.0]);
        drive.drive([0.0, 0.0], 10.0).stand(120.0);
        if ignition_off {
            drive.ignition(false);
        }
        drive.drive([150.0, 0.0], 1.0).stand(60.0).drive([0.0, 0.0], 1.0).stand(300.0);
        drive.ignition(true).drive([1000.0, 0.0], 10.0);
        brief(&standing(&trip(vec![delivery("S1", [0.0, 0.0])]), &drive.facts)).len()
    };
    assert_eq!(parked(true), 2);
    assert_eq!(parked(false), 4, "without the ignition it looks like two visits");
}

#[test]
fn a_proof_just_before_the_first_fix_inside_implies_the_arrival() {
    let mut drive = Drive::from([-3000.0, 0.0]);
    drive.drive([-500.0, 0.0], 10.0);
    drive.pod("S1", PodOutcome::Completed, 1).unseen(120.0, [0.0, 0.0]).stand(120.0).drive([1000.0, 0.0], 10.0);
    let milestones = check(
        &trip(vec![delivery("S1", [0.0, 0.0])]),
        &drive,
        &["08:04:10 S1 delivery.arrived #1", "08:04:10 S1 delivery.completed #1", "08:08:18 S1 delivery.departed #1"],
    );
    assert!(milestones[0].remarks[0].contains("implied"), "{:?}", milestones[0].remarks);
}

#[test]
fn a_proof_far_from_the_stop_completes_it_all_the_same() {
    let mut drive = Drive::from([-9000.0, 0.0]);
    drive.stand(300.0).pod("S1", PodOutcome::Failed, 1).stand(300.0);
    let milestones = check(
        &trip(vec![delivery("S1", [0.0, 0.0])]),
        &drive,
        &["08:05:00 S1 delivery.arrived #1", "08:05:00 S1 delivery.failed #1"],
    );
    assert!(milestones[1].remarks[0].contains("outside"), "{:?}", milestones[1].remarks);
    assert!(milestones.iter().all(|one| one.confidence < 0.9), "{milestones:?}");
}

/// Half a minute is no dwell, but somebody signed.
#[test]
fn a_proof_makes_a_short_stop_a_visit_also_when_it_is_captured_after_leaving() {
    for captured_after in [false, true] {
        let mut drive = Drive::from([-1000.0, 0.0]);
        drive.drive([0.0, 0.0], 10.0).stand(20.0);
        if !captured_after {
            drive.pod("S1", PodOutcome::Completed, 1);
        }
        drive.stand(10.0).drive([1000.0, 0.0], 10.0);
        if captured_after {
            drive.pod("S1", PodOutcome::Completed, 1);
        }
        let found = brief(&standing(&trip(vec![delivery("S1", [0.0, 0.0])]), &drive.facts));
        assert!(found.contains(&"08:01:35 S1 delivery.arrived #1".to_owned()), "{found:?}");
        assert!(found.contains(&"08:02:18 S1 delivery.departed #1".to_owned()), "{found:?}");
        assert_eq!(found.len(), 3, "{found:?}");
    }
}

#[test]
fn the_driver_saying_so_counts_inside_the_fence_only() {
    let told = |at: f64| {
        let mut drive = Drive::from([at, 0.0]);
        drive.stand(10.0).says(ActionKind::Arrived, "S1").stand(10.0);
        brief(&standing(&trip(vec![delivery("S1", [0.0, 0.0])]), &drive.facts))
    };
    assert_eq!(told(0.0), ["08:00:00 S1 delivery.arrived #1"]);
    assert_eq!(told(3000.0), Vec::<String>::new());
}

#[test]
fn two_stops_in_sequence_are_told_apart() {
    let mut drive = Drive::from([-500.0, 0.0]);
    drive.drive([0.0, 0.0], 10.0).stand(120.0).drive([1000.0, 0.0], 10.0).stand(120.0).drive([2000.0, 0.0], 10.0);
    check(
        &trip(vec![delivery("S1", [0.0, 0.0]), stop("S2", "delivery", [1000.0, 0.0], 52.0)]),
        &drive,
        &[
            "08:00:45 S1 delivery.arrived #1",
            "08:02:58 S1 delivery.departed #1",
            "08:04:25 S2 delivery.arrived #1",
            "08:06:38 S2 delivery.departed #1",
        ],
    );
}

/// Standing at S2, inside of both fences.
#[test]
fn a_standstill_inside_two_fences_belongs_to_the_nearer_stop() {
    let stops = vec![stop("S1", "delivery", [0.0, 0.0], 100.0), stop("S2", "delivery", [80.0, 0.0], 100.0)];
    let mut drive = Drive::from([1000.0, 0.0]);
    drive.drive([75.0, 0.0], 10.0).stand(200.0).drive([1000.0, 0.0], 10.0);
    let found = brief(&standing(&trip(stops.clone()), &drive.facts));
    assert!(found.len() == 2 && found.iter().all(|line| line.contains(" S2 ")), "{found:?}");
    drive.now_ms -= 150_000;
    drive.pod("S1", PodOutcome::Completed, 1);
    let found = brief(&standing(&trip(stops), &drive.facts));
    assert!(found.iter().any(|line| line.contains("S1 delivery.arrived")), "a proof decides: {found:?}");
}

/// Loading at a warehouse, a customer, and back to the warehouse with what was returned.
#[test]
fn a_place_called_at_twice_is_served_in_planned_order() {
    let stops = vec![
        stop("S1", "pickup", [0.0, 0.0], 50.0),
        delivery("S2", [1000.0, 0.0]),
        delivery("S3", [0.0, 0.0]),
        delivery("S4", [0.0, 0.0]),
    ];
    let mut drive = Drive::from([0.0, 0.0]);
    drive.stand(120.0).drive([1000.0, 0.0], 10.0).stand(120.0).drive([0.0, 0.0], 10.0).stand(120.0);
    let milestones = standing(&trip(stops), &drive.facts);
    let arrived = milestones.iter().filter(|one| one.kind.as_str().ends_with(".arrived"));
    let arrived: Vec<&str> = arrived.filter_map(|one| one.stop.as_deref()).collect();
    assert_eq!(arrived[..2], ["S1", "S2"]);
    assert_eq!(arrived.len(), 4, "S3 and S4 are one call: {arrived:?}");
}

#[test]
fn coming_back_is_a_second_visit_with_ids_of_its_own() {
    let mut drive = Drive::from([-500.0, 0.0]);
    drive.drive([0.0, 0.0], 10.0).stand(120.0).pod("S1", PodOutcome::Failed, 1).drive([500.0, 0.0], 10.0);
    drive.stand(600.0).drive([0.0, 0.0], 10.0).stand(120.0);
    drive.pod("S1", PodOutcome::Completed, 2).drive([500.0, 0.0], 10.0);
    let milestones = check(
        &trip(vec![delivery("S1", [0.0, 0.0])]),
        &drive,
        &[
            "08:00:45 S1 delivery.arrived #1",
            "08:02:58 S1 delivery.departed #1",
            "08:14:25 S1 delivery.arrived #2",
            "08:16:30 S1 delivery.completed #2",
            "08:16:38 S1 delivery.departed #2",
        ],
    );
    assert_ne!(milestones[0].milestone_id, milestones[2].milestone_id);
}

#[test]
fn of_several_proofs_the_highest_revision_stands_and_of_equal_ones_the_first() {
    let completed = |proofs: &[(PodOutcome, u32)]| {
        let mut drive = Drive::from([0.0, 0.0]);
        drive.stand(120.0);
        for &(outcome, revision) in proofs {
            drive.pod("S1", outcome, revision).stand(5.0);
        }
        let standing = standing(&trip(vec![delivery("S1", [0.0, 0.0])]), &drive.facts);
        standing.iter().skip(1).map(|one| one.kind).collect::<Vec<_>>()
    };
    use PodOutcome::{Completed, Failed, Partial};
    assert_eq!(completed(&[(Failed, 1), (Completed, 2)]), [MilestoneKind::DeliveryCompleted]);
    assert_eq!(completed(&[(Completed, 2), (Failed, 1)]), [MilestoneKind::DeliveryCompleted]);
    assert_eq!(completed(&[(Partial, 1), (Completed, 1)]), [MilestoneKind::DeliveryPartial]);
}

#[test]
fn a_fix_thrown_far_away_ends_no_visit() {
    let mut drive = Drive::from([0.0, 0.0]);
    drive.stand(300.0).unseen(0.0, [8000.0, 0.0]).fix(0.0).unseen(1.0, [0.0, 0.0]).stand(300.0);
    let trips = trip(vec![delivery("S1", [0.0, 0.0])]);
    check(&trips, &drive, &["08:00:00 S1 delivery.arrived #1"]);
    assert_eq!(fold(&trips, &drive.facts).counts().of(Outcome::Jump), 1);
}

#[test]
fn a_void_accuracy_is_believed_with_the_default_error() {
    for void in [None, Some(0)] {
        let mut drive = Drive::from([-500.0, 0.0]);
        drive.accuracy_cm = void;
        drive.drive([0.0, 0.0], 10.0).stand(120.0).drive([500.0, 0.0], 10.0);
        let expected = ["08:00:45 S1 delivery.arrived #1", "08:02:58 S1 delivery.departed #1"];
        check(&trip(vec![delivery("S1", [0.0, 0.0])]), &drive, &expected);
    }
}

/// An L-shaped yard: the neighbour's lot in its missing corner is no arrival.
#[test]
fn a_polygon_is_its_shape_and_not_its_bounding_circle() {
    let yard = [[0.0, 0.0], [400.0, 0.0], [400.0, 100.0], [100.0, 100.0], [100.0, 400.0], [0.0, 400.0]];
    let visit = |at: [f64; 2]| {
        let mut drive = Drive::from([-500.0, 50.0]);
        drive.unseen(60.0, at).stand(300.0);
        brief(&standing(&trip(vec![polygon("S1", &yard)]), &drive.facts)).len()
    };
    assert_eq!(visit([50.0, 350.0]), 1);
    assert_eq!(visit([350.0, 50.0]), 1);
    assert_eq!(visit([300.0, 300.0]), 0);
}

#[test]
fn a_visit_a_week_from_its_time_window_is_no_visit_to_that_stop() {
    let window = |from: &str, to: &str| Some([from.parse().expect("a time"), to.parse().expect("a time")]);
    let due = window("2026-11-24T07:00:00Z", "2026-11-24T09:00:00Z");
    let next_week = window("2026-12-01T07:00:00Z", "2026-12-01T09:00:00Z");
    let mut drive = Drive::from([0.0, 0.0]);
    drive.stand(300.0);
    for (window, expected) in [(due, 1), (next_week, 0)] {
        let stops = vec![milepost_proto::Stop { window, ..delivery("S1", [0.0, 0.0]) }];
        assert_eq!(standing(&trip(stops), &drive.facts).len(), expected);
    }
}

/// Tomorrow's delivery to the same customer is no second visit for today's.
#[test]
fn coming_back_the_next_day_is_other_work() {
    let mut drive = Drive::from([0.0, 0.0]);
    drive.stand(300.0).drive([2000.0, 0.0], 10.0).unseen(86_400.0, [2000.0, 0.0]).drive([0.0, 0.0], 10.0).stand(300.0);
    let expected = ["08:00:00 S1 delivery.arrived #1", "08:05:08 S1 delivery.departed #1"];
    check(&trip(vec![delivery("S1", [0.0, 0.0])]), &drive, &expected);
}

/// The tracker sleeps with the ignition, for four hours, where the goods are handed over.
#[test]
fn a_tracker_that_goes_off_at_the_stop_loses_no_arrival() {
    let mut drive = Drive::from([-500.0, 0.0]);
    drive.drive([0.0, 0.0], 10.0).stand(15.0).ignition(false).unseen(4.0 * 3600.0, [0.0, 0.0]);
    drive.ignition(true).stand(5.0).drive([1000.0, 0.0], 10.0);
    let expected = ["08:00:45 S1 delivery.arrived #1", "12:01:18 S1 delivery.departed #1"];
    check(&trip(vec![delivery("S1", [0.0, 0.0])]), &drive, &expected);
}

#[test]
fn confirmed_waits_for_the_low_water_mark_to_pass_what_decided() {
    let trips = trip(vec![delivery("S1", [0.0, 0.0])]);
    let mut drive = Drive::from([0.0, 0.0]);
    drive.stand(300.0);
    let state = fold(&trips, &drive.facts);
    let status = |mark: Option<&str>| {
        let mark = mark.map(|text| text.parse::<Timestamp>().expect("a time"));
        state.standing(mark)[0].status
    };
    assert_eq!(status(None), Status::Provisional);
    assert_eq!(status(Some("2026-11-24T08:01:00Z")), Status::Provisional, "it has only just dwelt");
    assert_eq!(status(Some("2026-11-24T08:01:01Z")), Status::Confirmed);
}

#[test]
fn what_is_about_no_planned_stop_is_counted() {
    let mut drive = Drive::from([0.0, 0.0]);
    drive.stand(10.0).pod("S9", PodOutcome::Completed, 1).says(ActionKind::Arrived, "S9");
    let state = fold(&trip(vec![delivery("S1", [0.0, 0.0])]), &drive.facts);
    assert_eq!(state.counts().of(Outcome::Unplanned), 2);
    assert_eq!(state.counts().of(Outcome::Used), 10);
}

#[test]
fn the_head_again_and_what_lies_before_it_change_nothing() {
    let mut drive = Drive::from([0.0, 0.0]);
    drive.stand(10.0);
    let facts: Vec<Fact> = drive.facts;
    let mut state = fold(&trip(vec![delivery("S1", [0.0, 0.0])]), &facts);
    let before = state.clone();
    assert_eq!(state.apply(&facts[9]), Outcome::Duplicate);
    assert_eq!(state.apply(&facts[3]), Outcome::Stale);
    assert_eq!(state, before);
    assert_eq!(state.head(), Some(facts[9].key()));
}
