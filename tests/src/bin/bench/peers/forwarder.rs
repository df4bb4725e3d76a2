//! The forwarder that a good engineer writes in an afternoon: SQLite in WAL mode with full sync, a row for each record,
//! 1,000 to a commit; JSON over HTTP, 1,000 to a request; deleted when the answer is 2xx.
//!
//! Runs as a process of its own: `bench peer forwarder FILE URL RECORDS`. It makes its records itself, goes on after the
//! last one it committed, and prints `from N`, then `in N` after each commit.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rusqlite::{Connection, TransactionBehavior, params};
use system_tests::{driver, wait};

use super::record::json;

const ROWS_PER_COMMIT: u32 = 1_000;
const ROWS_PER_REQUEST: u32 = 1_000;
const RETRY_AFTER: Duration = Duration::from_millis(100);
const IDLE: Duration = Duration::from_millis(20);

/// Runs it until it is killed.
pub(crate) fn run(file: &Path, url: &str, records: u32) -> anyhow::Result<()> {
    let mut rows = open(file)?;
    rows.execute_batch("CREATE TABLE IF NOT EXISTS record (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL)")?;
    let (file, url) = (file.to_owned(), url.to_owned());
    let sender = std::thread::spawn(move || forward(&open(&file)?, &url));
    take_in(&mut rows, records)?;
    sender.join().ok().context("the sender ended")?
}

fn open(file: &Path) -> anyhow::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

fn take_in(rows: &mut Connection, records: u32) -> anyhow::Result<()> {
    let held: u32 = rows.query_row("SELECT coalesce(max(seq), 0) FROM sqlite_sequence", [], |row| row.get(0))?;
    println!("from {held}");
    let mut next = held + 1;
    while next <= records {
        let end = records.min(next + ROWS_PER_COMMIT - 1);
        let transaction = rows.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO record (body) VALUES (?1)")?;
            (next..=end).try_for_each(|n| insert.execute([json(n)]).map(drop))?;
        }
        transaction.commit()?;
        println!("in {end}");
        next = end + 1;
    }
    Ok(())
}

fn forward(rows: &Connection, url: &str) -> anyhow::Result<()> {
    let http = driver::http();
    loop {
        let batch = oldest(rows)?;
        let Some((last, _)) = batch.last() else {
            wait::pause(IDLE);
            continue;
        };
        let body: Vec<&str> = batch.iter().map(|(_, body)| body.as_str()).collect();
        if http.post(url).send(body.join("\n")).is_ok() {
            rows.prepare_cached("DELETE FROM record WHERE id <= ?1")?.execute(params![last])?;
        } else {
            wait::pause(RETRY_AFTER);
        }
    }
}

fn oldest(rows: &Connection) -> anyhow::Result<Vec<(u32, String)>> {
    let mut statement = rows.prepare_cached("SELECT id, body FROM record ORDER BY id LIMIT ?1")?;
    let batch = statement.query_map([ROWS_PER_REQUEST], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(batch.collect::<Result<_, _>>()?)
}
