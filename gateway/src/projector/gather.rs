//! From journal rows to facts, each with the vehicle it is a fact of.
//!
//! Promise: which facts a vehicle has follows from the set of chunks and assignments alone; [`dating`] says when each
//! happened, and one that nobody can date tells nothing. Where copies of a sequence
//! contradict each other, the record of the chunk with the lowest checksum stands, whichever came first. A record that
//! breaks the bounds of what it claims to be tells nothing, whoever signed it: agents check, but a device may not be one.

use std::collections::BTreeMap;

use milepost_proto::{
    DeviceId, FleetId, Lane, Position, Reading, Record, RecordId, SequenceRange, Timestamp, VehicleId,
};
use rusqlite::Connection;

use super::announce::pod_effect;
use super::dating::{self, BootClocks, Dated, Times};
use crate::effect::Effect;
use crate::milestone::Fact;
use crate::store::StoreResult;
use crate::store::journal::{self, JournalRow};
use crate::store::roster::{self, Assignment};

/// How far after its receipt a record may be dated, milliseconds: a day, for clocks and time zones that are off. One that
/// is dated later would stay the newest of its vehicle, so that whatever comes is late and all is folded again each time.
const DATED_AHEAD_MS_MAX: i64 = 24 * 60 * 60 * 1000;

/// What some records say of one vehicle.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Facts for the engine.
    pub facts: Vec<Fact>,
    /// Effects owed for proofs of delivery.
    pub pods: Vec<Effect>,
    /// The latest place: latitude and longitude in degrees, and when.
    pub place: Option<(f64, f64, Timestamp)>,
}

impl Told {
    fn take(&mut self, id: &RecordId, record: &Record) {
        if let Reading::Position(position) = &record.reading
            && is_on_earth(position)
            && self.place.is_none_or(|(_, _, at)| at < record.event_time)
        {
            self.place = Some((position.lat_deg(), position.lon_deg(), record.event_time));
        }
        if let Reading::Pod(pod) = &record.reading {
            self.pods.push(pod_effect(id, pod));
        }
        self.facts.extend(Fact::from_record(id, record));
    }
}

/// What was met in a row besides facts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leftover {
    /// Records no vehicle is assigned for.
    pub homeless: u64,
    /// Records that tell nothing because they break a bound.
    pub unusable: u64,
    /// What is wrong with the first of those.
    pub why: Option<String>,
    /// Who vouches for the times of all.
    pub times: Times,
}

/// What a device served when, remembered for one round.
#[derive(Default)]
pub struct Roster {
    assignments: BTreeMap<DeviceId, Vec<Assignment>>,
}

impl Roster {
    /// What `device_id` served and serves.
    ///
    /// # Errors
    /// When the store fails.
    pub fn of(
        &mut self,
        connection: &Connection,
        fleet_id: &FleetId,
        device_id: &DeviceId,
    ) -> StoreResult<&[Assignment]> {
        if !self.assignments.contains_key(device_id) {
            let found = roster::assignments(connection, fleet_id, device_id)?;
            self.assignments.insert(device_id.clone(), found);
        }
        Ok(self.assignments.get(device_id).map_or(&[], Vec::as_slice))
    }
}

/// Shows `take` every record of `row` that stands, with its id and when it happened. Chunks were opened before they were
/// accepted, so one that does not open any more is damage of the store: it tells nothing, and `None` says so.
///
/// # Errors
/// When the store fails.
pub fn each_standing(
    connection: &Connection,
    row: &JournalRow,
    through: u64,
    clocks: &mut BootClocks,
    mut take: impl FnMut(&RecordId, Record, Dated),
) -> StoreResult<Option<()>> {
    let Ok(body) = row.chunk.open() else { return Ok(None) };
    let Some(boot_id) = body.boot_id() else { return Ok(Some(())) };
    let moments = clocks.of(connection, &row.key.fleet_id, &row.key.device_id, boot_id)?;
    let rivals =
        if row.contested { journal::claims(connection, &row.key, row.chunk.range, through)? } else { Vec::new() };
    let own = (row.chunk.checksum, row.chunk.range);
    let mut id = RecordId {
        fleet_id: row.key.fleet_id.clone(),
        device_id: row.key.device_id.clone(),
        spool_id: row.key.spool_id,
        lane: row.key.lane,
        sequence: 0,
    };
    for (sequence, record) in body.into_numbered(row.chunk.range) {
        if stands(own, sequence, &rivals) {
            id.sequence = sequence;
            let dated = dating::date(&record, moments);
            take(&id, record, dated);
        }
    }
    Ok(Some(()))
}

/// What the whole journal up to `through` says of `vehicle_id`.
///
/// # Errors
/// When the store fails.
pub fn all_of_vehicle(
    connection: &Connection,
    fleet_id: &FleetId,
    vehicle_id: &VehicleId,
    through: u64,
    clocks: &mut BootClocks,
) -> StoreResult<Told> {
    let mut told = Told::default();
    for device_id in roster::devices_of(connection, fleet_id, vehicle_id)? {
        let assignments = roster::assignments(connection, fleet_id, &device_id)?;
        journal::each_of_device(connection, fleet_id, &device_id, through, |row| {
            each_standing(connection, &row, through, clocks, |id, record, dated| {
                let Some(at) = dated.time() else { return };
                let record = Record { event_time: at, ..record };
                let its_own = roster::vehicle_at(&assignments, at) == Some(vehicle_id);
                if its_own && why_unusable(row.received_at, id.lane, &record).is_none() {
                    told.take(id, &record);
                }
            })
            .map(drop)
        })?;
    }
    Ok(told)
}

/// Adds what `row` says, by vehicle. Answers what else was met in it, or `None` when the row is damaged.
///
/// # Errors
/// When the store fails.
pub fn add_row(
    connection: &Connection,
    row: &JournalRow,
    through: u64,
    assignments: &[Assignment],
    clocks: &mut BootClocks,
    by_vehicle: &mut BTreeMap<VehicleId, Told>,
) -> StoreResult<Option<Leftover>> {
    let mut leftover = Leftover::default();
    let whole = each_standing(connection, row, through, clocks, |id, record, dated| {
        leftover.times.count(&record, dated);
        let Some(at) = dated.time() else { return };
        let record = Record { event_time: at, ..record };
        if let Some(why) = why_unusable(row.received_at, id.lane, &record) {
            leftover.unusable += 1;
            leftover.why.get_or_insert_with(|| format!("sequence {}: {why}", id.sequence));
            return;
        }
        match roster::vehicle_at(assignments, at) {
            Some(vehicle_id) => by_vehicle.entry(vehicle_id.clone()).or_default().take(id, &record),
            None => leftover.homeless += 1,
        }
    })?;
    Ok(whole.map(|()| leftover))
}

/// What is wrong with a record that happened long after it was received, that the driver app's contract would not have
/// let in, or that came past the lane where evidence is signed.
fn why_unusable(received_at: Timestamp, lane: Lane, record: &Record) -> Option<String> {
    let (at, reading) = (record.event_time, &record.reading);
    if at.millis_since(received_at) > DATED_AHEAD_MS_MAX {
        return Some(format!(
            "dated {at} but received {received_at}: the device's clock is wrong, or the gateway's is"
        ));
    }
    if reading.lane() == Lane::Evidence && lane != Lane::Evidence {
        return Some(format!("evidence in the {lane} lane"));
    }
    let checked = match reading {
        Reading::Pod(pod) => pod.check(),
        Reading::DriverAction(action) => action.check(),
        Reading::DriverException(exception) => exception.check(),
        Reading::Position(_)
        | Reading::Signal(_)
        | Reading::Diagnostic(_)
        | Reading::Switch(_)
        | Reading::Health(_) => Ok(()),
    };
    checked.err().map(|rejection| rejection.to_string())
}

/// Latitude and longitude as they may be: the board shows no other place.
const fn is_on_earth(position: &Position) -> bool {
    position.lat_e7.unsigned_abs() <= 900_000_000 && position.lon_e7.unsigned_abs() <= 1_800_000_000
}

fn stands(own: (u32, SequenceRange), sequence: u64, claims: &[(u32, SequenceRange)]) -> bool {
    let covering = claims.iter().filter(|(_, range)| range.covers(SequenceRange::single(sequence)));
    covering.min().is_none_or(|least| *least == own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_rival_claims_the_lowest_checksum_stands_sequence_by_sequence() {
        let range = |first, last| SequenceRange::new(first, last).expect("a range");
        let claims = [(7, range(1, 10)), (5, range(8, 12)), (3, range(12, 20))];
        let standing = |sequence| {
            let stand = claims.iter().filter(|own| own.1.covers(SequenceRange::single(sequence)));
            stand.filter(|own| stands(**own, sequence, &claims)).map(|own| own.0).collect::<Vec<_>>()
        };
        assert_eq!([standing(7), standing(8), standing(11), standing(12)], [[7], [5], [5], [3]]);
        assert!(stands((9, range(1, 1)), 1, &[]), "nobody contests it");
    }
}
