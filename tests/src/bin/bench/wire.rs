//! What a fix costs on the wire, and how fast chunks are sealed and opened.
//!
//! Real tracks become records, chunks and requests as in the agent, and travel through the agent's own client over mutual
//! TLS and HTTP/2 to the gateway's release binary, past a relay that counts the bytes of both directions. A first request
//! without records sets the connection up and is not counted; everything after it is: TLS records, HTTP/2 frames, headers,
//! the request and its receipt.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use milepost_agent::uplink::client::GatewayClient;
use milepost_agent::{config, identity};
use milepost_proto::chunk::checksum;
use milepost_proto::wire::{WireVersion, encode_request_in};
use milepost_proto::{Batch, BootId, Chunk, ChunkBody, Lane, Record, SequenceRange, SpoolId, Timestamp, UplinkRequest};
use rustix::time::{ClockId, clock_gettime};
use system_tests::house::{House, Plan};

use self::relay::Relay;
use self::tracks::Track;
use crate::{corpus, figure};

mod floor;
mod relay;
mod tracks;

/// Between two requests: a device is allowed a hundred a second.
const PAUSE: Duration = Duration::from_millis(11);
/// Fixes in one request.
const BATCHES: [usize; 4] = [300, 60, 10, 1];
/// Most fixes of a track that are sent one by one or in tens.
const FIXES_MAX: usize = 3_000;
/// How long sealing and opening are measured each.
const MEASURED: Duration = Duration::from_secs(2);
const BOOT: BootId = BootId([0xB0; 16]);

/// Runs everything.
pub(crate) fn run() -> anyhow::Result<()> {
    let tracks = match corpus::shared_data() {
        Ok(data) => vec![tracks::full_fixes(&data)?, tracks::moving(&data)?, tracks::fast(&data)?],
        Err(_) => {
            println!(
                "skipped wire.bytes_per_fix on the corpus: no shared data; a bus of the project's recordings instead"
            );
            let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings/seattle-bus.nmea");
            vec![tracks::recording(&recording)?]
        }
    };
    let mut house = House::new(&Plan::default())?;
    house.start_gateway()?;
    for (number, track) in (1_u8..).zip(&tracks) {
        let name = track.name;
        println!("{name}: {} fixes of {} recordings", track.records.len(), track.recordings);
        figure::print_fine(
            &format!("wire.entropy_floor_bytes_per_fix{{track={name}}}"),
            floor::bytes_per_fix(&track.records),
            "bytes",
        );
        for (at, batch) in (0_u8..).zip(BATCHES) {
            let spool = |version: u8| SpoolId([number, at, version, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
            sent(&house, track, batch, WireVersion::V1, spool(1))?;
            sent(&house, track, batch, WireVersion::V0, spool(0))?;
            compared(track, batch)?;
        }
    }
    speed(&tracks[0])
}

/// Sends a track and prints what it cost.
fn sent(house: &House, track: &Track, batch: usize, version: WireVersion, spool_id: SpoolId) -> anyhow::Result<()> {
    let name = track.name;
    let records = if batch > 10 { &track.records[..] } else { &track.records[..track.records.len().min(FIXES_MAX)] };
    let cost = Sender::new(house, version, spool_id)?.send(records, batch)?;
    let fixes = records.len() as f64;
    // The figure with a goal is that of full fixes in the version that the agent speaks.
    let label = match (version, name) {
        (WireVersion::V1, "full_1hz") => format!("wire.bytes_per_fix{{batch={batch}}}"),
        (WireVersion::V1, _) => format!("wire.bytes_per_fix{{track={name},batch={batch}}}"),
        (WireVersion::V0, _) => format!("wire.v0_postcard_bytes_per_fix{{track={name},batch={batch}}}"),
    };
    figure::print_fine(&label, (cost.up + cost.down) as f64 / fixes, "bytes");
    if version == WireVersion::V1 {
        let part = |part: &str, bytes: u64| {
            figure::print_fine(
                &format!("wire.{part}_bytes_per_fix{{track={name},batch={batch}}}"),
                bytes as f64 / fixes,
                "bytes",
            );
        };
        part("body", cost.bodies);
        part("envelope", cost.envelopes);
        part("up", cost.up);
        part("down", cost.down);
    }
    Ok(())
}

/// What the same records take as JSON, by itself.
fn compared(track: &Track, batch: usize) -> anyhow::Result<()> {
    let (mut plain, mut packed) = (0, 0);
    for records in track.records.chunks(batch) {
        let json = serde_json::to_vec(records)?;
        packed += zstd::bulk::compress(&json, 3)?.len();
        plain += json.len();
    }
    let fixes = track.records.len() as f64;
    let label = |what: &str| format!("wire.{what}_bytes_per_fix{{track={},batch={batch}}}", track.name);
    figure::print_fine(&label("json"), plain as f64 / fixes, "bytes");
    figure::print_fine(&label("json_zstd"), packed as f64 / fixes, "bytes");
    Ok(())
}

/// Bytes.
#[derive(Default)]
struct Cost {
    bodies: u64,
    envelopes: u64,
    up: u64,
    down: u64,
}

/// The agent's client, past the counting relay.
struct Sender {
    client: GatewayClient,
    relay: Relay,
    runtime: tokio::runtime::Runtime,
    version: WireVersion,
    spool_id: SpoolId,
}

impl Sender {
    fn new(house: &House, version: WireVersion, spool_id: SpoolId) -> anyhow::Result<Self> {
        let port = house.ingest_url().rsplit(':').next().context("a port")?.parse()?;
        let relay = Relay::start(port)?;
        let text = std::fs::read_to_string(house.path("agent.toml"))?;
        let folder = house.path("agent.toml");
        let folder = folder.parent().context("a folder")?;
        let config = config::Config::parse(&text, folder).map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
        let identity = identity::load(&config.gateway)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = GatewayClient::new(&format!("https://127.0.0.1:{}", relay.port), identity.tls)?;
        Ok(Self { client, relay, runtime, version, spool_id })
    }

    /// Sends `records`, `batch` of them in each request.
    fn send(&self, records: &[Record], batch: usize) -> anyhow::Result<Cost> {
        self.request(Vec::new(), 0, Timestamp::EPOCH)?;
        let began = self.relay.passed();
        let mut cost = Cost::default();
        let mut first = 1;
        for records in records.chunks(batch) {
            let chunk = self.chunk(first, records)?;
            first = chunk.range.last() + 1;
            let last = records.last().context("a record")?;
            cost.bodies += chunk.body.len() as u64;
            cost.envelopes += self.request(vec![chunk], last.monotonic_ms + 100, last.event_time)?;
        }
        let ended = self.relay.passed();
        Ok(Cost { up: ended.up - began.up, down: ended.down - began.down, ..cost })
    }

    fn chunk(&self, first: u64, records: &[Record]) -> anyhow::Result<Chunk> {
        if self.version != WireVersion::V0 {
            return Ok(Chunk::seal_so_far(first, BOOT, records)?);
        }
        let body = postcard::to_stdvec(&ChunkBody::Records { boot_id: BOOT, records: records.to_vec() })?;
        let range = SequenceRange::starting_at(first, records.len() as u64).context("a range")?;
        Ok(Chunk { range, checksum: checksum(&body), body })
    }

    /// One exchange; gives the size of its request.
    fn request(&self, chunks: Vec<Chunk>, monotonic_ms: u64, mark: Timestamp) -> anyhow::Result<u64> {
        let last = chunks.last().map(|chunk| chunk.range.last());
        let batches =
            if chunks.is_empty() { Vec::new() } else { vec![Batch { lane: Lane::Telemetry, history: false, chunks }] };
        let request = UplinkRequest {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            spool_id: self.spool_id,
            boot_id: BOOT,
            monotonic_ms,
            low_water_mark: Some(mark),
            batches,
            down_link_held: Vec::new(),
            blob_offers: Vec::new(),
        };
        let envelope = encode_request_in(self.version, &request)?;
        let bytes = envelope.len() as u64;
        // Not faster than the gateway's allowance for one device.
        system_tests::wait::pause(PAUSE);
        let answer = self.runtime.block_on(self.client.request(envelope, self.spool_id, false))?;
        let through = answer.receipts.first().map(|receipt| receipt.through);
        anyhow::ensure!(through == last, "a receipt through {through:?} for {last:?}");
        Ok(bytes)
    }
}

fn speed(track: &Track) -> anyhow::Result<()> {
    let runs: Vec<&[Record]> = track.records.chunks(300).collect();
    let chunks: Vec<Chunk> =
        runs.iter().map(|records| Chunk::seal_so_far(1, BOOT, records)).collect::<Result<_, _>>()?;
    let encoded = per_second(|| {
        runs.iter()
            .map(|records| black_box(Chunk::seal_so_far(1, BOOT, records)).map_or(0, |chunk| chunk.range.count()))
            .sum()
    });
    figure::print("wire.encode_records_per_s", encoded, "records/s");
    let decoded =
        per_second(|| chunks.iter().map(|chunk| black_box(chunk.open()).map_or(0, |_| chunk.range.count())).sum());
    figure::print("wire.decode_records_per_s", decoded, "records/s");
    Ok(())
}

/// How many of what `work` does and counts fit into a second of this thread's processor time.
fn per_second(work: impl Fn() -> u64) -> f64 {
    let (began, mut done) = (processor_time(), 0);
    while processor_time() - began < MEASURED {
        done += work();
    }
    done as f64 / (processor_time() - began).as_secs_f64()
}

/// Processor time that this thread has used.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
