//! Worlds in a box, many seeds of them: nothing accepted is lost, nothing is doubled, whatever fails.
//!
//! A seed that fails is run again by `MILEPOST_WORLD_SEED=… cargo test -p system-tests --test world one_seed -- --nocapture`
//! and becomes a test with a name once its cause is known.

use std::fmt::Write as _;

use fault_disk::{Fall, Fault, FaultDisk};
use milepost_agent::spool::{OfferLimits, OfferedBatches, Spool, SpoolOptions};
use milepost_proto::reading::Signal;
use milepost_proto::{BootId, Lane, Reading, Record, SpoolId, TimeQuality, TimeSource, Timestamp};
use system_tests::world::faults::Faults;
use system_tests::world::{Outcome, Pace, Scenario, Tally, once, run};

/// One vehicle on its round.
const ROUND: Scenario = Scenario { seed: 1, vehicles: 1, hours: 2, pace: Pace::FINE, faults: Faults::NONE };
const ROUGH: Scenario = Scenario { faults: Faults::rough(), ..ROUND };
const STORM: Scenario = Scenario { hours: 1, faults: Faults::storm(), ..ROUND };
/// A gateway that dies again and again while Odoo is slow.
const SLOW_ODOO: Scenario =
    Scenario { faults: Faults { gateway_fault_every_s: 40, down_s_max: 100, odoo: 0.9, ..Faults::NONE }, ..ROUND };

/// Runs these seeds; fails with what every broken one says.
fn check(scenario: Scenario, seeds: std::ops::Range<u64>) -> Tally {
    let mut sum = Tally::default();
    let mut broken = String::new();
    for seed in seeds {
        let Outcome { breaches, lost, doubled, tally, .. } = run(&Scenario { seed, ..scenario }).expect("runs");
        sum.add(&tally);
        if !breaches.is_empty() || lost + doubled > 0 {
            writeln!(broken, "seed {seed}: lost {lost}, doubled {doubled}: {breaches:#?}").expect("writes");
        }
    }
    assert!(broken.is_empty(), "{broken}");
    sum
}

#[test]
fn in_a_calm_world_everything_arrives() {
    let tally = check(Scenario { hours: 3, ..ROUND }, 1..2);
    assert_eq!((tally.falls(), tally.gap_records, tally.disk_refusals), (0, 0, 0));
    assert!(tally.captures >= 8 && tally.blobs > 0 && tally.records > 500, "{tally:?}");
    assert!(tally.milestones >= 8 && tally.effects >= tally.milestones, "{tally:?}");
}

#[test]
fn a_rough_life_loses_and_doubles_nothing() {
    let tally = check(ROUGH, 1..13);
    assert!(tally.power_cuts > 12 && tally.kills > 12 && tally.captures > 100, "{tally:?}");
}

#[test]
fn a_storm_of_power_cuts_and_kills_loses_and_doubles_nothing() {
    let tally = check(STORM, 1..21);
    assert!(tally.power_cuts > 500 && tally.kills > 500 && tally.gateway_power_cuts > 200, "{tally:?}");
}

#[test]
fn several_vehicles_share_a_gateway() {
    let pace = Pace::COARSE;
    let tally = check(Scenario { vehicles: 6, hours: 6, pace, ..ROUGH }, 1..4);
    assert!(tally.captures > 100 && tally.milestones > 100, "{tally:?}");
}

#[test]
fn days_of_usual_life_lose_and_double_nothing() {
    let scenario = Scenario { vehicles: 3, hours: 48, pace: Pace::COARSE, faults: Faults::usual(), ..ROUND };
    let tally = check(scenario, 1..2);
    assert!(tally.milestones > 3 * 2 * 8, "{tally:?}");
}

/// Found by seed 7. An attempt begins with searches that can be slow, so its write may begin long after the attempt did. A gateway that
/// was killed then asked Odoo when the request limit since the *beginning* had passed, and wrote what was on its way.
#[test]
fn an_effect_whose_write_began_late_is_not_written_again_after_a_restart() {
    check(SLOW_ODOO, 5..9);
}

/// Found by storms: a commit whose last sync failed is answered as failed, yet a restart may find it whole in the write-ahead
/// log. The low-water mark must not have passed what it holds, and what was offered meanwhile must be what the restart finds,
/// or the chunk that had grown in it contradicts the one handed over.
#[test]
fn a_commit_that_failed_may_turn_up_after_a_restart_but_not_once_something_was_offered() {
    let turned_up = (0..12).filter(|step| fail_then_restart(*step, false)).count();
    assert!(turned_up > 0, "no step of a commit is one after which it turns up");
    assert!(!(0..12).any(|step| fail_then_restart(step, true)), "what was offered stands");
}

/// Has the disk fail at a step of the second commit; says whether it turned up after a restart although it had failed.
fn fail_then_restart(step: u64, offers: bool) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = FaultDisk::new(folder.path());
    let spool = open(folder.path());
    let append = |spool: &Spool, at_s| once(spool.append(Lane::Telemetry, BootId([1; 16]), vec![signal(at_s)]));
    append(&spool, 20).expect("kept");
    disk.arm(step, Fault::Broken { steps: 1 });
    if append(&spool, 10).is_ok() {
        return false;
    }
    disk.mend();
    if offers {
        let offered = offer(&spool);
        assert_eq!(sent(&offered), 1);
        assert_eq!(offered.oldest_left, Some(Timestamp::from_millis(10_000)), "the mark waits");
    }
    disk.fall(Fall::Kill);
    drop(spool);
    disk.start(&mut || 0).expect("starts");
    sent(&offer(&open(folder.path()))) == 2
}

fn open(folder: &std::path::Path) -> Spool {
    let options = SpoolOptions {
        path: &folder.join("spool.db"),
        quota_bytes: 1 << 24,
        boot_id: BootId([1; 16]),
        fresh_spool_id: SpoolId([2; 16]),
        signer: Box::new(|digest| Ok(digest.to_vec())),
    };
    Spool::open_without_thread(options).expect("opens").0
}

fn signal(at_s: i64) -> Record {
    Record {
        event_time: Timestamp::from_millis(at_s * 1_000),
        monotonic_ms: 0,
        time_quality: TimeQuality { source: TimeSource::Gnss, error_ms: 0 },
        reading: Reading::Signal(Signal { name: "speed".to_owned(), value: 1.0, unit: String::new() }),
        seal: None,
    }
}

fn offer(spool: &Spool) -> OfferedBatches {
    once(spool.offer(OfferLimits { bytes_max: 1 << 20, live_from: 1 })).expect("reads")
}

fn sent(offered: &OfferedBatches) -> u64 {
    offered.batches.iter().flat_map(|batch| &batch.chunks).map(|chunk| chunk.range.count()).sum()
}

/// The control: a disk that answers syncs and does not do them must be seen to lose something, or nothing above means
/// anything.
#[test]
fn the_checks_see_what_a_lying_disk_loses() {
    let faults = Faults { syncs_are_lies: true, disk_refuses: 0.0, ..Faults::storm() };
    let caught = (1..5).map(|seed| run(&Scenario { seed, faults, ..STORM }).expect("runs"));
    let caught: Vec<Outcome> = caught.filter(|outcome| outcome.lost > 0 && !outcome.breaches.is_empty()).collect();
    assert_eq!(caught.len(), 4, "each loses something");
}

#[test]
fn one_seed_gives_the_same_run_again() {
    let scenario = Scenario { seed: 7, ..STORM };
    let (one, again) = (run(&scenario).expect("runs"), run(&scenario).expect("runs"));
    assert_eq!(one, again);
    assert_ne!(one.trace, run(&Scenario { seed: 8, ..scenario }).expect("runs").trace);
}

/// For a seed that failed elsewhere; without one, any.
#[test]
fn one_seed() {
    let seed = std::env::var("MILEPOST_WORLD_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000);
    println!("{:?}", check(STORM, seed..seed + 1));
    println!("{:?}", check(ROUGH, seed..seed + 1));
}
