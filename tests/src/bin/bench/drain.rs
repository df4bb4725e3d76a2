//! How long a vehicle that was away for very long takes to hand everything over: a real spool file, the release agent and
//! the release gateway on loopback. The time is from the agent's start to its spool being empty; folding may go on.

use std::time::Duration;

use anyhow::Context as _;
use milepost_agent::spool::{Spool, SpoolOptions};
use milepost_proto::{Lane, SpoolId};
use system_tests::house::{House, Plan};
use system_tests::wait;

use crate::{figure, track};

/// Records in the spool unless the command line names another number.
const RECORDS: u32 = 6_000_000;
/// Records of one commit, as an agent's group has at a high rate.
const RECORDS_PER_COMMIT: u32 = 3_000;
const LIMIT: Duration = Duration::from_secs(1_800);

/// Fills a spool and drains it; the first argument may name another number of records.
pub(crate) fn run() -> anyhow::Result<()> {
    let records = std::env::args().nth(2).map_or(Ok(RECORDS), |count| count.parse().context("how many records?"))?;
    let mut house = House::new(&Plan::default())?;
    let config = std::fs::read_to_string(house.path("agent.toml"))?;
    std::fs::write(house.path("agent.toml"), config.replace("group_ms", "quota_mib = 8192\ngroup_ms"))?;
    fill(&house, records)?;
    let spool_bytes = std::fs::metadata(house.path("spool.db"))?.len() as f64;
    figure::print("drain.spool_bytes_per_record", spool_bytes / f64::from(records), "bytes");
    house.start_gateway()?;
    let watch = wait::now();
    house.start_agent()?;
    house.wait_until_drained(LIMIT);
    let seconds = watch.elapsed().as_secs_f64();
    figure::print(&format!("drain.seconds{{records={records}}}"), seconds, "s");
    figure::print("drain.records_per_s", f64::from(records) / seconds, "records/s");
    for (name, program) in [("agent", &house.agent), ("gateway", &house.gateway)] {
        let measured = program.as_ref().and_then(|program| figure::resident_mib(program.id()));
        let (_, most) = measured.context("both run")?;
        figure::print(&format!("drain.{name}_rss_mib_max"), most, "MiB");
    }
    let connection = rusqlite::Connection::open(house.path("gateway.db"))?;
    let sql = "SELECT sum(last_sequence) FROM lane_range WHERE lane = 'telemetry' AND first_sequence = 1";
    let held: u32 = connection.query_row(sql, [], |row| row.get(0))?;
    anyhow::ensure!(held >= records, "{held} of {records} records are held");
    Ok(())
}

fn fill(house: &House, records: u32) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let options = SpoolOptions {
        path: &house.path("spool.db"),
        quota_bytes: 8 << 30,
        boot_id: track::BOOT,
        fresh_spool_id: SpoolId([3; 16]),
        signer: Box::new(|_| Err("nothing here is evidence".to_owned())),
    };
    let (spool, _, _) = Spool::open(options)?;
    let watch = wait::now();
    for first in (0..records).step_by(RECORDS_PER_COMMIT as usize) {
        let group = (first..records.min(first + RECORDS_PER_COMMIT)).map(|second| track::fix(track::START_MS, second));
        runtime.block_on(spool.append(Lane::Telemetry, track::BOOT, group.collect()))?;
    }
    figure::print("drain.fill_records_per_s", f64::from(records) / watch.elapsed().as_secs_f64(), "records/s");
    drop(spool);
    // The writer ends by itself once its last handle is gone, and closes the file.
    wait::until_true("the spool to be free", LIMIT, || !house.path("spool.db-wal").exists() || is_free(house));
    Ok(())
}

fn is_free(house: &House) -> bool {
    let connection = rusqlite::Connection::open(house.path("spool.db"));
    connection.is_ok_and(|connection| connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok())
}
