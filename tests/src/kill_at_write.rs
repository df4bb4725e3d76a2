//! The real agent killed at its first change of a file, at its second, and so on, each time in the middle of it.
//!
//! What must hold after each kill: the spool opens with all that was answered, or the gateway holds it. What must hold in
//! the end: the gateway holds each capture once. A kill leaves the page cache, so what is tested is the order of writes and
//! the agent's own start; for the disk itself see [`crate::power_cut`].

use std::time::Duration;

use anyhow::ensure;
use milepost_proto::Timestamp;
use tempfile::TempDir;

use crate::house::{House, Plan};
use crate::journal::Journal;
use crate::live_drive::LiveDrive;
use crate::power_cut::account::{Account, Held, capture};
use crate::power_cut::cut::Kind;
use crate::power_cut::survey;
use crate::power_cut::tally::Tally;
use crate::{driver, preload, wait};

const SOURCE: &str = include_str!("killed_at_write.c");
/// Captures after which the change to be killed at must have come.
const CAPTURES_MAX: u64 = 500;
/// Slow enough that receipts come in between.
const CAPTURE_EVERY: Duration = Duration::from_millis(15);
/// Stops of the round: it never ends before the kills do.
const STOPS: u32 = 1_000;
const DRAIN_LIMIT: Duration = Duration::from_secs(60);

/// Kills a new agent at each of its first `fresh` changes of a file, then one and the same at each of `living`, while its
/// gateway empties its spool.
///
/// # Errors
/// When the rig itself fails, or what reached the gateway is not what was accepted.
pub fn run(fresh: u64, living: impl Iterator<Item = u64>) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    for at in 1..=fresh {
        let mut vehicle = Vehicle::new()?;
        vehicle.run_until_killed(at)?;
        vehicle.look(&mut tally)?;
    }
    let mut vehicle = Vehicle::new()?;
    vehicle.house.start_gateway()?;
    let drive = LiveDrive::prepare(&vehicle.house.path("gnss"))?.start(STOPS);
    for at in living {
        vehicle.run_until_killed(at)?;
        vehicle.look(&mut tally)?;
    }
    drop(drive);
    vehicle.finish()?;
    Ok(tally)
}

struct Vehicle {
    house: House,
    folder: TempDir,
    captures: u64,
    started: bool,
}

impl Vehicle {
    fn new() -> anyhow::Result<Self> {
        let house = House::new(&Plan {
            agent_toml: "[reporting]\ninterval_s = 1\ndistance_m = 1.0\n\n\
                         [[source]]\nname = \"gnss\"\nkind = \"nmea_serial\"\npath = \"gnss\"\n"
                .to_owned(),
            ..Plan::default()
        })?;
        Ok(Self { house, folder: tempfile::tempdir()?, captures: 0, started: false })
    }

    /// Captures until the agent is gone.
    fn run_until_killed(&mut self, at: u64) -> anyhow::Result<()> {
        let library = preload::compile(SOURCE, self.folder.path(), "killed_at_write")?;
        self.house.agent_environment = vec![
            ("LD_PRELOAD".to_owned(), library.to_string_lossy().into_owned()),
            ("MILEPOST_KILLED_AT".to_owned(), at.to_string()),
        ];
        // It may be killed before it serves.
        if self.house.start_agent().is_ok() {
            self.started = true;
            let (http, url) = (driver::http(), format!("{}/v1/driver", self.house.agent_url()));
            let limit = self.captures + CAPTURES_MAX;
            while http.post(&url).send_json(capture(self.captures + 1)).is_ok() {
                self.captures += 1;
                wait::pause(CAPTURE_EVERY);
                ensure!(self.captures < limit, "{CAPTURES_MAX} captures and no change number {at}");
            }
        }
        self.house.kill_agent();
        Ok(())
    }

    /// Looks into a copy of the spool.
    fn look(&self, tally: &mut Tally) -> anyhow::Result<()> {
        let copy = tempfile::tempdir()?;
        for entry in std::fs::read_dir(self.house.path(""))? {
            let name = entry?.file_name();
            if name.to_string_lossy().starts_with("spool.db") {
                std::fs::copy(self.house.path("").join(&name), copy.path().join(&name))?;
            }
        }
        // The gateway's store is read as it is: whatever it held of this spool was committed here first.
        let held = Held::read(&self.house.path("gateway.db"))?;
        let account = Account { captures: self.captures, photos: 0, since: Timestamp::MAX, until: Timestamp::MAX };
        let verdict = survey::examine(copy.path(), "spool.db", account, &held)?;
        tally.add(if self.started { Kind::Flushed } else { Kind::Creation }, self.captures, verdict);
        Ok(())
    }

    /// Lets a last agent drain, and compares what arrived with what was accepted.
    fn finish(mut self) -> anyhow::Result<()> {
        self.house.agent_environment.clear();
        self.house.start_agent()?;
        // The one that was under way at the last kill may or may not have been kept; the phone insists.
        driver::http().post(&format!("{}/v1/driver", self.house.agent_url())).send_json(capture(self.captures + 1))?;
        self.house.wait_until_drained(DRAIN_LIMIT);
        let journal = Journal::read(&self.house.path("gateway.db"))?;
        compare(&journal, self.captures + 1)
    }
}

fn compare(journal: &Journal, captures: u64) -> anyhow::Result<()> {
    let mut accepted: Vec<String> =
        (1..=captures).filter_map(|n| capture(n)["client_ref"].as_str().map(str::to_owned)).collect();
    accepted.sort();
    let arrived = journal.client_refs();
    ensure!(arrived == accepted, "{} captures accepted, {} arrived", accepted.len(), arrived.len());
    ensure!(journal.sequence_faults().is_empty(), "holes or doubles: {:?}", journal.sequence_faults());
    ensure!(journal.contested == 0, "{} contested chunks", journal.contested);
    Ok(())
}
