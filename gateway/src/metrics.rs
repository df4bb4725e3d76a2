//! Prometheus figures.
//!
//! Promise: every figure has a fixed, small set of label values, so no peer and no backlog makes this grow. Names end in
//! their unit.

use std::sync::Arc;

use milepost_proto::Lane;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry, Unit};

use crate::milestone::{MilestoneKind, Status};
use crate::store::accept::SealState;
use crate::store::commit::status_word;
use crate::store::loss::LossReason;

/// A label whose value is one of the gateway's own words.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    kind: &'static str,
}

/// Labels of a milestone revision.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Revision {
    kind: &'static str,
    status: &'static str,
}

/// Labels of a loss.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LossLabels {
    lane: &'static str,
    reason: &'static str,
}

/// All figures of a gateway; clones count into the same.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// Requests to ingest by how they were answered.
    pub requests: Family<Kind, Counter>,
    /// Chunks by what became of them.
    pub chunks: Family<Kind, Counter>,
    /// Records received, by lane, sent again ones too.
    pub records: Family<Kind, Counter>,
    /// Records that devices report as lost, by lane and reason.
    pub lost: Family<LossLabels, Counter>,
    /// Sequences missing below ones that are held, by lane.
    pub missing: Family<Kind, Gauge>,
    /// Records dropped by retention.
    pub dropped_records: Counter,
    /// Evidence chunks by the state of their seal.
    pub seals: Family<Kind, Counter>,
    /// Connections refused before a request, by reason.
    pub connections_refused: Family<Kind, Counter>,
    /// From the first byte of a request to its durable receipt.
    pub receipt_s: Histogram,
    /// Age of the oldest record of a chunk when it arrived, by the device's own monotonic clock.
    pub record_age_s: Histogram,
    /// From a receipt to the milestones that follow from it.
    pub receipt_to_milestone_s: Histogram,
    /// From a milestone to its effect settled.
    pub milestone_to_done_s: Histogram,
    /// Milestone revisions by kind and status.
    pub milestones: Family<Revision, Counter>,
    /// Vehicles folded again from the journal.
    pub refolds: Counter,
    /// Chunks in the journal not yet folded.
    pub journal_depth: Gauge,
    /// Effects in the outbox, by state.
    pub outbox_depth: Family<Kind, Gauge>,
    /// Attempts at effects by how they ended.
    pub attempts: Family<Kind, Counter>,
    /// Open cases, by kind.
    pub cases: Family<Kind, Gauge>,
}

impl Metrics {
    /// Fresh figures, all at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("milepost_gateway");
        Self {
            requests: add(&mut registry, "requests", "Ingest requests by answer", Family::default()),
            chunks: add(&mut registry, "chunks", "Chunks by outcome", Family::default()),
            records: add(&mut registry, "records", "Records received, by lane", Family::default()),
            seals: add(&mut registry, "evidence_seals", "Evidence chunks by seal state", Family::default()),
            connections_refused: add(
                &mut registry,
                "connections_refused",
                "Connections refused before any request, by reason",
                Family::default(),
            ),
            lost: add(&mut registry, "records_lost", "Records reported as lost by lane and reason", Family::default()),
            missing: add(
                &mut registry,
                "sequences_missing",
                "Sequences missing below held ones by lane",
                Family::default(),
            ),
            dropped_records: add(&mut registry, "records_dropped", "Records dropped by retention", Counter::default()),
            receipt_s: seconds(&mut registry, "receipt", "From request to durable receipt", 0.001),
            record_age_s: seconds(&mut registry, "record_age", "Age of the oldest record of a chunk at receipt", 0.1),
            receipt_to_milestone_s: seconds(&mut registry, "receipt_to_milestone", "From receipt to milestone", 0.001),
            milestone_to_done_s: seconds(&mut registry, "milestone_to_done", "From milestone to settled effect", 0.01),
            milestones: add(&mut registry, "milestones", "Milestone revisions", Family::default()),
            refolds: add(&mut registry, "refolds", "Vehicles folded again from the journal", Counter::default()),
            journal_depth: add(&mut registry, "journal_depth", "Chunks not yet folded", Gauge::default()),
            outbox_depth: add(&mut registry, "outbox_depth", "Effects by state", Family::default()),
            attempts: add(&mut registry, "outbox_attempts", "Attempts at effects by outcome", Family::default()),
            cases: add(&mut registry, "open_cases", "Open cases by kind", Family::default()),
            registry: Arc::new(registry),
        }
    }

    /// The figures in the OpenMetrics text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# the figures could not be written: {error}\n# EOF\n"),
        }
    }

    /// Counts a request answered as `kind`.
    pub fn request(&self, kind: &'static str) {
        self.requests.get_or_create(&Kind { kind }).inc();
    }

    /// Counts `chunks` that fared as `kind`.
    pub fn chunks(&self, kind: &'static str, chunks: u64) {
        if chunks > 0 {
            self.chunks.get_or_create(&Kind { kind }).inc_by(chunks);
        }
    }

    /// Counts records received.
    pub fn records(&self, lane: Lane, records: u64) {
        self.records.get_or_create(&Kind { kind: lane.as_str() }).inc_by(records);
    }

    /// Counts records reported as lost.
    pub fn lost(&self, lane: Lane, reason: LossReason, records: u64) {
        self.lost.get_or_create(&LossLabels { lane: lane.as_str(), reason: reason.as_str() }).inc_by(records);
    }

    /// Sets how many sequences are missing, from the sums of all lanes, each with its word.
    pub fn missing(&self, lanes: impl Iterator<Item = (&'static str, u64)>) {
        let mut sums = Lane::ALL.map(|lane| (lane.as_str(), 0_u64));
        for (word, missing) in lanes {
            sums.iter_mut().filter(|(lane, _)| *lane == word).for_each(|(_, sum)| *sum = sum.saturating_add(missing));
        }
        for (kind, sum) in sums {
            self.missing.get_or_create(&Kind { kind }).set(i64::try_from(sum).unwrap_or(i64::MAX));
        }
    }

    /// Counts an evidence chunk.
    pub fn seal(&self, state: SealState) {
        self.seals.get_or_create(&Kind { kind: state.as_str() }).inc();
    }

    /// Counts a connection refused before any request.
    pub fn connection_refused(&self, kind: &'static str) {
        self.connections_refused.get_or_create(&Kind { kind }).inc();
    }

    /// Counts a milestone revision.
    pub fn milestone(&self, kind: MilestoneKind, status: Status) {
        let labels = Revision { kind: kind.as_str(), status: status_word(status) };
        self.milestones.get_or_create(&labels).inc();
    }

    /// Counts an attempt at an effect.
    pub fn attempt(&self, kind: &'static str) {
        self.attempts.get_or_create(&Kind { kind }).inc();
    }

    /// Sets how many cases of `kind` are open.
    pub fn open_cases(&self, kind: &'static str, cases: i64) {
        self.cases.get_or_create(&Kind { kind }).set(cases);
    }

    /// Sets how many effects are in `state`.
    pub fn outbox(&self, state: &'static str, effects: i64) {
        self.outbox_depth.get_or_create(&Kind { kind: state }).set(effects);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// A histogram of durations from `least_s` up by factors of three.
fn seconds(registry: &mut Registry, name: &str, help: &str, least_s: f64) -> Histogram {
    let histogram = Histogram::new(exponential_buckets(least_s, 3.0, 14));
    registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_carry_their_unit_and_their_labels() {
        let metrics = Metrics::new();
        metrics.request("receipt");
        metrics.receipt_s.observe(0.002);
        let text = metrics.text();
        assert!(text.contains("milepost_gateway_requests_total{kind=\"receipt\"} 1"), "{text}");
        assert!(text.contains("milepost_gateway_receipt_seconds_count 1"), "{text}");
    }
}
