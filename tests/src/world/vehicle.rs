//! A vehicle: its machine, its clocks, and the real agent in it, driven step by step.
//!
//! Promise: the agent is the real event loop on a real spool; only its clocks, its randomness, its key and its carrier are
//! the world's. Nothing it does waits: a future that is not done at its first poll is a defect of the world.

use std::collections::VecDeque;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use fault_disk::FaultDisk;
use milepost_agent::clock::{Clock, ToldTime};
use milepost_agent::config::Config;
use milepost_agent::event::Event;
use milepost_agent::event_loop::{EventLoop, Parts, first_status};
use milepost_agent::reporting::Reporter;
use milepost_agent::source::fault::Faults as FixFaults;
use milepost_agent::source::gnss::{FixJudge, FixPolicy};
use milepost_agent::source::{SourceNews, SourceReport};
use milepost_agent::spool::{Spool, SpoolError, SpoolOptions};
use milepost_agent::status::Status;
use milepost_agent::uplink::Ticket;
use milepost_agent::uplink::outgoing::Outgoing;
use milepost_proto::{BootId, DeviceId, Reading, Record, SpoolId, TimeQuality, Timestamp};
use tokio::sync::watch;

use super::route::Route;
use crate::chance::Chance;

/// Most times in a row that an agent may have something due at once.
const TURNS_MAX: usize = 10_000;

/// A vehicle, with or without power.
pub(super) struct Vehicle {
    pub(super) device: DeviceId,
    pub(super) disk: FaultDisk,
    pub(super) config: Config,
    pub(super) route: Route,
    /// Rises with every start of the agent.
    pub(super) life: u64,
    pub(super) agent: Option<Agent>,
    pub(super) offline_until_ms: i64,
    pub(super) wiring: Wiring,
    /// The spool it had.
    pub(super) spool_id: Option<SpoolId>,
    /// Disk refusals already counted.
    pub(super) refusals_seen: u64,
    /// When its disk last refused something.
    pub(super) refused_ms: i64,
}

/// What lasts from the start of the machine to its next one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wiring {
    pub(super) boot_id: BootId,
    /// When its monotonic clock was 0, true time.
    pub(super) booted_ms: i64,
    pub(super) drift_ppm: i64,
    /// What the system clock is ahead of the truth, milliseconds.
    pub(super) system_ahead_ms: i64,
    /// When the receiver has its first fix.
    pub(super) fix_from_ms: i64,
}

/// A request whose end the agent waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Awaited {
    pub(super) letter: u64,
    pub(super) ticket: Ticket,
    /// The spool it speaks of.
    pub(super) spool_id: SpoolId,
}

/// An agent at work.
pub(super) struct Agent {
    pub(super) event_loop: EventLoop,
    pub(super) spool: Spool,
    pub(super) spool_id: SpoolId,
    pub(super) sent: Arc<Mutex<VecDeque<Outgoing>>>,
    pub(super) status: watch::Receiver<Status>,
    /// The requests that are under way: an urgent one and a bulky one at most.
    pub(super) awaited: Vec<Awaited>,
    /// When the world will look again whether something is due.
    pub(super) looks_at_ms: i64,
    /// What the reporting policy keeps: the same policy, fed the same.
    pub(super) shadow: Reporter,
    pub(super) shadow_fix_ms: Option<u64>,
    clock: Clock,
    told: Arc<ToldTime>,
    judge: FixJudge,
}

/// Completes what has to be complete at once.
///
/// # Panics
/// When it is not: in a world nobody would ever wake it.
pub fn once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("something in the world waits, and nobody would ever wake it"),
    }
}

/// How an agent in a world is configured; `folder` is its disk.
pub(super) fn config(device: &str, folder: &Path, pace: &super::Pace) -> anyhow::Result<Config> {
    let super::Pace { group_ms, gather_ms, heartbeat_s, .. } = pace;
    let text = format!(
        "device = \"{device}\"\n[spool]\npath = \"spool.db\"\ngroup_ms = {group_ms}\n\
         [gateway]\nurl = \"https://gateway.example\"\nca = \"ca\"\ncertificate = \"c\"\nkey = \"k\"\n\
         gather_ms = {gather_ms}\nheartbeat_s = {heartbeat_s}\n\
         [[source]]\nname = \"gnss\"\nkind = \"nmea_serial\"\npath = \"/dev/gnss\"\n"
    );
    Config::parse(&text, folder).map_err(|faults| anyhow::anyhow!("{faults:?}"))
}

impl Vehicle {
    /// Starts the agent.
    pub(super) fn start(&mut self, now_ms: i64, chance: &mut Chance) -> Result<Option<String>, SpoolError> {
        self.life += 1;
        let told = Arc::new(ToldTime::default());
        self.wiring.tell(&told, now_ms);
        let clock = Clock::told(Arc::clone(&told));
        let boot_id = self.wiring.boot_id;
        let (spool, opened, down_link) = Spool::open_without_thread(SpoolOptions {
            path: &self.config.spool.path,
            quota_bytes: self.config.spool.quota_bytes,
            boot_id,
            fresh_spool_id: SpoolId(chance.bytes()),
            // A real signature differs each time, and then no run would repeat. The chain is real.
            signer: Box::new(|digest| Ok(digest.to_vec())),
        })?;
        let (spool_id, quarantined) = (opened.spool_id, opened.quarantined.clone());
        let sent = Arc::new(Mutex::new(VecDeque::new()));
        let (status, status_seen) = watch::channel(first_status(&self.config, &clock, boot_id));
        let mut jitter = Chance::new(chance.number());
        let event_loop = once(EventLoop::start(Parts {
            config: self.config.clone(),
            clock: clock.clone(),
            boot_id,
            spool: spool.clone(),
            opened,
            absence: None,
            down_link,
            carrier: carrier(&sent),
            status,
            trip: watch::channel(None).0,
            chance: Box::new(move || jitter.share()),
            alive: || {},
        }));
        self.agent = Some(Agent {
            event_loop,
            spool,
            spool_id,
            sent,
            status: status_seen,
            awaited: Vec::new(),
            looks_at_ms: i64::MAX,
            shadow: Reporter::new(self.config.reporting.clone()),
            shadow_fix_ms: None,
            clock,
            told,
            judge: FixJudge::new(FixPolicy::default()),
        });
        Ok(quarantined)
    }
}

fn carrier(sent: &Arc<Mutex<VecDeque<Outgoing>>>) -> milepost_agent::uplink::outgoing::Carrier {
    let sent = Arc::clone(sent);
    Box::new(move |outgoing| sent.lock().unwrap_or_else(PoisonError::into_inner).push_back(outgoing))
}

impl Wiring {
    fn monotonic_ms(&self, now_ms: i64) -> u64 {
        let elapsed_ms = now_ms - self.booted_ms;
        u64::try_from(elapsed_ms + elapsed_ms * self.drift_ppm / 1_000_000).unwrap_or(0)
    }

    /// The first true time at which the monotonic clock says at least `monotonic_ms`.
    pub(super) fn reaches(&self, monotonic_ms: u64) -> i64 {
        let target = i64::try_from(monotonic_ms).unwrap_or(i64::MAX / 4);
        self.booted_ms + target - target * self.drift_ppm / 1_000_000 + 2
    }

    fn tell(&self, told: &ToldTime, now_ms: i64) {
        told.monotonic_ms.store(self.monotonic_ms(now_ms), Ordering::Relaxed);
        told.system_ms.store(now_ms + self.system_ahead_ms, Ordering::Relaxed);
    }
}

impl Agent {
    /// It is `now_ms` in truth, and whatever the vehicle's clocks make of that.
    pub(super) fn tell_time(&self, wiring: &Wiring, now_ms: i64) {
        wiring.tell(&self.told, now_ms);
    }

    /// Gives it an event.
    pub(super) fn hand(&mut self, event: Event) {
        once(self.event_loop.handle(event));
    }

    /// Lets it do what is due.
    pub(super) fn turn(&mut self, disk: &FaultDisk) {
        for _ in 0..TURNS_MAX {
            self.event_loop.handle_caught_up();
            once(self.event_loop.act());
            let now_ms = self.clock.monotonic_ms();
            if disk.fallen().is_some() || self.event_loop.due_ms().is_none_or(|due_ms| due_ms > now_ms) {
                return;
            }
        }
        panic!("an agent has something due at once for ever");
    }

    /// A second has passed. Gives what the policy stopped holding back.
    pub(super) fn tick(&mut self) -> Option<Record> {
        once(self.event_loop.handle_tick());
        let now_ms = self.clock.monotonic_ms();
        let is_stale = self.shadow_fix_ms.is_some_and(|fix_ms| now_ms.saturating_sub(fix_ms) >= 2_000);
        if is_stale { self.shadow.release() } else { None }
    }

    /// The receiver says where it is. Gives what the policy keeps of it, or nothing when the fix is not believed.
    pub(super) fn fix(&mut self, position: milepost_proto::Position, event_time: Timestamp) -> Option<Vec<Record>> {
        let wall = self.clock.wall();
        let judged = self.judge.judge(position, Some(event_time), wall, &mut FixFaults::default())?;
        if let Some(now) = judged.sets_clock {
            self.clock.discipline(now);
        }
        let observation = judged.observation;
        let record = Record {
            event_time: observation.event_time.unwrap_or_else(|| self.clock.wall().0),
            monotonic_ms: self.clock.monotonic_ms(),
            time_quality: TimeQuality::UNKNOWN,
            reading: observation.reading.clone(),
            seal: None,
        };
        let kept = self.shadow.keep(record).into_iter().filter(|one| matches!(one.reading, Reading::Position(_)));
        let kept = kept.collect();
        self.shadow_fix_ms = Some(self.clock.monotonic_ms());
        let news = SourceNews::Observed { observations: vec![observation], raw: None };
        self.hand(Event::Source(SourceReport { source: "gnss".into(), news }));
        Some(kept)
    }

    /// What it wants to send.
    pub(super) fn take_sent(&self) -> Option<Outgoing> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}
