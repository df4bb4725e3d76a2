//! The power goes at every moment of a run of the real agent, and nothing that was answered is gone.

use system_tests::power_cut::rig::{Syncs, run};
use system_tests::power_cut::tally::Tally;

/// How many cuts a run is at least worth.
const CUTS_MIN: u64 = 300;

fn print(run: &str, tally: &Tally) {
    println!("custody.cuts{{{run}}}: {} cuts {:?}", tally.cuts(), tally.cuts);
    println!("custody.lost{{{run}}}: {} cuts", tally.lost);
    println!("custody.corrupt{{{run}}}: {} cuts", tally.corrupt);
    println!("custody.doubled{{{run}}}: {} cuts", tally.doubled);
    println!("{run}: {} cuts met a settled spool, {} its creation", tally.settled, tally.created_anew);
    tally.examples.iter().for_each(|example| println!("  {example}"));
}

#[test]
fn nothing_answered_is_lost_or_damaged_by_a_power_cut() {
    let Some(tally) = run(Syncs::Kept, 1).expect("the rig works") else { return };
    print("power=cut", &tally);
    assert_eq!((tally.lost, tally.corrupt, tally.doubled), (0, 0, 0), "{:#?}", tally.examples);
    assert!(tally.cuts() >= CUTS_MIN, "{} cuts are too few", tally.cuts());
    assert!(tally.settled > 0, "no cut met a spool that had let go of evidence");
}

/// If this finds nothing, the test above proves nothing.
#[test]
fn without_syncs_the_same_cuts_lose_what_was_answered() {
    let Some(tally) = run(Syncs::Ignored, 1).expect("the rig works") else { return };
    print("power=cut,syncs=ignored", &tally);
    assert!(tally.lost + tally.corrupt > 0, "{} cuts without syncs lose nothing: the rig is broken", tally.cuts());
}
