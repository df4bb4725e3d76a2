//! From observations and captures to committed records.
//!
//! Promise: telemetry waits at most one group for its commit, and not at all once the power is about to go; events and
//! evidence are committed before anything that follows them; a capture's answer tells the truth about the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use milepost_proto::driver_app::{Capture, Rejection, RejectionCode};
use milepost_proto::{BootId, Lane, Position, Reading, Record, TimeQuality, TimeSource, Timestamp, Trip};
use tracing::{error, warn};

use crate::capture::{Accepted, BlobPart, BlobProgress, DriverCapture};
use crate::clock::Clock;
use crate::config::SpoolConfig;
use crate::intake::contract;
use crate::reporting::{Reporter, ReportingPolicy};
use crate::source::Observation;
use crate::spool::group::{Group, GroupLimits};
use crate::spool::{CaptureKey, Spool, SpoolError, lower_bound};
use crate::status::LastPosition;

use super::power::{PowerWatch, WEAK_GROUP_MS};

/// Error bound of a time that came with a dated fix, milliseconds.
const FIX_TIME_ERROR_MS: u32 = 1_000;
/// How long the reporting policy may hold a position back when no next one comes, milliseconds.
const STALE_MS: u64 = 2_000;

/// Decides what is kept and commits it.
pub(super) struct Recorder {
    spool: Spool,
    clock: Clock,
    boot_id: BootId,
    reporter: Reporter,
    group: Group,
    power: PowerWatch,
    /// Whether telemetry waits no longer, because the power is about to go.
    power_goes: bool,
    /// Events waiting for the next commit, which is due at once.
    events: Vec<Record>,
    last_fix: Option<LastFix>,
    pub(super) captures_accepted: u64,
    pub(super) captures_rejected: BTreeMap<String, u64>,
}

struct LastFix {
    position: Position,
    event_time: Timestamp,
    monotonic_ms: u64,
}

impl Recorder {
    pub(super) fn new(
        spool: Spool,
        clock: Clock,
        boot_id: BootId,
        policy: ReportingPolicy,
        config: &SpoolConfig,
    ) -> Self {
        Self {
            spool,
            clock,
            boot_id,
            reporter: Reporter::new(policy),
            group: Group::new(GroupLimits { ms: config.group_ms, bytes: config.group_bytes }),
            power: PowerWatch::new(config.low_voltage.clone()),
            power_goes: false,
            events: Vec::new(),
            last_fix: None,
            captures_accepted: 0,
            captures_rejected: BTreeMap::new(),
        }
    }

    /// Keeps what is worth keeping; says how many readings of the source that were.
    pub(super) fn observe(&mut self, observed: Option<(Arc<str>, Vec<Observation>)>) -> Option<(Arc<str>, u64)> {
        let (source, observations) = observed?;
        let mut kept = 0;
        for observation in observations {
            let record = self.dated(observation);
            self.power_goes |= self.power.observe(&record.reading);
            if let Reading::Position(position) = &record.reading {
                self.last_fix = Some(LastFix {
                    position: position.clone(),
                    event_time: record.event_time,
                    monotonic_ms: record.monotonic_ms,
                });
            }
            for record in self.reporter.keep(record) {
                kept += 1;
                self.push(record);
            }
        }
        Some((source, kept))
    }

    /// Keeps the position held back, once no next one came for a while.
    pub(super) fn release_stale(&mut self) {
        let now_ms = self.clock.monotonic_ms();
        let is_stale = |fix: &LastFix| now_ms.saturating_sub(fix.monotonic_ms) >= STALE_MS;
        if self.last_fix.as_ref().is_some_and(is_stale) {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Some(record) = self.reporter.release() {
            self.push(record);
        }
    }

    /// Keeps a reading of the agent's own, made just now.
    pub(super) fn record(&mut self, reading: Reading) {
        let record = self.dated(Observation { event_time: None, reading });
        self.push(record);
    }

    fn push(&mut self, record: Record) {
        match record.reading.lane() {
            Lane::Telemetry => self.group.push(record, self.clock.monotonic_ms()),
            Lane::Event | Lane::Evidence => self.events.push(record),
        }
    }

    fn dated(&self, Observation { event_time, reading }: Observation) -> Record {
        let by_fix = TimeQuality { source: TimeSource::Gnss, error_ms: FIX_TIME_ERROR_MS };
        let (event_time, time_quality) =
            event_time.map_or_else(|| self.clock.wall(), |event_time| (event_time, by_fix));
        Record { event_time, monotonic_ms: self.clock.monotonic_ms(), time_quality, reading, seal: None }
    }

    /// Commits a capture and says what became of it.
    pub(super) async fn capture(&mut self, capture: DriverCapture, trip: Option<&Trip>) -> Result<Accepted, Rejection> {
        let result = self.try_capture(capture, trip).await;
        match &result {
            Ok(_) => self.captures_accepted += 1,
            Err(rejection) => self.count_rejection(rejection),
        }
        result
    }

    async fn try_capture(&self, capture: DriverCapture, trip: Option<&Trip>) -> Result<Accepted, Rejection> {
        let key = CaptureKey::of(&capture);
        if let Err(rejection) = contract::check_stop(&capture, trip) {
            // What was accepted stays accepted, though the trip has changed before the app heard of it.
            return self.spool.find_capture(key).await.ok().flatten().ok_or(rejection);
        }
        let (now, time_quality) = self.clock.wall();
        let (event_time, reading) = match contract::complete(capture, now, self.capture_fix()) {
            DriverCapture::Pod(pod) => (pod.at, Reading::Pod(pod)),
            DriverCapture::Action(action) => (action.at, Reading::DriverAction(action)),
            DriverCapture::Exception(exception) => (exception.at, Reading::DriverException(exception)),
        };
        let event_time = event_time.unwrap_or(now);
        let record = Record { event_time, monotonic_ms: self.clock.monotonic_ms(), time_quality, reading, seal: None };
        self.spool.capture(key, self.boot_id, record).await.map_err(|error| not_accepted(&error))?
    }

    /// Commits part of a blob and says what became of it.
    pub(super) async fn blob_part(&mut self, part: BlobPart) -> Result<BlobProgress, Rejection> {
        let result = match self.spool.blob_part(part).await {
            Ok(result) => result,
            Err(error) => Err(not_accepted(&error)),
        };
        if let Err(rejection) = &result {
            self.count_rejection(rejection);
        }
        result
    }

    fn count_rejection(&mut self, rejection: &Rejection) {
        *self.captures_rejected.entry(rejection.code.as_str().to_owned()).or_default() += 1;
    }

    /// Whether a commit is due.
    pub(super) fn is_due(&self) -> bool {
        self.due_ms().is_some_and(|due_ms| due_ms <= self.clock.monotonic_ms())
    }

    /// When a commit is due, milliseconds on the monotonic clock.
    pub(super) fn due_ms(&self) -> Option<u64> {
        if self.events.is_empty() { self.group_due_ms() } else { Some(0) }
    }

    fn group_due_ms(&self) -> Option<u64> {
        match (self.power_goes, self.power.is_weak()) {
            (true, _) => self.group.due_within_ms(0),
            (false, true) => self.group.due_within_ms(WEAK_GROUP_MS),
            (false, false) => self.group.due_ms(),
        }
    }

    /// Commits everything there is, also what the reporting policy held back, and says farewell to the spool.
    pub(super) async fn finish(&mut self) {
        self.release();
        self.commit().await;
        if let Err(error) = self.spool.farewell().await {
            warn!("the spool could not note what was offered; what it holds will not be thinned: {error}");
        }
    }

    /// Commits the events, and the group if it is due.
    pub(super) async fn commit_due(&mut self) {
        if self.group_due_ms().is_some_and(|due_ms| due_ms <= self.clock.monotonic_ms()) {
            self.commit().await;
        } else {
            let events = std::mem::take(&mut self.events);
            self.commit_lane(Lane::Event, events).await;
        }
    }

    /// Commits everything in memory.
    pub(super) async fn commit(&mut self) {
        self.power_goes = false;
        let (telemetry, events) = (self.group.take(), std::mem::take(&mut self.events));
        // Both are asked for before either is awaited, so that they share a commit.
        tokio::join!(self.commit_lane(Lane::Telemetry, telemetry), self.commit_lane(Lane::Event, events));
    }

    async fn commit_lane(&self, lane: Lane, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        let count = records.len();
        match self.spool.append(lane, self.boot_id, records).await {
            Ok(()) => {}
            Err(error @ SpoolError::Full(_)) => warn!("{count} records of lane {lane} were not kept: {error}"),
            Err(error) => error!("{count} records of lane {lane} were not kept: {error}"),
        }
    }

    /// The earliest event that is in memory but not committed.
    pub(super) fn oldest_uncommitted(&self) -> Option<Timestamp> {
        let held = self.reporter.held().into_iter();
        [self.group.oldest(), held.chain(&self.events).map(lower_bound).min()].into_iter().flatten().min()
    }

    /// Where the vehicle was last seen.
    pub(super) fn last_position(&self) -> Option<LastPosition> {
        self.last_fix.as_ref().map(|fix| LastPosition {
            time: fix.event_time,
            lat: fix.position.lat_deg(),
            lon: fix.position.lon_deg(),
            satellites: fix.position.satellites,
            hdop: fix.position.hdop_centi.map(|centi| f64::from(centi) / 100.0),
        })
    }

    fn capture_fix(&self) -> Option<Capture> {
        self.last_fix.as_ref().map(|fix| Capture {
            lat_e7: fix.position.lat_e7,
            lon_e7: fix.position.lon_e7,
            fix_age_ms: self.clock.monotonic_ms().saturating_sub(fix.monotonic_ms),
        })
    }
}

fn not_accepted(error: &SpoolError) -> Rejection {
    error!("a capture was not kept: {error}");
    Rejection::new(
        RejectionCode::NotAccepted,
        format!("the vehicle could not keep it: {error}"),
        "keep it on the phone and send it again later",
    )
}
