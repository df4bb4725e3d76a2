//! Folds the journal into milestones.
//!
//! Promise: everything durable in the journal is folded, once, in the order things happened; what arrives late makes
//! its vehicle (and only it) fold again, and the difference is announced as corrections and retractions. Each round
//! reads one consistent state of the store, bounded in rows, and moves state, milestones, effects and cursor in one
//! transaction, so dying anywhere costs one round of work and nothing else.

pub mod announce;
pub mod floor;
pub mod gather;
pub mod round;

use std::time::Duration;

use milepost_proto::{FleetId, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::metrics::Metrics;
use crate::milestone::Rules;
use crate::store::case::{self, TroubleKind};
use crate::store::{Store, StoreResult, column, commit};

/// How long to rest after the store failed, before looking again.
const REST_AFTER_FAULT: Duration = Duration::from_secs(2);

/// Folds whenever something was committed, until `shutdown`.
pub async fn run(store: Store, fleets: Vec<FleetId>, rules: Rules, metrics: Metrics, shutdown: CancellationToken) {
    let mut commits = store.commits();
    loop {
        commits.mark_unchanged();
        let rest = match catch_up(&store, &fleets, &rules, &metrics, &shutdown).await {
            Ok(()) => None,
            Err(fault) => {
                tracing::error!(%fault, "folding the journal failed; receipts go on");
                Some(REST_AFTER_FAULT)
            }
        };
        let wake = async {
            match rest {
                Some(rest) => tokio::time::sleep(rest).await,
                None => drop(commits.changed().await),
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = wake => {}
        }
        if store.has_stopped() {
            return;
        }
    }
}

/// Folds until nothing is left to fold.
///
/// # Errors
/// When the store fails.
pub async fn catch_up(
    store: &Store,
    fleets: &[FleetId],
    rules: &Rules,
    metrics: &Metrics,
    shutdown: &CancellationToken,
) -> StoreResult<()> {
    for fleet_id in fleets {
        note_rules(store, fleet_id, rules).await?;
        while !shutdown.is_cancelled() && one_round(store, fleet_id, rules, metrics).await? {}
        note_cases(store, fleet_id, metrics).await?;
    }
    Ok(())
}

async fn note_cases(store: &Store, fleet_id: &FleetId, metrics: &Metrics) -> StoreResult<()> {
    let fleet = fleet_id.clone();
    let open = store.read(move |connection| case::open_by_kind(connection, &fleet)).await?;
    for kind in TroubleKind::ALL {
        let cases = open.iter().find(|(word, _)| word == kind.as_str()).map_or(0, |&(_, cases)| cases);
        metrics.open_cases(kind.as_str(), cases);
    }
    Ok(())
}

async fn note_rules(store: &Store, fleet_id: &FleetId, rules: &Rules) -> StoreResult<()> {
    let rules = column::to_json(rules)?;
    let fleet = fleet_id.clone();
    let held = store.read(move |connection| commit::cursor(connection, &fleet)).await?;
    if held.rules == rules {
        return Ok(());
    }
    let fleet = fleet_id.clone();
    store.write(move |connection| commit::note_rules(connection, &fleet, &rules)).await
}

/// Answers whether there may be more to fold.
async fn one_round(store: &Store, fleet_id: &FleetId, rules: &Rules, metrics: &Metrics) -> StoreResult<bool> {
    let (fleet, rules) = (fleet_id.clone(), rules.clone());
    let Some(round) = store.read(move |connection| round::fold(connection, &fleet, &rules)).await? else {
        return Ok(false);
    };
    let now = clock::now();
    note_figures(&round, now, metrics);
    let fold = round.fold;
    store.write(move |connection| commit::commit(connection, &fold, now)).await?;
    Ok(true)
}

fn note_figures(round: &round::Round, now: Timestamp, metrics: &Metrics) {
    metrics.refolds.inc_by(round.refolded);
    metrics.journal_depth.set(i64::try_from(round.behind).unwrap_or(i64::MAX));
    for revision in round.fold.vehicles.iter().flat_map(|vehicle| &vehicle.revisions) {
        metrics.milestone(revision.kind, revision.status);
    }
    if let Some(received_at) = round.oldest_receipt
        && round.fold.vehicles.iter().any(|vehicle| !vehicle.revisions.is_empty())
    {
        metrics.receipt_to_milestone_s.observe(clock::seconds_between(received_at, now));
    }
}

#[cfg(test)]
mod tests;
