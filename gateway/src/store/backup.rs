//! A copy of the store while a gateway serves it, and putting such a copy back.
//!
//! Promise: a backup is one consistent moment of the store, taken in steps of [`PAGES_PER_STEP`] pages without holding
//! up a single receipt, and stands under its name only when it is whole, checked and on the disk. Restoring never
//! destroys: what was there is set aside under a new name.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::migration;

/// Pages copied in one step.
pub const PAGES_PER_STEP: i32 = 1024;

/// Copies the store at `store` to the new file `to`. Answers the pages copied.
///
/// # Errors
/// When `to` exists, or one of them cannot be read or written; nothing is then left under the name `to`.
pub fn back_up(store: &Path, to: &Path) -> anyhow::Result<i32> {
    ensure!(!to.exists(), "{} exists; name a new file, a backup never overwrites", to.display());
    let part = beside(to, "part");
    let copied = copy(store, &part).with_context(|| format!("failed to copy {}", store.display()));
    let whole = copied.and_then(|pages| {
        check(&part)?;
        stand_as(&part, to)?;
        Ok(pages)
    });
    if whole.is_err() {
        drop(std::fs::remove_file(&part));
    }
    whole
}

/// Puts the backup `from` in the place of the store at `store`; the caller holds the store's lock. Answers where the
/// store that was there is now.
///
/// # Errors
/// When there is a store and not `force`, or `from` is no whole store of this gateway; nothing is then changed.
pub fn restore(from: &Path, store: &Path, force: bool, aside: &str) -> anyhow::Result<Option<PathBuf>> {
    ensure!(
        force || !store.exists(),
        "{} exists; --force sets it aside under a new name and puts the backup in its place",
        store.display()
    );
    check(from)?;
    let part = beside(store, "restoring");
    drop(std::fs::remove_file(&part));
    copy(from, &part).with_context(|| format!("failed to copy {}", from.display()))?;
    check(&part)?;
    let set_aside = if store.exists() { Some(set_aside(store, aside)?) } else { None };
    stand_as(&part, store)?;
    Ok(set_aside)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<i32> {
    // Opened for writing where that is allowed: a reader of a file with a log needs its index.
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .or_else(|_| Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY))?;
    source.busy_timeout(super::BUSY_TIMEOUT)?;
    // One read transaction over all steps: the copy is of this moment, however much is written meanwhile.
    let moment = source.unchecked_transaction()?;
    moment.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    let mut target = Connection::open(to)?;
    let pages = {
        let backup = Backup::new(&moment, &mut target)?;
        loop {
            match backup.step(PAGES_PER_STEP)? {
                StepResult::Done => break backup.progress().pagecount,
                StepResult::More => {}
                other => anyhow::bail!("the copy cannot go on: {other:?}; try again when the store is less busy"),
            }
        }
    };
    // One file: whoever carries it away must not need to know of a log beside it.
    target.pragma_update(None, "journal_mode", "DELETE")?;
    target.close().map_err(|(_, error)| error)?;
    File::open(to)?.sync_all()?;
    Ok(pages)
}

/// Whether the file at `path` is a whole store that this gateway can serve.
fn check(path: &Path) -> anyhow::Result<()> {
    let named = || format!("{} is no backup that can be used", path.display());
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).with_context(named)?;
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).with_context(named)?;
    ensure!(found == "ok", "{}: {found}", named());
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).with_context(named)?;
    let known = migration::known();
    ensure!((1..=known).contains(&version), "{}: it is at schema {version}, this gateway knows 1 to {known}", named());
    Ok(())
}

fn set_aside(store: &Path, aside: &str) -> anyhow::Result<PathBuf> {
    let aside_name = beside(store, aside);
    ensure!(!aside_name.exists(), "{} exists already", aside_name.display());
    std::fs::rename(store, &aside_name).with_context(|| format!("cannot set {} aside", store.display()))?;
    for log in ["-wal", "-shm"] {
        let (log, to) = (with_end(store, log), with_end(&aside_name, log));
        if log.exists() {
            std::fs::rename(&log, &to).with_context(|| format!("cannot set {} aside", log.display()))?;
        }
    }
    Ok(aside_name)
}

/// Gives the finished file its name, durably.
fn stand_as(part: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::rename(part, to).with_context(|| format!("cannot name {}", to.display()))?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(|| format!("cannot sync {}", folder.display()))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    with_end(path, &format!(".{end}"))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(end);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    fn vehicles(path: &Path) -> i64 {
        let connection = Connection::open(path).expect("opens");
        connection.query_row("SELECT count(*) FROM vehicle", [], |row| row.get(0)).expect("a number")
    }

    #[tokio::test]
    async fn a_backup_comes_back_and_what_was_there_is_set_aside() {
        let folder = tempfile::tempdir().expect("folder");
        let file = |name: &str| folder.path().join(name);
        let store = Store::open(&file("store.db")).expect("opens");
        let add = |id: &'static str| {
            move |connection: &Connection| {
                connection.execute("INSERT INTO vehicle (fleet_id, vehicle_id) VALUES ('north', ?1)", [id])?;
                Ok(())
            }
        };
        store.write(add("a")).await.expect("written");
        back_up(&file("store.db"), &file("backup.db")).expect("while it is open");
        let again = back_up(&file("store.db"), &file("backup.db")).expect_err("never overwrites").to_string();
        assert!(again.contains("name a new file"), "{again}");
        store.write(add("b")).await.expect("written");
        drop(store);

        let refused = restore(&file("backup.db"), &file("store.db"), false, "old").expect_err("exists").to_string();
        assert!(refused.contains("--force"), "{refused}");
        let aside = restore(&file("backup.db"), &file("store.db"), true, "old").expect("restored");
        assert_eq!(vehicles(&file("store.db")), 1);
        assert_eq!(vehicles(&aside.expect("there was one")), 2);
    }

    #[test]
    fn what_is_no_store_is_not_restored() {
        let folder = tempfile::tempdir().expect("folder");
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("letter.txt"), "dear customer, ".repeat(1000)).expect("written");
        Connection::open(file("other.db")).expect("opens").execute_batch("CREATE TABLE t (a)").expect("made");
        for (name, why) in [("letter.txt", "no backup that can be used"), ("other.db", "schema 0")] {
            let refused = restore(&file(name), &file("store.db"), false, "old").expect_err("no store");
            assert!(format!("{refused:#}").contains(why), "{refused:#}");
            assert!(!file("store.db").exists());
        }
    }
}
