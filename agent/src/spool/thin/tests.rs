//! What thinning promises, tried on random drives and signals.

use milepost_proto::reading::{FixType, Signal, Switch};
use milepost_proto::{TimeQuality, Timestamp};
use proptest::prelude::*;

use super::*;

fn record(event_ms: i64, reading: Reading) -> Record {
    Record {
        event_time: Timestamp::from_millis(event_ms),
        monotonic_ms: 0,
        time_quality: TimeQuality::UNKNOWN,
        reading,
        seal: None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a test drive is a few kilometres long")]
fn fix(second: i64, north_m: f64, east_m: f64, speed_cmps: u32) -> Record {
    let position = Position {
        lat_e7: (north_m / M_PER_E7) as i32,
        lon_e7: (east_m / M_PER_E7) as i32,
        altitude_cm: None,
        speed_cmps: Some(speed_cmps),
        course_cdeg: None,
        fix: FixType::Fix3d,
        satellites: None,
        hdop_centi: None,
        accuracy_cm: None,
    };
    record(second * 1_000, Reading::Position(position))
}

fn signal(name: &str, value: f64) -> Record {
    record(0, Reading::Signal(Signal { name: name.to_owned(), value, unit: String::new() }))
}

/// The places of the records kept.
fn kept(records: Vec<Record>, bounds: &Bounds) -> Vec<u64> {
    thin((0..).zip(records).collect(), bounds).into_iter().map(|(place, _)| place).collect()
}

fn position(record: &Record) -> &Position {
    let Reading::Position(position) = &record.reading else { panic!("positions only") };
    position
}

#[test]
fn a_straight_drive_is_its_ends_and_a_corner_stays() {
    let north = (0..10).map(|s| fix(s, s as f64 * 20.0, 0.0, 2_000));
    let east = (1..10).map(|s| fix(9 + s, 180.0, s as f64 * 20.0, 2_000));
    assert_eq!(kept(north.clone().collect(), &LEVELS[0]), [0, 9]);
    assert_eq!(kept(north.chain(east).collect(), &LEVELS[0]), [0, 9, 18]);
}

#[test]
fn a_long_stand_keeps_when_it_began_and_ended() {
    let drive = (0..5).map(|s| fix(s, s as f64 * 20.0, 0.0, 2_000));
    let stand = (5..100).map(|s| fix(s, 100.0, 0.0, 0));
    let depart = (100..104).map(|s| fix(s, 100.0 + (s - 99) as f64 * 20.0, 0.0, 2_000));
    let records: Vec<_> = drive.chain(stand).chain(depart).collect();
    assert_eq!(kept(records.clone(), &LEVELS[0]), [0, 5, 35, 65, 95, 99, 100, 103]);
    assert_eq!(kept(records, &LEVELS[1]), [0, 5, 68, 99, 100, 103]);
}

#[test]
fn a_signal_keeps_its_ends_its_extremes_and_to_the_first_level_its_changes() {
    let values = [5.0, 5.1, 9.0, 9.1, 0.0, 0.5, 10.0, 9.9, 5.0];
    let records = || values.iter().map(|value| signal("a", *value)).collect();
    assert_eq!(kept(records(), &LEVELS[0]), [0, 2, 4, 6, 8]);
    assert_eq!(kept(records(), &LEVELS[1]), [0, 4, 6, 8]);
}

#[test]
fn names_are_told_apart_and_everything_else_is_kept() {
    let switch = record(0, Reading::Switch(Switch { name: "door".to_owned(), on: true }));
    let records = vec![signal("a", 1.0), signal("b", 1.0), switch, signal("a", 1.0), signal("a", 1.0)];
    assert_eq!(kept(records, &LEVELS[1]), [0, 1, 2, 4]);
}

#[test]
fn values_that_are_no_numbers_are_kept_and_upset_nothing() {
    let records = vec![signal("a", 1.0), signal("a", f64::NAN), signal("a", f64::INFINITY), signal("a", 1.0)];
    assert_eq!(kept(records, &LEVELS[0]), [0, 1, 2, 3]);
}

proptest! {
    #[test]
    fn a_position_left_out_lies_under_the_line_between_those_kept(
        steps in proptest::collection::vec((1_i64..20, -80.0..80.0, -80.0..80.0, 0_u32..3_000), 1..300),
        level in 0_usize..LEVELS.len(),
    ) {
        let bounds = &LEVELS[level];
        let (mut second, mut north_m, mut east_m) = (0, 0.0, 0.0);
        let records: Vec<Record> = steps.into_iter().map(|(dt, north, east, speed_cmps)| {
            (second, north_m, east_m) = (second + dt, north_m + north, east_m + east);
            fix(second, north_m, east_m, speed_cmps)
        }).collect();
        let places = kept(records.clone(), bounds);
        prop_assert_eq!((places.first(), places.last()), (Some(&0), Some(&(records.len() as u64 - 1))));
        for ends in places.windows(2) {
            let [from, to] = [ends[0], ends[1]].map(|place| &records[usize::try_from(place).expect("small")]);
            let between = &records[usize::try_from(ends[0]).expect("small") + 1..usize::try_from(ends[1]).expect("small")];
            for record in between {
                prop_assert!(off_line_m(position(from), position(to), position(record)) <= bounds.position_m);
            }
            let elapsed_ms = to.event_time.millis_since(from.event_time);
            prop_assert!(between.is_empty() || elapsed_ms <= bounds.interval_ms);
        }
    }

    #[test]
    fn a_signal_left_out_is_near_the_one_kept_before_it(
        values in proptest::collection::vec(-100.0..100.0_f64, 1..300),
    ) {
        let places = kept(values.iter().map(|value| signal("a", *value)).collect(), &LEVELS[0]);
        let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        let kept: Vec<f64> = places.iter().map(|place| values[usize::try_from(*place).expect("small")]).collect();
        prop_assert!(kept.contains(&least) && kept.contains(&most));
        for (place, value) in (0..).zip(&values) {
            let before = places.iter().rev().find(|kept| **kept <= place).expect("the first is kept");
            let before = values[usize::try_from(*before).expect("small")];
            prop_assert!((value - before).abs() <= (most - least) * 0.1 + 1e-9);
        }
    }
}
