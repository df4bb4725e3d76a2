//! Processes that take records in by themselves and say how far they are: `from N` at the start, `in N` after each commit.
//! When their input ends they close their file and say `closed N`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context as _, bail};
use milepost_agent::spool::{Spool, SpoolOptions};
use milepost_proto::{BootId, Lane, SpoolId};
use system_tests::wait;

use super::process::{Process, Usage};
use super::record::record;

const RECORDS_PER_APPEND: u32 = 1_000;
/// Far more than the records take.
const QUOTA_BYTES: u64 = 4 << 30;
const LIMIT: Duration = Duration::from_secs(120);

/// Such a process, seen from outside.
pub(crate) struct Filler {
    process: Process,
    lines: Receiver<String>,
    /// The last record it held when it started.
    pub(crate) from: u32,
    /// The last record that it said it holds.
    pub(crate) accepted: u32,
}

impl Filler {
    /// Starts this program as the rival `words`.
    pub(crate) fn start(words: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("peer").args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::spawn(&mut command)?;
        let printed = BufReader::new(process.child().stdout.take().context("its output is not piped")?);
        let (sender, lines) = channel();
        std::thread::spawn(move || printed.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut filler = Self { process, lines, from: 0, accepted: 0 };
        filler.from = filler.next("from ")?;
        filler.accepted = filler.from;
        Ok(filler)
    }

    /// Waits until it holds `count` records.
    pub(crate) fn wait_for(&mut self, count: u32) -> anyhow::Result<()> {
        while self.accepted < count {
            self.accepted = self.next("in ")?;
        }
        Ok(())
    }

    fn next(&mut self, prefix: &str) -> anyhow::Result<u32> {
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => Ok(line.strip_prefix(prefix).with_context(|| format!("it said {line:?}"))?.parse()?),
            Err(RecvTimeoutError::Timeout) => bail!("it holds {} records after {LIMIT:?}", self.accepted),
            Err(RecvTimeoutError::Disconnected) => bail!("it ended with {} records", self.accepted),
        }
    }

    /// What it used so far.
    pub(crate) fn usage(&self) -> Usage {
        self.process.usage()
    }

    /// Lets it close its file, then ends it; gives all that it used.
    pub(crate) fn finish(mut self) -> anyhow::Result<Usage> {
        drop(self.process.child().stdin.take());
        self.next("closed ")?;
        Ok(self.usage())
    }
}

/// Our own: appends to a spool, as the agent's event loop does, 1,000 records to an answer.
pub(crate) fn fill_spool(file: &Path, records: u32) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let options = SpoolOptions {
        path: file,
        quota_bytes: QUOTA_BYTES,
        boot_id: BootId([7; 16]),
        fresh_spool_id: SpoolId([7; 16]),
        signer: Box::new(|_| Err("nothing here is evidence".to_owned())),
    };
    let (spool, _, _) = Spool::open(options)?;
    runtime.block_on(async {
        let lanes = spool.measure().await?.lanes;
        let held = lanes.iter().find(|lane| lane.lane == Lane::Telemetry).map_or(0, |lane| lane.last_sequence);
        let mut next = u32::try_from(held)? + 1;
        println!("from {held}");
        while next <= records {
            let end = records.min(next + RECORDS_PER_APPEND - 1);
            spool.append(Lane::Telemetry, BootId([7; 16]), (next..=end).map(record).collect()).await?;
            println!("in {end}");
            next = end + 1;
        }
        anyhow::Ok(())
    })?;
    wait_to_close()?;
    drop(spool);
    // The writer is another thread; SQLite removes the log when it closes the file.
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    wait::until_true("the spool to close", LIMIT, || !Path::new(&log).exists());
    closed(records)
}

/// The floor: appends the records' JSON to a file and syncs its data, 1,000 at a time.
pub(crate) fn fill_file(file: &Path, records: u32) -> anyhow::Result<()> {
    let mut out = std::fs::File::options().create(true).append(true).open(file)?;
    println!("from 0");
    let mut next = 1;
    while next <= records {
        let end = records.min(next + RECORDS_PER_APPEND - 1);
        let bytes: String = (next..=end).map(|n| super::record::json(n) + "\n").collect();
        out.write_all(bytes.as_bytes())?;
        out.sync_data()?;
        println!("in {end}");
        next = end + 1;
    }
    wait_to_close()?;
    closed(records)
}

/// Waits until the input ends.
fn wait_to_close() -> anyhow::Result<()> {
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// Says that everything is closed, and waits to be looked at and killed.
fn closed(records: u32) -> anyhow::Result<()> {
    println!("closed {records}");
    loop {
        wait::pause(LIMIT);
    }
}
