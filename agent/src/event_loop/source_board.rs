//! How each source is, for people: state, counts, faults, the latest raw input.

use std::collections::VecDeque;
use std::sync::Arc;

use milepost_proto::Reading;
use milepost_proto::reading::Health;
use tracing::{info, warn};

use crate::config::Config;
use crate::source::{BusNews, Observation, SourceNews, SourceReport};
use crate::status::{BusStatus, RAW_TAIL_MAX, SourceHealth, SourceStatus, WrongVehicle};

/// Longest line of raw input kept, characters.
const RAW_CHARS_MAX: usize = 200;

/// All sources of one agent.
pub(super) struct SourceBoard {
    rows: Vec<Row>,
}

struct Row {
    status: SourceStatus,
    raw: VecDeque<String>,
    last_reading_ms: Option<u64>,
}

/// What a source's news leaves for the rest of the agent: observations, and whether the source came or went.
type Leftover = (Option<(Arc<str>, Vec<Observation>)>, Option<Health>);

impl SourceBoard {
    pub(super) fn new(config: &Config) -> Self {
        let sources = config.sources.iter().map(|source| (source.name.as_str(), source.kind.as_str()));
        let mqtt = config.mqtt.iter().map(|_| ("mqtt", "mqtt"));
        let http = config.http.iter().map(|_| ("http", "http"));
        Self { rows: sources.chain(mqtt).chain(http).map(|(name, kind)| Row::new(name, kind)).collect() }
    }

    /// Notes what a source says.
    pub(super) fn handle(&mut self, report: SourceReport, now_ms: u64) -> Leftover {
        let Some(row) = self.rows.iter_mut().find(|row| row.status.name == *report.source) else {
            return (None, None);
        };
        match report.news {
            SourceNews::Opened => {
                row.set(SourceHealth::Silent, None);
                (None, None)
            }
            SourceNews::Observed { observations, raw } => {
                let came = !observations.is_empty() && row.set(SourceHealth::Heard, None);
                observations.iter().for_each(|observation| row.identify(&observation.reading));
                row.observed(observations.len() as u64, raw, now_ms);
                let health = came.then(|| Health::SourceHeard { source: report.source.to_string() });
                (Some((report.source, observations)), health)
            }
            SourceNews::Faults(faults) => {
                for (kind, count) in faults {
                    *row.status.faults.entry(kind.to_owned()).or_default() += count;
                }
                (None, None)
            }
            SourceNews::Bus(news) => {
                row.bus(news);
                (None, None)
            }
            SourceNews::Lost { why } => {
                let went = row.set(SourceHealth::Lost, Some(why.clone()));
                (None, went.then(|| Health::SourceLost { source: report.source.to_string(), why }))
            }
            SourceNews::Ended => {
                row.set(SourceHealth::Ended, None);
                (None, None)
            }
        }
    }

    /// Adds what the reporting policy kept.
    pub(super) fn count_kept(&mut self, kept: &Option<(Arc<str>, u64)>) {
        if let Some((source, count)) = kept
            && let Some(row) = self.rows.iter_mut().find(|row| row.status.name == **source)
        {
            row.status.kept += count;
        }
    }

    /// All sources, in configuration order.
    pub(super) fn status(&self, now_ms: u64) -> Vec<SourceStatus> {
        self.rows.iter().map(|row| row.status(now_ms)).collect()
    }
}

impl Row {
    fn new(name: &str, kind: &str) -> Self {
        let status = SourceStatus {
            name: name.to_owned(),
            kind: kind.to_owned(),
            state: SourceHealth::Opening,
            why: None,
            last_reading_age_s: None,
            observed: 0,
            kept: 0,
            faults: std::collections::BTreeMap::new(),
            raw_tail: Vec::new(),
            bus: BusStatus::default(),
        };
        Self { status, raw: VecDeque::new(), last_reading_ms: None }
    }

    /// Notes a state; says whether it is a new one.
    fn set(&mut self, state: SourceHealth, why: Option<String>) -> bool {
        let changed = self.status.state != state;
        if changed {
            let name = &self.status.name;
            match &why {
                Some(why) => warn!("source {name} was lost: {why}"),
                None => info!("source {name} is {state:?}"),
            }
        }
        self.status.state = state;
        self.status.why = why;
        changed
    }

    fn bus(&mut self, news: BusNews) {
        let bus = &mut self.status.bus;
        match news {
            BusNews::Controller(controller) => bus.controller = Some(controller),
            BusNews::Polling(polling) => bus.polling = Some(polling),
            BusNews::Dbc(dbc) => bus.dbc = Some(dbc),
        }
    }

    /// Notes the alarm that a unit is another vehicle's. It stands until the agent is started anew, though another unit
    /// may be the right one's: both cannot be.
    fn identify(&mut self, reading: &Reading) {
        if let Reading::Health(Health::WrongVehicle { configured, heard }) = reading {
            let wrong = WrongVehicle { configured: configured.clone(), heard: heard.clone() };
            warn!("source {}: the bus is vehicle {heard}'s, not {configured}'s", self.status.name);
            self.status.bus.wrong_vehicle = Some(wrong);
        }
    }

    fn observed(&mut self, count: u64, raw: Option<String>, now_ms: u64) {
        self.status.observed += count;
        if count > 0 {
            self.last_reading_ms = Some(now_ms);
        }
        if let Some(line) = raw {
            if self.raw.len() == RAW_TAIL_MAX {
                self.raw.pop_front();
            }
            self.raw.push_back(line.chars().take(RAW_CHARS_MAX).collect());
        }
    }

    fn status(&self, now_ms: u64) -> SourceStatus {
        SourceStatus {
            last_reading_age_s: self.last_reading_ms.map(|ms| now_ms.saturating_sub(ms) / 1_000),
            raw_tail: self.raw.iter().cloned().collect(),
            ..self.status.clone()
        }
    }
}
