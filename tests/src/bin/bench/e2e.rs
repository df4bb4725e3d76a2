//! From the source to the outbox: how long a proof of delivery takes, and how many positions a second pass.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use milepost_proto::{Pod, Timestamp};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;
use system_tests::house::{DEVICE, House, Plan};
use system_tests::live_drive::sentences_at;
use system_tests::{driver, pty, wait};

use crate::figure;

/// Proofs of delivery, one after the other.
const PODS: usize = 200;
/// Positions kept while the gateway is away, then drained.
const POSITIONS: u32 = 100_000;
const LIMIT: Duration = Duration::from_secs(300);

/// Runs both parts.
pub(crate) fn run() -> anyhow::Result<()> {
    latency()?;
    throughput()
}

/// Source → receipt → milestone → outbox, one proof of delivery at a time.
fn latency() -> anyhow::Result<()> {
    let mut house = House::new(&Plan {
        gateway_toml: "[odoo]\nurl = \"http://127.0.0.1:9\"\ndatabase = \"x\"\napi_key_file = \"odoo.key\"\n\
                       mode = \"dry_run\"\nledger = \"calls.jsonl\"\n"
            .to_owned(),
        plan_json: Some(plan_json()),
        ..Plan::default()
    })?;
    std::fs::write(house.path("odoo.key"), "not used in a dry run")?;
    house.start_gateway()?;
    house.start_agent()?;
    wait::until_true("the trip", LIMIT, || house.agent_status().is_some_and(|status| status["trip"]["id"] == "T1"));
    let (http, url) = (driver::http(), format!("{}/v1/pods", house.agent_url()));
    let mut began_ms = Vec::with_capacity(PODS);
    let mut accepted_ms = Vec::with_capacity(PODS);
    for n in 0..PODS {
        let pod =
            json!({"client_ref": n.to_string(), "stop": stop(n), "shipment": shipment(n), "outcome": "completed"});
        let (began, watch) = (unix_ms(), wait::now());
        http.post(&url).send_json(pod)?;
        accepted_ms.push(watch.elapsed().as_secs_f64() * 1e3);
        began_ms.push(began);
        wait::pause(Duration::from_millis(20));
    }
    let store = house.path("gateway.db");
    let times = wait::until("every effect to settle", LIMIT, || {
        let times = Times::read(&store).ok()?;
        (times.settled.len() == PODS).then_some(times)
    });
    let since = |times: &[(usize, i64)]| -> Vec<f64> {
        times.iter().map(|(n, at_ms)| (*at_ms - began_ms[*n]) as f64).collect()
    };
    figure::print_percentiles("e2e.accepted", accepted_ms);
    figure::print_percentiles("e2e.receipt", since(&times.received));
    figure::print_percentiles("e2e.milestone", since(&times.known));
    figure::print_percentiles("e2e.outbox", since(&times.owed));
    figure::print_percentiles("e2e.settled_dry_run", since(&times.settled));
    print_memory(&house, "pods");
    Ok(())
}

/// Positions through the serial line into the spool, then out of it.
fn throughput() -> anyhow::Result<()> {
    let mut house = House::new(&Plan {
        agent_toml: "[reporting]\ninterval_s = 1\ndistance_m = 1.0\n\n\
                     [[source]]\nname = \"gnss\"\nkind = \"nmea_serial\"\npath = \"gnss\"\nbaud = 921600\n"
            .to_owned(),
        ..Plan::default()
    })?;
    let (master, _slave) = pty::open(&house.path("gnss"))?;
    house.start_agent()?;
    let watch = wait::now();
    let receiver = std::thread::spawn(move || feed(File::from(master)));
    let waiting = wait::until("the positions in the spool", LIMIT, || {
        let waiting = telemetry_waiting(&house)?;
        (receiver.is_finished() && waiting + 5 >= u64::from(POSITIONS)).then_some(waiting)
    });
    figure::print("e2e.intake_records_per_s", waiting as f64 / watch.elapsed().as_secs_f64(), "records/s");
    print_memory(&house, "backlog");
    house.start_gateway()?;
    let watch = wait::now();
    house.wait_until_drained(LIMIT);
    figure::print("e2e.drain_records_per_s", waiting as f64 / watch.elapsed().as_secs_f64(), "records/s");
    let status = house.agent_status().context("the agent answers")?;
    let sent_bytes = status["uplink"]["sent_bytes"].as_f64().unwrap_or_default();
    figure::print("e2e.wire_bytes_per_record", sent_bytes / waiting as f64, "bytes");
    print_memory(&house, "drained");
    Ok(())
}

/// A second of driving each, up to now.
fn feed(mut receiver: File) {
    let now_s = unix_ms() / 1_000;
    for n in 0..POSITIONS {
        let second = now_s - i64::from(POSITIONS) + i64::from(n);
        let sentences = sentences_at(Timestamp::from_millis(second * 1_000), f64::from(n % 20_000) * 10.0, true);
        // The agent reads as long as it runs.
        receiver.write_all(sentences.as_bytes()).ok();
    }
}

fn telemetry_waiting(house: &House) -> Option<u64> {
    house.agent_status()?["spool"]["lanes"][2]["waiting"].as_u64()
}

fn print_memory(house: &House, when: &str) {
    for (name, program) in [("agent", &house.agent), ("gateway", &house.gateway)] {
        if let Some((now, most)) = program.as_ref().and_then(|program| figure::resident_mib(program.id())) {
            figure::print(&format!("e2e.{name}_rss_mib{{after={when}}}"), now, "MiB");
            figure::print(&format!("e2e.{name}_rss_mib_max{{after={when}}}"), most, "MiB");
        }
    }
}

/// When things became true at the gateway, by its own clock, for each proof.
#[derive(Default)]
struct Times {
    received: Vec<(usize, i64)>,
    known: Vec<(usize, i64)>,
    owed: Vec<(usize, i64)>,
    settled: Vec<(usize, i64)>,
}

impl Times {
    fn read(store: &Path) -> anyhow::Result<Self> {
        let connection = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut times = Self::default();
        let mut statement = connection.prepare(
            "SELECT body, created_at, settled_at,
                    (SELECT min(known_at) FROM milestone_history AS history
                     WHERE history.body LIKE '%\"delivery.completed\"%' AND history.body LIKE '%\"' || shipment_id || '\"%')
             FROM outbox WHERE effect_key LIKE 'pod:%'",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let effect: milepost_gateway::effect::Effect = serde_json::from_str(&row.get::<_, String>(0)?)?;
            let milepost_gateway::effect::EffectBody::Pod { pod, .. } = effect.body else { continue };
            let n = number(&pod)?;
            times.owed.push((n, row.get(1)?));
            times.settled.extend(row.get::<_, Option<i64>>(2)?.map(|at| (n, at)));
            times.known.extend(row.get::<_, Option<i64>>(3)?.map(|at| (n, at)));
        }
        times.received = received(&connection)?;
        Ok(times)
    }
}

/// When each proof's chunk was durable.
fn received(connection: &Connection) -> anyhow::Result<Vec<(usize, i64)>> {
    let mut statement =
        connection.prepare("SELECT first_sequence, received_at FROM journal WHERE lane = 'evidence'")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, usize>(0)? - 1, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn number(pod: &Pod) -> anyhow::Result<usize> {
    pod.client_ref.parse().context("a proof of this benchmark has a number")
}

fn stop(n: usize) -> String {
    format!("S{n}")
}

fn shipment(n: usize) -> String {
    format!("P{n}")
}

/// One stop for each proof, kilometres apart.
fn plan_json() -> String {
    let stops: Vec<_> = (0..PODS)
        .map(|n| {
            let lat = 40.0 + n as f64 * 0.05;
            json!({"id": stop(n), "shipment": shipment(n), "kind": "delivery", "lat": lat, "lon": 5.0, "radius_m": 50.0})
        })
        .collect();
    json!({"trips": [{"id": "T1", "device": DEVICE, "stops": stops}]}).to_string()
}

#[expect(clippy::disallowed_methods, reason = "compared with times that the gateway wrote down")]
fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
