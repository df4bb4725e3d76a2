//! Custody in simulated worlds: what is lost and doubled over thousands of power cuts and kills.
//!
//! Promise: worlds of new seeds are run until enough machines have come down, in the middle of writes and of starts; the
//! seeds are printed, and a seed that loses or doubles anything is named and fails the run.

use anyhow::{Context as _, ensure};
use system_tests::world::faults::Faults;
use system_tests::world::{Pace, Scenario, Tally, run};

use crate::figure;

/// Falls to reach unless `--falls` says otherwise.
const FALLS: u64 = 15_000;
/// The first seed unless `--seed` says otherwise.
const SEED: u64 = 1_000_000;

/// A storm in which a vehicle comes down every few seconds, so that most falls meet a start, a commit or a receipt.
const DENSE: Faults = Faults { vehicle_fault_every_s: 6, gateway_fault_every_s: 20, down_s_max: 2, ..Faults::storm() };

/// Runs worlds of storms, then one week of a fleet.
pub(crate) fn run_all(arguments: &[String]) -> anyhow::Result<()> {
    let falls = number(arguments, "--falls")?.unwrap_or(FALLS);
    let first = number(arguments, "--seed")?.unwrap_or(SEED);
    let began = system_tests::wait::now();
    let mut sum = Tally::default();
    let (mut seed, mut lost, mut doubled) = (first, 0, 0);
    let mut broken = Vec::new();
    while sum.falls() < falls {
        let scenario = Scenario { seed, vehicles: 2, hours: 1, pace: Pace::FINE, faults: DENSE };
        let outcome = run(&scenario)?;
        sum.add(&outcome.tally);
        lost += outcome.lost;
        doubled += outcome.doubled;
        if !outcome.breaches.is_empty() || outcome.lost + outcome.doubled > 0 {
            println!("seed {seed}: {:#?}", outcome.breaches);
            broken.push(seed);
        }
        seed += 1;
        eprintln!("seed {seed} next, {} of {falls} falls, {:.0} s", sum.falls(), began.elapsed().as_secs_f64());
    }
    println!("seeds {first} to {}", seed - 1);
    figure::print("custody.lost{world}", count(lost), "captures and records");
    figure::print("custody.doubled{world}", count(doubled), "captures, records and effects");
    figure::print("custody.falls{world}", count(sum.falls()), "power cuts and kills");
    figure::print("custody.power_cuts{world}", count(sum.power_cuts + sum.gateway_power_cuts), "of those");
    figure::print("custody.disk_refusals{world}", count(sum.disk_refusals), "writes");
    figure::print("custody.captures{world}", count(sum.captures), "accepted");
    figure::print("custody.records{world}", count(sum.records), "arrived");
    figure::print("custody.wall_s{world}", began.elapsed().as_secs_f64(), "s");
    week()?;
    ensure!(broken.is_empty(), "seeds {broken:?} break a promise");
    Ok(())
}

/// A usual week of 20 vehicles, fixes every 30 s.
fn week() -> anyhow::Result<()> {
    let began = system_tests::wait::now();
    let scenario = Scenario { seed: 1, vehicles: 20, hours: 7 * 24, pace: Pace::COARSE, faults: Faults::usual() };
    let outcome = run(&scenario)?;
    let wall_s = began.elapsed().as_secs_f64();
    let vehicle_s = count(outcome.tally.simulated_s * 20);
    figure::print("world.week_wall_s{vehicles=20}", wall_s, "s");
    figure::print("world.vehicle_seconds_per_s", vehicle_s / wall_s, "simulated seconds of a vehicle per second");
    figure::print("world.records{week}", count(outcome.tally.records), "records");
    figure::print("world.falls{week}", count(outcome.tally.falls()), "power cuts and kills");
    ensure!(outcome.breaches.is_empty(), "the week breaks a promise: {:#?}", outcome.breaches);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
const fn count(number: u64) -> f64 {
    number as f64
}

/// The number after `--name`.
fn number(arguments: &[String], name: &str) -> anyhow::Result<Option<u64>> {
    let Some(at) = arguments.iter().position(|argument| argument == name) else { return Ok(None) };
    let text = arguments.get(at + 1).with_context(|| format!("{name} needs a number"))?;
    text.parse().map(Some).with_context(|| format!("{name}: {text:?} is no number"))
}
