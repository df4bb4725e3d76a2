//! Sources: where bytes come from and become observations.
//!
//! Promise: a source never stops the agent. What it cannot use it counts by kind; what it loses it reports as lost and
//! tries to reopen. Every source is a shell (a task that moves bytes) around a pure decoder, and speaks to the rest of
//! the agent only through its [`SourceLink`].

use std::collections::BTreeMap;
use std::sync::Arc;

use milepost_proto::{Reading, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{SourceConfig, SourceKind};
use crate::event::Event;
use crate::status::{ControllerStatus, DbcStatus, PollingStatus};
use can::Observer;
use can::obd::poll::Poller;
use slcan::SlcanAdapter;
use socketcan::CanInterface;

mod bus;
pub mod can;
pub mod candump;
pub mod dbc_files;
pub mod fault;
pub mod gnss;
pub mod gpsd;
pub mod listen;
pub mod nmea;
pub mod pty;
mod reopening;
pub mod serial;
pub mod slcan;
pub mod socketcan;

pub use listen::listen;

/// Starts a source. It ends at shutdown, when nobody listens any more, or at the end of what it reads.
#[must_use]
pub fn spawn(config: &SourceConfig, link: SourceLink, shutdown: CancellationToken) -> JoinHandle<()> {
    match &config.kind {
        SourceKind::NmeaSerial { path, receiver } => {
            let line = serial::SerialLine::new(path, receiver.clone()).at_speed(link.clock().speed());
            tokio::spawn(serial::run(line, link, shutdown))
        }
        SourceKind::Gpsd(server) => tokio::spawn(gpsd::run(server.clone(), link, shutdown)),
        SourceKind::Candump { .. } | SourceKind::SocketCan { .. } | SourceKind::Slcan { .. } => {
            spawn_bus(config, link, shutdown)
        }
    }
}

/// Starts a source that reads a vehicle bus; what could be used of its DBC files is told first.
fn spawn_bus(config: &SourceConfig, link: SourceLink, shutdown: CancellationToken) -> JoinHandle<()> {
    let (database, dbc) = load_dbc(config);
    let observer = Observer::new(config.bus.vin).with_dbc(database);
    let poller = config.bus.obd.as_ref().filter(|_| config.kind.may_transmit());
    let poller = poller.map(|plan| Poller::new(plan, link.clock().monotonic_ms()));
    let kind = config.kind.clone();
    tokio::spawn(async move {
        if let Some(dbc) = dbc
            && link.tell(SourceNews::Bus(BusNews::Dbc(dbc))).await == Err(ShuttingDown)
        {
            return;
        }
        match kind {
            SourceKind::SocketCan { interface, fd, .. } => {
                socketcan::run(CanInterface::new(&interface, fd), observer, poller, link, shutdown).await;
            }
            SourceKind::Slcan { path, baud, bitrate, transmit } => {
                let adapter = SlcanAdapter::new(&path, baud, bitrate, transmit);
                slcan::run(adapter, observer, poller, link, shutdown).await;
            }
            SourceKind::Candump { path } => candump::run(path, observer, link, shutdown).await,
            // They have no bus.
            SourceKind::NmeaSerial { .. } | SourceKind::Gpsd(_) => {}
        }
    })
}

/// The messages of a bus's DBC files, and what is to be said of them, if there are any. What is wrong with them is logged;
/// what is good is used.
fn load_dbc(config: &SourceConfig) -> (can::dbc::Database, Option<DbcStatus>) {
    if config.bus.dbc.files.is_empty() {
        return (can::dbc::Database::default(), None);
    }
    let loaded = dbc_files::load_selected(&config.bus.dbc);
    loaded.mistakes.iter().chain(&loaded.oddities).for_each(|why| tracing::warn!("source {}: {why}", config.name));
    let status = loaded.status();
    (loaded.database, Some(status))
}

/// One decoded fact, before anyone decided whether it is worth keeping.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// When it happened, as the source says; absent when the source has no clock, then the agent's estimate is taken.
    pub event_time: Option<Timestamp>,
    /// What happened.
    pub reading: Reading,
}

/// Unusable input by kind, such as `bad_checksum`.
pub type FaultCounts = BTreeMap<&'static str, u64>;

/// What a source tells the event loop.
#[derive(Debug)]
pub struct SourceReport {
    /// The source's name in the configuration.
    pub source: Arc<str>,
    /// What it has to say.
    pub news: SourceNews,
}

/// What a source has to say.
#[derive(Debug)]
pub enum SourceNews {
    /// It is open; nothing was heard yet.
    Opened,
    /// It decoded something.
    Observed {
        /// In the order they were decoded.
        observations: Vec<Observation>,
        /// The latest raw input, for the status page's raw tail; absent when nobody needs to see it.
        raw: Option<String>,
    },
    /// Faults counted since the last time it said so.
    Faults(FaultCounts),
    /// Something about a vehicle bus as a whole; the latest of a kind counts.
    Bus(BusNews),
    /// It was lost and will be reopened.
    Lost {
        /// What happened, in a sentence.
        why: String,
    },
    /// It came to its end (a replayed file) and will not be reopened.
    Ended,
}

/// What is told of a vehicle bus as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusNews {
    /// How its controller fares.
    Controller(ControllerStatus),
    /// What became of the questions asked on it.
    Polling(PollingStatus),
    /// What could be used of its DBC files.
    Dbc(DbcStatus),
}

/// A source's way to the event loop. Sending waits while the loop is busy, so a fast source is slowed, never dropped.
#[derive(Clone)]
pub struct SourceLink {
    name: Arc<str>,
    events: mpsc::Sender<Event>,
    clock: Clock,
}

/// The event loop has gone: the source should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the agent is shutting down")]
pub struct ShuttingDown;

impl SourceLink {
    /// A link for the source `name`.
    #[must_use]
    pub fn new(name: &str, events: mpsc::Sender<Event>, clock: Clock) -> Self {
        Self { name: name.into(), events, clock }
    }

    /// The source's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The agent's clock.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Tells the event loop something.
    ///
    /// # Errors
    /// [`ShuttingDown`] when nobody listens any more.
    pub async fn tell(&self, news: SourceNews) -> Result<(), ShuttingDown> {
        let report = SourceReport { source: Arc::clone(&self.name), news };
        self.events.send(Event::Source(report)).await.map_err(|_| ShuttingDown)
    }
}
