//! How many records a second the gateway takes into custody, and how many bytes its store needs for each.
//!
//! Three figures that are not the same. `{tls}` posts finished requests to the release binary over mutual TLS: the wall
//! clock's rate, in which the client that sends takes its part of the machine. `ingest.records_per_s_core` divides the
//! same records by the processor time of the gateway's process alone, folding included. `{in_process}` begins at the bytes of an envelope, without TLS and
//! HTTP: decode, inspect, journal, sync. Every request is answered after its commit in all of them.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use milepost_gateway::ingest::inspect::inspect;
use milepost_gateway::ingest::peer::Peer;
use milepost_gateway::store::Store;
use milepost_gateway::store::accept::accept;
use milepost_proto::wire::{self, encode_request};
use milepost_proto::{Batch, Chunk, Lane, SpoolId, Timestamp, UplinkRequest};
use reqwest::{Certificate, Client, Identity};
use rusqlite::Connection;
use system_tests::house::{DEVICE, House, Plan};
use system_tests::wait;
use tokio::task::JoinSet;

use crate::{figure, track};

/// Positions handed over in each part, unless the command line names another number.
const POSITIONS: u32 = 1_200_000;
/// Records in a chunk of a vehicle that drains.
const RECORDS_PER_CHUNK: u32 = 300;
/// Records in a chunk of a vehicle that sends every few seconds.
const RECORDS_PER_CHUNK_LIVE: u32 = 5;
/// Chunks in a request.
const CHUNKS_PER_REQUEST: usize = 40;
/// Requests under way at once.
const CONCURRENT: usize = 4;

/// Runs all parts; the first argument may name another number of positions.
pub(crate) fn run() -> anyhow::Result<()> {
    let positions =
        std::env::args().nth(2).map_or(Ok(POSITIONS), |count| count.parse().context("how many positions?"))?;
    let runtime = tokio::runtime::Runtime::new()?;
    for each in [RECORDS_PER_CHUNK, RECORDS_PER_CHUNK_LIVE] {
        runtime.block_on(stored_bytes(positions / 2, each))?;
    }
    let envelopes = envelopes(positions, RECORDS_PER_CHUNK)?;
    let wire_bytes: usize = envelopes.iter().map(Vec::len).sum();
    figure::print("ingest.wire_bytes_per_record", wire_bytes as f64 / f64::from(positions), "bytes");
    runtime.block_on(in_process(positions, &envelopes))?;
    runtime.block_on(over_tls(positions, envelopes))
}

/// The store's file after a checkpoint, by position.
async fn stored_bytes(stored: u32, each: u32) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("gateway.db");
    let store = Store::open(&path)?;
    for envelope in envelopes(stored, each)? {
        take(&store, &envelope).await?;
    }
    drop(store);
    let connection = Connection::open(&path)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let (body_bytes, positions): (f64, f64) =
        connection.query_row("SELECT sum(length(body)), sum(more + 1) FROM chunk", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let file_bytes = std::fs::metadata(&path)?.len() as f64;
    figure::print(&format!("store.bytes_per_position{{chunk={each}}}"), file_bytes / positions, "bytes");
    figure::print(&format!("store.body_bytes_per_position{{chunk={each}}}"), body_bytes / positions, "bytes");
    let beside = (file_bytes - body_bytes) / positions * f64::from(each);
    figure::print(&format!("store.bytes_beside_body_per_chunk{{chunk={each}}}"), beside, "bytes");
    Ok(())
}

async fn in_process(positions: u32, envelopes: &[Vec<u8>]) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(&folder.path().join("gateway.db"))?;
    let (watch, cpu_s) = (wait::now(), cpu_seconds("self")?);
    let mut handing = JoinSet::new();
    for part in envelopes.chunks(envelopes.len().div_ceil(CONCURRENT)) {
        let (store, part) = (store.clone(), part.to_vec());
        handing.spawn(async move {
            for envelope in &part {
                take(&store, envelope).await?;
            }
            anyhow::Ok(())
        });
    }
    handing.join_all().await.into_iter().collect::<anyhow::Result<()>>()?;
    let records = f64::from(positions);
    figure::print("ingest.records_per_s{in_process}", records / watch.elapsed().as_secs_f64(), "records/s");
    let spent_s = cpu_seconds("self")? - cpu_s;
    figure::print("ingest.records_per_s_core{in_process}", records / spent_s, "records/s of one core");
    Ok(())
}

async fn over_tls(positions: u32, envelopes: Vec<Vec<u8>>) -> anyhow::Result<()> {
    let mut house = House::new(&Plan::default())?;
    house.start_gateway()?;
    let gateway = house.gateway.as_ref().context("it runs")?.id().to_string();
    drop(rustls::crypto::ring::default_provider().install_default());
    let read = |name: &str| std::fs::read(house.path(name));
    let identity = [read(&format!("{DEVICE}.key"))?, read(&format!("{DEVICE}.pem"))?].concat();
    let client = Client::builder()
        .tls_certs_only([Certificate::from_pem(&read("ca.pem")?)?])
        .identity(Identity::from_pem(&identity)?)
        .no_proxy()
        .build()?;
    let url = Arc::new(format!("{}/v1/batches", house.ingest_url()));
    let (watch, cpu_s) = (wait::now(), cpu_seconds(&gateway)?);
    let mut handing = JoinSet::new();
    for part in envelopes.chunks(envelopes.len().div_ceil(CONCURRENT)) {
        let (client, url, part) = (client.clone(), Arc::clone(&url), part.to_vec());
        handing.spawn(async move {
            for envelope in part {
                post(&client, &url, envelope).await?;
            }
            anyhow::Ok(())
        });
    }
    handing.join_all().await.into_iter().collect::<anyhow::Result<()>>()?;
    let (wall_s, spent_s) = (watch.elapsed().as_secs_f64(), cpu_seconds(&gateway)? - cpu_s);
    let records = f64::from(positions);
    figure::print("ingest.records_per_s{tls}", records / wall_s, "records/s");
    figure::print("ingest.records_per_s_core", records / spent_s, "records/s of one core");
    held(positions, &house.path("gateway.db"))
}

/// Hands one request over, coming again when told to.
async fn post(client: &Client, url: &str, envelope: Vec<u8>) -> anyhow::Result<()> {
    loop {
        let request = client.post(url).header("content-type", wire::CONTENT_TYPE).body(envelope.clone());
        let answer = request.send().await?;
        match answer.status().as_u16() {
            200 => return Ok(()),
            429 | 503 => wait::pause(std::time::Duration::from_millis(50)),
            other => anyhow::bail!("{other}: {}", answer.text().await?),
        }
    }
}

/// Fails unless every record is in the journal.
fn held(positions: u32, store: &Path) -> anyhow::Result<()> {
    let connection = Connection::open(store)?;
    let held: u32 = connection.query_row("SELECT sum(more + 1) FROM chunk", [], |row| row.get(0))?;
    anyhow::ensure!(held == positions, "{held} of {positions} records are in the journal");
    Ok(())
}

async fn take(store: &Store, envelope: &[u8]) -> anyhow::Result<()> {
    let (_, request) = wire::decode_request(envelope)?;
    let peer = Peer {
        fleet_id: "acme".parse()?,
        device_id: DEVICE.parse()?,
        public_key: Vec::new(),
        earlier_keys: Vec::new(),
    };
    let inspected = inspect(&peer, request, Timestamp::from_millis(track::START_MS));
    store.write(move |connection| accept(connection, &inspected.arrival)).await?;
    Ok(())
}

fn envelopes(count: u32, each: u32) -> anyhow::Result<Vec<Vec<u8>>> {
    let chunks = track::chunks(count, each)?;
    chunks.chunks(CHUNKS_PER_REQUEST).map(|chunks| Ok(encode_request(&request(chunks))?)).collect()
}

fn request(chunks: &[Chunk]) -> UplinkRequest {
    UplinkRequest {
        agent_version: "bench".to_owned(),
        spool_id: SpoolId([1; 16]),
        boot_id: track::BOOT,
        monotonic_ms: u64::MAX,
        low_water_mark: None,
        batches: vec![Batch { lane: Lane::Telemetry, history: false, chunks: chunks.to_vec() }],
        down_link_held: Vec::new(),
        blob_offers: Vec::new(),
    }
}

/// Processor time a process has used so far, seconds, in steps of a hundredth.
fn cpu_seconds(pid: &str) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').context("a process has a name")?.1;
    let ticks: Vec<f64> =
        after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() / 100.0)
}
