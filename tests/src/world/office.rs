//! The gateway: its real store on a disk that can fail, its real inspection, custody, fold and outbox decisions.
//!
//! Promise: a request goes the way it goes in the gateway's own handlers, from bytes to bytes; only the sockets, the TLS
//! identity and the tasks are the world's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fault_disk::FaultDisk;
use milepost_agent::uplink::SendFailure;
use milepost_agent::uplink::classify::classify;
use milepost_gateway::ingest::batches;
use milepost_gateway::ingest::inspect::{Inspected, inspect};
use milepost_gateway::ingest::peer::Peer;
use milepost_gateway::ingest::refusal::Refused;
use milepost_gateway::milestone::Rules;
use milepost_gateway::outbox::decide::Policy;
use milepost_gateway::projector::round;
use milepost_gateway::store::accept::accept;
use milepost_gateway::store::blob::{Part, PartOutcome, put_part};
use milepost_gateway::store::roster::{self, Assignment, Duty, Standing};
use milepost_gateway::store::{Store, StoreFault, StoreResult, commit, device_key, outbox, plan};
use milepost_proto::uplink::{BlobOffer, BlobState};
use milepost_proto::{
    DeviceId, FleetId, Lane, Reading, Record, SpoolId, TimeSource, Timestamp, UplinkRequest, VehicleId, wire,
};

use super::World;
use super::schedule::Happening;
use super::vehicle::once;

/// Most rounds of the fold at once.
const ROUNDS_MAX: usize = 1_000;

/// The gateway, with or without power.
pub(super) struct Office {
    pub(super) folder: PathBuf,
    pub(super) disk: FaultDisk,
    pub(super) fleet_id: FleetId,
    pub(super) rules: Rules,
    pub(super) policy: Policy,
    pub(super) store: Option<Store>,
    /// Rises with every start.
    pub(super) life: u64,
    /// Attempts at Odoo under way.
    pub(super) in_flight: usize,
    /// Rows may say that they are being sent while nobody sends them.
    pub(super) strays: bool,
    /// What the last answers to each vehicle were, which a confused network may give again.
    pub(super) last_answers: BTreeMap<usize, Vec<u8>>,
    pub(super) refusals_seen: u64,
}

impl Office {
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join("gateway.db")
    }
}

/// What the vehicle's client makes of a refusal.
fn failure(refused: &Refused) -> SendFailure {
    classify(refused.status().as_u16(), None, &refused.to_string())
}

impl World {
    /// Starts the gateway, or notes that it fell while starting.
    pub(super) fn start_gateway(&mut self) {
        if self.office.store.is_some() {
            return;
        }
        if self.chance.happens(self.faults.falls_while_starting) {
            self.arm_gateway(40);
        }
        self.office.life += 1;
        self.office.in_flight = 0;
        self.office.strays = true;
        let opened = Store::open_without_thread(&self.office.path());
        let found = opened.and_then(|store| self.furnish(&store).map(|()| store));
        if self.office.disk.fallen().is_none()
            && let Ok(store) = found
        {
            self.office.store = Some(store);
            self.check_promises();
            let soon = self.now_ms + 10;
            self.schedule.put(soon, Happening::Fold);
            self.schedule.put(soon, Happening::Outbox);
        } else {
            self.collapse_gateway();
        }
    }

    /// Devices, vehicles and plans, as the configuration would say.
    fn furnish(&self, store: &Store) -> StoreResult<()> {
        let fleet_id = self.office.fleet_id.clone();
        let days = self.days;
        let now = self.now();
        let rules = milepost_gateway::store::column::to_json(&self.office.rules)?;
        let vehicles: Vec<_> = self.vehicles.iter().map(|vehicle| (vehicle.device.clone(), vehicle.route)).collect();
        once(store.write(move |connection| {
            commit::note_rules(connection, &fleet_id, &rules)?;
            for (device_id, route) in vehicles {
                if roster::standing(connection, &fleet_id, &device_id)? != Standing::Unknown {
                    continue;
                }
                let vehicle_id = vehicle_of(&device_id)?;
                roster::put_vehicle(connection, &fleet_id, &vehicle_id, None)?;
                roster::add_device(connection, &fleet_id, &device_id, now)?;
                let duty = Duty::Vehicle(vehicle_id.clone());
                let always = [Assignment { valid_from: None, valid_to: None, duty }];
                roster::assign(connection, &fleet_id, &device_id, &always)?;
                for day in 0..days {
                    plan::put_trip(connection, &fleet_id, &vehicle_id, &route.trip(day), now)?;
                }
            }
            Ok(())
        }))
    }

    /// Takes a request, as the handler does; gives the answer's bytes.
    pub(super) fn take_request(&mut self, vehicle: usize, envelope: &[u8]) -> Result<Vec<u8>, SendFailure> {
        let result = self.try_take_request(vehicle, envelope);
        self.after_gateway();
        result.map_err(|refused| failure(&refused))
    }

    fn try_take_request(&mut self, vehicle: usize, envelope: &[u8]) -> Result<Vec<u8>, Refused> {
        let (store, peer) = self.admit(vehicle)?;
        let (version, request) = wire::decode_request(envelope)?;
        self.check_marks(&request);
        let told = (request.spool_id, request.low_water_mark.map(|mark| mark.min(self.now())));
        let Inspected { arrival, refusals } = inspect(&peer, request, self.now());
        for (lane, refusal) in &refusals {
            self.truth.breach(format!("the gateway refuses {lane} {}: {}", refusal.range, refusal.reason));
        }
        let accepted = once(store.try_write(move |connection| accept(connection, &arrival)))?;
        if accepted.tally.conflicting + accepted.tally.held_back > 0 {
            self.truth.breach(format!("vehicle {vehicle} contradicts itself: {:?}", accepted.tally));
        }
        if let (spool_id, Some(mark)) = told {
            let held = self.truth.marks.entry(spool_id).or_insert(mark);
            *held = mark.max(*held);
        }
        let answer = batches::answer(told.0, accepted, &refusals);
        let bytes = wire::encode_answer(version, told.0, &answer)?;
        self.truth.promised(&answer);
        let soon = self.now_ms + self.within(0, 2);
        self.schedule.put(soon, Happening::Fold);
        Ok(bytes)
    }

    /// Takes part of a blob, as the handler does.
    pub(super) fn take_part(
        &mut self,
        vehicle: usize,
        blob: BlobOffer,
        offset: u64,
        bytes: &[u8],
    ) -> Result<BlobState, SendFailure> {
        let part = Part { sha256: blob.sha256, size: blob.size, offset, bytes: bytes.to_vec() };
        let now = self.now();
        let put = self.admit(vehicle).and_then(|(store, peer)| {
            let put = move |connection: &rusqlite::Connection| {
                put_part(connection, &peer.fleet_id, &peer.device_id, &part, now)
            };
            Ok(once(store.try_write(put))?)
        });
        self.after_gateway();
        match put {
            Ok(PartOutcome::Taken(state)) => Ok(state),
            Ok(PartOutcome::Elsewhere(_)) => Err(classify(409, None, "")),
            Ok(PartOutcome::HashMismatch) => Err(classify(422, None, "")),
            Ok(PartOutcome::WrongSize { .. }) => Err(classify(413, None, "")),
            Err(refused) => Err(failure(&refused)),
        }
    }

    fn admit(&self, vehicle: usize) -> Result<(Store, Peer), Refused> {
        let Some(store) = self.office.store.clone() else { return Err(StoreFault::Closed.into()) };
        let (fleet_id, device_id) = (self.office.fleet_id.clone(), self.vehicles[vehicle].device.clone());
        let (standing, earlier_keys) = store.read_here(|connection| {
            let standing = roster::standing(connection, &fleet_id, &device_id)?;
            Ok((standing, device_key::noted(connection, &fleet_id, &device_id)?))
        })?;
        match standing {
            Standing::Known => Ok((store, Peer { fleet_id, device_id, public_key: vec![4; 65], earlier_keys })),
            Standing::Revoked => Err(Refused::Revoked(device_id)),
            Standing::Unknown => Err(Refused::Unregistered(device_id)),
        }
    }

    /// No event may arrive that lies before what its spool said it had told everything up to.
    fn check_marks(&mut self, request: &UplinkRequest) {
        let Some(mark) = self.truth.marks.get(&request.spool_id).copied() else { return };
        for batch in &request.batches {
            for chunk in &batch.chunks {
                if self.truth.is_promised(request.spool_id, batch.lane, chunk.range) {
                    continue;
                }
                let Ok(body) = chunk.open() else { continue };
                for (sequence, record) in body.into_numbered(chunk.range) {
                    if self.is_dated(&record) && record.event_time < mark {
                        let (lane, at) = (batch.lane, record.event_time);
                        self.truth.breach(format!("{lane} {sequence} of {at} arrives after the mark {mark}"));
                    }
                }
            }
        }
    }

    /// Whether a record was dated by a receiver, when it was recorded.
    fn is_dated(&self, record: &Record) -> bool {
        let capture = match &record.reading {
            Reading::Pod(pod) => Some(&pod.client_ref),
            Reading::DriverAction(action) => Some(&action.client_ref),
            Reading::DriverException(exception) => Some(&exception.client_ref),
            _ => None,
        };
        let by_phone = capture.and_then(|name| self.truth.captures.get(name)).is_some_and(|one| one.phone_dated);
        record.time_quality.source == TimeSource::Gnss && !by_phone
    }

    /// Folds what the gateway holds, round by round.
    pub(super) fn fold(&mut self) {
        let Some(store) = self.office.store.clone() else { return };
        for _ in 0..ROUNDS_MAX {
            match self.fold_once(&store) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => {
                    let again = self.now_ms + 2_000;
                    self.schedule.put(again, Happening::Fold);
                    break;
                }
            }
        }
        drop(store);
        self.after_gateway();
        self.schedule.put(self.now_ms + 1, Happening::Outbox);
    }

    fn fold_once(&self, store: &Store) -> StoreResult<bool> {
        let (fleet_id, rules, now) = (self.office.fleet_id.clone(), self.office.rules.clone(), self.now());
        let folded = once(store.read(move |connection| round::fold(connection, &fleet_id, &rules)))?;
        let Some(round) = folded else { return Ok(false) };
        once(store.write(move |connection| commit::commit(connection, &round.fold, now)))?;
        Ok(true)
    }

    /// The trips of a day are over: vehicles are sent the next day's.
    pub(super) fn close_trips(&mut self, day: u64) {
        let routes: Vec<_> = self.vehicles.iter().map(|vehicle| vehicle.route).collect();
        let (fleet_id, now) = (self.office.fleet_id.clone(), self.now());
        let closed = self.office.store.clone().map(|store| {
            once(store.write(move |connection| {
                for route in routes {
                    plan::close_trip(connection, &fleet_id, &route.trip(day).id, now)?;
                }
                Ok(())
            }))
        });
        self.after_gateway();
        if !matches!(closed, Some(Ok(()))) {
            self.schedule.put(self.now_ms + 60_000, Happening::CloseTrips { day });
        }
    }

    /// Whatever receipts covered must be held, also after a power cut.
    fn check_promises(&mut self) {
        let held = match super::audit::held_ranges(&self.office.path()) {
            Ok(held) => held,
            Err(error) => return self.truth.breach(format!("the journal does not read after a start: {error}")),
        };
        let nothing = milepost_proto::SequenceRanges::new();
        let mut missing: Vec<(SpoolId, Lane, milepost_proto::SequenceRange)> = Vec::new();
        for ((spool_id, lane), ranges) in &self.truth.promised {
            let held = held.get(&(*spool_id, *lane)).unwrap_or(&nothing);
            missing.extend(ranges.iter().filter(|range| !held.covers(*range)).map(|range| (*spool_id, *lane, range)));
        }
        for (spool_id, lane, range) in missing {
            self.truth.lost += 1;
            self.truth.breach(format!("a receipt covered {lane} {range} of {spool_id}; after a start not all is held"));
        }
    }

    /// The time by the gateway's clock, which is right.
    pub(super) const fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms)
    }

    /// Whether everything the gateway has is folded and nothing is owed.
    pub(super) fn gateway_rests(&self) -> bool {
        let Some(store) = &self.office.store else { return false };
        let fleet_id = &self.office.fleet_id;
        let rests = store.read_here(|connection| {
            let cursor = commit::cursor(connection, fleet_id)?;
            let end = milepost_gateway::store::accept::journal_end(connection, fleet_id)?;
            Ok(cursor.position == end && outbox::depth(connection, fleet_id)?.is_empty())
        });
        rests.unwrap_or(false)
    }
}

/// The vehicle that a device rides in.
pub(super) fn vehicle_of(device_id: &DeviceId) -> StoreResult<VehicleId> {
    milepost_gateway::store::column::name(&format!("van-{device_id}"))
}
