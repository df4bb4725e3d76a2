//! What the gateway looks after by itself: missing evidence, and what is old enough to go.
//!
//! Promise: evidence that stays missing becomes a case, not a line in a log; what the policy lets go of goes in small
//! steps, each its own commit, between which receipts are taken as always. It only reads and drops what is settled, so
//! being killed anywhere costs nothing.

use std::time::Duration;

use milepost_proto::{FleetId, Timestamp, VehicleId};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::{CustodySection, RetentionSection};
use crate::metrics::Metrics;
use crate::milestone::Rules;
use crate::projector::floor;
use crate::store::case::{self, Trouble, TroubleKind};
use crate::store::{Store, StoreResult, commit, custody, fold_floor, retention};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Most looks between two that drop what is old: dropping reads more than looking.
const LOOKS_PER_DROP: u32 = 10;
/// Most holes that are looked at at once.
const HOLES_MAX: u32 = 100;
/// Most lanes that are summed up for the figures.
const LANES_SUMMED_MAX: usize = 1000;
/// A floor is raised when it can be raised by this much, milliseconds: raising folds.
const RAISE_MS_MIN: i64 = 60 * 60 * 1000;

/// Looks after one fleet's store.
pub struct Upkeep {
    /// Where everything is.
    pub store: Store,
    /// Whose.
    pub fleet_id: FleetId,
    /// What the engine decides by.
    pub rules: Rules,
    /// When missing evidence is trouble.
    pub custody: CustodySection,
    /// What may go when.
    pub retention: RetentionSection,
    /// Where it is counted.
    pub metrics: Metrics,
}

impl Upkeep {
    /// Looks again and again until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0_u32;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let now = clock::now();
            let looked = self.look(now).await;
            let dropped =
                if looks % LOOKS_PER_DROP == 0 { self.drop_old(now, &shutdown).await.map(drop) } else { Ok(()) };
            if let Err(fault) = looked.and(dropped) {
                tracing::error!(%fault, "looking after the store failed; receipts go on");
            }
            looks = looks.wrapping_add(1);
        }
    }

    /// Opens a case for each piece of evidence that is missing for too long, and sets the figures.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn look(&self, now: Timestamp) -> StoreResult<()> {
        let before = now.plus_millis(-i64::from(self.custody.evidence_missing_s) * 1000);
        let fleet = self.fleet_id.clone();
        let read = move |connection: &rusqlite::Connection| {
            let holes = custody::evidence_holes(connection, &fleet, before, HOLES_MAX)?;
            Ok((holes, custody::troubled_lanes(connection, &fleet, LANES_SUMMED_MAX)?))
        };
        let (holes, lanes) = self.store.read(read).await?;
        self.metrics.missing(lanes.iter().map(|line| (line.lane.lane, line.lane.missing_records)));
        if holes.is_empty() {
            return Ok(());
        }
        let fleet = self.fleet_id.clone();
        let open = move |connection: &rusqlite::Connection| {
            holes.iter().try_for_each(|hole| case::meet(connection, &fleet, &missing(hole), now))
        };
        self.store.write(open).await
    }

    /// Drops what the policy lets go of. Answers how many records went.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn drop_old(&self, now: Timestamp, shutdown: &CancellationToken) -> StoreResult<u64> {
        if let Some(days) = self.retention.floor_days() {
            self.raise_floors(retention::days_before(now, days), now, shutdown).await?;
        }
        let dropped = self.drop_chunks(now, shutdown).await?;
        if let Some(days) = self.retention.blob_days {
            self.drop_blobs(retention::days_before(now, days), shutdown).await?;
        }
        self.metrics.dropped_records.inc_by(dropped);
        Ok(dropped)
    }

    async fn raise_floors(&self, wanted: Timestamp, now: Timestamp, shutdown: &CancellationToken) -> StoreResult<()> {
        let fleet = self.fleet_id.clone();
        let vehicles = self.store.read(move |connection| commit::folded_vehicles(connection, &fleet)).await?;
        for vehicle_id in vehicles {
            if shutdown.is_cancelled() {
                break;
            }
            self.raise_floor(vehicle_id, wanted, now).await?;
        }
        Ok(())
    }

    async fn raise_floor(&self, vehicle_id: VehicleId, wanted: Timestamp, now: Timestamp) -> StoreResult<()> {
        let (fleet, vehicle, rules) = (self.fleet_id.clone(), vehicle_id.clone(), self.rules.clone());
        let fold = move |connection: &rusqlite::Connection| {
            let held = fold_floor::of_vehicle(connection, &fleet, &vehicle)?;
            let is_near = |held: &fold_floor::Floor| wanted.millis_since(held.time) < RAISE_MS_MIN;
            if held.as_ref().is_some_and(is_near) {
                return Ok(None);
            }
            floor::fold_to(connection, &fleet, &vehicle, wanted, &rules)
        };
        // A vehicle whose kept state does not read keeps its floor; folding it opens the case.
        let Ok(Some(raised)) = self.store.read(fold).await else { return Ok(()) };
        let fleet = self.fleet_id.clone();
        let raise = move |connection: &rusqlite::Connection| {
            fold_floor::raise(connection, &fleet, &vehicle_id, &raised.floor, raised.through, now)
        };
        self.store.write(raise).await.map(drop)
    }

    async fn drop_chunks(&self, now: Timestamp, shutdown: &CancellationToken) -> StoreResult<u64> {
        let (fleet, policy) = (self.fleet_id.clone(), self.retention);
        let old = move |connection: &rusqlite::Connection| retention::old_lanes(connection, &fleet, &policy, now);
        let mut records = 0;
        for lane in self.store.read(old).await? {
            while !shutdown.is_cancelled() {
                let fleet = self.fleet_id.clone();
                let find = move |connection: &rusqlite::Connection| retention::droppable(connection, &fleet, lane);
                let positions = self.store.read(find).await?;
                if positions.is_empty() {
                    break;
                }
                let step =
                    move |connection: &rusqlite::Connection| retention::drop_chunks(connection, lane, &positions);
                records += self.store.write(step).await?;
            }
        }
        Ok(records)
    }

    async fn drop_blobs(&self, before: Timestamp, shutdown: &CancellationToken) -> StoreResult<()> {
        while !shutdown.is_cancelled() {
            let fleet = self.fleet_id.clone();
            let step = move |connection: &rusqlite::Connection| retention::drop_blobs(connection, &fleet, before);
            if self.store.write(step).await? == 0 {
                break;
            }
        }
        Ok(())
    }
}

fn missing(hole: &custody::EvidenceHole) -> Trouble {
    let detail = format!(
        "evidence {} has been missing since {}, while later evidence is held. Look whether this device still holds it \
         (`milepost-agent spool inspect`), and ask the driver for what is missing",
        hole.range, hole.since
    );
    Trouble { kind: TroubleKind::EvidenceMissing, subject: hole.subject.clone(), detail }
}
