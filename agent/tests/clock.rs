//! The agent's clock by its own loop: what is recorded when a device boots in 1970, is told the time, and is then lied to.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use milepost_agent::clock::{Clock, ToldTime};
use milepost_agent::config::Config;
use milepost_agent::event::Event;
use milepost_agent::event_loop::{EventLoop, Parts, first_status};
use milepost_agent::source::{Observation, SourceLink, SourceNews};
use milepost_agent::spool::{Spool, SpoolOptions};
use milepost_agent::uplink::outgoing::{Outgoing, Parcel};
use milepost_proto::reading::{Health, Switch};
use milepost_proto::{BootId, Chunk, Reading, Record, SpoolId, TimeQuality, TimeSource, Timestamp, wire};
use tokio::sync::{mpsc, watch};

const BOOT: BootId = BootId([2; 16]);
/// 2026-11-24T12:00:00Z.
const NOON: Timestamp = Timestamp::from_millis(1_795_521_600_000);

struct Bench {
    told: Arc<ToldTime>,
    clock: Clock,
    agent: EventLoop,
    link: SourceLink,
    inbox: mpsc::Receiver<Event>,
    sent: std::sync::mpsc::Receiver<Outgoing>,
    status: watch::Receiver<milepost_agent::status::Status>,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// Boots at `monotonic_ms` 5,000 with a dead battery.
    async fn boot() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let config = config(folder.path());
        let told = Arc::new(ToldTime::default());
        told.monotonic_ms.store(5_000, Ordering::Relaxed);
        told.system_ms.store(5_000, Ordering::Relaxed);
        let clock = Clock::told(told.clone());
        let options = SpoolOptions {
            path: &config.spool.path,
            quota_bytes: config.spool.quota_bytes,
            boot_id: BOOT,
            fresh_spool_id: SpoolId([1; 16]),
            signer: Box::new(|digest| Ok(digest.to_vec())),
        };
        let (spool, opened, down_link) = Spool::open(options).expect("opens");
        let (events, inbox) = mpsc::channel(8);
        let link = SourceLink::new("http", events, clock.clone());
        let (status_sender, status) = watch::channel(first_status(&config, &clock, BOOT));
        let (out, sent) = std::sync::mpsc::channel();
        let parts = Parts {
            carrier: Box::new(move |outgoing| out.send(outgoing).expect("the test listens")),
            clock: clock.clone(),
            boot_id: BOOT,
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
        let agent = EventLoop::start(parts).await;
        Self { told, clock, agent, link, inbox, sent, status, _folder: folder }
    }

    /// Time passes, on the monotonic and on the system's clock.
    fn pass(&self, ms: u32) {
        self.told.monotonic_ms.fetch_add(u64::from(ms), Ordering::Relaxed);
        self.told.system_ms.fetch_add(i64::from(ms), Ordering::Relaxed);
    }

    async fn ignition(&mut self, on: bool) {
        let reading = Reading::Switch(Switch { name: "ignition".to_owned(), on });
        let observations = vec![Observation { event_time: None, reading }];
        self.link.tell(SourceNews::Observed { observations, raw: None }).await.expect("room");
        let event = self.inbox.recv().await.expect("an event");
        self.agent.handle(event).await;
    }

    /// Everything recorded so far, as the first request carries it.
    async fn records(mut self) -> Vec<Record> {
        self.agent.finish().await;
        self.agent.handle_tick().await;
        self.pass(60_000);
        self.agent.act().await;
        let Ok(Outgoing { parcel: Parcel::Request { envelope, .. }, .. }) = self.sent.try_recv() else {
            panic!("no request")
        };
        let (_, request) = wire::decode_request(&envelope).expect("a request");
        let chunks: Vec<Chunk> = request.batches.into_iter().flat_map(|batch| batch.chunks).collect();
        chunks
            .iter()
            .flat_map(|chunk| chunk.open().expect("whole").into_numbered(chunk.range))
            .map(|one| one.1)
            .collect()
    }
}

fn config(folder: &Path) -> Config {
    let text = "device = \"truck-7\"\n[spool]\npath = \"spool.db\"\n[gateway]\nurl = \"https://localhost\"\n\
                ca = \"ca\"\ncertificate = \"c\"\nkey = \"k\"\n[http]\nlisten = \"127.0.0.1:0\"\n";
    Config::parse(text, folder).expect("no mistakes")
}

#[tokio::test]
async fn a_boot_in_1970_is_told_the_time_once_and_no_step_moves_it() {
    let mut bench = Bench::boot().await;
    assert!(bench.status.borrow().clock.battery_suspect);
    bench.pass(1_000);
    bench.ignition(true).await;

    bench.pass(1_000);
    bench.clock.discipline(NOON);
    bench.ignition(false).await;

    // The network sets the system's clock an hour ahead.
    bench.pass(1_000);
    bench.told.system_ms.store(NOON.as_millis() + 3_601_000, Ordering::Relaxed);
    bench.ignition(true).await;
    bench.agent.handle_tick().await;
    let status = bench.status.borrow().clone();
    assert_eq!((status.clock.steps, status.clock.battery_suspect), (1, false));
    assert_eq!(status.now, NOON.plus_millis(1_000));

    let records = bench.records().await;
    let switched = records.iter().filter(|record| matches!(record.reading, Reading::Switch(_)));
    let times: Vec<(Timestamp, u64, TimeQuality)> =
        switched.map(|record| (record.event_time, record.monotonic_ms, record.time_quality)).collect();
    let gnss = TimeQuality { source: TimeSource::Gnss, error_ms: 1_000 };
    let expected = [
        (Timestamp::from_millis(6_000), 6_000, TimeQuality::UNKNOWN),
        (NOON, 7_000, gnss),
        (NOON.plus_millis(1_000), 8_000, gnss),
    ];
    assert_eq!(times, expected);

    let about_clocks: Vec<&Health> = records
        .iter()
        .filter_map(|record| match &record.reading {
            Reading::Health(health @ (Health::ClockSet { .. } | Health::ClockStepped { .. })) => Some(health),
            _ => None,
        })
        .collect();
    let set =
        Health::ClockSet { monotonic_ms: 7_000, utc: NOON, source: TimeSource::Gnss, error_ms: 1_000, before: None };
    let stepped = Health::ClockStepped { old_offset_ms: 0, new_offset_ms: NOON.as_millis() + 3_601_000 - 8_000 };
    assert_eq!(about_clocks, [&set, &stepped]);
}
