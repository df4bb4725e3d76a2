//! Odoo, reduced to what keeping effects once depends on: a search by key, and a write that commits whether or not its
//! reply arrives, at once or up to its request limit later.
//!
//! Promise: an effect counts each time it is committed, so one that was written twice is seen.

use std::collections::BTreeMap;

use milepost_gateway::effect::{Effect, EffectBody, Settlement};
use milepost_gateway::outbox::decide::{aftermath, next};
use milepost_gateway::store::outbox::{self, OutboxRow};
use milepost_gateway::store::{Store, StoreResult, blob};

use super::World;
use super::schedule::Happening;
use super::vehicle::once;

/// How long the connector waits for an answer, milliseconds.
const TIMEOUT_MS: i64 = 45_000;

/// What is in Odoo: how often each effect was committed.
pub(super) type Effects = BTreeMap<String, u32>;

impl World {
    /// Starts the attempts that are due, as the gateway's outbox does.
    pub(super) fn outbox(&mut self) {
        let Some(store) = self.office.store.clone() else { return };
        if self.try_outbox(&store).is_err() {
            self.schedule.put(self.now_ms + 2_000, Happening::Outbox);
        }
        drop(store);
        self.after_gateway();
    }

    fn try_outbox(&mut self, store: &Store) -> StoreResult<()> {
        let (policy, now, in_flight) = (self.office.policy, self.now(), self.office.in_flight);
        let fleet_id = self.office.fleet_id.clone();
        if self.office.strays && in_flight == 0 {
            let (fleet_id, limit_ms) = (fleet_id.clone(), policy.request_limit_ms);
            once(store.write(move |connection| outbox::recover(connection, &fleet_id, now, limit_ms)))?;
            self.office.strays = false;
        }
        let of = fleet_id.clone();
        let heads = once(store.read(move |connection| outbox::heads(connection, &of, policy.rows_wanted())))?;
        let decision = next(heads, in_flight, now, &policy);
        for row in decision.start {
            let (of, position) = (fleet_id.clone(), row.position);
            once(store.write(move |connection| outbox::begin(connection, &of, position, now)))?;
            self.office.in_flight += 1;
            let slow = self.chance.happens(self.faults.odoo / 2.0);
            let search_ms = if slow { self.within(1, 44) } else { self.within(0, 1) };
            let life = self.office.life;
            self.schedule.put(self.now_ms + search_ms, Happening::OdooSearch { life, row: Box::new(row) });
        }
        if let Some(wake_at) = decision.wake_at {
            self.schedule.put(wake_at.as_millis().max(self.now_ms + 1), Happening::Outbox);
        }
        Ok(())
    }

    /// Odoo answers whether it has the effect; if not, a gateway that still lives sends it.
    pub(super) fn odoo_search(&mut self, life: u64, row: Box<OutboxRow>) {
        if life != self.office.life || self.office.store.is_none() {
            return;
        }
        let key = row.effect.key.clone();
        let (ends_ms, settlement) = if self.odoo.contains_key(&key) {
            (1, Settlement::Done { reference: key })
        } else if !self.blobs_are_there(&row.effect) {
            (1, Settlement::Retry { why: "a photo has not arrived yet".to_owned() })
        } else {
            self.odoo_write(key)
        };
        self.schedule.put(self.now_ms + ends_ms, Happening::OdooEnd { life, row, settlement });
    }

    /// What becomes of a write, and after how many milliseconds the gateway hears of it.
    fn odoo_write(&mut self, key: String) -> (i64, Settlement) {
        let lost = || Settlement::Unknown { why: "the answer was lost".to_owned() };
        let commits_ms = self.within(0, 1);
        let mut commit = |at_ms: i64| self.schedule.put(at_ms, Happening::OdooCommit { key: key.clone() });
        if !self.chance.happens(self.faults.odoo) {
            commit(self.now_ms + commits_ms);
            return (commits_ms + 1, Settlement::Done { reference: key });
        }
        match self.chance.below(5) {
            0 => (commits_ms, Settlement::Retry { why: "503".to_owned() }),
            1 => (TIMEOUT_MS, lost()),
            2 => {
                commit(self.now_ms + commits_ms);
                (commits_ms + 1, lost())
            }
            3 => {
                commit(self.now_ms + commits_ms);
                (TIMEOUT_MS, lost())
            }
            _ => {
                let late_ms = i64::try_from(self.chance.below(119_000)).unwrap_or(0);
                commit(self.now_ms + late_ms);
                if late_ms < TIMEOUT_MS {
                    (late_ms + 1, Settlement::Done { reference: key })
                } else {
                    (TIMEOUT_MS, lost())
                }
            }
        }
    }

    /// Odoo commits an effect.
    pub(super) fn odoo_commit(&mut self, key: String) {
        let count = self.odoo.entry(key).or_default();
        *count += 1;
        if *count > 1 {
            self.truth.doubled += 1;
        }
    }

    /// The gateway hears how an attempt ended.
    pub(super) fn odoo_end(&mut self, life: u64, row: &OutboxRow, settlement: &Settlement) {
        let Some(store) = self.office.store.clone().filter(|_| life == self.office.life) else { return };
        self.office.in_flight -= 1;
        let now = self.now();
        let aftermath = aftermath(row, settlement, now, self.chance.share(), &self.office.policy);
        let (fleet_id, position) = (self.office.fleet_id.clone(), row.position);
        let kept = once(store.write(move |connection| outbox::end(connection, &fleet_id, position, &aftermath, now)));
        self.office.strays |= kept.is_err();
        drop(store);
        self.after_gateway();
        self.schedule.put(self.now_ms + 1, Happening::Outbox);
    }

    fn blobs_are_there(&self, effect: &Effect) -> bool {
        let EffectBody::Pod { pod, .. } = &effect.body else { return true };
        let Some(store) = &self.office.store else { return false };
        let fleet_id = &self.office.fleet_id;
        pod.signature.iter().chain(&pod.photos).all(|sha256| {
            store.read_here(|connection| Ok(blob::state(connection, fleet_id, *sha256)?.complete)).unwrap_or(false)
        })
    }
}
