//! `bench custody`: what is lost or doubled when the power goes, or the agent is killed, at any moment.
//!
//! Each trial gives its moments and after how many of them something was wrong; a control must show loss.

use anyhow::ensure;
use system_tests::kill_at_write;
use system_tests::power_cut::rig::{self, Syncs};
use system_tests::power_cut::tally::Tally;

use crate::figure;

/// Seeds of the torn writes; another one gives other disks.
const SEEDS: [u64; 2] = [1, 2];
/// Kills at the first writes of a new spool, and at those of one that lives on.
const KILLS: (u64, u64) = (40, 300);

/// What a trial showed.
#[derive(Debug, Clone, Copy, Default)]
struct Custody {
    /// Moments tried.
    moments: u64,
    /// Of them, those after which something answered was nowhere.
    lost: u64,
    /// Those after which something was there twice.
    doubled: u64,
    /// Those after which a disk or a spool did not open as it was.
    corrupt: u64,
}

/// A trial; nothing where it cannot run, which it says itself.
type Trial = fn() -> anyhow::Result<Option<Custody>>;

/// Every trial, by the label of its figures.
const TRIALS: [(&str, Trial); 2] = [("power=cut", power_cuts), ("kill=write", kills)];

/// Runs every trial, then the control.
pub(crate) fn run() -> anyhow::Result<()> {
    for (label, trial) in TRIALS {
        if let Some(custody) = trial()? {
            print(label, custody);
        }
    }
    if let Some(tally) = rig::run(Syncs::Ignored, SEEDS[0])? {
        print("power=cut,syncs=ignored", Custody::of(&tally));
        ensure!(tally.lost + tally.corrupt > 0, "without syncs nothing was lost either: the rig is broken");
    }
    Ok(())
}

fn power_cuts() -> anyhow::Result<Option<Custody>> {
    let mut sum = Custody::default();
    for seed in SEEDS {
        let Some(tally) = rig::run(Syncs::Kept, seed)? else { return Ok(None) };
        sum = sum.and(Custody::of(&tally));
    }
    Ok(Some(sum))
}

fn kills() -> anyhow::Result<Option<Custody>> {
    Ok(Some(Custody::of(&kill_at_write::run(KILLS.0, 1..=KILLS.1)?)))
}

impl Custody {
    fn of(tally: &Tally) -> Self {
        tally.examples.iter().for_each(|example| println!("  {example}"));
        Self { moments: tally.cuts(), lost: tally.lost, doubled: tally.doubled, corrupt: tally.corrupt }
    }

    const fn and(self, other: Self) -> Self {
        Self {
            moments: self.moments + other.moments,
            lost: self.lost + other.lost,
            doubled: self.doubled + other.doubled,
            corrupt: self.corrupt + other.corrupt,
        }
    }
}

fn print(label: &str, custody: Custody) {
    let of = |name: &str, value: u64| figure::print(&format!("custody.{name}{{{label}}}"), value as f64, "moments");
    of("moments", custody.moments);
    of("lost", custody.lost);
    of("doubled", custody.doubled);
    of("corrupt", custody.corrupt);
}
