//! One loop, one event enum: the place where sources, spool and uplink meet.
//!
//! Promise: everything the agent decides is decided here, one event after the other, so no two decisions race. The loop
//! waits for nothing but its own spool; bytes to and from devices and the gateway are moved by tasks that report back as
//! events. A driver is answered only after the commit that holds what they captured.

mod clock_watch;
mod power;
mod recording;
mod source_board;
mod trip;
mod uplink_status;
mod uplinking;
pub mod without_spool;

use std::time::Duration;

use milepost_proto::reading::Health;
use milepost_proto::{BootId, DownLinkItem, Lane, Reading, Timestamp, Trip};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::config::Config;
use crate::event::Event;
use crate::spool::{Measure, Opened, Spool, SpoolError};
use crate::status::{ClockStatus, SpoolStatus, Status};
use crate::uplink::link_file::LinkFile;
use crate::uplink::outgoing::Carrier;
use crate::uplink::{Uplink, UplinkPolicy};
use clock_watch::ClockWatch;
use recording::Recorder;
use source_board::SourceBoard;
use trip::TripKeeper;
use uplinking::Traffic;
use without_spool::Absence;

/// How often the status is published and the watchdog told that the loop lives.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// Uniform in 0..1, another one each time.
pub type Chance = Box<dyn FnMut() -> f64 + Send>;

/// What the loop is made of; everything that touches the world comes from outside.
pub struct Parts {
    /// The configuration.
    pub config: Config,
    /// The clocks.
    pub clock: Clock,
    /// This boot.
    pub boot_id: BootId,
    /// The open spool.
    pub spool: Spool,
    /// What was found on opening it.
    pub opened: Opened,
    /// How long there was none, before that.
    pub absence: Option<Absence>,
    /// What the gateway sent down before.
    pub down_link: Vec<DownLinkItem>,
    /// The way to the gateway; what comes of it returns as an event.
    pub carrier: Carrier,
    /// Where the status goes.
    pub status: watch::Sender<Status>,
    /// Where the current trip goes.
    pub trip: watch::Sender<Option<Trip>>,
    /// Uniform in 0..1, for jitter.
    pub chance: Chance,
    /// Tells the service manager that the loop lives.
    pub alive: fn(),
}

/// The agent at work, one step at a time: [`run`] makes a program of it, a simulated world makes many.
pub struct EventLoop {
    config: Config,
    clock: Clock,
    spool: Spool,
    spool_id: String,
    boot_id: BootId,
    started_ms: u64,
    recorder: Recorder,
    clock_watch: ClockWatch,
    sources: SourceBoard,
    trip: TripKeeper,
    uplink: Uplink,
    traffic: Traffic,
    measure: Measure,
    /// The low-water mark for what is neither in the spool nor in the recorder's memory: it stands still while events
    /// wait for the loop, and is absent while nobody knows the time.
    idle_mark: Option<Timestamp>,
    status: watch::Sender<Status>,
    chance: Chance,
    alive: fn(),
}

/// A status from before the loop began.
#[must_use]
pub fn first_status(config: &Config, clock: &Clock, boot_id: BootId) -> Status {
    let (now, time_quality) = clock.wall();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device: config.device.to_string(),
        now,
        time_quality,
        clock: ClockStatus { last_set_age_s: None, steps: clock.steps(), battery_suspect: clock.battery_is_suspect() },
        uptime_s: 0,
        boot_id: boot_id.to_string(),
        sources: SourceBoard::new(config).status(0),
        position: None,
        spool: SpoolStatus {
            spool_id: String::new(),
            lanes: Vec::new(),
            disk_bytes: 0,
            quota_bytes: config.spool.quota_bytes,
            free_bytes: None,
            free_bytes_min: config.spool.free_bytes_min,
            blobs_waiting: 0,
            obstacle: None,
        },
        uplink: uplink_status::before_the_start(config),
        trip: None,
        captures_accepted: 0,
        captures_rejected: std::collections::BTreeMap::new(),
    }
}

/// Works until `shutdown`, then commits what is still in memory.
///
/// # Errors
/// [`SpoolError::Closed`] when the spool can go on only after a new start.
pub async fn run(
    parts: Parts,
    mut events: mpsc::Receiver<Event>,
    shutdown: CancellationToken,
) -> Result<(), SpoolError> {
    let mut agent = EventLoop::start(parts).await;
    let mut tick = tokio::time::interval(STATUS_EVERY);
    loop {
        if events.is_empty() {
            agent.handle_caught_up();
        }
        agent.act().await;
        if agent.has_ended() {
            return Err(SpoolError::Closed);
        }
        let pause = agent.pause();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(event) = events.recv() => agent.handle(event).await,
            _ = tick.tick() => agent.handle_tick().await,
            () = tokio::time::sleep(pause) => {}
        }
    }
    agent.finish().await;
    info!("committed what was in memory; shutting down");
    Ok(())
}

impl EventLoop {
    /// An agent that has recorded its start.
    pub async fn start(parts: Parts) -> Self {
        let spool_id = parts.opened.spool_id;
        let uplink = Uplink::new(UplinkPolicy {
            gather_ms: parts.config.gateway.gather_ms,
            heartbeat_ms: parts.config.gateway.heartbeat_s * 1_000,
            retry_ms_max: parts.config.gateway.retry_s_max * 1_000,
            gateways: parts.config.gateway.urls.len(),
            budget: parts.config.gateway.budget,
        });
        let link_file = LinkFile::new(parts.config.gateway.link_file.clone());
        let mut agent = Self {
            started_ms: parts.clock.monotonic_ms(),
            recorder: Recorder::new(
                parts.spool.clone(),
                parts.clock.clone(),
                parts.boot_id,
                parts.config.reporting.clone(),
                &parts.config.spool,
            ),
            clock_watch: ClockWatch::default(),
            sources: SourceBoard::new(&parts.config),
            trip: TripKeeper::new(parts.trip, parts.down_link),
            traffic: Traffic::new(parts.carrier, spool_id, parts.boot_id, link_file),
            config: parts.config,
            clock: parts.clock,
            spool: parts.spool,
            spool_id: spool_id.to_string(),
            boot_id: parts.boot_id,
            uplink,
            measure: Measure::default(),
            idle_mark: None,
            status: parts.status,
            chance: parts.chance,
            alive: parts.alive,
        };
        agent.restore_tally().await;
        agent.handle_start(parts.opened, parts.absence).await;
        agent.refresh().await;
        agent
    }

    /// Whether only a new start can give a spool that works.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.spool.has_ended()
    }

    /// Commits what is still in memory.
    pub async fn finish(&mut self) {
        self.recorder.finish().await;
        self.keep_tally().await;
    }

    async fn handle_start(&mut self, opened: Opened, absence: Option<Absence>) {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        self.recorder.record(Reading::Health(Health::Started { version }));
        if let Some(Absence { seconds, why }) = absence {
            self.recorder.record(Reading::Health(Health::SpoolAbsent { seconds, why }));
        }
        if let Some(why) = &opened.quarantined {
            error!("the spool file could not be used and was set aside: {why}");
        }
        for salvage in &opened.salvaged {
            warn!("{salvage}");
        }
        let said = opened.quarantined.into_iter().chain(opened.salvaged.iter().map(ToString::to_string));
        let why = said.collect::<Vec<_>>().join("; ");
        if !why.is_empty() {
            self.recorder.record(Reading::Health(Health::SpoolQuarantined { why }));
        }
        self.note_clock();
        self.recorder.commit().await;
    }

    /// Records what time it is when that is news, before anything follows from it.
    fn note_clock(&mut self) {
        let step = self.clock.watch();
        let news = self.clock_watch.look(self.clock.monotonic_ms(), self.clock.wall(), step);
        news.into_iter().for_each(|health| self.recorder.record(Reading::Health(health)));
    }

    /// Takes what happened.
    pub async fn handle(&mut self, event: Event) {
        self.note_clock();
        match event {
            Event::Source(report) => {
                let now_ms = self.clock.monotonic_ms();
                let (observations, health) = self.sources.handle(report, now_ms);
                let kept = self.recorder.observe(observations);
                self.sources.count_kept(&kept);
                health.into_iter().for_each(|health| self.recorder.record(Reading::Health(health)));
            }
            Event::Captured { capture, reply } => {
                let result = self.recorder.capture(capture, self.trip.current()).await;
                // The app may have gone; what was committed stays.
                drop(reply.send(result));
                self.refresh().await;
            }
            Event::BlobPart { part, reply } => {
                drop(reply.send(self.recorder.blob_part(part).await));
                self.refresh().await;
            }
            Event::Uplinked(ticket, result) => self.handle_uplinked(ticket, result).await,
        }
    }

    /// Does what is due: commits the group, then whatever the uplink wants.
    pub async fn act(&mut self) {
        if self.recorder.is_due() {
            self.recorder.commit_due().await;
            self.refresh().await;
        }
        self.send_if_due().await;
    }

    /// When something is due next, milliseconds on the monotonic clock; absent while only an event can bring it.
    #[must_use]
    pub fn due_ms(&self) -> Option<u64> {
        [self.recorder.due_ms(), self.next_send_ms(self.clock.monotonic_ms())].into_iter().flatten().min()
    }

    /// How long nothing is due.
    fn pause(&self) -> Duration {
        let now_ms = self.clock.monotonic_ms();
        Duration::from_millis(self.due_ms().map_or(1_000, |due_ms| due_ms.saturating_sub(now_ms).min(1_000)))
    }

    /// A second has passed.
    pub async fn handle_tick(&mut self) {
        self.note_clock();
        self.recorder.release_stale();
        self.handle_uplink_time().await;
        self.refresh().await;
        (self.alive)();
    }

    /// Measures the spool and publishes the status: after every commit and every receipt, and once a second.
    async fn refresh(&mut self) {
        match self.spool.measure().await {
            Ok(measure) => self.measure = measure,
            Err(error) => error!("the spool could not be measured: {error}"),
        }
        self.status.send_replace(self.status());
    }

    fn status(&self) -> Status {
        let now_ms = self.clock.monotonic_ms();
        let (now, time_quality) = self.clock.wall();
        let age_s = |ms: u64| now_ms.saturating_sub(ms) / 1_000;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: self.config.device.to_string(),
            now,
            time_quality,
            clock: ClockStatus {
                last_set_age_s: self.clock_watch.set_ms().map(age_s),
                steps: self.clock.steps(),
                battery_suspect: self.clock.battery_is_suspect(),
            },
            uptime_s: age_s(self.started_ms),
            boot_id: self.boot_id.to_string(),
            sources: self.sources.status(now_ms),
            position: self.recorder.last_position(),
            spool: SpoolStatus {
                spool_id: self.spool_id.clone(),
                lanes: self.measure.lanes.clone(),
                disk_bytes: self.measure.disk_bytes,
                quota_bytes: self.config.spool.quota_bytes,
                free_bytes: self.measure.free_bytes,
                free_bytes_min: self.config.spool.free_bytes_min,
                blobs_waiting: self.measure.blobs.len() as u64,
                obstacle: None,
            },
            uplink: self.uplink_status(now_ms),
            trip: self.trip.current().cloned(),
            captures_accepted: self.recorder.captures_accepted,
            captures_rejected: self.recorder.captures_rejected.clone(),
        }
    }

    /// Whether anything waits in `lane`, as far as the last measure knows.
    fn waits(&self, lane: Lane) -> bool {
        self.measure.lanes.iter().any(|status| status.lane == lane && status.waiting > 0)
    }
}
