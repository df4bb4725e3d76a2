//! `replay`: recorded inputs at ×N speed through the real sources.
//!
//! Promise: the agent reads a replayed receiver exactly as it reads a real one, from a serial line: a pseudo-terminal
//! whose other end plays the recording. Lines are played at their own times from the moment the feed was made, so a
//! [`crate::clock::Clock::replay`] made at the same moment with [`Feed::began`] shows the recording's time. Nothing is
//! lost before the agent opens the line: what was due by then is played at once.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use milepost_proto::Timestamp;
use rustix::fs::OFlags;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::source::pty::Pty;

mod recording;

pub use recording::{Line, Recording};

/// Largest recording, bytes.
pub const RECORDING_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// How often to look whether the agent has opened the line.
const OPENED_POLL: Duration = Duration::from_millis(20);
/// How often to look for room in the line; it holds some 4 KiB, so this carries far more than any receiver sends.
const ROOM_POLL: Duration = Duration::from_millis(2);

/// A recording being played.
#[derive(Debug)]
pub struct Feed {
    /// The path to give the source in place of its real device.
    pub slave: PathBuf,
    /// The recording's time at its first line.
    pub began: Timestamp,
    /// Cancelled when the last line was played.
    pub played: CancellationToken,
    /// Plays, then keeps the line open until shutdown: an end of the recording is no unplugged receiver.
    pub task: JoinHandle<()>,
}

/// Plays `file`, a receiver's recording, `speed` times faster.
///
/// # Errors
/// When the file cannot be read, bears no date to start the clock from, or the system gives no pseudo-terminal.
pub fn feed(file: &Path, speed: f64, shutdown: CancellationToken) -> anyhow::Result<Feed> {
    let recording = load(file)?;
    let began = recording.began.with_context(|| {
        format!("{} holds no dated fix (an RMC or ZDA with a valid position); record one that does", file.display())
    })?;
    let pty = Pty::open().context("failed to open a pseudo-terminal")?;
    let line = PlayerLine::new(&pty).context("failed to prepare the pseudo-terminal")?;
    let played = CancellationToken::new();
    let started = Instant::now();
    let task = tokio::spawn(run(line, recording.lines, Pace { started, speed }, played.clone(), shutdown));
    Ok(Feed { slave: pty.slave, began, played, task })
}

fn load(file: &Path) -> anyhow::Result<Recording> {
    let open = File::open(file).with_context(|| format!("failed to open {}", file.display()))?;
    let mut bytes = Vec::new();
    let read = open.take(RECORDING_BYTES_MAX + 1).read_to_end(&mut bytes);
    let read = read.with_context(|| format!("failed to read {}", file.display()))?;
    anyhow::ensure!(
        u64::try_from(read)? <= RECORDING_BYTES_MAX,
        "{} is larger than {RECORDING_BYTES_MAX} bytes; cut it",
        file.display()
    );
    Ok(Recording::parse(&bytes))
}

/// When a line is due.
#[derive(Debug, Clone, Copy)]
struct Pace {
    started: Instant,
    speed: f64,
}

impl Pace {
    fn due(&self, offset: Duration) -> Instant {
        let real = Duration::try_from_secs_f64(offset.as_secs_f64() / self.speed.max(0.01)).unwrap_or(offset);
        self.started + real
    }
}

async fn run(line: PlayerLine, lines: Vec<Line>, pace: Pace, played: CancellationToken, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => return,
        outcome = play(&line, &lines, pace) => {
            if let Err(error) = outcome {
                tracing::warn!(%error, "the replay stopped: the source closed its line");
            }
        }
    }
    played.cancel();
    shutdown.cancelled().await;
}

async fn play(line: &PlayerLine, lines: &[Line], pace: Pace) -> io::Result<()> {
    line.opened().await?;
    for Line { offset, text } in lines {
        tokio::time::sleep_until(pace.due(*offset)).await;
        line.write_all(text).await?;
        line.write_all(b"\r\n").await?;
    }
    Ok(())
}

/// The receiver's end of the pseudo-terminal; waiting for room in it stops nothing else.
struct PlayerLine {
    master: File,
}

impl PlayerLine {
    fn new(pty: &Pty) -> io::Result<Self> {
        // From its first close on, a slave that nobody has open shows at the master.
        drop(File::options().read(true).write(true).open(&pty.slave)?);
        let master = pty.master.try_clone()?;
        rustix::fs::fcntl_setfl(&master, rustix::fs::fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
        Ok(Self { master })
    }

    /// Waits until the agent has opened the other end: what is written before, its opening would discard.
    async fn opened(&self) -> io::Result<()> {
        loop {
            match (&self.master).read(&mut [0; 64]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.raw_os_error() != Some(rustix::io::Errno::IO.raw_os_error()) => return Err(error),
                Ok(_) | Err(_) => tokio::time::sleep(OPENED_POLL).await,
            }
        }
    }

    async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match (&self.master).write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(ROOM_POLL).await,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use milepost_proto::Reading;
    use tokio::sync::mpsc;

    use super::*;
    use crate::clock::Clock;
    use crate::config::{DbcConfig, SourceConfig, SourceKind};
    use crate::event::{EVENTS_MAX, Event};
    use crate::source::{self, SourceLink, SourceNews};

    fn recording(folder: &Path) -> PathBuf {
        let mut text = "# a recording\n".to_owned();
        for second in 0..50 {
            let body = format!("GPRMC,1200{second:02},A,5200.{second:02},N,00454.0,E,10.0,90.0,010621,,,A");
            let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
            text.push_str(&format!("${body}*{sum:02X}\n"));
        }
        let path = folder.join("drive.nmea");
        std::fs::write(&path, text).expect("write");
        path
    }

    #[tokio::test]
    async fn every_recorded_fix_comes_through_the_serial_source_at_its_own_time() {
        let folder = tempfile::tempdir().expect("folder");
        let shutdown = CancellationToken::new();
        let feed = feed(&recording(folder.path()), 100.0, shutdown.clone()).expect("feed");
        assert_eq!(feed.began.to_string(), "2021-06-01T12:00:00.000Z");
        let (sender, mut events) = mpsc::channel(EVENTS_MAX);
        let link = SourceLink::new("gnss", sender, Clock::replay(feed.began, 100.0));
        let kind = SourceKind::NmeaSerial { path: feed.slave.clone(), baud: 9_600 };
        let config = SourceConfig { name: "gnss".to_owned(), kind, dbc: DbcConfig::default() };
        let source = source::spawn(&config, link, shutdown.clone());
        let mut seconds = Vec::new();
        while seconds.len() < 50 {
            let event = tokio::time::timeout(Duration::from_secs(20), events.recv()).await.expect("in time");
            let Some(Event::Source(report)) = event else { panic!("the source ended") };
            match report.news {
                SourceNews::Observed { observations, .. } => {
                    for observation in observations {
                        assert!(matches!(observation.reading, Reading::Position(_)));
                        let time = observation.event_time.expect("dated");
                        seconds.push(time.millis_since(feed.began) / 1_000);
                    }
                }
                SourceNews::Opened => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seconds, (0..50).collect::<Vec<_>>());
        feed.played.cancelled().await;
        shutdown.cancel();
        feed.task.await.expect("player");
        source.await.expect("source");
    }

    #[tokio::test]
    async fn a_recording_without_a_date_is_refused_with_its_mend() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("empty.nmea");
        std::fs::write(&path, "# nothing\n").expect("write");
        let error = feed(&path, 1.0, CancellationToken::new()).expect_err("no date");
        assert!(error.to_string().contains("no dated fix"), "{error}");
    }
}
