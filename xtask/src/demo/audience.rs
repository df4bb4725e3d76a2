//! Watching: milestones as they become known, with how long that took.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use milepost_proto::Timestamp;
use serde_json::Value;

use super::stage::Api;
use crate::clock;

/// What the drive must give: every delivery is reached and left, and the first is proved.
const EXPECTED: [(&str, usize); 3] = [("delivery.arrived", 3), ("delivery.departed", 3), ("delivery.completed", 1)];

/// Reads the feed of milestones and prints what is new.
pub(super) struct Audience {
    api: Api,
    speed: f64,
    since: String,
    /// The latest revision of each milestone, by id.
    milestones: BTreeMap<String, Value>,
    /// Real milliseconds from each event to its milestone being known, for events with the link up.
    latencies_ms: Vec<i64>,
}

impl Audience {
    /// An audience of a drive that runs `speed` times faster than it was recorded.
    pub(super) fn new(api: Api, speed: f64) -> Self {
        let since = Timestamp::EPOCH.to_string();
        Self { api, speed, since, milestones: BTreeMap::new(), latencies_ms: Vec::new() }
    }

    /// Prints what became known; the recording's time is `now`.
    pub(super) fn look(&mut self, now: Timestamp) -> Result<()> {
        let page = self.api.get(&format!("/api/v1/milestones?since={}", self.since))?;
        page["next"].as_str().context("the feed does not say where it goes on")?.clone_into(&mut self.since);
        for milestone in page["milestones"].as_array().into_iter().flatten() {
            self.print(milestone, now)?;
            self.milestones.insert(text(milestone, "milestone_id").to_owned(), milestone.clone());
        }
        Ok(())
    }

    fn print(&mut self, milestone: &Value, now: Timestamp) -> Result<()> {
        let event_time: Timestamp = text(milestone, "event_time").parse()?;
        let latency_ms = self.latency_ms(event_time, text(milestone, "known_at").parse()?, now);
        if milestone["revision"] == 1 {
            self.latencies_ms.push(latency_ms);
        }
        println!(
            "    {:<20} {:<14} {}  {:<11} r{}  known {:.1} s after it happened",
            text(milestone, "kind"),
            text(milestone, "shipment"),
            &text(milestone, "event_time")[11..19],
            text(milestone, "status"),
            milestone["revision"],
            Timestamp::from_millis(latency_ms).as_millis() as f64 / 1e3,
        );
        Ok(())
    }

    /// Real milliseconds between an event of the recording and the moment the gateway knew of it.
    fn latency_ms(&self, event_time: Timestamp, known_at: Timestamp, now: Timestamp) -> i64 {
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "minutes, in milliseconds")]
        let since_event_ms = (now.millis_since(event_time) as f64 / self.speed) as i64;
        since_event_ms - clock::unix_now().millis_since(known_at)
    }

    /// Milestones that stand.
    pub(super) fn standing(&self) -> usize {
        self.milestones.values().filter(|milestone| text(milestone, "status") != "retracted").count()
    }

    /// The middle of the times from event to milestone, seconds.
    pub(super) fn median_latency_s(&self) -> f64 {
        let mut sorted = self.latencies_ms.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).map_or(0.0, |ms| *ms as f64 / 1e3)
    }

    /// Whether everything that the drive must give is there.
    pub(super) fn has_seen_everything(&self) -> bool {
        EXPECTED.iter().all(|(kind, count)| self.count(kind) >= *count)
    }

    /// What is not there yet, for an error.
    pub(super) fn missing(&self) -> String {
        let counts = EXPECTED.map(|(kind, count)| format!("{kind}: {} of {count}", self.count(kind)));
        counts.join(", ")
    }

    /// Fails unless the milestones are exactly those of the drive.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = EXPECTED.iter().find(|(kind, count)| self.count(kind) != *count);
        ensure!(wrong.is_none(), "the milestones are not those of the drive: {}", self.missing());
        Ok(())
    }

    fn count(&self, kind: &str) -> usize {
        let stands = |milestone: &&Value| text(milestone, "status") != "retracted" && text(milestone, "kind") == kind;
        self.milestones.values().filter(stands).count()
    }
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or("-")
}
