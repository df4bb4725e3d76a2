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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use milepost_proto::reading::Signal;

    use super::*;
    use crate::source::can::bus_state::{BusState, ErrorCounters};
    use crate::status::{ControllerStatus, DbcStatus, PollingStatus};

    const BUS: &str = r#"device = "truck-7"
spool.path = "spool.db"
gateway = { url = "https://gateway.example:8443", ca = "ca.pem", certificate = "a.pem", key = "a.key" }
[[source]]
name = "bus"
kind = "socketcan"
interface = "can0"
"#;

    fn told(news: impl IntoIterator<Item = SourceNews>) -> SourceStatus {
        let config = Config::parse(BUS, Path::new("/")).expect("no mistakes");
        let mut board = SourceBoard::new(&config);
        for news in news {
            board.handle(SourceReport { source: "bus".into(), news }, 1_000);
        }
        board.status(1_000).remove(0)
    }

    fn observed(reading: Reading) -> SourceNews {
        SourceNews::Observed { observations: vec![Observation { event_time: None, reading }], raw: None }
    }

    #[test]
    fn the_latest_of_each_kind_of_bus_news_is_shown_and_a_source_without_has_none() {
        let controller = |transmit| {
            let errors = Some(ErrorCounters { transmit, receive: 0 });
            SourceNews::Bus(BusNews::Controller(ControllerStatus { state: BusState::Warning, errors }))
        };
        let polling = PollingStatus { requests: 3, ..PollingStatus::default() };
        let dbc = DbcStatus { mistakes: 1, first: vec!["a.dbc:4: no".to_owned()], ..DbcStatus::default() };
        let news = [BusNews::Polling(polling.clone()), BusNews::Dbc(dbc.clone())].map(SourceNews::Bus);
        let bus = told(news.into_iter().chain([controller(96), controller(97)])).bus;
        let errors = Some(ErrorCounters { transmit: 97, receive: 0 });
        assert_eq!(bus.controller, Some(ControllerStatus { state: BusState::Warning, errors }));
        assert_eq!((bus.polling, bus.dbc, bus.wrong_vehicle), (Some(polling), Some(dbc), None));
        assert!(told([SourceNews::Opened]).bus.is_empty());
    }

    #[test]
    fn the_alarm_of_a_wrong_vehicle_stands_whatever_is_heard_after_it() {
        let alarm = Health::WrongVehicle { configured: "A".to_owned(), heard: "B".to_owned() };
        let signal = Signal { name: "Vehicle.Speed".to_owned(), value: 1.0, unit: "km/h".to_owned() };
        let identified = Health::VehicleIdentified { vin: "A".to_owned() };
        let readings = [Reading::Health(alarm), Reading::Signal(signal), Reading::Health(identified)];
        let wrong = told(readings.map(observed)).bus.wrong_vehicle;
        assert_eq!(wrong, Some(WrongVehicle { configured: "A".to_owned(), heard: "B".to_owned() }));
    }
}
