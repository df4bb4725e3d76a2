//! Effects owed to others, settled one by one.
//!
//! Promise: an effect is durably marked as being sent before anyone is called, so whatever happens to this process it is
//! known which calls may have happened; those are asked about only after the other side's request limit. Effects of
//! one shipment are settled in order, one at a time; different shipments at the same time, within a bound. A carrier
//! that is slow, down or wrong holds up nothing but its own effects: receipts and milestones never wait for it. Neither
//! a store that could not be written for a while nor a clock that was set back leaves an effect waiting for ever.

pub mod decide;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use milepost_proto::{FleetId, Timestamp};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::decide::{Policy, aftermath, next};
use crate::clock;
use crate::effect::{Effect, Settlement};
use crate::metrics::Metrics;
use crate::odoo::Connector;
use crate::store::case::{self, Trouble, TroubleKind};
use crate::store::outbox::{self, Aftermath, OutboxRow, State};
use crate::store::{Store, StoreResult};

/// How long attempts under way may take to end at shutdown; what does not is unknown at the next start.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// How long to rest after the store failed.
const REST_AFTER_FAULT: Duration = Duration::from_secs(2);
/// Longest rest while nothing is due, so that the figures stay fresh.
const REST_MAX: Duration = Duration::from_secs(30);

/// Whoever carries effects out.
pub trait Carrier: Send + Sync + 'static {
    /// Carries out `effect` unless it is there already; `after_unknown` says that an earlier attempt may have done it.
    fn settle(&self, effect: &Effect, after_unknown: bool) -> impl Future<Output = Settlement> + Send;
}

impl Carrier for Connector {
    fn settle(&self, effect: &Effect, after_unknown: bool) -> impl Future<Output = Settlement> + Send {
        Self::settle(self, effect, after_unknown)
    }
}

/// One fleet's outbox and who empties it.
pub struct Outbox<C> {
    /// Where the effects are.
    pub store: Store,
    /// Whose they are.
    pub fleet_id: FleetId,
    /// Who carries them out.
    pub carrier: Arc<C>,
    /// How.
    pub policy: Policy,
    /// What is counted.
    pub metrics: Metrics,
}

struct Ended {
    row: OutboxRow,
    settlement: Settlement,
}

impl<C: Carrier> Outbox<C> {
    /// Settles effects until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut attempts = JoinSet::new();
        let mut commits = self.store.commits();
        // Whether rows may say that they are being sent while nobody sends them.
        let mut strays = true;
        while !shutdown.is_cancelled() && !self.store.has_stopped() {
            if strays && attempts.is_empty() {
                strays = !self.recover().await;
            }
            commits.mark_unchanged();
            let rest = match self.start_due(&mut attempts).await {
                Ok(rest) => rest,
                Err(fault) => {
                    tracing::error!(%fault, "the outbox cannot be read; receipts go on");
                    REST_AFTER_FAULT
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                Some(ended) = attempts.join_next() => strays |= !self.finish(ended).await,
                _ = commits.changed() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
        let drain = async {
            while let Some(ended) = attempts.join_next().await {
                self.finish(ended).await;
            }
        };
        if tokio::time::timeout(SHUTDOWN_GRACE, drain).await.is_err() {
            tracing::warn!("attempts were still under way at shutdown; they will be asked about after the next start");
        }
    }

    /// Answers whether it is now known which attempts were broken off.
    async fn recover(&self) -> bool {
        let (fleet, now, limit_ms) = (self.fleet_id.clone(), clock::now(), self.policy.request_limit_ms);
        match self.store.write(move |connection| outbox::recover(connection, &fleet, now, limit_ms)).await {
            Ok(0) => true,
            Ok(effects) => {
                tracing::warn!(effects, "attempts were broken off; will ask first");
                true
            }
            Err(fault) => {
                tracing::error!(%fault, "cannot tell which attempts were broken off");
                false
            }
        }
    }

    /// Starts what is due; answers how long to rest until something else is.
    async fn start_due(&self, attempts: &mut JoinSet<Ended>) -> StoreResult<Duration> {
        let fleet = self.fleet_id.clone();
        let rows_max = self.policy.rows_wanted();
        let (heads, depth) = self
            .store
            .read(move |connection| {
                Ok((outbox::heads(connection, &fleet, rows_max)?, outbox::depth(connection, &fleet)?))
            })
            .await?;
        for state in State::ALL {
            let effects = depth.iter().find(|(of, _, _)| *of == state).map_or(0, |&(_, effects, _)| effects);
            self.metrics.outbox(state.as_str(), effects);
        }
        let now = clock::now();
        let latest = now.plus_millis(self.policy.wait_ms_max());
        if heads.iter().any(|row| row.next_at > latest) {
            self.bring_forward(latest).await?;
        }
        let decision = next(heads, attempts.len(), now, &self.policy);
        for row in decision.start {
            self.begin(&row, now).await?;
            let carrier = Arc::clone(&self.carrier);
            attempts.spawn(async move {
                let settlement = carrier.settle(&row.effect, row.state == State::Unknown).await;
                Ended { row, settlement }
            });
        }
        let until =
            decision.wake_at.map_or(REST_MAX.as_millis().try_into().unwrap_or(i64::MAX), |at| at.millis_since(now));
        Ok(Duration::from_millis(u64::try_from(until).unwrap_or(0)).min(REST_MAX))
    }

    /// What waits longer than any wait lasts was put or tried by a clock that has been set back since.
    async fn bring_forward(&self, latest: Timestamp) -> StoreResult<()> {
        let fleet = self.fleet_id.clone();
        let effects = self.store.write(move |connection| outbox::bring_forward(connection, &fleet, latest)).await?;
        tracing::warn!(effects, "the clock was set back; what waited for its old time now waits until {latest}");
        Ok(())
    }

    async fn begin(&self, row: &OutboxRow, now: Timestamp) -> StoreResult<()> {
        let (fleet, position) = (self.fleet_id.clone(), row.position);
        self.store.write(move |connection| outbox::begin(connection, &fleet, position, now)).await
    }

    /// Answers whether it is kept how the attempt ended.
    async fn finish(&self, ended: Result<Ended, tokio::task::JoinError>) -> bool {
        let Ended { row, settlement } = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "an attempt stopped half-way; it will be asked about");
                return false;
            }
        };
        let now = clock::now();
        let aftermath = aftermath(&row, &settlement, now, chance(), &self.policy);
        self.note(&row, &settlement, &aftermath, now);
        let fleet = self.fleet_id.clone();
        let write = self.store.write(move |connection| {
            outbox::end(connection, &fleet, row.position, &aftermath, now)?;
            match parked_trouble(&row, &aftermath) {
                Some(trouble) => case::meet(connection, &fleet, &trouble, now),
                None => Ok(()),
            }
        });
        let kept = write.await;
        if let Err(fault) = &kept {
            tracing::error!(%fault, "how an attempt ended could not be kept; it will be asked about");
        }
        kept.is_ok()
    }

    fn note(&self, row: &OutboxRow, settlement: &Settlement, aftermath: &Aftermath, now: Timestamp) {
        let key = &row.effect.key;
        match settlement {
            Settlement::Done { .. } => {
                self.metrics.attempt("done");
                self.metrics.milestone_to_done_s.observe(clock::seconds_between(row.created_at, now));
            }
            Settlement::Retry { why } => {
                self.metrics.attempt("retry");
                tracing::info!(effect = %key, next_at = %aftermath.next_at, "will try again: {why}");
            }
            Settlement::Unknown { why } => {
                self.metrics.attempt("unknown");
                tracing::warn!(effect = %key, next_at = %aftermath.next_at, "may have happened, will ask: {why}");
            }
            Settlement::Park { why } => {
                self.metrics.attempt("park");
                tracing::warn!(effect = %key, "waits for a person: {why}");
            }
        }
    }
}

fn parked_trouble(row: &OutboxRow, aftermath: &Aftermath) -> Option<Trouble> {
    (aftermath.state == State::Parked).then(|| Trouble {
        kind: TroubleKind::ParkedEffect,
        subject: row.effect.key.clone(),
        detail: aftermath.why.clone().unwrap_or_default(),
    })
}

/// A number from 0 up to but not including 1, for jitter.
fn chance() -> f64 {
    let mut bytes = [0; 4];
    // Without random bytes the jitter is gone but nothing else: wait the full time.
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / 4_294_967_296.0,
        Err(_) => 1.0,
    }
}

#[cfg(test)]
mod tests;
