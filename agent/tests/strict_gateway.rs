//! The event loop, on a clock told by the test, against gateways that refuse, hang or are gone: the healthy rest arrives,
//! what is refused is kept aside with a gap in its place, and every record is accounted for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use milepost_agent::capture::{BlobPart, DriverCapture};
use milepost_agent::clock::{Clock, ToldTime};
use milepost_agent::config::Config;
use milepost_agent::event::{Event, Uplinked};
use milepost_agent::event_loop::{self, EventLoop, Parts};
use milepost_agent::source::{Observation, SourceNews, SourceReport};
use milepost_agent::spool::{Spool, SpoolOptions};
use milepost_agent::status::{Status, UplinkHealth};
use milepost_agent::uplink::outgoing::{Outgoing, Parcel};
use milepost_agent::uplink::{SendFailure, Slot, Ticket};
use milepost_proto::driver_app::{ActionKind, DriverAction};
use milepost_proto::reading::{Signal, Switch};
use milepost_proto::uplink::{BlobState, Receipt};
use milepost_proto::{BootId, ChunkBody, Lane, Reading, Sha256, SpoolId, UplinkAnswer, UplinkRequest, wire};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

/// When the tests take place, milliseconds since the Unix epoch: a noon.
const NOON_MS: i64 = 1_795_521_600_000;

/// An agent without any network.
struct Vehicle {
    agent: EventLoop,
    time: Arc<ToldTime>,
    status: watch::Receiver<Status>,
    outgoing: Arc<Mutex<VecDeque<Outgoing>>>,
    /// With spool and link file; gone with the vehicle.
    folder: TempDir,
}

impl Vehicle {
    async fn start(gateway_toml: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let text = format!(
            "device = \"truck-7\"\n[spool]\npath = \"spool.db\"\n[http]\nlisten = \"127.0.0.1:0\"\n[gateway]\n\
             ca = \"ca\"\ncertificate = \"c\"\nkey = \"k\"\n{gateway_toml}"
        );
        let config = Config::parse(&text, folder.path()).expect("no mistakes");
        let time = Arc::new(ToldTime::default());
        time.system_ms.store(NOON_MS, Ordering::Relaxed);
        let clock = Clock::told(Arc::clone(&time));
        let options = SpoolOptions {
            path: &config.spool.path,
            quota_bytes: config.spool.quota_bytes,
            boot_id: BootId([2; 16]),
            fresh_spool_id: SpoolId([1; 16]),
            signer: Box::new(|digest| Ok(digest.to_vec())),
        };
        let (spool, opened, down_link) = Spool::open_without_thread(options).expect("opens");
        let outgoing: Arc<Mutex<VecDeque<Outgoing>>> = Arc::default();
        let queue = Arc::clone(&outgoing);
        let (sender, status) = watch::channel(event_loop::first_status(&config, &clock, BootId([2; 16])));
        let parts = Parts {
            clock,
            boot_id: BootId([2; 16]),
            spool,
            opened,
            absence: None,
            down_link,
            carrier: Box::new(move |outgoing| queue.lock().expect("unharmed").push_back(outgoing)),
            status: sender,
            trip: watch::channel(None).0,
            chance: Box::new(|| 0.5),
            alive: || {},
            config,
        };
        Self { agent: EventLoop::start(parts).await, time, status, outgoing, folder }
    }

    fn now_ms(&self) -> u64 {
        self.time.monotonic_ms.load(Ordering::Relaxed)
    }

    async fn pass(&mut self, ms: u64) {
        self.time.monotonic_ms.fetch_add(ms, Ordering::Relaxed);
        self.time.system_ms.fetch_add(i64::try_from(ms).expect("soon"), Ordering::Relaxed);
        self.agent.handle_tick().await;
    }

    async fn observe(&mut self, reading: Reading) {
        let news = SourceNews::Observed { observations: vec![Observation { event_time: None, reading }], raw: None };
        self.agent.handle(Event::Source(SourceReport { source: "http".into(), news })).await;
        self.agent.act().await;
    }

    /// A signal whose value is never near the last one, so that it is always kept.
    async fn telemetry(&mut self, value: u32) {
        let signal = Signal { name: "Vehicle.Speed".to_owned(), value: f64::from(value) * 100.0, unit: String::new() };
        self.observe(Reading::Signal(signal)).await;
        self.pass(2_000).await;
        self.agent.act().await;
    }

    async fn event(&mut self, name: &str) {
        self.observe(Reading::Switch(Switch { name: name.to_owned(), on: true })).await;
    }

    async fn evidence(&mut self, client_ref: &str) {
        let action = DriverAction {
            client_ref: client_ref.to_owned(),
            action: ActionKind::Arrived,
            stop: None,
            at: None,
            driver: None,
        };
        let (reply, answer) = oneshot::channel();
        let capture = DriverCapture::Action(Box::new(action));
        self.agent.handle(Event::Captured { capture, reply }).await;
        answer.await.expect("answered").expect("accepted");
    }

    async fn photo(&mut self, bytes: Vec<u8>) {
        for (offset, piece) in (0..).step_by(200_000).zip(bytes.chunks(200_000)) {
            let size = Some(bytes.len() as u64);
            let part = BlobPart { sha256: Sha256::of(&bytes), offset, bytes: piece.to_vec(), size };
            let (reply, answer) = oneshot::channel();
            self.agent.handle(Event::BlobPart { part, reply }).await;
            answer.await.expect("answered").expect("accepted");
        }
    }

    /// Lets the agent act until it waits; gives what left meanwhile.
    async fn act(&mut self) -> Vec<Outgoing> {
        loop {
            self.agent.handle_tick().await;
            let before = self.outgoing.lock().expect("unharmed").len();
            self.agent.act().await;
            let is_due = self.agent.due_ms().is_some_and(|due_ms| due_ms <= self.now_ms());
            if !is_due && self.outgoing.lock().expect("unharmed").len() == before {
                return self.outgoing.lock().expect("unharmed").drain(..).collect();
            }
        }
    }

    /// Runs for `ms` against `gateways`.
    async fn run(&mut self, ms: u64, gateways: &mut impl FnMut(Outgoing) -> Option<Result<Uplinked, SendFailure>>) {
        let end_ms = self.now_ms() + ms;
        loop {
            let sent = self.act().await;
            let is_quiet = sent.is_empty();
            for outgoing in sent {
                let ticket = outgoing.ticket;
                if let Some(result) = gateways(outgoing) {
                    self.agent.handle(Event::Uplinked(ticket, result)).await;
                }
            }
            if is_quiet {
                if self.now_ms() >= end_ms {
                    return;
                }
                self.pass(1_000).await;
            }
        }
    }

    fn status(&self) -> Status {
        self.status.borrow().clone()
    }
}

/// What a gateway holds, and when it got it.
#[derive(Default)]
struct Journal {
    records: BTreeSet<(Lane, u64)>,
    gaps: BTreeMap<(Lane, u64), String>,
    blobs: BTreeMap<Sha256, Vec<u8>>,
    requests: usize,
}

impl Journal {
    /// Takes a request as a sound gateway does.
    fn take(&mut self, request: &UplinkRequest) -> UplinkAnswer {
        let mut receipts = Vec::new();
        for batch in &request.batches {
            for chunk in &batch.chunks {
                match chunk.open().expect("opens") {
                    ChunkBody::Records { .. } => {
                        self.records.extend((chunk.range.first()..=chunk.range.last()).map(|n| (batch.lane, n)));
                    }
                    ChunkBody::Gap(gap) => {
                        let lost = (chunk.range.first()..=chunk.range.last()).map(|n| (batch.lane, n));
                        self.gaps.extend(lost.map(|key| (key, gap.detail.clone())));
                    }
                    other => panic!("unexpected {other:?}"),
                }
            }
            let accepted = batch.chunks.iter().map(|chunk| chunk.range).collect();
            let spool_id = request.spool_id;
            receipts.push(Receipt { spool_id, lane: batch.lane, through: 0, accepted, refused: Vec::new() });
        }
        let state = |offer: &milepost_proto::uplink::BlobOffer| {
            let held = self.blobs.get(&offer.sha256).map_or(0, |bytes| bytes.len() as u64);
            BlobState { sha256: offer.sha256, held, complete: held == offer.size }
        };
        let blobs = request.blob_offers.iter().map(state).collect();
        UplinkAnswer { receipts, down_link: Vec::new(), blobs }
    }

    fn handle(&mut self, parcel: Parcel) -> Uplinked {
        self.requests += 1;
        match parcel {
            Parcel::Request { envelope, .. } => Uplinked::Answer(self.take(&decode(&envelope))),
            Parcel::BlobPart { blob, offset, bytes } => {
                let held = self.blobs.entry(blob.sha256).or_default();
                assert_eq!(held.len() as u64, offset, "parts follow one another");
                held.extend(bytes);
                let held = held.len() as u64;
                Uplinked::Part(BlobState { sha256: blob.sha256, held, complete: held == blob.size }, offset)
            }
        }
    }
}

fn decode(envelope: &[u8]) -> UplinkRequest {
    wire::decode_request(envelope).expect("a request").1
}

fn carries(parcel: &Parcel, lane: Lane, sequence: u64) -> bool {
    let Parcel::Request { envelope, .. } = parcel else { return false };
    decode(envelope).batches.iter().any(|batch| {
        let chunks = batch.chunks.iter().filter(|chunk| !matches!(chunk.open(), Ok(ChunkBody::Gap(_))));
        batch.lane == lane
            && chunks.into_iter().any(|chunk| (chunk.range.first()..=chunk.range.last()).contains(&sequence))
    })
}

fn refused() -> Result<Uplinked, SendFailure> {
    Err(SendFailure::Refused { why: "422 no such enumeration".to_owned() })
}

const ONE: &str = "url = \"https://a\"\n";

#[tokio::test]
async fn poison_in_each_lane_is_set_aside_and_everything_else_arrives_within_a_minute() {
    let mut vehicle = Vehicle::start(ONE).await;
    // What was offered once is a chunk of its own from then on.
    let mut gone = |_| Some(Err(SendFailure::Unreachable { why: "no route".to_owned() }));
    for n in 1..=40 {
        vehicle.telemetry(n).await;
        vehicle.run(20_000, &mut gone).await;
    }
    for n in 0..5 {
        vehicle.event(&format!("door-{n}")).await;
    }
    for n in 0..3 {
        vehicle.evidence(&format!("c-{n}")).await;
    }
    let mut journal = Journal::default();
    let poison = [(Lane::Evidence, 2), (Lane::Event, 3), (Lane::Telemetry, 17)];
    let mut strict = |outgoing: Outgoing| {
        let is_poisoned = poison.iter().any(|&(lane, sequence)| carries(&outgoing.parcel, lane, sequence));
        Some(if is_poisoned { refused() } else { Ok(journal.handle(outgoing.parcel)) })
    };
    vehicle.run(55_000, &mut strict).await;
    let status = vehicle.status();
    assert!(status.spool.lanes.iter().all(|lane| lane.waiting == 0), "{:?}", status.spool.lanes);
    assert!(poison.iter().all(|key| journal.gaps.contains_key(key)), "{:?}", journal.gaps);
    let lost = |lane| journal.gaps.keys().filter(|(of, _)| *of == lane).count();
    assert_eq!(lost(Lane::Evidence), 1);
    assert!(lost(Lane::Event) <= 5 && lost(Lane::Telemetry) <= 10, "{:?}", journal.gaps);
    assert!(journal.gaps.values().all(|why| why.contains("422 no such enumeration")), "{:?}", journal.gaps);
    for lane in &status.spool.lanes {
        for sequence in 1..=lane.last_sequence {
            let key = (lane.lane, sequence);
            assert!(journal.records.contains(&key) != journal.gaps.contains_key(&key), "{key:?}");
        }
    }
    let poison = &status.uplink.poison;
    let lost = journal.gaps.len() as u64;
    assert_eq!((poison.set_aside, poison.records, poison.evidence), (lost, lost, 1));
    assert!(poison.bytes > 0 && poison.why.is_some());
}

#[tokio::test]
async fn a_gateway_that_refuses_even_a_heartbeat_empties_nothing_into_the_quarantine() {
    let mut vehicle = Vehicle::start(ONE).await;
    vehicle.evidence("c-1").await;
    vehicle.run(600_000, &mut |_| Some(refused())).await;
    let status = vehicle.status();
    assert_eq!((status.uplink.poison.records, status.uplink.state), (0, UplinkHealth::Stopped));
    assert!(status.uplink.why.expect("why").contains("even a request without records"));
    assert!(status.spool.lanes[0].waiting == 1 && status.spool.lanes[1].waiting > 0);
    let mut journal = Journal::default();
    vehicle.run(70_000, &mut |outgoing| Some(Ok(journal.handle(outgoing.parcel)))).await;
    assert!(journal.records.contains(&(Lane::Evidence, 1)), "once it is mended, everything arrives");
}

#[tokio::test]
async fn evidence_arrives_while_a_bulk_request_hangs_and_no_chunk_is_in_both() {
    let mut vehicle = Vehicle::start(ONE).await;
    let mut journal = Journal::default();
    vehicle.run(1_000, &mut |outgoing| Some(Ok(journal.handle(outgoing.parcel)))).await;
    for n in 1..=10 {
        vehicle.telemetry(n).await;
    }
    let mut hung: Option<(Ticket, Parcel)> = None;
    let mut hole = |outgoing: Outgoing| match outgoing.ticket.slot {
        Slot::Bulk => {
            assert!(hung.replace((outgoing.ticket, outgoing.parcel)).is_none(), "one bulk request at a time");
            None
        }
        Slot::Urgent => {
            let hangs = hung.as_ref().map(|(ticket, _)| ticket.spare);
            assert_ne!(hangs, Some(outgoing.ticket.spare), "not by the connection that hangs");
            Some(Ok(journal.handle(outgoing.parcel)))
        }
    };
    vehicle.run(6_000, &mut hole).await;
    vehicle.evidence("c-1").await;
    vehicle.run(0, &mut hole).await;
    let (ticket, parcel) = hung.expect("telemetry is under way");
    assert!(journal.records.contains(&(Lane::Evidence, 1)), "at once, not after a timeout");
    assert!(carries(&parcel, Lane::Telemetry, 1) && !carries(&parcel, Lane::Evidence, 1));
    let answer = journal.handle(parcel);
    vehicle.agent.handle(Event::Uplinked(ticket, Ok(answer))).await;
    vehicle.run(10_000, &mut |outgoing| Some(Ok(journal.handle(outgoing.parcel)))).await;
    assert_eq!(vehicle.status().spool.lanes.iter().map(|lane| lane.waiting).sum::<u64>(), 0);
}

#[tokio::test]
async fn the_second_gateway_takes_over_and_the_first_is_used_again_once_it_is_back() {
    let mut vehicle = Vehicle::start("urls = [\"https://a\", \"https://b\"]\n").await;
    vehicle.evidence("c-1").await;
    let gone = || Err(SendFailure::Unreachable { why: "no route".to_owned() });
    let (mut first, mut second) = (Journal::default(), Journal::default());
    let mut first_is_gone = |outgoing: Outgoing| {
        Some(if outgoing.ticket.gateway == 0 { gone() } else { Ok(second.handle(outgoing.parcel)) })
    };
    vehicle.run(60_000, &mut first_is_gone).await;
    let status = vehicle.status();
    assert_eq!(status.uplink.gateway, "https://b");
    assert!(status.uplink.gateways[0].trouble.as_ref().expect("a complaint").contains("no route"));
    assert!(second.records.contains(&(Lane::Evidence, 1)));
    let mut both = |outgoing: Outgoing| {
        let journal = if outgoing.ticket.gateway == 0 { &mut first } else { &mut second };
        Some(Ok(journal.handle(outgoing.parcel)))
    };
    vehicle.run(300_000, &mut both).await;
    vehicle.evidence("c-2").await;
    vehicle.run(1_000, &mut both).await;
    assert_eq!(vehicle.status().uplink.gateway, "https://a");
    assert!(first.records.contains(&(Lane::Evidence, 2)));
}

#[tokio::test]
async fn over_a_metered_link_telemetry_keeps_its_budget_photos_wait_and_evidence_does_not() {
    let budget = "blobs = \"wifi\"\nblobs_wait_h = 2\nlink_file = \"link\"\ngather_ms = 1000\n\
                  [[gateway.budget]]\nlink = \"metered\"\ntelemetry_mib_per_day = 0\n";
    let mut vehicle = Vehicle::start(&format!("{ONE}{budget}")).await;
    vehicle.telemetry(1).await;
    vehicle.evidence("c-1").await;
    let photo: Vec<u8> = (0..=250).cycle().take(300_000).collect();
    vehicle.photo(photo.clone()).await;
    vehicle.photo(vec![7; 9_000]).await;
    let mut journal = Journal::default();
    vehicle.run(120_000, &mut |outgoing| Some(Ok(journal.handle(outgoing.parcel)))).await;
    let status = vehicle.status();
    assert!(journal.records.contains(&(Lane::Evidence, 1)));
    assert_eq!(status.spool.lanes[2].waiting, 1, "telemetry waits");
    assert_eq!(journal.blobs.keys().copied().collect::<Vec<_>>(), [Sha256::of(&[7; 9_000])], "a signature goes");
    assert!(status.uplink.held.iter().any(|held| held.starts_with("telemetry waits")), "{:?}", status.uplink.held);
    assert!(status.uplink.held.iter().any(|held| held.contains("photos wait for Wi-Fi")));
    assert!(status.uplink.held.iter().any(|held| held.contains("link_file")), "the file that is not there is told");
    vehicle.run(2 * 3_600_000, &mut |outgoing| Some(Ok(journal.handle(outgoing.parcel)))).await;
    assert_eq!(journal.blobs.get(&Sha256::of(&photo)), Some(&photo), "it has waited long enough");
    std::fs::write(vehicle.folder.path().join("link"), "wifi").expect("written");
    vehicle.run(70_000, &mut |outgoing| Some(Ok(journal.handle(outgoing.parcel)))).await;
    assert!(journal.records.contains(&(Lane::Telemetry, 1)));
}
