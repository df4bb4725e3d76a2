//! When a record happened: what it says, or what its device's clock turned out to have been.
//!
//! Promise: a function of the record and of the moments of its boot, whichever came first. A time that a receiver gave is
//! never moved, nor one whose bound holds; one that nobody vouched for is moved as soon as any moment of its boot is
//! known. Until then it is nothing's time: the record is kept and tells nothing. The journal and the seals stay as they
//! are.

use std::collections::BTreeMap;

use milepost_proto::reading::Health;
use milepost_proto::{BootId, DeviceId, FleetId, Lane, Reading, Record, TimeSource, Timestamp};
use rusqlite::Connection;

use crate::store::StoreResult;
use crate::store::boot_clock::{self, BootMoment, Moment, PER_BOOT_MAX};

/// Drift of a cheap oscillator, parts per million: what a moment tells is less certain the further away.
const DRIFT_PPM: u64 = 100;
/// 2001-01-01: an unknown clock that says an earlier time counts from its boot, or from where its battery died (1970,
/// 1980, 2000); a later one is a driver's phone, which knows.
const PLAUSIBLE_SINCE: Timestamp = Timestamp::from_millis(978_307_200_000);

/// When a record happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dated {
    /// When it says.
    AsRecorded(Timestamp),
    /// When its boot's clock says.
    Redated(Timestamp),
    /// Nobody knows yet.
    Undated,
}

impl Dated {
    /// When; absent while nobody knows.
    #[must_use]
    pub const fn time(self) -> Option<Timestamp> {
        match self {
            Self::AsRecorded(at) | Self::Redated(at) => Some(at),
            Self::Undated => None,
        }
    }
}

/// How many records had which time, each counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// As a receiver gave it.
    pub gnss: u64,
    /// As the operating system's clock gave it.
    pub network: u64,
    /// As recorded, though nobody vouched for it.
    pub free_running: u64,
    /// Put right by the clock of its boot.
    pub redated: u64,
    /// None yet.
    pub undated: u64,
}

impl Times {
    /// Adds what another count found.
    pub const fn add(&mut self, other: Self) {
        self.gnss += other.gnss;
        self.network += other.network;
        self.free_running += other.free_running;
        self.redated += other.redated;
        self.undated += other.undated;
    }

    /// Counts a record that was dated so.
    pub const fn count(&mut self, record: &Record, dated: Dated) {
        let place = match (dated, record.time_quality.source) {
            (Dated::Undated, _) => &mut self.undated,
            (Dated::Redated(_), _) => &mut self.redated,
            (Dated::AsRecorded(_), TimeSource::Gnss) => &mut self.gnss,
            (Dated::AsRecorded(_), TimeSource::Network) => &mut self.network,
            (Dated::AsRecorded(_), TimeSource::FreeRunning) => &mut self.free_running,
        };
        *place += 1;
    }
}

/// When `record` happened, by the moments known of its boot.
#[must_use]
pub fn date(record: &Record, moments: &[Moment]) -> Dated {
    let (said, quality) = (record.event_time, record.time_quality);
    let unknown = quality.error_ms == u32::MAX;
    let best = moments.iter().map(|moment| told_by(moment, record.monotonic_ms)).min();
    match (quality.source, best) {
        (TimeSource::FreeRunning, Some((_, at))) if unknown => Dated::Redated(at),
        (TimeSource::FreeRunning, None) if unknown && said < PLAUSIBLE_SINCE => Dated::Undated,
        (TimeSource::Network | TimeSource::FreeRunning, Some((error_ms, at))) if !unknown => {
            // What a driver captured earlier carries the phone's time, which says nothing of this clock.
            let by_phone = record.reading.lane() == Lane::Evidence;
            let off_ms = at.millis_since(said).unsigned_abs();
            let contradicts = off_ms > error_ms.saturating_add(u64::from(quality.error_ms));
            let is_better = error_ms < u64::from(quality.error_ms);
            if contradicts && is_better && !by_phone { Dated::Redated(at) } else { Dated::AsRecorded(said) }
        }
        _ => Dated::AsRecorded(said),
    }
}

/// Bound and time at `monotonic_ms`; the least is the best, and ties are broken by time alone.
fn told_by(moment: &Moment, monotonic_ms: u64) -> (u64, Timestamp) {
    let since_ms =
        i64::try_from(monotonic_ms).unwrap_or(i64::MAX) - i64::try_from(moment.monotonic_ms).unwrap_or(i64::MAX);
    let drift_ms = since_ms.unsigned_abs().saturating_mul(DRIFT_PPM) / 1_000_000;
    (u64::from(moment.error_ms).saturating_add(drift_ms), moment.utc.plus_millis(since_ms))
}

/// The moment that a record tells, if it tells one.
#[must_use]
pub const fn moment_of(record: &Record) -> Option<Moment> {
    match record.reading {
        Reading::Health(Health::ClockSet { monotonic_ms, utc, error_ms, .. }) if error_ms < u32::MAX => {
            Some(Moment { error_ms, monotonic_ms, utc })
        }
        _ => None,
    }
}

/// The clocks of the boots met in one round: what the store holds, and what the round's rows add.
#[derive(Default)]
pub struct BootClocks {
    boots: BTreeMap<(DeviceId, BootId), Vec<Moment>>,
}

impl BootClocks {
    /// The moments of a boot.
    ///
    /// # Errors
    /// When the store fails.
    pub fn of(
        &mut self,
        connection: &Connection,
        fleet_id: &FleetId,
        device_id: &DeviceId,
        boot_id: BootId,
    ) -> StoreResult<&[Moment]> {
        let key = (device_id.clone(), boot_id);
        if !self.boots.contains_key(&key) {
            let held = boot_clock::of_boot(connection, fleet_id, device_id, boot_id)?;
            self.boots.insert(key.clone(), held);
        }
        Ok(self.boots.get(&key).map_or(&[], Vec::as_slice))
    }

    /// Adds a moment; says whether it was news.
    ///
    /// # Errors
    /// When the store fails.
    pub fn add(&mut self, connection: &Connection, fleet_id: &FleetId, told: &BootMoment) -> StoreResult<bool> {
        self.of(connection, fleet_id, &told.device_id, told.boot_id)?;
        let moments = self.boots.entry((told.device_id.clone(), told.boot_id)).or_default();
        let Err(place) = moments.binary_search(&told.moment) else { return Ok(false) };
        moments.insert(place, told.moment);
        moments.truncate(PER_BOOT_MAX as usize);
        Ok(place < PER_BOOT_MAX as usize)
    }
}

#[cfg(test)]
mod tests {
    use milepost_proto::TimeQuality;
    use milepost_proto::reading::Switch;

    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_795_521_600_000);

    fn record(event_time: Timestamp, source: TimeSource, error_ms: u32) -> Record {
        let reading = Reading::Switch(Switch { name: "ignition".to_owned(), on: true });
        let time_quality = TimeQuality { source, error_ms };
        Record { event_time, monotonic_ms: 10_000, time_quality, reading, seal: None }
    }

    #[test]
    fn a_time_moves_only_where_nobody_vouched_for_it_or_its_bound_does_not_hold() {
        use Dated::{AsRecorded, Redated, Undated};
        use TimeSource::{FreeRunning, Gnss, Network};
        let set = [Moment { error_ms: 1_000, monotonic_ms: 70_000, utc: NOON.plus_millis(60_000) }];
        let (boot, hour) = (Timestamp::from_millis(10_000), NOON.plus_millis(3_600_000));
        let check = |(at, source, error_ms), moments: &[Moment], expected| {
            assert_eq!(date(&record(at, source, error_ms), moments), expected, "{at} {source:?} {error_ms}");
        };
        check((boot, FreeRunning, u32::MAX), &[], Undated);
        check((boot, FreeRunning, u32::MAX), &set, Redated(NOON));
        check((hour, FreeRunning, u32::MAX), &[], AsRecorded(hour));
        check((hour, FreeRunning, u32::MAX), &set, Redated(NOON));
        check((hour, FreeRunning, 600_000), &set, Redated(NOON));
        check((hour, Network, 5_000), &set, Redated(NOON));
        check((NOON.plus_millis(4_000), Network, 5_000), &set, AsRecorded(NOON.plus_millis(4_000)));
        check((hour, Gnss, 1_000), &set, AsRecorded(hour));
        let worse = [Moment { error_ms: 5_000, ..set[0] }];
        check((hour, Network, 5_000), &worse, AsRecorded(hour));
    }

    #[test]
    fn the_moment_with_the_least_error_by_then_tells() {
        let near = Moment { error_ms: 5_000, monotonic_ms: 20_000, utc: NOON };
        let far = Moment { error_ms: 1_000, monotonic_ms: 20_000 + 36_000_000, utc: NOON.plus_millis(36_002_000) };
        let unknown = record(Timestamp::EPOCH, TimeSource::FreeRunning, u32::MAX);
        // Ten hours of drift are 3.6 s, and 4.6 s is less than 5 s.
        assert_eq!(date(&unknown, &[near, far]), Dated::Redated(NOON.plus_millis(-8_000)));
        let farther = Moment { monotonic_ms: 20_000 + 72_000_000, utc: NOON.plus_millis(72_002_000), ..far };
        assert_eq!(date(&unknown, &[farther, near]), Dated::Redated(NOON.plus_millis(-10_000)));
    }
}
