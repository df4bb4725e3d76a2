//! Stands in for the event loop: keeps captures in memory by the rules of the contract, and can hold its commits back.

use std::collections::BTreeMap;

use milepost_agent::capture::{Accepted, BlobPart, BlobProgress, DriverCapture};
use milepost_agent::clock::Clock;
use milepost_agent::event::{EVENTS_MAX, Event, Intake};
use milepost_agent::intake::contract::check_stop;
use milepost_agent::source::{SourceLink, SourceNews};
use milepost_proto::driver_app::Rejection;
use milepost_proto::{Sha256, Trip};
use tokio::sync::{mpsc, watch};

/// What a test holds of it.
pub(crate) struct FakeLoop {
    /// The way in.
    pub(crate) intake: Intake,
    /// The link of the transport under test.
    pub(crate) link: SourceLink,
    /// What the transport reported.
    pub(crate) news: mpsc::UnboundedReceiver<SourceNews>,
    /// A line for each capture or part that arrived, committed or not.
    pub(crate) arrived: mpsc::UnboundedReceiver<String>,
    /// Commits happen only while this is true.
    pub(crate) commits: watch::Sender<bool>,
}

/// Starts one that knows `trip`.
pub(crate) fn start(trip: Option<Trip>) -> FakeLoop {
    let (events_sender, events) = mpsc::channel(EVENTS_MAX);
    let (news_sender, news) = mpsc::unbounded_channel();
    let (arrived_sender, arrived) = mpsc::unbounded_channel();
    let (commits, may_commit) = watch::channel(true);
    let state = State { trip, kept: BTreeMap::new(), blobs: BTreeMap::new() };
    tokio::spawn(state.run(events, news_sender, arrived_sender, may_commit));
    FakeLoop {
        intake: Intake::new(events_sender.clone()),
        link: SourceLink::new("driver-app", events_sender, Clock::system()),
        news,
        arrived,
        commits,
    }
}

struct State {
    trip: Option<Trip>,
    kept: BTreeMap<String, u64>,
    blobs: BTreeMap<Sha256, Vec<u8>>,
}

impl State {
    async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        news: mpsc::UnboundedSender<SourceNews>,
        arrived: mpsc::UnboundedSender<String>,
        mut may_commit: watch::Receiver<bool>,
    ) {
        while let Some(event) = events.recv().await {
            match event {
                Event::Source(report) => drop(news.send(report.news)),
                Event::Captured { capture, reply } => {
                    drop(arrived.send(capture.client_ref().to_owned()));
                    if may_commit.wait_for(|&may| may).await.is_err() {
                        return;
                    }
                    drop(reply.send(self.keep(&capture)));
                }
                Event::BlobPart { part, reply } => {
                    drop(arrived.send(part.sha256.to_string()));
                    drop(reply.send(Ok(self.append(part))));
                }
                Event::Uplinked(..) => {}
            }
        }
    }

    fn keep(&mut self, capture: &DriverCapture) -> Result<Accepted, Rejection> {
        check_stop(capture, self.trip.as_ref())?;
        let next = u64::try_from(self.kept.len()).expect("fits") + 1;
        let duplicate = self.kept.contains_key(capture.client_ref());
        let sequence = *self.kept.entry(capture.client_ref().to_owned()).or_insert(next);
        Ok(Accepted { sequence, duplicate })
    }

    fn append(&mut self, part: BlobPart) -> BlobProgress {
        let held = self.blobs.entry(part.sha256).or_default();
        if u64::try_from(held.len()).expect("fits") == part.offset {
            held.extend(part.bytes);
        }
        BlobProgress { held: u64::try_from(held.len()).expect("fits"), complete: Sha256::of(held) == part.sha256 }
    }
}

/// A trip with one stop, S1.
pub(crate) fn trip() -> Trip {
    serde_json::from_str(r#"{"id":"T1","stops":[{"id":"S1","kind":"delivery","lat":47.0,"lon":8.0}]}"#).expect("a trip")
}

/// A proof of delivery at `stop`.
pub(crate) fn pod(client_ref: &str, stop: &str) -> String {
    format!(r#"{{"client_ref":"{client_ref}","stop":"{stop}","shipment":"P1","outcome":"completed"}}"#)
}
