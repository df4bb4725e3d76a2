//! Files that are damaged, moved, foreign, or held by somebody else.

use super::*;

#[test]
fn a_file_that_is_no_spool_is_set_aside_and_named() {
    for content in [
        &b"this is not a database at all, but it is longer than a header of one hundred bytes would be, see"[..],
        &[0; 8192],
        b"",
    ] {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("spool.db"), content).expect("written");
        let (_spool, opened) = open(folder.path(), QUOTA, 3);
        assert_eq!(opened.spool_id, SpoolId([3; 16]));
        assert!(opened.quarantined.is_some());
        let aside = folder.path().join(format!("spool.db.bad-{BOOT}"));
        assert_eq!(std::fs::read(aside).expect("kept"), content);
    }
}

#[test]
fn a_second_agent_is_refused_and_leaves_the_file_alone() {
    let bench = Bench::new();
    bench.capture("c1", ActionKind::Arrived).expect("accepted");
    assert_eq!(try_open(bench.folder.path(), QUOTA, 2).map(drop), Err(SpoolError::InUse));
    assert_eq!(set_aside(bench.folder.path()), Vec::<String>::new());
    bench.capture("c2", ActionKind::Arrived).expect("the first agent goes on");
}

#[test]
fn what_was_set_aside_earlier_in_this_boot_is_not_overwritten() {
    let folder = tempfile::tempdir().expect("folder");
    for content in ["first", "second"] {
        std::fs::write(folder.path().join("spool.db"), content).expect("written");
        let (spool, opened) = open(folder.path(), QUOTA, 1);
        assert!(opened.quarantined.is_some());
        close(spool, folder.path());
    }
    let contents = |name: &String| std::fs::read_to_string(folder.path().join(name)).expect("kept");
    assert_eq!(set_aside(folder.path()).iter().map(contents).collect::<Vec<_>>(), ["first", "second"]);
}

#[test]
fn a_log_without_its_file_is_set_aside_and_named() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("spool.db-wal"), "records").expect("written");
    let (_spool, opened) = open(folder.path(), QUOTA, 1);
    assert!(opened.quarantined.expect("told").contains("write-ahead log"));
    assert_eq!(set_aside(folder.path()), [format!("spool.db.bad-{BOOT}-wal")]);
}

#[test]
fn damage_anywhere_is_found_by_the_start_or_the_writer_and_set_aside() {
    for page in 0..24 {
        let mut bench = Bench::new();
        bench.append(Lane::Telemetry, signals(0, 600)).expect("kept");
        bench.append(Lane::Event, ignition(0)).expect("kept");
        bench.capture("c1", ActionKind::Arrived).expect("accepted");
        let path = bench.folder.path().join("spool.db");
        close(std::mem::replace(&mut bench.spool, Spool::closed()), bench.folder.path());
        let mut bytes = std::fs::read(&path).expect("the file");
        let start = page * 4096;
        if start >= bytes.len() {
            break;
        }
        bytes[start..start + 64].fill(0xA5);
        std::fs::write(&path, bytes).expect("damaged");
        (bench.spool, bench.opened) = open(bench.folder.path(), QUOTA, 2);
        // A body that was damaged is the gateway's to refuse; a page that does not read is ours.
        if let Err(SpoolError::Damaged(why)) = bench.exercise() {
            bench.runtime.block_on(bench.spool.ended());
            (bench.spool, bench.opened) = open(bench.folder.path(), QUOTA, 3);
            assert_eq!(bench.opened.quarantined, Some(why), "page {page}");
        }
        assert_eq!(bench.exercise(), Ok(()), "page {page}");
    }
}

#[test]
fn a_file_cut_while_it_is_open_takes_nothing_more() {
    let bench = Bench::new();
    bench.append(Lane::Event, ignition(0)).expect("kept");
    let path = bench.folder.path().join("spool.db");
    std::fs::OpenOptions::new().write(true).truncate(true).open(path).expect("cut");
    assert_eq!(bench.runtime.block_on(bench.spool.append(Lane::Event, BOOT, ignition(1))), Err(SpoolError::Moved));
}

#[test]
fn a_deleted_file_takes_nothing_more_hands_over_what_it_holds_and_ends() {
    let bench = Bench::new();
    bench.append(Lane::Event, ignition(0)).expect("kept");
    std::fs::remove_file(bench.folder.path().join("spool.db")).expect("deleted");
    let refused = bench.runtime.block_on(bench.spool.append(Lane::Event, BOOT, ignition(1)));
    assert_eq!(refused, Err(SpoolError::Moved));
    assert_eq!(bench.offered(Lane::Event), [1]);
    assert!(!bench.spool.has_ended());
    bench.settle(Lane::Event, 1, Vec::new(), Vec::new());
    bench.runtime.block_on(bench.spool.ended());
    let (_spool, opened) = open(bench.folder.path(), QUOTA, 2);
    assert_eq!(opened.spool_id, SpoolId([2; 16]));
}

#[test]
fn a_spool_of_a_newer_version_is_set_aside_untouched() {
    let folder = tempfile::tempdir().expect("folder");
    drop(open(folder.path(), QUOTA, 1));
    let newer = rusqlite::Connection::open(folder.path().join("spool.db")).expect("opens");
    newer.pragma_update(None, "user_version", 99).expect("written");
    drop(newer);
    let (_spool, opened) = open(folder.path(), QUOTA, 2);
    assert_eq!(opened.spool_id, SpoolId([2; 16]));
    assert!(opened.quarantined.expect("set aside").contains("schema version 99"));
}
