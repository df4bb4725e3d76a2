//! An agent in a kernel that has CAN, as a guest on this machine.
//!
//! Promise: the real binary runs in user-mode Linux with a configuration and certificates of its own and no gateway; what
//! it recorded is left to be compared. Guests run one at a time, for each takes a processor.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use milepost_proto::{Chunk, ChunkBody, Lane, Record, SequenceRange};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;
use xtask::uml;

use crate::house::{DEVICE, FLEET};
use crate::program;

/// Functions for scripts.
const PRELUDE: &str = include_str!("guest/prelude.sh");
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A guest; see the file's promise.
pub struct Guest {
    kernel: PathBuf,
    folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Guest {
    /// A guest whose agent has these lines in its configuration; nothing where there is no user-mode kernel
    /// (`cargo xtask test` installs it).
    ///
    /// # Errors
    /// When its folder cannot be furnished.
    pub fn new(agent_toml: &str) -> anyhow::Result<Option<Self>> {
        let Some(kernel) = kernel() else { return Ok(None) };
        let turn = turn();
        let folder = tempfile::tempdir()?;
        xtask::certs::issue(folder.path(), FLEET, &[DEVICE])?;
        let config = format!(
            "device = \"{DEVICE}\"\n[spool]\npath = \"/run/spool.db\"\n\
             [gateway]\nurl = \"https://127.0.0.1:9\"\nca = \"ca.pem\"\ncertificate = \"{DEVICE}.pem\"\nkey = \"{DEVICE}.key\"\n\
             [http]\nlisten = \"127.0.0.1:8080\"\n{agent_toml}"
        );
        std::fs::write(folder.path().join("agent.toml"), config)?;
        Ok(Some(Self { kernel, folder, _turn: turn }))
    }

    /// A file that the guest sees in `/mnt`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `script` in the guest.
    ///
    /// # Errors
    /// When the kernel does not boot, the script fails or takes longer than `limit`; with all that was printed.
    pub fn run(&self, script: &str, limit: Duration) -> anyhow::Result<()> {
        // Into the folder that the guest sees: the guest has a /tmp of its own, and the project may be in ours.
        std::fs::copy(program::path("milepost-agent")?, self.path("milepost-agent"))?;
        let script = format!("AGENT=/mnt/milepost-agent\n{PRELUDE}\n{script}");
        let outcome = uml::run(&self.kernel, self.folder.path(), &script, limit)?;
        anyhow::ensure!(outcome.code == Some(0), "the guest's script ended with {:?}:\n{}", outcome.code, outcome.log);
        Ok(())
    }

    /// What the script kept as `name` of the agent's source `source`.
    ///
    /// # Errors
    /// When it kept nothing of that name, or the agent has no such source.
    pub fn source(&self, name: &str, source: &str) -> anyhow::Result<Value> {
        let text = std::fs::read_to_string(self.path(&format!("{name}.json")))?;
        let status: Value = serde_json::from_str(&text)?;
        let sources = status["sources"].as_array().context("no sources")?;
        let found = sources.iter().find(|found| found["name"] == source);
        found.cloned().with_context(|| format!("no source {source} in {text}"))
    }

    /// The records of a lane in the spool that the agent left.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn spooled(&self, lane: Lane) -> anyhow::Result<Vec<Record>> {
        spooled(&self.path("spool.db"), lane)
    }
}

/// The user-mode kernel, where there is one; says so where there is none.
pub(crate) fn kernel() -> Option<PathBuf> {
    let kernel = std::env::var_os("MILEPOST_UML");
    if kernel.is_none() {
        eprintln!("skipped: no user-mode kernel (cargo xtask test --only system provides it)");
    }
    kernel.map(PathBuf::from)
}

/// Waits until no other guest runs.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spooled(spool: &Path, lane: Lane) -> anyhow::Result<Vec<Record>> {
    let connection = Connection::open_with_flags(spool, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut statement = connection.prepare("SELECT id, last_sequence, checksum, body FROM chunk ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let id: u64 = row.get(0)?;
        if id >> 56 == number(lane) {
            let range = SequenceRange::new(id & 0xff_ffff_ffff_ffff, row.get(1)?)?;
            let chunk = Chunk { range, checksum: row.get(2)?, body: row.get(3)? };
            match chunk.open()? {
                ChunkBody::Records { records: more, .. } => records.extend(more),
                ChunkBody::Gap(_) | ChunkBody::Thinned { .. } => anyhow::bail!("records are missing in {range}"),
            }
        }
    }
    Ok(records)
}

/// The lane's number in the file.
const fn number(lane: Lane) -> u64 {
    match lane {
        Lane::Evidence => 1,
        Lane::Event => 2,
        Lane::Telemetry => 3,
    }
}

/// A source's counted faults.
#[must_use]
pub fn faults(source: &Value) -> BTreeMap<String, u64> {
    serde_json::from_value(source["faults"].clone()).unwrap_or_default()
}
