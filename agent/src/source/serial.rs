//! A GNSS receiver on a serial line.
//!
//! Promise: an unplugged receiver is reported lost once and heard again as soon as its path opens; the agent never
//! spins on a dead line. Zero bytes mean unplugged (a USB line reads them for ever). Decoding is [`super::nmea`]'s.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio_serial::{SerialPortBuilderExt, SerialStream};
use tokio_util::sync::CancellationToken;

use super::date_gate::DateGate;
use super::fault::Fault;
use super::nmea::{Decoder, Epoch};
use super::{Observation, ShuttingDown, SourceLink, SourceNews};

/// Most bytes taken at once.
const READ_BYTES_MAX: usize = 4_096;
/// Faults are told with the next epoch, or when this many wait: a wrong line speed ends no epoch.
const FAULTS_WAITING_MAX: u64 = 64;
/// A silence shorter than this may be the scheduler's and not the receiver's.
const SILENCE_MIN: Duration = Duration::from_millis(20);
/// Beyond this speed silences do not get shorter.
const SPEED_MAX: f64 = 1_000.0;

/// Which line, and how patient to be with it.
#[derive(Debug, Clone)]
pub struct SerialLine {
    /// The device.
    pub path: PathBuf,
    /// Line speed, baud.
    pub baud: u32,
    /// A silence this long ends an epoch.
    pub silence: Duration,
    /// First wait before the line is opened again; doubled up to `reopen_max`.
    pub reopen_min: Duration,
    /// Longest wait before the line is opened again.
    pub reopen_max: Duration,
}

impl SerialLine {
    /// A line with the usual patience: 300 ms, and 1 s to 30 s.
    #[must_use]
    pub fn new(path: &Path, baud: u32) -> Self {
        Self {
            path: path.to_owned(),
            baud,
            silence: Duration::from_millis(300),
            reopen_min: Duration::from_secs(1),
            reopen_max: Duration::from_secs(30),
        }
    }

    /// The same line with a recording on it that plays `speed` times faster: its silences are shorter by as much.
    #[must_use]
    pub fn at_speed(self, speed: f64) -> Self {
        let silence = self.silence.div_f64(speed.clamp(1.0, SPEED_MAX)).max(SILENCE_MIN);
        Self { silence, ..self }
    }

    /// Opens it: 8 data bits, no parity, one stop bit, and nobody else's.
    ///
    /// # Errors
    /// What is in the way and what to do about it, in a sentence.
    pub fn open(&self) -> Result<SerialStream, String> {
        let path = self.path.display();
        tokio_serial::new(self.path.to_string_lossy(), self.baud).open_native_async().map_err(|error| {
            match error.kind {
                tokio_serial::ErrorKind::NoDevice | tokio_serial::ErrorKind::Io(std::io::ErrorKind::NotFound) => {
                    format!("{path} cannot be opened ({error}); plug the receiver in, or see who else uses it")
                }
                tokio_serial::ErrorKind::Io(std::io::ErrorKind::PermissionDenied) => {
                    format!("{path} may not be opened; add the agent's user to the device's group (dialout)")
                }
                _ => format!("{path} cannot be opened: {error}"),
            }
        })
    }
}

/// Reads the line until shutdown.
pub async fn run(line: SerialLine, link: SourceLink, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        Err(ShuttingDown) = keep_open(&line, &link) => {}
    }
}

async fn keep_open(line: &SerialLine, link: &SourceLink) -> Result<(), ShuttingDown> {
    let mut wait = line.reopen_min;
    let mut told = None;
    loop {
        let why = match line.open() {
            Ok(stream) => {
                link.tell(SourceNews::Opened).await?;
                told = None;
                let (why, heard) = listen(stream, line, link).await?;
                if heard {
                    wait = line.reopen_min;
                }
                why
            }
            Err(why) => why,
        };
        if told.as_ref() != Some(&why) {
            link.tell(SourceNews::Lost { why: why.clone() }).await?;
            told = Some(why);
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(line.reopen_max);
    }
}

/// Reads until the line is lost; says why, and whether anything usable was heard before.
async fn listen(
    mut stream: SerialStream,
    line: &SerialLine,
    link: &SourceLink,
) -> Result<(String, bool), ShuttingDown> {
    let mut receiver = Receiver::new(link);
    let mut buffer = [0; READ_BYTES_MAX];
    let why = loop {
        match tokio::time::timeout(line.silence, stream.read(&mut buffer)).await {
            Err(_silent) => receiver.silent().await?,
            Ok(Ok(0)) => break format!("{} was unplugged", line.path.display()),
            Ok(Ok(length)) => receiver.take(&buffer[..length]).await?,
            Ok(Err(error)) => break format!("{} was lost: {error}", line.path.display()),
        }
    };
    receiver.silent().await?;
    Ok((why, receiver.heard))
}

/// The decoder of one opened line, and what it has to tell.
struct Receiver<'a> {
    link: &'a SourceLink,
    decoder: Decoder,
    dates: DateGate,
    heard: bool,
}

impl<'a> Receiver<'a> {
    fn new(link: &'a SourceLink) -> Self {
        Self { link, decoder: Decoder::default(), dates: DateGate::default(), heard: false }
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), ShuttingDown> {
        let mut epochs = Vec::new();
        self.decoder.push(bytes, |epoch| epochs.push(epoch));
        self.tell(epochs).await
    }

    async fn silent(&mut self) -> Result<(), ShuttingDown> {
        let epochs = self.decoder.flush().into_iter().collect::<Vec<_>>();
        if epochs.is_empty() { self.tell_faults().await } else { self.tell(epochs).await }
    }

    async fn tell(&mut self, epochs: Vec<Epoch>) -> Result<(), ShuttingDown> {
        if epochs.is_empty() {
            return if self.decoder.faults().total() >= FAULTS_WAITING_MAX { self.tell_faults().await } else { Ok(()) };
        }
        // An epoch without a fix still tells the technician that the receiver speaks: no observation, but its raw line.
        let observations = epochs.into_iter().filter_map(|epoch| self.observation(epoch)).collect::<Vec<_>>();
        self.heard |= !observations.is_empty();
        let raw = Some(format!("${}", String::from_utf8_lossy(self.decoder.latest())));
        self.link.tell(SourceNews::Observed { observations, raw }).await?;
        self.tell_faults().await
    }

    async fn tell_faults(&mut self) -> Result<(), ShuttingDown> {
        let faults = self.decoder.faults().take();
        if faults.is_empty() { Ok(()) } else { self.link.tell(SourceNews::Faults(faults)).await }
    }

    /// The epoch's observation, if it has a position; its date sets the agent's clock, if it can be believed.
    fn observation(&mut self, epoch: Epoch) -> Option<Observation> {
        let mut observation = epoch.into_observation()?;
        if let Some(event_time) = observation.event_time {
            if self.dates.believes(event_time, self.link.clock()) {
                self.link.clock().discipline(event_time);
            } else {
                self.decoder.faults().count(Fault::ImplausibleDate);
                observation.event_time = None;
            }
        }
        Some(observation)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;

    use milepost_proto::Reading;
    use tokio::sync::mpsc;

    use super::*;
    use crate::clock::Clock;
    use crate::event::{EVENTS_MAX, Event};
    use crate::source::pty::Pty;

    /// A line under test, at a path that can be plugged and unplugged.
    struct Bench {
        folder: tempfile::TempDir,
        events: mpsc::Receiver<Event>,
        shutdown: CancellationToken,
        clock: Clock,
        faults: BTreeMap<&'static str, u64>,
    }

    impl Bench {
        fn start() -> Self {
            let folder = tempfile::tempdir().expect("folder");
            let (sender, events) = mpsc::channel(EVENTS_MAX);
            let (clock, shutdown) = (Clock::system(), CancellationToken::new());
            let line = SerialLine {
                silence: Duration::from_millis(30),
                reopen_min: Duration::from_millis(5),
                reopen_max: Duration::from_millis(10),
                ..SerialLine::new(&folder.path().join("gnss"), 9_600)
            };
            let link = SourceLink::new("gnss", sender, clock.clone());
            tokio::spawn(run(line, link, shutdown.clone()));
            Self { folder, events, shutdown, clock, faults: BTreeMap::new() }
        }

        fn plug(&self) -> Pty {
            let pty = Pty::open().expect("pty");
            let path = self.folder.path().join("gnss");
            std::fs::remove_file(&path).ok();
            std::os::unix::fs::symlink(&pty.slave, path).expect("link");
            pty
        }

        /// The next news that `wanted` takes; faults are summed on the way.
        async fn wait<T>(&mut self, mut wanted: impl FnMut(SourceNews) -> Option<T>) -> T {
            let all = async {
                loop {
                    let Some(Event::Source(report)) = self.events.recv().await else { panic!("source ended") };
                    if let SourceNews::Faults(faults) = &report.news {
                        faults.iter().for_each(|(kind, count)| *self.faults.entry(kind).or_default() += count);
                    }
                    if let Some(found) = wanted(report.news) {
                        return found;
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(20), all).await.expect("in time")
        }

        async fn observation(&mut self) -> Observation {
            self.wait(|news| match news {
                SourceNews::Observed { observations, .. } => observations.into_iter().next(),
                _ => None,
            })
            .await
        }

        async fn opened(&mut self) {
            self.wait(|news| matches!(news, SourceNews::Opened).then_some(())).await;
        }

        async fn lost(&mut self) -> String {
            self.wait(|news| match news {
                SourceNews::Lost { why } => Some(why),
                _ => None,
            })
            .await
        }
    }

    fn sentence(body: &str) -> String {
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        format!("${body}*{sum:02X}\r\n")
    }

    fn rmc(second: u32, ddmmyy: &str) -> String {
        sentence(&format!("GPRMC,1200{second:02},A,5200.0,N,00454.0,E,10.0,90.0,{ddmmyy},,,A"))
    }

    fn latitude(observation: &Observation) -> i32 {
        let Reading::Position(position) = &observation.reading else { panic!("position") };
        position.lat_e7
    }

    #[tokio::test]
    async fn a_fix_is_observed_after_a_silence_and_sets_the_clock() {
        let mut bench = Bench::start();
        let mut pty = bench.plug();
        bench.opened().await;
        pty.master.write_all(rmc(1, "010626").as_bytes()).expect("write");
        let observation = bench.observation().await;
        assert_eq!(latitude(&observation), 520_000_000);
        assert_eq!(observation.event_time.map(|time| time.to_string()).as_deref(), Some("2026-06-01T12:00:01.000Z"));
        assert!(bench.clock.wall().0.to_string().starts_with("2026-06-01T12:00:0"));
        bench.shutdown.cancel();
    }

    #[tokio::test]
    async fn damaged_sentences_are_counted_and_what_follows_is_heard() {
        let mut bench = Bench::start();
        let mut pty = bench.plug();
        bench.opened().await;
        let bad = rmc(1, "010626").replace("52", "53");
        let torn = &rmc(2, "010626")[..20];
        pty.master.write_all(format!("{bad}{torn}{}", rmc(3, "010626")).as_bytes()).expect("write");
        let observation = bench.observation().await;
        assert!(observation.event_time.is_some_and(|time| time.to_string().contains("12:00:03")));
        bench.wait(|news| matches!(news, SourceNews::Faults(_)).then_some(())).await;
        assert_eq!(bench.faults, BTreeMap::from([("bad_checksum", 1), ("torn", 1)]));
    }

    #[tokio::test]
    async fn a_date_before_this_software_is_not_believed() {
        let mut bench = Bench::start();
        let mut pty = bench.plug();
        bench.opened().await;
        pty.master.write_all(rmc(1, "060180").as_bytes()).expect("write");
        assert_eq!(bench.observation().await.event_time, None);
        bench.wait(|news| matches!(news, SourceNews::Faults(_)).then_some(())).await;
        assert_eq!(bench.faults, BTreeMap::from([("implausible_date", 1)]));
        assert!(!bench.clock.wall().0.to_string().starts_with("1980"));
    }

    #[tokio::test]
    async fn an_unplugged_receiver_is_lost_once_and_heard_again_when_it_is_back() {
        let mut bench = Bench::start();
        assert!(bench.lost().await.contains("plug the receiver in"));
        let mut pty = bench.plug();
        bench.opened().await;
        pty.master.write_all(rmc(1, "010626").as_bytes()).expect("write");
        bench.observation().await;
        drop(pty);
        let why = bench.lost().await;
        assert!(why.contains("unplugged") || why.contains("lost"), "{why}");
        let mut pty = bench.plug();
        bench.opened().await;
        pty.master.write_all(rmc(2, "010626").as_bytes()).expect("write");
        assert!(bench.observation().await.event_time.is_some_and(|time| time.to_string().contains("12:00:02")));
    }
}
