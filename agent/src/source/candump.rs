//! A candump log, replayed once at its own pace.
//!
//! Promise: frames are released in the log's order and at its intervals, divided by the clock's speed. The log's
//! absolute time belongs to the day it was recorded, nobody vouches for it, and it is not used: an observation happens when
//! it is released, on the agent's clock and with that clock's quality, so that a bus recorded one day can accompany a drive
//! recorded on another.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::time::Duration;

use milepost_proto::{Reading, TimeSource};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::can::{Observer, candump};
use super::fault::{Fault, Faults};
use super::{Observation, ShuttingDown, SourceLink, SourceNews};

/// Frames of the same stretch of real time travel together.
const BATCH: Duration = Duration::from_millis(50);
/// Most lines in a batch, however close they lie.
const BATCH_LINES_MAX: usize = 1_000;
/// Longest line, bytes; a longer one is malformed.
const LINE_BYTES_MAX: u64 = 1_024;

/// Replays the log until its end or shutdown.
pub async fn run(path: PathBuf, observer: Observer, link: SourceLink, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        Ok(()) | Err(ShuttingDown) = replay(&path, observer, &link) => {}
    }
}

async fn replay(path: &std::path::Path, observer: Observer, link: &SourceLink) -> Result<(), ShuttingDown> {
    let log = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) => {
            let why = format!("{} cannot be opened: {error}; correct the source's path", path.display());
            return link.tell(SourceNews::Lost { why }).await;
        }
    };
    link.tell(SourceNews::Opened).await?;
    let mut batches = Batches::new(log, link.clock().speed(), observer);
    let started = Instant::now();
    loop {
        // The log is a local file, and a batch of it is short: reading does not stall the loop.
        let batch = match batches.next() {
            Ok(Some(batch)) => batch,
            Ok(None) => return link.tell(SourceNews::Ended).await,
            Err(error) => {
                let why = format!("{} cannot be read: {error}", path.display());
                return link.tell(SourceNews::Lost { why }).await;
            }
        };
        tokio::time::sleep_until(started + batch.release).await;
        tell(batch, link).await?;
    }
}

async fn tell(mut batch: Batch, link: &SourceLink) -> Result<(), ShuttingDown> {
    let (now, quality) = link.clock().wall();
    // An observation with a time of its own is taken to be dated by a receiver: only a clock that follows one lends it.
    let event_time = (quality.source == TimeSource::Gnss).then_some(now);
    let observations: Vec<_> = batch.readings.into_iter().map(|reading| Observation { event_time, reading }).collect();
    if !observations.is_empty() {
        link.tell(SourceNews::Observed { observations, raw: batch.raw }).await?;
    }
    let faults = batch.faults.take();
    if faults.is_empty() { Ok(()) } else { link.tell(SourceNews::Faults(faults)).await }
}

/// What is released together.
#[derive(Debug, Default)]
struct Batch {
    /// When, after the start.
    release: Duration,
    readings: Vec<Reading>,
    faults: Faults,
    /// The last line.
    raw: Option<String>,
}

/// Cuts a log into batches.
struct Batches<R> {
    log: R,
    speed: f64,
    observer: Observer,
    began_us: Option<u64>,
    /// Release of the latest line; a line without a time, or one that steps back, is released with it.
    latest: Duration,
    /// The line that no longer fitted the last batch.
    carried: Option<Vec<u8>>,
}

impl<R: BufRead> Batches<R> {
    fn new(log: R, speed: f64, observer: Observer) -> Self {
        Self { log, speed, observer, began_us: None, latest: Duration::ZERO, carried: None }
    }

    /// The next batch; none at the end of the log.
    fn next(&mut self) -> std::io::Result<Option<Batch>> {
        let Some(mut line) = self.line()? else { return Ok(None) };
        let mut batch = Batch { release: self.release(&line), ..Batch::default() };
        for _ in 0..BATCH_LINES_MAX {
            self.add(&line, &mut batch);
            match self.line()? {
                Some(next) => line = next,
                None => return Ok(Some(batch)),
            }
            if self.release(&line) > batch.release + BATCH {
                break;
            }
        }
        self.carried = Some(line);
        Ok(Some(batch))
    }

    fn add(&mut self, line: &[u8], batch: &mut Batch) {
        match candump::parse(line) {
            Some(read) => {
                if let Some(time_us) = read.time_us {
                    self.observer.pass_time(time_us / 1_000, |reading| batch.readings.push(reading));
                }
                self.observer.observe(&read.frame, &mut batch.faults, |reading| batch.readings.push(reading));
                batch.raw = Some(String::from_utf8_lossy(line).into_owned());
            }
            None => batch.faults.count(Fault::Malformed),
        }
    }

    fn release(&mut self, line: &[u8]) -> Duration {
        if let Some(time_us) = candump::parse(line).and_then(|line| line.time_us) {
            let began_us = *self.began_us.get_or_insert(time_us);
            let since = Duration::from_micros(time_us.saturating_sub(began_us));
            let release = Duration::try_from_secs_f64(since.as_secs_f64() / self.speed).unwrap_or(self.latest);
            self.latest = self.latest.max(release);
        }
        self.latest
    }

    /// The next line that is neither empty nor a comment.
    fn line(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        if let Some(line) = self.carried.take() {
            return Ok(Some(line));
        }
        loop {
            let mut line = Vec::new();
            if std::io::Read::take(&mut self.log, LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            let text = line.trim_ascii();
            if !text.is_empty() && !text.starts_with(b"#") {
                return Ok(Some(text.to_vec()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::clock::Clock;
    use crate::event::{EVENTS_MAX, Event};
    use crate::source::FaultCounts;

    const LOG: &str = "\
(1635188455.000000) can1 18FEF100#F3005AFFFFFFFFFF
(1635188455.010000) can1 0CF00400#607D84481400F084
# a comment

garbage
(1635188457.000000) can1 18FEF100#F30000FFFFFFFFFF
(1635188456.000000) can1 18FF0000#00
";

    #[test]
    fn lines_close_together_are_released_together_at_the_logs_pace_times_speed() {
        for (speed, last_ms) in [(1.0, 2_000), (20.0, 100)] {
            let mut batches = Batches::new(LOG.as_bytes(), speed, Observer::default());
            let mut found = Vec::new();
            while let Some(mut batch) = batches.next().expect("in memory") {
                let faults: u64 = batch.faults.take().values().sum();
                found.push((batch.release.as_millis(), batch.readings.len(), faults));
            }
            assert_eq!(found, [(0, 5, 4), (last_ms, 1, 4)], "×{speed}");
        }
    }

    #[test]
    fn a_unit_that_falls_silent_is_noticed_by_the_logs_clock() {
        let list = |s: u32| format!("({s}.0) can1 18FECA00#04FF5B000301FFFF\n");
        let speed = |s: u32| format!("({s}.0) can1 18FEF100#FFFF5AFFFFFFFFFF\n");
        let log: String = (0..3).map(list).chain((3..20).map(speed)).collect();
        let mut batches = Batches::new(log.as_bytes(), 1.0, Observer::default());
        let mut found = Vec::new();
        while let Some(batch) = batches.next().expect("in memory") {
            found.extend(batch.readings.into_iter().filter_map(|reading| match reading {
                Reading::Diagnostic(code) => Some((batch.release.as_secs(), code.spn, code.active)),
                _ => None,
            }));
        }
        assert_eq!(found, [(1, 91, true), (12, 91, false)]);
    }

    #[tokio::test]
    async fn a_log_that_is_not_there_is_lost_with_its_mend() {
        let (sender, mut events) = mpsc::channel(EVENTS_MAX);
        run(
            "/nowhere/bus.log".into(),
            Observer::default(),
            SourceLink::new("bus", sender, Clock::system()),
            CancellationToken::new(),
        )
        .await;
        let Some(Event::Source(report)) = events.recv().await else { panic!("news") };
        assert!(matches!(report.news, SourceNews::Lost { why } if why.contains("correct the source's path")));
        assert!(events.recv().await.is_none(), "nothing after it");
    }

    #[tokio::test]
    async fn without_a_receiver_a_log_claims_no_time_of_its_own() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("bus.log");
        std::fs::write(&path, LOG.replace("1635188457.0", "1635188455.1")).expect("write");
        // With room for one thing only, nothing is released before what came before it was taken.
        let (sender, mut events) = mpsc::channel(1);
        let (clock, shutdown) = (Clock::system(), CancellationToken::new());
        let link = SourceLink::new("bus", sender, clock.clone());
        let source = tokio::spawn(run(path, Observer::default(), link, shutdown));
        let mut times = Vec::new();
        while let Some(Event::Source(report)) = events.recv().await {
            if let SourceNews::Observed { observations, .. } = report.news {
                times.extend(observations.into_iter().map(|observation| observation.event_time));
                // From here on a receiver sets the clock.
                clock.discipline("2026-06-01T12:00:00Z".parse().expect("time"));
            }
        }
        source.await.expect("ends");
        assert!(times[..5].iter().all(Option::is_none), "{times:?}");
        assert!(times[5..].iter().all(|time| *time >= "2026-06-01T12:00:00Z".parse().ok()), "{times:?}");
        assert_eq!(times.len(), 6);
    }

    #[tokio::test]
    async fn a_log_is_told_on_the_agents_clock_and_then_ended() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("bus.log");
        std::fs::write(&path, LOG).expect("write");
        let began = "2026-06-01T12:00:00Z".parse().expect("time");
        let (sender, mut events) = mpsc::channel(EVENTS_MAX);
        let link = SourceLink::new("bus", sender, Clock::replay(began, 1_000.0));
        run(path, Observer::default(), link, CancellationToken::new()).await;
        let (mut observed, mut faults, mut ended) = (0, FaultCounts::new(), false);
        while let Some(Event::Source(report)) = events.recv().await {
            match report.news {
                SourceNews::Observed { observations, .. } => {
                    observed += observations.len();
                    assert!(observations.iter().all(|observation| observation.event_time >= Some(began)));
                }
                SourceNews::Faults(counts) => faults.extend(counts),
                SourceNews::Ended => ended = true,
                SourceNews::Opened | SourceNews::Bus(_) | SourceNews::Lost { .. } => {}
            }
        }
        assert_eq!((observed, ended), (6, true));
        assert_eq!(faults, FaultCounts::from([("malformed", 1), ("not_available", 6), ("unknown_id", 1)]));
    }
}
