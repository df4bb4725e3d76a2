//! The event loop against a gateway that does not do as it should: nothing is let go of that was not sent, nothing is sent
//! again without a pause, and no low-water mark says more than the agent can know.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use milepost_agent::capture::{Accepted, DriverCapture};
use milepost_agent::clock::Clock;
use milepost_agent::config::Config;
use milepost_agent::event::{EVENTS_MAX, Event, Intake};
use milepost_agent::event_loop::{self, Parts};
use milepost_agent::source::{Observation, SourceLink, SourceNews};
use milepost_agent::spool::{Spool, SpoolOptions};
use milepost_agent::status::{Status, UplinkHealth};
use milepost_agent::uplink::client::GatewayClient;
use milepost_agent::uplink::outgoing;
use milepost_proto::driver_app::{ActionKind, DriverAction, RejectionCode};
use milepost_proto::reading::Switch;
use milepost_proto::uplink::{DownLinkKind, Receipt};
use milepost_proto::{BootId, DownLinkItem, Lane, Reading, Sha256, SpoolId, UplinkAnswer, UplinkRequest, wire};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

const SPOOL: SpoolId = SpoolId([1; 16]);

/// A request, and where its answer goes.
type Exchange = (UplinkRequest, oneshot::Sender<UplinkAnswer>);

/// An agent's event loop whose gateway is the test.
struct Bench {
    folder: TempDir,
    clock: Clock,
    events: mpsc::Sender<Event>,
    status: watch::Receiver<Status>,
    exchanges: mpsc::Receiver<Exchange>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Bench {
    /// Starts the loop, with these readings already waiting for it.
    async fn start(readings: Vec<Observation>) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let (exchanges_in, exchanges) = mpsc::channel(1);
        let address = serve(exchanges_in).await;
        let config = config(folder.path());
        let clock = Clock::system();
        let options = SpoolOptions {
            path: &config.spool.path,
            quota_bytes: config.spool.quota_bytes,
            boot_id: BootId([2; 16]),
            fresh_spool_id: SPOOL,
            signer: Box::new(|digest| Ok(digest.to_vec())),
        };
        let (spool, opened, down_link) = Spool::open(options).expect("opens");
        let (events, inbox) = mpsc::channel(EVENTS_MAX);
        let link = SourceLink::new("http", events.clone(), clock.clone());
        link.tell(SourceNews::Observed { observations: readings, raw: None }).await.expect("room");
        let (status_sender, status) = watch::channel(event_loop::first_status(&config, &clock, BootId([2; 16])));
        let client = GatewayClient::new(&format!("http://{address}"), no_tls()).expect("a client");
        let parts = Parts {
            carrier: outgoing::over_https(vec![client], events.clone()),
            clock: clock.clone(),
            boot_id: BootId([2; 16]),
            spool,
            opened,
            absence: None,
            down_link,
            status: status_sender,
            trip: watch::channel(None).0,
            chance: Box::new(|| 0.5),
            alive: || {},
            config,
        };
        let shutdown = CancellationToken::new();
        let ended = event_loop::run(parts, inbox, shutdown.clone());
        let task = tokio::spawn(async { ended.await.expect("the spool works") });
        Self { folder, clock, events, status, exchanges, shutdown, task }
    }

    async fn request(&mut self) -> Exchange {
        let request = tokio::time::timeout(std::time::Duration::from_secs(20), self.exchanges.recv());
        request.await.expect("in time").expect("a request")
    }

    async fn capture(&self, client_ref: &str, stop: Option<&str>) -> Result<Accepted, RejectionCode> {
        let action = DriverAction {
            client_ref: client_ref.to_owned(),
            action: ActionKind::Arrived,
            stop: stop.map(str::to_owned),
            at: None,
            driver: None,
        };
        let capture = DriverCapture::Action(Box::new(action));
        Intake::new(self.events.clone()).capture(capture).await.map_err(|rejection| rejection.code)
    }

    /// Ends the loop; gives the folder with the spool it leaves.
    async fn end(self) -> TempDir {
        self.shutdown.cancel();
        self.task.await.expect("ends");
        self.folder
    }
}

async fn serve(exchanges: mpsc::Sender<Exchange>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().route("/v1/batches", post(exchange)).with_state(exchanges);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn exchange(State(exchanges): State<mpsc::Sender<Exchange>>, body: Bytes) -> Vec<u8> {
    let (reply, answer) = oneshot::channel();
    let (version, request) = wire::decode_request(&body).expect("a request");
    exchanges.send((request, reply)).await.expect("the test listens");
    // A test that is over drops the exchange.
    answer.await.map(|answer| wire::encode_answer(version, SPOOL, &answer).expect("encodes")).unwrap_or_default()
}

fn no_tls() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    versions.expect("versions").with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
}

fn config(folder: &Path) -> Config {
    let text = "device = \"truck-7\"\n[spool]\npath = \"spool.db\"\n[gateway]\nurl = \"https://localhost\"\n\
                ca = \"ca\"\ncertificate = \"c\"\nkey = \"k\"\nheartbeat_s = 1\n[http]\nlisten = \"127.0.0.1:0\"\n";
    Config::parse(text, folder).expect("no mistakes")
}

fn receipt(lane: Lane, through: u64) -> Receipt {
    Receipt { spool_id: SPOOL, lane, through, accepted: Vec::new(), refused: Vec::new() }
}

fn answer(receipts: Vec<Receipt>) -> UplinkAnswer {
    UplinkAnswer { receipts, down_link: Vec::new(), blobs: Vec::new() }
}

fn everything() -> UplinkAnswer {
    answer(Lane::ALL.into_iter().map(|lane| receipt(lane, u64::MAX)).collect())
}

fn trip(version: u64, body: &str, hashed: &str) -> DownLinkItem {
    let (id, sha256) = ("trip".to_owned(), Sha256::of(hashed.as_bytes()));
    DownLinkItem { id, kind: DownLinkKind::Trip, version, sha256, body: body.into() }
}

fn lanes(request: &UplinkRequest) -> Vec<Lane> {
    request.batches.iter().map(|batch| batch.lane).collect()
}

#[tokio::test]
async fn evidence_that_was_not_sent_stays_whatever_the_gateway_claims_to_hold() {
    let mut bench = Bench::start(Vec::new()).await;
    let (request, reply) = bench.request().await;
    assert_eq!(lanes(&request), [Lane::Event], "the agent's own start");
    bench.capture("c-1", None).await.expect("accepted");
    reply.send(everything()).expect("still asked");
    let (request, _) = bench.request().await;
    assert_eq!(lanes(&request), [Lane::Evidence]);
    bench.end().await;
}

#[tokio::test]
async fn an_answer_that_covers_nothing_is_followed_by_a_pause_that_says_why() {
    let mut bench = Bench::start(Vec::new()).await;
    let (_, reply) = bench.request().await;
    reply.send(answer(vec![receipt(Lane::Event, 0)])).expect("still asked");
    let waits = |status: &Status| status.uplink.state == UplinkHealth::Waiting;
    let why = bench.status.wait_for(waits).await.expect("a status").uplink.why.clone();
    assert!(why.expect("why").contains("covers nothing"));
    bench.end().await;
}

#[tokio::test]
async fn the_mark_is_not_later_than_what_still_waits_for_the_loop() {
    let (now, _) = Clock::system().wall();
    let event_time = now.plus_millis(-60_000);
    let reading = Reading::Switch(Switch { name: "ignition".to_owned(), on: true });
    let mut bench = Bench::start(vec![Observation { event_time: Some(event_time), reading }]).await;
    let mut seen = false;
    while !seen {
        let (request, reply) = bench.request().await;
        seen = request.batches.iter().any(|batch| batch.chunks.iter().any(|chunk| chunk.range.last() >= 2));
        assert!(seen || request.low_water_mark.is_none_or(|mark| mark <= event_time), "{request:?}");
        reply.send(everything()).expect("still asked");
    }
    let (request, _) = bench.request().await;
    assert!(request.low_water_mark.is_some_and(|mark| mark > event_time && mark < bench.clock.wall().0));
    bench.end().await;
}

#[tokio::test]
async fn a_trip_that_is_refused_takes_the_place_of_none() {
    let mut bench = Bench::start(Vec::new()).await;
    let good = r#"{"id":"T1","stops":[]}"#;
    let damaged = trip(2, r#"{"id":"T2","stops":[]}"#, "other");
    let (_, reply) = bench.request().await;
    reply.send(UplinkAnswer { down_link: vec![trip(1, good, good), damaged], ..everything() }).expect("still asked");
    let (request, _) = bench.request().await;
    assert_eq!(request.down_link_held, [("trip".to_owned(), 2)], "it is not sent again");
    let folder = bench.end().await;
    let config = config(folder.path());
    let options = SpoolOptions {
        path: &config.spool.path,
        quota_bytes: config.spool.quota_bytes,
        boot_id: BootId([3; 16]),
        fresh_spool_id: SpoolId([9; 16]),
        signer: Box::new(|digest| Ok(digest.to_vec())),
    };
    let (_, opened, held) = Spool::open(options).expect("opens");
    assert_eq!(opened.spool_id, SPOOL);
    assert_eq!(held, [trip(1, good, good)]);
}

#[tokio::test]
async fn a_capture_sent_again_after_its_trip_has_gone_is_still_accepted() {
    let mut bench = Bench::start(Vec::new()).await;
    let (_, reply) = bench.request().await;
    let body = r#"{"id":"T1","stops":[{"id":"S1","kind":"delivery","lat":52.0,"lon":4.9}]}"#;
    reply.send(UplinkAnswer { down_link: vec![trip(1, body, body)], ..everything() }).expect("still asked");
    bench.request().await.1.send(everything()).expect("still asked");
    assert_eq!(bench.capture("c-0", Some("S9")).await, Err(RejectionCode::UnknownStop));
    let first = bench.capture("c-1", Some("S1")).await.expect("accepted");
    let mut held = Vec::new();
    while held != [("trip".to_owned(), 2)] {
        let (request, reply) = bench.request().await;
        held = request.down_link_held;
        let next = r#"{"id":"T2","stops":[]}"#;
        reply.send(UplinkAnswer { down_link: vec![trip(2, next, next)], ..everything() }).expect("still asked");
    }
    let again = Accepted { duplicate: true, ..first };
    assert_eq!(bench.capture("c-1", Some("S1")).await, Ok(again));
    assert_eq!(bench.capture("c-2", Some("S1")).await, Err(RejectionCode::UnknownStop));
    bench.end().await;
}
