//! One round: some journal rows, some moved marks and some requests become one [`Fold`].
//!
//! Promise: a pure function of one snapshot of the store. A vehicle whose new facts all come after what it has folded is
//! folded onwards; any other is folded again from the journal. While a long backlog is being read that waits, so that a
//! vehicle that drains a week is folded again a few times, not once per round; it never waits for more than
//! [`ROWS_BETWEEN_REFOLDS_MAX`] rows. Marks are applied only when every chunk that
//! arrived before them is folded too, or a milestone would be confirmed while what corrects it waits in the journal. A
//! vehicle that cannot be folded is left as it was, with a case, and the others go on.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use milepost_proto::{DeviceId, FleetId, Timestamp, VehicleId};
use rusqlite::Connection;

use super::announce;
use super::floor;
use super::gather::{self, Leftover, Roster, Told};
use crate::milestone::{Fact, Rules, VehicleState, revise};
use crate::store::case::{Trouble, TroubleKind};
use crate::store::commit::{self, Cursor, Fold, VehicleFold, VehicleRow};
use crate::store::fold_floor::{self, Floor};
use crate::store::journal::{self, JournalRow};
use crate::store::roster::{Assignment, Duty};
use crate::store::{StoreResult, accept, column, mark, refold};

/// Most journal rows in one round: with chunks of at most 4096 records this bounds what a round holds in memory.
const ROWS_MAX: u32 = 64;

/// Most journal rows that are read before what must be folded again is folded again.
pub const ROWS_BETWEEN_REFOLDS_MAX: u64 = 2048;

/// What a round did.
#[derive(Debug)]
pub struct Round {
    /// What is to be committed.
    pub fold: Fold,
    /// Vehicles that were folded again from the journal.
    pub refolded: u64,
    /// When the oldest of the rows arrived.
    pub oldest_receipt: Option<Timestamp>,
    /// Positions of the journal that are left to fold.
    pub behind: u64,
}

/// Folds what is new in the snapshot behind `connection`; nothing when nothing is.
///
/// # Errors
/// When the store fails.
pub fn fold(connection: &Connection, fleet_id: &FleetId, rules: &Rules) -> StoreResult<Option<Round>> {
    let cursor = commit::cursor(connection, fleet_id)?;
    let rows = journal::rows_after(connection, fleet_id, cursor.position, ROWS_MAX)?;
    let requests = refold::due(connection, fleet_id)?;
    let caught_up = rows.len() < ROWS_MAX as usize;
    let position = rows.last().map_or(cursor.position, |row| row.position);
    let refold_now = caught_up || position / ROWS_BETWEEN_REFOLDS_MAX > cursor.position / ROWS_BETWEEN_REFOLDS_MAX;
    let (moved, mark_change) = if caught_up {
        mark::moved_after(connection, fleet_id, cursor.mark_change)?
    } else {
        (Vec::new(), cursor.mark_change)
    };
    if rows.is_empty() && requests.is_empty() && moved.is_empty() {
        return Ok(None);
    }
    let behind = accept::journal_end(connection, fleet_id)?.saturating_sub(position);
    let oldest_receipt = rows.iter().map(|row| row.received_at).min();
    let asked: BTreeSet<VehicleId> = requests.iter().map(|(_, vehicle_id)| vehicle_id.clone()).collect();
    let mut round = Folding {
        connection,
        fleet_id,
        rules,
        through: position,
        caught_up,
        refold_now,
        roster: Roster::default(),
        told: BTreeMap::new(),
        again: asked.clone(),
        asked,
        done: Done::default(),
    };
    rows.iter().try_for_each(|row| round.take_row(row))?;
    moved.iter().try_for_each(|device_id| round.take_mark(device_id))?;
    let Done { vehicles, refolded, refolds_asked, troubles } = round.finish()?;
    let cursor = Cursor { position, mark_change, ..cursor };
    let refolds_done = if refold_now { requests.into_iter().map(|(id, _)| id).collect() } else { Vec::new() };
    let fleet_id = fleet_id.clone();
    let fold = Fold { fleet_id, cursor, refolds_done, refolds_asked, vehicles, troubles };
    Ok(Some(Round { fold, refolded, oldest_receipt, behind }))
}

struct Folding<'a> {
    connection: &'a Connection,
    fleet_id: &'a FleetId,
    rules: &'a Rules,
    through: u64,
    caught_up: bool,
    refold_now: bool,
    roster: Roster,
    /// What the rows say, by vehicle; a vehicle without facts is there because its mark moved.
    told: BTreeMap<VehicleId, Told>,
    /// Vehicles to fold from the journal, now or when it is time.
    again: BTreeSet<VehicleId>,
    /// Those among them for which a request is kept already.
    asked: BTreeSet<VehicleId>,
    done: Done,
}

/// What comes out of a round.
#[derive(Default)]
struct Done {
    vehicles: Vec<VehicleFold>,
    refolded: u64,
    refolds_asked: Vec<VehicleId>,
    troubles: Vec<Trouble>,
}

impl Folding<'_> {
    fn take_row(&mut self, row: &JournalRow) -> StoreResult<()> {
        let assignments = self.roster.of(self.connection, self.fleet_id, &row.key.device_id)?;
        if row.contested {
            // What stood until now may no longer stand.
            self.again.extend(vehicles_in(assignments).cloned());
        }
        let leftover = gather::add_row(self.connection, row, self.through, assignments, &mut self.told)?;
        let Some(Leftover { homeless, unusable, why }) = leftover else {
            let detail = format!(
                "journal position {} (sequences {}) does not open any more: the store is damaged. Check the disk and \
                 restore the store from a backup",
                row.position, row.chunk.range
            );
            self.done.troubles.push(Trouble { kind: TroubleKind::Damaged, subject: row.key.to_string(), detail });
            return Ok(());
        };
        if let Some(why) = why {
            let detail = format!(
                "{unusable} records in sequences {} are kept but tell nothing, the first at {why}. Look at the agent \
                 on this device: a sound one sends no such record",
                row.chunk.range
            );
            self.done.troubles.push(Trouble { kind: TroubleKind::Unusable, subject: row.key.to_string(), detail });
        }
        let serves_a_site = assignments.iter().any(|assignment| matches!(assignment.duty, Duty::Site(_)));
        if homeless > 0 && !serves_a_site {
            let device = &row.key.device_id;
            let detail = format!(
                "{homeless} records of {device} are kept but belong to no vehicle; give it a [[device]] entry whose \
                 valid_from and valid_to cover them"
            );
            self.done.troubles.push(Trouble { kind: TroubleKind::Unassigned, subject: device.to_string(), detail });
        }
        Ok(())
    }

    fn take_mark(&mut self, device_id: &DeviceId) -> StoreResult<()> {
        let assignments = self.roster.of(self.connection, self.fleet_id, device_id)?;
        for vehicle_id in vehicles_in(assignments) {
            self.told.entry(vehicle_id.clone()).or_default();
        }
        Ok(())
    }

    fn finish(mut self) -> StoreResult<Done> {
        let mut told = std::mem::take(&mut self.told);
        for vehicle_id in &self.again {
            told.entry(vehicle_id.clone()).or_default();
        }
        told.into_iter().try_for_each(|(vehicle_id, told)| self.fold_apart(vehicle_id, told))?;
        Ok(self.done)
    }

    /// A vehicle whose fold panics keeps what it had, and holds up nobody else.
    fn fold_apart(&mut self, vehicle_id: VehicleId, told: Told) -> StoreResult<()> {
        let subject = vehicle_id.to_string();
        let folded = catch_unwind(AssertUnwindSafe(|| self.fold_vehicle(vehicle_id, told)));
        folded.unwrap_or_else(|_| {
            let detail = format!(
                "{subject} could not be folded up to journal position {}: a defect of the gateway. Its milestones may \
                 be out of date; keep the store, update the gateway, and report the panic in the gateway's log",
                self.through
            );
            self.done.troubles.push(Trouble { kind: TroubleKind::FoldFailed, subject, detail });
            Ok(())
        })
    }

    fn fold_vehicle(&mut self, vehicle_id: VehicleId, mut told: Told) -> StoreResult<()> {
        let (connection, fleet_id) = (self.connection, self.fleet_id);
        let row = commit::vehicle_row(connection, fleet_id, &vehicle_id)?;
        let floor = fold_floor::of_vehicle(connection, fleet_id, &vehicle_id)?;
        self.leave_out_settled(&vehicle_id, &mut told.facts, floor.as_ref());
        told.facts.sort_unstable();
        let onwards = if self.again.contains(&vehicle_id) { None } else { onwards(row.as_ref(), &told.facts) };
        let state = match onwards {
            Some(state) => state,
            None if !self.refold_now => {
                if !self.asked.contains(&vehicle_id) {
                    self.done.refolds_asked.push(vehicle_id);
                }
                return Ok(());
            }
            None => {
                self.done.refolded += 1;
                told = gather::all_of_vehicle(connection, fleet_id, &vehicle_id, self.through)?;
                told.facts.retain(|fact| floor::is_above(fact, floor.as_ref()));
                told.facts.sort_unstable();
                let start = floor::start(connection, fleet_id, &vehicle_id, floor.as_ref(), self.rules);
                let Ok(start) = start else { return self.keep_unreadable(vehicle_id) };
                apply(start, &told.facts)
            }
        };
        let folded = self.announce(vehicle_id, row.as_ref(), &state, told)?;
        self.done.vehicles.push(folded);
        Ok(())
    }

    /// Facts of a time that is settled for good change nothing; a person is told.
    fn leave_out_settled(&mut self, vehicle_id: &VehicleId, facts: &mut Vec<Fact>, floor: Option<&Floor>) {
        let all = facts.len();
        facts.retain(|fact| floor::is_above(fact, floor));
        let (late, Some(floor)) = (all - facts.len(), floor) else { return };
        if late > 0 {
            let detail = format!(
                "{late} facts arrived for a time up to {}, which is settled because older records are no longer kept: \
                 they are kept but change no milestone. Compare them with what was told by hand",
                floor.time
            );
            let subject = vehicle_id.to_string();
            self.done.troubles.push(Trouble { kind: TroubleKind::BeforeFloor, subject, detail });
        }
    }

    /// A vehicle whose kept state does not read cannot be folded again; what was told of it stands.
    fn keep_unreadable(&mut self, vehicle_id: VehicleId) -> StoreResult<()> {
        let detail = format!(
            "the state that {vehicle_id} was settled with does not read, so it cannot be folded again; what was told \
             stands. Restore the store from a backup, or go back to the gateway that wrote it"
        );
        let subject = vehicle_id.to_string();
        self.done.troubles.push(Trouble { kind: TroubleKind::FoldFailed, subject, detail });
        Ok(())
    }

    fn announce(
        &self,
        vehicle_id: VehicleId,
        row: Option<&VehicleRow>,
        state: &VehicleState,
        mut told: Told,
    ) -> StoreResult<VehicleFold> {
        let (connection, fleet_id) = (self.connection, self.fleet_id);
        let held_mark = row.and_then(|row| row.low_water_mark);
        let held_place = row.and_then(|row| row.place);
        let mark = if self.caught_up { mark::of_vehicle(connection, fleet_id, &vehicle_id)? } else { held_mark };
        let held = commit::milestones_of(connection, fleet_id, &vehicle_id)?;
        let revisions = revise(&held, state.standing(mark));
        let mut effects = announce::effects(&held, &revisions);
        effects.append(&mut told.pods);
        let place = [held_place, told.place].into_iter().flatten().max_by_key(|&(_, _, at)| at);
        let row = VehicleRow {
            head_time: state.head().map(|head| head.event_time),
            state: column::to_bytes(state)?,
            low_water_mark: mark,
            place,
        };
        Ok(VehicleFold { vehicle_id, row, revisions, effects })
    }
}

/// The held state with `facts` applied, when they all come after it and it still reads.
fn onwards(row: Option<&VehicleRow>, facts: &[Fact]) -> Option<VehicleState> {
    let state: VehicleState = column::from_bytes(&row?.state).ok()?;
    let follows = match (state.head(), facts.first()) {
        (Some(head), Some(first)) => head < first.key(),
        _ => true,
    };
    follows.then(|| apply(state, facts))
}

fn apply(mut state: VehicleState, facts: &[Fact]) -> VehicleState {
    for fact in facts {
        state.apply(fact);
    }
    state
}

fn vehicles_in(assignments: &[Assignment]) -> impl Iterator<Item = &VehicleId> {
    assignments.iter().filter_map(|assignment| match &assignment.duty {
        Duty::Vehicle(vehicle_id) => Some(vehicle_id),
        Duty::Site(_) => None,
    })
}
