//! `/metrics`: the status in the OpenMetrics text format, for Prometheus.
//!
//! Promise: every number comes from [`Status`], so page and metrics never disagree; counters end in `_total` and begin
//! at zero with the agent; units are base units (seconds, bytes).

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::status::{SourceHealth, Status, UplinkHealth};

/// The content type of [`metrics`].
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The status as metrics.
#[must_use]
pub fn metrics(status: Status) -> String {
    let mut registry = Registry::with_prefix("milepost_agent");
    registry.register_collector(Box::new(StatusCollector(status)));
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct StatusCollector(Status);

/// One value and its labels.
type Sample<'s> = (Vec<(&'static str, &'s str)>, u64);

impl Collector for StatusCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = Families { encoder };
        family.agent(&self.0)?;
        family.sources(&self.0)?;
        family.spool(&self.0)?;
        family.uplink(&self.0)
    }
}

struct Families<'e> {
    encoder: DescriptorEncoder<'e>,
}

impl Families<'_> {
    fn agent(&mut self, status: &Status) -> fmt::Result {
        let info = vec![("version", status.version.as_str()), ("device", status.device.as_str())];
        self.gauge("build_info", "Version and device; always 1", [(info, 1)])?;
        self.gauge("uptime_seconds", "Seconds since the start", [(Vec::new(), status.uptime_s)])?;
        let error_s = u64::from(status.time_quality.error_ms).div_ceil(1_000);
        self.gauge("clock_error_seconds", "Largest error of the clock", [(Vec::new(), error_s)])?;
        let steps = [(Vec::new(), status.clock.steps)];
        self.counter("clock_steps", "Jumps of the operating system's clock", steps)?;
        let accepted = [(Vec::new(), status.captures_accepted)];
        self.counter("captures_accepted", "Driver captures accepted", accepted)?;
        let rejected = status.captures_rejected.iter().map(|(code, &count)| (vec![("code", code.as_str())], count));
        self.counter("captures_rejected", "Driver captures rejected", rejected)
    }

    fn sources(&mut self, status: &Status) -> fmt::Result {
        let each = |value: fn(&crate::status::SourceStatus) -> u64| {
            status.sources.iter().map(move |source| (vec![("source", source.name.as_str())], value(source)))
        };
        self.counter("source_observed", "Readings decoded", each(|source| source.observed))?;
        self.counter("source_kept", "Readings kept", each(|source| source.kept))?;
        let up = |source: &crate::status::SourceStatus| u64::from(source.state == SourceHealth::Heard);
        self.gauge("source_heard", "Whether usable readings arrive", each(up))?;
        let ages = status
            .sources
            .iter()
            .filter_map(|source| source.last_reading_age_s.map(|age| (vec![("source", source.name.as_str())], age)));
        self.gauge("source_last_reading_age_seconds", "Seconds since the last usable reading", ages)?;
        let faults = status.sources.iter().flat_map(|source| {
            let name = source.name.as_str();
            source.faults.iter().map(move |(kind, &count)| (vec![("source", name), ("kind", kind.as_str())], count))
        });
        self.counter("source_faults", "Unusable input by kind", faults)
    }

    fn spool(&mut self, status: &Status) -> fmt::Result {
        let spool = &status.spool;
        let each = |value: fn(&crate::status::LaneStatus) -> u64| {
            spool.lanes.iter().map(move |lane| (vec![("lane", lane.lane.as_str())], value(lane)))
        };
        self.gauge("spool_waiting_records", "Records waiting for a receipt", each(|lane| lane.waiting))?;
        self.gauge("spool_waiting_bytes", "Bytes waiting for a receipt", each(|lane| lane.waiting_bytes))?;
        self.gauge("spool_last_sequence", "Last sequence given out", each(|lane| lane.last_sequence))?;
        self.gauge("spool_disk_bytes", "Bytes on disk", [(Vec::new(), spool.disk_bytes)])?;
        self.gauge("spool_quota_bytes", "Most bytes on disk", [(Vec::new(), spool.quota_bytes)])?;
        let free = spool.free_bytes.map(|bytes| (Vec::new(), bytes));
        self.gauge("spool_free_bytes", "Bytes free on the spool's disk", free)?;
        self.gauge("spool_free_bytes_min", "Least bytes to be left free there", [(Vec::new(), spool.free_bytes_min)])?;
        self.gauge("spool_waiting_blobs", "Photos and signatures waiting", [(Vec::new(), spool.blobs_waiting)])
    }

    fn uplink(&mut self, status: &Status) -> fmt::Result {
        let uplink = &status.uplink;
        let stopped = u64::from(uplink.state == UplinkHealth::Stopped);
        self.gauge("uplink_stopped", "Whether a person must mend something", [(Vec::new(), stopped)])?;
        let age = uplink.last_receipt_age_s.map(|age| (Vec::new(), age));
        self.gauge("uplink_last_receipt_age_seconds", "Seconds since the last receipt", age)?;
        let failures = u64::from(uplink.failures);
        self.gauge("uplink_failures_in_a_row", "Attempts that failed in a row", [(Vec::new(), failures)])?;
        self.counter("uplink_settled_records", "Records covered by receipts", [(Vec::new(), uplink.settled)])?;
        self.counter("uplink_refused_records", "Records the gateway refused", [(Vec::new(), uplink.refused)])?;
        let set_aside = [(Vec::new(), uplink.poison.set_aside)];
        self.counter("uplink_set_aside_records", "Records no gateway takes", set_aside)?;
        self.gauge("uplink_set_aside_kept_bytes", "Their bytes in the spool", [(Vec::new(), uplink.poison.bytes)])?;
        let today =
            [("urgent", uplink.budget.urgent), ("telemetry", uplink.budget.telemetry), ("blobs", uplink.budget.blobs)];
        let link = uplink.budget.link.as_str();
        let today = today.map(|(what, spent)| (vec![("link", link), ("what", what)], spent.bytes));
        self.gauge("uplink_today_bytes", "Bytes sent today over the link in use", today)?;
        self.counter("uplink_sent_bytes", "Bytes sent, compressed", [(Vec::new(), uplink.sent_bytes)])?;
        self.counter("uplink_requests", "Requests made", [(Vec::new(), uplink.requests)])
    }

    fn counter<'s>(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = Sample<'s>>) -> fmt::Result {
        self.family(name, help, samples, ConstCounter::new)
    }

    fn gauge<'s>(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = Sample<'s>>) -> fmt::Result {
        self.family(name, help, samples, ConstGauge::new)
    }

    fn family<'s, M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Sample<'s>>,
        metric: impl Fn(u64) -> M,
    ) -> fmt::Result {
        let mut encoder = self.encoder.encode_descriptor(name, help, None, metric(0).metric_type())?;
        for (labels, value) in samples {
            if labels.is_empty() {
                return metric(value).encode(encoder);
            }
            metric(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::example;

    #[test]
    fn names_and_labels_follow_the_convention() {
        let text = metrics(example::healthy());
        for line in [
            r#"milepost_agent_source_observed_total{source="gnss"} 15090"#,
            r#"milepost_agent_source_faults_total{source="gnss",kind="bad_checksum"} 3"#,
            r#"milepost_agent_captures_rejected_total{code="unknown_stop"} 1"#,
            r#"milepost_agent_spool_waiting_records{lane="telemetry"} 20"#,
            "milepost_agent_uplink_last_receipt_age_seconds 12",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_absent_not_zero() {
        let mut status = example::healthy();
        status.uplink.last_receipt_age_s = None;
        let text = metrics(status);
        assert!(!text.lines().any(|line| line.starts_with("milepost_agent_uplink_last_receipt_age_seconds ")));
    }

    #[test]
    fn label_values_are_escaped() {
        let mut status = example::healthy();
        status.device = "a\"b\nc\\".to_owned();
        assert!(metrics(status).contains(r#"device="a\"b\nc\\""#));
    }
}
