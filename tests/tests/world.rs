//! Worlds in a box, many seeds of them: nothing accepted is lost, nothing is doubled, whatever fails.

use system_tests::world::faults::Faults;
use system_tests::world::{Pace, Scenario, run};

const CALM: Scenario = Scenario { seed: 1, vehicles: 1, hours: 3, pace: Pace::FINE, faults: CALM_FAULTS };
const CALM_FAULTS: Faults = Faults {
    vehicle_fault_every_s: 0,
    gateway_fault_every_s: 0,
    down_s_max: 0,
    disk_refuses: 0.0,
    falls_while_starting: 0.0,
    syncs_are_lies: false,
    offline_every_s: 0,
    offline_s_max: 0,
    loss: 0.0,
    black_hole: 0.0,
    duplicate: 0.0,
    slow: 0.0,
    answer_lost: 0.0,
    refused: 0.0,
    wrong_answer: 0.0,
    dead_rtc: 0.0,
    stepped_clock: 0.0,
    drift_ppm_max: 0,
    phone_deaf: 0.0,
    odoo: 0.0,
};

#[test]
fn in_a_calm_world_everything_arrives() {
    let outcome = run(&CALM).expect("runs");
    assert_eq!((outcome.breaches.as_slice(), outcome.lost, outcome.doubled), (&[][..], 0, 0));
    println!("{:?}", outcome.tally);
}
