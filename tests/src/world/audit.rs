//! What must hold when a world has come to rest, compared with what really happened.
//!
//! Promise: nothing accepted or committed is missing, nothing is there twice, nothing is there that nobody said, and the
//! milestones are those of the same facts folded in order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use milepost_agent::spool::OfferLimits;
use milepost_gateway::milestone::{Fact, VehicleState, revise};
use milepost_gateway::projector::dating;
use milepost_gateway::store::boot_clock::Moment;
use milepost_gateway::store::{Store, StoreResult, blob, commit, mark};
use milepost_proto::seal::{chain_start, digest_of};
use milepost_proto::{BootId, Lane, Reading, Record, RecordId, SequenceRange, SequenceRanges, SpoolId, Timestamp};
use rusqlite::{Connection, OpenFlags};

use super::World;
use super::office::vehicle_of;
use super::vehicle::once;
use crate::journal::{Journal, LaneKey};

/// The sequences that a gateway's journal holds.
pub(super) fn held_ranges(store: &Path) -> anyhow::Result<BTreeMap<(SpoolId, Lane), SequenceRanges>> {
    let connection = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut statement = connection.prepare("SELECT spool_id, lane, first_sequence, last_sequence FROM journal")?;
    let mut held: BTreeMap<(SpoolId, Lane), SequenceRanges> = BTreeMap::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key = (SpoolId(row.get(0)?), lane(&row.get::<_, String>(1)?)?);
        held.entry(key).or_default().insert(SequenceRange::new(row.get(2)?, row.get(3)?)?);
    }
    Ok(held)
}

fn lane(word: &str) -> anyhow::Result<Lane> {
    let found = Lane::ALL.into_iter().find(|lane| lane.as_str() == word);
    found.ok_or_else(|| anyhow::anyhow!("{word:?} is no lane"))
}

/// A spool by its bytes in hexadecimal digits.
fn spool_id(digits: &str) -> Option<SpoolId> {
    u128::from_str_radix(digits, 16).ok().map(|number| SpoolId(number.to_be_bytes()))
}

impl World {
    /// After a start: every accepted capture that no receipt has covered is still in the vehicle.
    pub(super) fn check_spool(&mut self, vehicle: usize) {
        let Some(agent) = &self.vehicles[vehicle].agent else { return };
        let limits = OfferLimits { bytes_max: usize::MAX, live_from: 1 };
        let spool_id = agent.spool_id;
        let Ok(offered) = once(agent.spool.offer(limits)) else { return };
        let evidence = offered.batches.iter().filter(|batch| batch.lane == Lane::Evidence);
        let mut held = SequenceRanges::new();
        evidence.flat_map(|batch| &batch.chunks).for_each(|chunk| held.insert(chunk.range));
        if let Some(promised) = self.truth.promised.get(&(spool_id, Lane::Evidence)) {
            promised.iter().for_each(|range| held.insert(range));
        }
        let last = self.truth.committed.get(&(spool_id, Lane::Evidence)).copied().unwrap_or(0);
        // An offer has a bound, so only what it reaches can be told.
        let reach = offered.batches.len() < milepost_proto::uplink::BATCHES_MAX;
        if reach && last > 0 && held.through() < last {
            let through = held.through();
            self.truth.lost += last - through;
            self.truth.breach(format!("vehicle {vehicle} started with evidence through {through}, not {last}"));
        }
    }

    /// Everything that must hold at rest.
    pub(super) fn audit(&mut self) {
        let path = self.office.path();
        let journal = match Journal::read(&path) {
            Ok(journal) => journal,
            Err(error) => return self.truth.breach(format!("the journal does not read: {error:#}")),
        };
        self.truth.tally.records = journal.record_count() as u64;
        for fault in journal.sequence_faults() {
            self.truth.lost += 1;
            self.truth.breach(fault);
        }
        if journal.contested > 0 {
            self.truth.breach(format!("{} chunks contradict each other", journal.contested));
        }
        self.audit_captures(&journal);
        self.audit_committed(&path);
        self.audit_gaps(&journal);
        self.audit_positions(&journal);
        self.audit_chains(&journal);
        if let Some(store) = self.office.store.clone() {
            self.audit_blobs(&store);
            self.audit_effects(&path);
            if let Err(error) = self.audit_milestones(&store, &journal) {
                self.truth.breach(format!("the milestones do not read: {error}"));
            }
        }
    }

    fn audit_captures(&mut self, journal: &Journal) {
        let mut arrived: BTreeMap<String, u64> = BTreeMap::new();
        for name in journal.client_refs() {
            *arrived.entry(name).or_default() += 1;
        }
        for (name, count) in &arrived {
            if *count > 1 {
                self.truth.doubled += count - 1;
                self.truth.breach(format!("capture {name} is there {count} times"));
            }
            if !self.truth.captures.contains_key(name) {
                self.truth.breach(format!("capture {name} was never made"));
            }
        }
        let accepted = self.truth.captures.iter().filter(|(_, capture)| capture.accepted);
        let missing: Vec<String> =
            accepted.filter(|(name, _)| !arrived.contains_key(*name)).map(|(name, _)| name.clone()).collect();
        for name in missing {
            self.truth.lost += 1;
            self.truth.breach(format!("capture {name} was accepted and never arrived"));
        }
    }

    fn audit_committed(&mut self, path: &Path) {
        let held = held_ranges(path).unwrap_or_default();
        let committed: Vec<_> = self.truth.committed.iter().map(|(key, last)| (*key, *last)).collect();
        for ((spool_id, lane), last) in committed {
            let through = held.get(&(spool_id, lane)).map_or(0, SequenceRanges::through);
            if through < last {
                self.truth.lost += last - through;
                self.truth.breach(format!("{lane} of {spool_id} was committed to {last} and arrived to {through}"));
            }
        }
    }

    /// A gap stands only for what a disk refused, and never for evidence.
    fn audit_gaps(&mut self, journal: &Journal) {
        let records = |ranges: &Vec<SequenceRange>| ranges.iter().map(|range| range.count()).sum::<u64>();
        for (key, ranges) in &journal.gaps {
            self.truth.tally.gap_records += records(ranges);
            let refused = self.vehicles.iter().any(|one| one.device.as_str() == key.0 && one.disk.refusals() > 0);
            if key.2 == Lane::Evidence.as_str() || !refused {
                self.truth.lost += records(ranges);
                self.truth.breach(format!("gaps {ranges:?} of {key:?} stand for nothing that a disk refused"));
            }
        }
    }

    /// Every position that the policy kept is there, unless it was in memory when the machine came down, or its commit was
    /// refused by the disk.
    fn audit_positions(&mut self, journal: &Journal) {
        for vehicle in 0..self.vehicles.len() {
            let device = self.vehicles[vehicle].device.to_string();
            let mut arrived = BTreeSet::new();
            for (_, record) in lanes_of(journal, &device).flat_map(|(_, records)| records) {
                if let Reading::Position(_) = &record.reading
                    && !arrived.insert(record.event_time.as_millis())
                {
                    self.truth.doubled += 1;
                    self.truth.breach(format!("vehicle {vehicle} was at two places at {}", record.event_time));
                }
            }
            let of_vehicle = (vehicle, i64::MIN)..=(vehicle, i64::MAX);
            let kept: BTreeMap<i64, bool> =
                self.truth.positions.range(of_vehicle).map(|((_, at), one)| (*at, one.may_be_lost)).collect();
            for at in arrived.iter().filter(|at| !kept.contains_key(at)) {
                self.truth.breach(format!("vehicle {vehicle}: nobody kept a position at {at}"));
            }
            let missing: Vec<Timestamp> = kept
                .iter()
                .filter(|(at, may_be_lost)| !**may_be_lost && !arrived.contains(at))
                .map(|(at, _)| Timestamp::from_millis(*at))
                .collect();
            if !missing.is_empty() {
                self.truth.lost += missing.len() as u64;
                let what = format!("vehicle {vehicle}: positions older than the loss window are missing: {missing:?}");
                self.truth.breach(what);
            }
        }
    }

    /// Each evidence record names the one before it.
    fn audit_chains(&mut self, journal: &Journal) {
        for (key, records) in journal.lanes.iter().filter(|(key, _)| key.2 == Lane::Evidence.as_str()) {
            let mut records: Vec<_> = records.iter().collect();
            records.sort_by_key(|(sequence, _)| *sequence);
            let mut before = spool_id(&key.1).map(chain_start);
            for (sequence, record) in records {
                if record.seal.as_ref().map(|seal| seal.prev_hash) != before {
                    self.truth.breach(format!("evidence {sequence} of {key:?} does not name the record before it"));
                }
                before = digest_of(record, *sequence);
            }
        }
    }

    fn audit_blobs(&mut self, store: &Store) {
        let fleet_id = &self.office.fleet_id;
        let is_there = |sha256| store.read_here(|connection| Ok(blob::bytes(connection, fleet_id, sha256)?.is_some()));
        let missing: Vec<_> =
            self.truth.blobs.iter().filter(|sha256| !is_there(**sha256).unwrap_or(false)).copied().collect();
        for sha256 in missing {
            self.truth.lost += 1;
            self.truth.breach(format!("blob {sha256} was accepted and never arrived"));
        }
    }

    /// Each effect that is owed is in Odoo once, and nothing else is.
    fn audit_effects(&mut self, path: &Path) {
        let owed = match owed_effects(path) {
            Ok(owed) => owed,
            Err(error) => return self.truth.breach(format!("the outbox does not read: {error}")),
        };
        self.truth.tally.effects = self.odoo.len() as u64;
        let wrong: Vec<String> = self
            .odoo
            .iter()
            .filter(|(key, count)| **count != 1 || !owed.contains(*key))
            .map(|(key, count)| format!("effect {key} is in Odoo {count} times"))
            .chain(
                owed.iter().filter(|key| !self.odoo.contains_key(*key)).map(|key| format!("effect {key} is missing")),
            )
            .collect();
        wrong.into_iter().for_each(|what| self.truth.breach(what));
    }

    /// What stands at the gateway is what the same facts give, folded once, in order.
    fn audit_milestones(&mut self, store: &Store, journal: &Journal) -> StoreResult<()> {
        for vehicle in 0..self.vehicles.len() {
            let (device_id, route) = (self.vehicles[vehicle].device.clone(), self.vehicles[vehicle].route);
            let fleet_id = self.office.fleet_id.clone();
            let vehicle_id = vehicle_of(&device_id)?;
            let (held, low) = store.read_here(|connection| {
                let held = commit::milestones_of(connection, &fleet_id, &vehicle_id)?;
                Ok((held, mark::of_vehicle(connection, &fleet_id, &vehicle_id)?))
            })?;
            let moments = moments_of(journal, device_id.as_str());
            let mut facts: Vec<Fact> = Vec::new();
            for (key, records) in lanes_of(journal, device_id.as_str()) {
                let Some(spool_id) = spool_id(&key.1) else { continue };
                let Ok(lane) = lane(&key.2) else { continue };
                facts.extend(records.iter().filter_map(|(sequence, record)| {
                    let (fleet_id, device_id) = (fleet_id.clone(), device_id.clone());
                    let id = RecordId { fleet_id, device_id, spool_id, lane, sequence: *sequence };
                    let moments = moments.get(&journal.boot_of(key, *sequence)?).map_or(&[][..], Vec::as_slice);
                    let event_time = dating::date(record, moments).time()?;
                    Fact::from_record(&id, &Record { event_time, ..record.clone() })
                }));
            }
            facts.sort_unstable();
            let trips: Vec<_> = (0..self.days).map(|day| route.trip(day)).collect();
            let mut state = VehicleState::new(&fleet_id, &trips, &self.office.rules);
            for fact in &facts {
                state.apply(fact);
            }
            let standing = state.standing(low);
            self.truth.tally.milestones += standing.len() as u64;
            for news in revise(&held, standing) {
                self.truth.breach(format!("vehicle {vehicle}: this should stand and was not told: {news:?}"));
            }
        }
        Ok(())
    }
}

/// What time it was at which moment of each boot of a device, as its records say.
fn moments_of(journal: &Journal, device: &str) -> BTreeMap<BootId, Vec<Moment>> {
    let mut moments: BTreeMap<BootId, Vec<Moment>> = BTreeMap::new();
    for (key, records) in lanes_of(journal, device) {
        for (sequence, record) in records {
            if let (Some(moment), Some(boot_id)) = (dating::moment_of(record), journal.boot_of(key, *sequence)) {
                moments.entry(boot_id).or_default().push(moment);
            }
        }
    }
    moments
}

fn lanes_of<'j>(journal: &'j Journal, device: &str) -> impl Iterator<Item = (&'j LaneKey, &'j Vec<(u64, Record)>)> {
    let device = device.to_owned();
    journal.lanes.iter().filter(move |(key, _)| key.0 == device)
}

fn owed_effects(path: &Path) -> anyhow::Result<BTreeSet<String>> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut statement = connection.prepare("SELECT effect_key FROM outbox")?;
    let keys = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(keys)
}
