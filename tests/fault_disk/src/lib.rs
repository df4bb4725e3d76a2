//! A disk that loses power when told to: SQLite's own files, with everything that can happen below them.
//!
//! Promise, to whoever tests durability: a [`FaultDisk`] is a folder of real files. What SQLite wrote and synced there
//! survives a power cut; of what it wrote since, any part may be left, torn at 512-byte sectors; a process that is killed
//! loses nothing that it wrote. Nothing is ever really synced, so a thousand commits cost milliseconds. One seed gives
//! the same losses again. Files outside such folders are not touched. What is not modelled: a file's creation or deletion
//! lasts at once, as after a synced folder.

mod machine;
mod vfs;

use std::path::Path;
use std::sync::Arc;

pub use machine::{Fall, Fault};

/// A folder on a disk that can fail.
pub struct FaultDisk {
    machine: Arc<machine::Machine>,
}

impl FaultDisk {
    /// Makes `folder` such a disk, powered and in order.
    ///
    /// # Panics
    /// When SQLite takes no file system from us, which leaves nothing to test.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        vfs::register();
        Self { machine: machine::add(folder) }
    }

    /// Has `fault` happen at the `steps`-th write, sync, cut or deletion from now, 0 being the next one.
    pub fn arm(&self, steps: u64, fault: Fault) {
        self.machine.arm(steps, fault);
    }

    /// Takes back what was armed and has not happened, or is not over.
    pub fn mend(&self) {
        self.machine.mend();
    }

    /// Whether syncs are answered and not done, as cheap cards do.
    pub fn lie_about_sync(&self, lies: bool) {
        self.machine.lie(lies);
    }

    /// Brings the machine down: whatever its programs do from now on is not done.
    pub fn fall(&self, fall: Fall) {
        self.machine.fall(fall);
    }

    /// How the machine came down, while it is down.
    #[must_use]
    pub fn fallen(&self) -> Option<Fall> {
        self.machine.fallen()
    }

    /// Writes, syncs, cuts and deletions so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.machine.steps()
    }

    /// Writes that were refused because the disk was full or failing.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.machine.refusals()
    }

    /// Powers the machine up again with what is left on the disk; `number` gives uniform random numbers. Its programs
    /// must have closed their files.
    ///
    /// # Errors
    /// When a file cannot be made what the power cut left of it.
    pub fn start(&self, number: &mut dyn FnMut() -> u64) -> std::io::Result<()> {
        self.machine.start(number)
    }
}

impl Drop for FaultDisk {
    fn drop(&mut self) {
        machine::remove(&self.machine);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rusqlite::Connection;

    use super::*;

    struct Bench {
        folder: tempfile::TempDir,
        disk: FaultDisk,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let disk = FaultDisk::new(folder.path());
            Self { folder, disk }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("a.db")
        }

        fn open(&self) -> Connection {
            let connection = Connection::open(self.path()).expect("opens");
            connection.pragma_update(None, "journal_mode", "WAL").expect("a log");
            connection.pragma_update(None, "synchronous", "FULL").expect("synced");
            connection.execute_batch("CREATE TABLE IF NOT EXISTS t (n INTEGER)").expect("a table");
            connection
        }
    }

    fn insert(connection: &Connection, from: i64) -> i64 {
        let puts = |n: &i64| connection.execute("INSERT INTO t VALUES (?1)", [n]).is_ok();
        (from..from + 1_000).take_while(puts).count().try_into().expect("a count")
    }

    fn count(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("counts")
    }

    fn numbers(mut seed: u64) -> impl FnMut() -> u64 {
        move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 20
        }
    }

    #[test]
    fn what_was_committed_survives_a_power_cut_at_any_step_and_the_file_stays_whole() {
        let bench = Bench::new();
        let (mut number, mut held) = (numbers(1), 0);
        for step in 0..200 {
            let connection = bench.open();
            bench.disk.arm(step % 23 + number() % 5, Fault::Fall(Fall::PowerCut));
            let kept = insert(&connection, held);
            assert_eq!(bench.disk.fallen(), Some(Fall::PowerCut));
            drop(connection);
            bench.disk.start(&mut number).expect("starts");
            let connection = bench.open();
            let found = count(&connection);
            // The insert that was cut off may have become durable without having been answered.
            assert!((held + kept..=held + kept + 1).contains(&found), "{found}, not {held} and {kept}");
            let whole: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checks");
            assert_eq!(whole, "ok");
            held = found;
        }
    }

    #[test]
    fn a_disk_that_lies_about_syncs_loses_what_was_committed() {
        let bench = Bench::new();
        let mut number = numbers(2);
        let mut lost = 0;
        for _ in 0..20 {
            let connection = bench.open();
            let before = count(&connection);
            bench.disk.lie_about_sync(true);
            bench.disk.arm(40, Fault::Fall(Fall::PowerCut));
            let kept = insert(&connection, 0);
            drop(connection);
            bench.disk.lie_about_sync(false);
            bench.disk.start(&mut number).expect("starts");
            let Ok(reopened) = Connection::open(bench.path()) else { continue };
            let found = reopened.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
            lost += (before + kept - found.unwrap_or(0)).max(0);
            drop(reopened);
            for suffix in ["", "-wal", "-shm"] {
                std::fs::remove_file(format!("{}{suffix}", bench.path().display())).ok();
            }
        }
        assert!(lost > 0);
    }

    #[test]
    fn a_killed_program_loses_nothing_it_wrote() {
        let bench = Bench::new();
        let mut number = numbers(3);
        let mut held = 0;
        for step in 0..60 {
            let connection = bench.open();
            bench.disk.arm(step, Fault::Fall(Fall::Kill));
            held += insert(&connection, held);
            drop(connection);
            bench.disk.start(&mut number).expect("starts");
            let found = count(&bench.open());
            assert!(found == held || found == held + 1, "{found}, not {held}");
            held = found;
        }
    }

    #[test]
    fn a_full_disk_refuses_and_then_works_again() {
        let bench = Bench::new();
        let connection = bench.open();
        for (fault, refusals) in [(Fault::Full { steps: 3 }, 3), (Fault::Broken { steps: 2 }, 5)] {
            bench.disk.arm(0, fault);
            while bench.disk.refusals() < refusals {
                assert_eq!(insert(&connection, 0), 0, "refused until {fault:?} is over");
            }
        }
        assert_eq!(insert(&connection, 0), 1_000);
        assert_eq!((count(&connection), bench.disk.fallen()), (1_000, None));
    }
}
