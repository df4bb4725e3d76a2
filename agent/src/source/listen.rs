//! A source on trial: what is heard of it in a while, for `check`.
//!
//! Promise: it is the real source on a channel and a clock of its own; nothing of the agent hears it, and it is stopped
//! before the answer is given.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{BusNews, FaultCounts, SourceLink, SourceNews};
use crate::clock::Clock;
use crate::config::SourceConfig;
use crate::event::{EVENTS_MAX, Event};
use crate::status::PollingStatus;

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heard {
    /// Whether it could be opened.
    pub opened: bool,
    /// Why it was lost, or could not be opened, last; absent when it was opened since.
    pub lost: Option<String>,
    /// Whether it came to its end.
    pub ended: bool,
    /// How often it said something, observations or none.
    pub reports: u64,
    /// How many observations these were.
    pub observations: u64,
    /// What could not be used.
    pub faults: FaultCounts,
    /// The latest raw input.
    pub raw: Option<String>,
    /// What became of the questions, if any were asked.
    pub polling: Option<PollingStatus>,
}

/// Listens to a source for `patience`, or until it ends.
pub async fn listen(config: &SourceConfig, patience: Duration) -> Heard {
    let (sender, mut events) = mpsc::channel(EVENTS_MAX);
    let shutdown = CancellationToken::new();
    let source = super::spawn(config, SourceLink::new(&config.name, sender, Clock::system()), shutdown.clone());
    let mut heard = Heard::default();
    let hearing = async {
        while let Some(event) = events.recv().await {
            if let Event::Source(report) = event {
                heard.note(report.news);
            }
        }
    };
    // That time is up is the usual end.
    tokio::time::timeout(patience, hearing).await.ok();
    shutdown.cancel();
    drop(events);
    if source.await.is_err() {
        heard.lost = Some("the source failed; this is a defect of the agent".to_owned());
    }
    heard
}

impl Heard {
    fn note(&mut self, news: SourceNews) {
        match news {
            SourceNews::Opened => {
                self.opened = true;
                self.lost = None;
            }
            SourceNews::Observed { observations, raw } => {
                self.reports += 1;
                self.observations += observations.len() as u64;
                self.raw = raw.or(self.raw.take());
            }
            SourceNews::Faults(faults) => {
                faults.into_iter().for_each(|(kind, count)| *self.faults.entry(kind).or_default() += count);
            }
            SourceNews::Bus(BusNews::Polling(polling)) => self.polling = Some(polling),
            SourceNews::Bus(BusNews::Controller(_) | BusNews::Dbc(_)) => {}
            SourceNews::Lost { why } => self.lost = Some(why),
            SourceNews::Ended => self.ended = true,
        }
    }
}
