//! Nothing that was answered is lost or doubled when the agent is killed at any of its writes.

use system_tests::kill_at_write::run;

/// Changes of a file between one kill and the next in the life of a spool.
const CHANGES_APART: u64 = 8;

/// The first writes of a new spool, and then those of one that is being emptied; `cargo xtask bench custody` goes further.
#[test]
fn the_agent_survives_being_killed_at_its_writes() {
    let (fresh, kills) = (12, 30);
    let tally = run(fresh, (1..=kills).map(|n| n * CHANGES_APART)).expect("what arrived is what was accepted");
    println!("{} kills, {} captures, {} met a settled spool", tally.cuts(), tally.captures, tally.settled);
    assert_eq!((tally.lost, tally.corrupt, tally.doubled), (0, 0, 0), "{:#?}", tally.examples);
    assert_eq!(tally.cuts(), fresh + kills);
    assert!(tally.settled > 0, "no kill met a spool that had let go of evidence");
}
