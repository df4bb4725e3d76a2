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
            if self.power.observe(&record.reading) {
                self.power_goes = true;
                // Also where the vehicle is now.
                self.release();
            }
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

#[cfg(test)]
mod tests {
    use milepost_proto::reading::{Signal, Switch};
    use milepost_proto::{ChunkBody, SpoolId};

    use super::*;
    use crate::config::LowVoltage;
    use crate::spool::{OfferLimits, SpoolOptions};

    const BOOT: BootId = BootId([7; 16]);

    struct Bench {
        runtime: tokio::runtime::Runtime,
        recorder: Recorder,
        spool: Spool,
        _folder: tempfile::TempDir,
    }

    impl Bench {
        /// Groups that no test waits for.
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("folder");
            let config = SpoolConfig {
                path: folder.path().join("spool.db"),
                quota_bytes: 1 << 24,
                free_bytes_min: 0,
                group_ms: 3_600_000,
                group_bytes: 1_000,
                low_voltage: Some(LowVoltage { signal: "volts".to_owned(), below_volts: 22.0 }),
            };
            let options = SpoolOptions {
                path: &config.path,
                quota_bytes: config.quota_bytes,
                boot_id: BOOT,
                fresh_spool_id: SpoolId([1; 16]),
                signer: Box::new(|_| Ok(Vec::new())),
            };
            let (spool, _, _) = Spool::open_without_thread(options).expect("opens");
            let recorder = Recorder::new(spool.clone(), Clock::system(), BOOT, ReportingPolicy::default(), &config);
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
            Self { runtime, recorder, spool, _folder: folder }
        }

        /// Lets the recorder do what is due now that this was observed; gives how many records of telemetry and of the
        /// event lane are committed.
        fn observe(&mut self, reading: Reading) -> (u64, u64) {
            self.recorder.observe(Some(("bus".into(), vec![Observation { event_time: None, reading }])));
            if self.recorder.is_due() {
                self.runtime.block_on(self.recorder.commit_due());
            }
            self.committed()
        }

        fn committed(&self) -> (u64, u64) {
            let lanes = self.runtime.block_on(self.spool.measure()).expect("measured").lanes;
            (lanes[2].last_sequence, lanes[1].last_sequence)
        }
    }

    fn signal(name: &str, value: f64) -> Reading {
        Reading::Signal(Signal { name: name.to_owned(), value, unit: String::new() })
    }

    fn switch(name: &str, on: bool) -> Reading {
        Reading::Switch(Switch { name: name.to_owned(), on })
    }

    #[test]
    fn an_event_is_committed_at_once_and_leaves_telemetry_to_its_group() {
        let mut bench = Bench::new();
        assert_eq!(bench.observe(signal("a", 1.0)), (0, 0));
        assert_eq!(bench.observe(switch("door", true)), (0, 1));
    }

    #[test]
    fn ignition_off_and_a_falling_voltage_commit_everything_at_once() {
        let mut bench = Bench::new();
        bench.observe(signal("a", 1.0));
        assert_eq!(bench.observe(switch("ignition", true)), (0, 1));
        assert_eq!(bench.observe(switch("ignition", false)), (1, 2));
        assert_eq!(bench.observe(signal("volts", 24.0)), (1, 2));
        assert_eq!(bench.observe(signal("volts", 21.0)), (3, 2));
    }

    #[test]
    fn a_large_group_is_committed_before_its_time() {
        let mut bench = Bench::new();
        let counts: Vec<u64> = (0..60).map(|n| bench.observe(signal(&format!("signal-{n}"), 1.0)).0).collect();
        let first = counts.iter().position(|count| *count > 0).expect("committed");
        assert!((10..50).contains(&first), "1,000 bytes are some thirty records: {first}");
    }

    #[test]
    fn the_end_commits_what_is_left_and_says_farewell() {
        let mut bench = Bench::new();
        bench.observe(signal("a", 1.0));
        bench.runtime.block_on(bench.recorder.finish());
        assert_eq!(bench.committed(), (1, 0));
        let limits = OfferLimits { bytes_max: 1_000, live_from: 1 };
        let offer = bench.runtime.block_on(bench.spool.offer(limits)).expect("offered");
        assert!(matches!(offer.batches[0].chunks[0].open(), Ok(ChunkBody::Records { boot_id: BOOT, .. })));
    }
}
