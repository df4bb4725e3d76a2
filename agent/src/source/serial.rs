//! A GNSS receiver on a serial line.
//!
//! Promise: an unplugged receiver is reported lost once and heard again as soon as its path opens; the agent never
//! spins on a dead line. Zero bytes mean unplugged (a USB line reads them for ever). Decoding is [`super::nmea`]'s, which
//! fixes to use is [`super::gnss`]'s, and which speed to listen at is decided in `speed`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio_serial::{SerialPort as _, SerialPortBuilderExt, SerialStream};
use tokio_util::sync::CancellationToken;

use super::gnss::{FixJudge, FixPolicy};
use super::nmea::{Checksum, Decoder, Epoch};
use super::reopening::{Patience, Reopening};
use super::{Observation, ShuttingDown, SourceLink, SourceNews};
use speed::SpeedSearch;

mod speed;

/// Speeds tried for `baud = "auto"`, the likeliest first: what receivers are delivered with, then what they are set to for
/// more than a fix a second. NMEA 0183's own 4,800 comes after those of newer receivers.
pub const BAUDS_AUTO: [u32; 7] = [9_600, 38_400, 115_200, 4_800, 57_600, 230_400, 19_200];
/// Most bytes taken at once.
const READ_BYTES_MAX: usize = 4_096;
/// Faults are told with the next epoch, or when this many wait: a wrong line speed ends no epoch.
const FAULTS_WAITING_MAX: u64 = 64;
/// A silence shorter than this may be the scheduler's and not the receiver's.
const SILENCE_MIN: Duration = Duration::from_millis(20);
/// Beyond this speed silences do not get shorter.
const SPEED_MAX: f64 = 1_000.0;

/// What the receiver on a line is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NmeaReceiver {
    /// Line speeds to try, baud; the first is the likeliest.
    pub bauds: Vec<u32>,
    /// Whether it must send checksums.
    pub checksum: Checksum,
    /// Which of its fixes to use.
    pub fixes: FixPolicy,
}

impl Default for NmeaReceiver {
    /// 9,600 baud, with checksums, every fix.
    fn default() -> Self {
        Self { bauds: vec![9_600], checksum: Checksum::Required, fixes: FixPolicy::default() }
    }
}

/// Which line, and how patient to be with it.
#[derive(Debug, Clone)]
pub struct SerialLine {
    /// The device.
    pub path: PathBuf,
    /// What is on it.
    pub receiver: NmeaReceiver,
    /// A silence this long ends an epoch.
    pub silence: Duration,
    /// How patient to be when it is lost.
    pub patience: Patience,
}

impl SerialLine {
    /// A line with the usual patience: 300 ms, and 1 s to 30 s.
    #[must_use]
    pub fn new(path: &Path, receiver: NmeaReceiver) -> Self {
        Self { path: path.to_owned(), receiver, silence: Duration::from_millis(300), patience: Patience::default() }
    }

    /// The same line with a recording on it that plays `speed` times faster: its silences are shorter by as much.
    #[must_use]
    pub fn at_speed(self, speed: f64) -> Self {
        let silence = self.silence.div_f64(speed.clamp(1.0, SPEED_MAX)).max(SILENCE_MIN);
        Self { silence, ..self }
    }

    /// Opens it at `baud`.
    ///
    /// # Errors
    /// As [`open_port`].
    pub fn open(&self, baud: u32) -> Result<SerialStream, String> {
        open_port(&self.path, baud)
    }
}

/// Opens a serial device: 8 data bits, no parity, one stop bit, and nobody else's.
///
/// # Errors
/// What is in the way and what to do about it, in a sentence.
pub fn open_port(path: &Path, baud: u32) -> Result<SerialStream, String> {
    let port = tokio_serial::new(path.to_string_lossy(), baud).open_native_async();
    let path = path.display();
    port.map_err(|error| match error.kind {
        tokio_serial::ErrorKind::NoDevice | tokio_serial::ErrorKind::Io(std::io::ErrorKind::NotFound) => {
            format!("{path} cannot be opened ({error}); plug the device in, or see who else uses it")
        }
        tokio_serial::ErrorKind::Io(std::io::ErrorKind::PermissionDenied) => {
            format!("{path} may not be opened; add the agent's user to the device's group (dialout)")
        }
        _ => format!("{path} cannot be opened: {error}"),
    })
}

/// Reads the line until shutdown.
pub async fn run(line: SerialLine, link: SourceLink, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        Err(ShuttingDown) = keep_open(&line, &link) => {}
    }
}

async fn keep_open(line: &SerialLine, link: &SourceLink) -> Result<(), ShuttingDown> {
    let mut speed = SpeedSearch::new(&line.receiver.bauds, link.clock().monotonic_ms());
    let mut reopening = Reopening::new(line.patience);
    loop {
        let why = match line.open(speed.baud()) {
            Ok(stream) => {
                reopening.opened(link).await?;
                speed.reopened(link.clock().monotonic_ms());
                let (why, heard) = listen(stream, line, &mut speed, link).await?;
                if heard {
                    reopening.heard();
                }
                why
            }
            Err(why) => why,
        };
        reopening.lost(why, link).await?;
    }
}

/// Reads until the line is lost; says why, and whether anything usable was heard before.
async fn listen(
    mut stream: SerialStream,
    line: &SerialLine,
    speed: &mut SpeedSearch,
    link: &SourceLink,
) -> Result<(String, bool), ShuttingDown> {
    let mut receiver = Receiver::new(&line.receiver, link);
    let mut buffer = [0; READ_BYTES_MAX];
    let path = line.path.display();
    let why = loop {
        let length = match tokio::time::timeout(line.silence, stream.read(&mut buffer)).await {
            Err(_silent) => 0,
            Ok(Ok(0)) => break format!("{path} was unplugged"),
            Ok(Ok(length)) => length,
            Ok(Err(error)) => break format!("{path} was lost: {error}"),
        };
        let good = receiver.take(&buffer[..length]).await?;
        if speed.heard(good, length > 0 && good == 0, link.clock().monotonic_ms()) {
            if let Err(error) = stream.set_baud_rate(speed.baud()) {
                break format!("{path} does not run at {} baud ({error}); mend bauds", speed.baud());
            }
            receiver.restart();
        }
    };
    receiver.take(&[]).await?;
    Ok((why, receiver.heard))
}

/// The decoder of one opened line, and what it has to tell.
struct Receiver<'a> {
    settings: &'a NmeaReceiver,
    link: &'a SourceLink,
    decoder: Decoder,
    judge: FixJudge,
    heard: bool,
}

impl<'a> Receiver<'a> {
    fn new(settings: &'a NmeaReceiver, link: &'a SourceLink) -> Self {
        let (decoder, judge) = (Decoder::new(settings.checksum), FixJudge::new(settings.fixes));
        Self { settings, link, decoder, judge, heard: false }
    }

    /// Takes bytes; none mean that the line was silent. Says how many whole sentences they held.
    async fn take(&mut self, bytes: &[u8]) -> Result<u64, ShuttingDown> {
        let before = self.decoder.sentences();
        let mut epochs = Vec::new();
        if bytes.is_empty() {
            epochs.extend(self.decoder.flush());
        } else {
            self.decoder.push(bytes, |epoch| epochs.push(epoch));
        }
        let faults_due = bytes.is_empty() || self.decoder.faults().total() >= FAULTS_WAITING_MAX;
        if !epochs.is_empty() {
            self.tell(epochs).await?;
        } else if faults_due {
            self.tell_faults().await?;
        }
        Ok(self.decoder.sentences() - before)
    }

    /// The line runs at another speed from now on.
    fn restart(&mut self) {
        let faults = std::mem::take(self.decoder.faults());
        self.decoder = Decoder::new(self.settings.checksum);
        *self.decoder.faults() = faults;
    }

    async fn tell(&mut self, epochs: Vec<Epoch>) -> Result<(), ShuttingDown> {
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

    /// The epoch's observation, if it has a position that is wanted; its date sets the agent's clock, if it is believed.
    fn observation(&mut self, epoch: Epoch) -> Option<Observation> {
        let clock = self.link.clock();
        let judged = self.judge.judge(epoch.position?, epoch.event_time, clock.wall(), self.decoder.faults())?;
        if let Some(now) = judged.sets_clock {
            clock.discipline(now);
        }
        Some(judged.observation)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;

    use milepost_proto::Reading;
    use rustix::termios::tcgetattr;
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
            Self::start_with(NmeaReceiver::default())
        }

        fn start_with(receiver: NmeaReceiver) -> Self {
            Self::start_patient(receiver, Duration::from_millis(30))
        }

        fn start_patient(receiver: NmeaReceiver, silence: Duration) -> Self {
            let folder = tempfile::tempdir().expect("folder");
            let (sender, events) = mpsc::channel(EVENTS_MAX);
            let (clock, shutdown) = (Clock::system(), CancellationToken::new());
            let line = SerialLine {
                silence,
                patience: Patience { min: Duration::from_millis(5), max: Duration::from_millis(10) },
                ..SerialLine::new(&folder.path().join("gnss"), receiver)
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

    /// Today by the system's clock, as RMC writes it.
    fn today() -> String {
        let now = Clock::system().wall().0.to_string();
        format!("{}{}{}", &now[8..10], &now[5..7], &now[2..4])
    }

    fn rmc(second: u32) -> String {
        rmc_of(second, &today())
    }

    fn rmc_of(second: u32, ddmmyy: &str) -> String {
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
        pty.master.write_all(rmc(1).as_bytes()).expect("write");
        let observation = bench.observation().await;
        assert_eq!(latitude(&observation), 520_000_000);
        let event_time = observation.event_time.expect("dated");
        assert!(event_time.to_string().ends_with("T12:00:01.000Z"), "{event_time}");
        assert!(bench.clock.wall().0.millis_since(event_time) < 10_000);
        bench.shutdown.cancel();
    }

    #[tokio::test]
    async fn damaged_sentences_are_counted_and_what_follows_is_heard() {
        let mut bench = Bench::start();
        let mut pty = bench.plug();
        bench.opened().await;
        let bad = rmc(1).replace("52", "53");
        let torn = &rmc(2)[..20];
        pty.master.write_all(format!("{bad}{torn}{}", rmc(3)).as_bytes()).expect("write");
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
        pty.master.write_all(rmc_of(1, "060180").as_bytes()).expect("write");
        assert_eq!(bench.observation().await.event_time, None);
        bench.wait(|news| matches!(news, SourceNews::Faults(_)).then_some(())).await;
        assert_eq!(bench.faults, BTreeMap::from([("implausible_date", 1)]));
        assert!(!bench.clock.wall().0.to_string().starts_with("1980"));
    }

    #[tokio::test]
    async fn a_date_far_from_the_clocks_is_believed_the_second_time() {
        let mut bench = Bench::start();
        let mut pty = bench.plug();
        bench.opened().await;
        for second in 1..=2 {
            pty.master.write_all(rmc_of(second, "010635").as_bytes()).expect("write");
        }
        let event_time = bench.observation().await.event_time.map(|time| time.to_string());
        assert_eq!(event_time.as_deref(), Some("2035-06-01T12:00:02.000Z"));
        assert!(bench.clock.wall().0.to_string().starts_with("2035-06-01T12:00:0"));
        assert_eq!(bench.faults.get("unconfirmed_date"), Some(&1));
    }

    #[tokio::test]
    async fn a_fix_that_the_policy_does_not_want_is_counted_and_goes_no_further() {
        let fixes = FixPolicy { hdop_centi_max: Some(200), ..FixPolicy::default() };
        let mut bench = Bench::start_with(NmeaReceiver { fixes, ..NmeaReceiver::default() });
        let mut pty = bench.plug();
        bench.opened().await;
        for hdop in ["9.9", "0.9"] {
            let gga = format!("GPGGA,12000{},5{}00.0,N,00454.0,E,1,09,{hdop},3.1,M,46.9,M,,", &hdop[..1], &hdop[..1]);
            pty.master.write_all(sentence(&gga).as_bytes()).expect("write");
        }
        assert_eq!(latitude(&bench.observation().await), 500_000_000);
        assert_eq!(bench.faults.get("poor_fix"), Some(&1));
    }

    #[tokio::test]
    async fn a_receiver_whose_cycle_is_known_is_reported_at_its_last_sentence() {
        let mut bench = Bench::start_patient(NmeaReceiver::default(), Duration::from_secs(3_600));
        let mut pty = bench.plug();
        bench.opened().await;
        for second in 0..10 {
            pty.master.write_all(rmc(second).as_bytes()).expect("write");
            // The first three are only known to be complete when the next begins.
            if second > 3 {
                let time = bench.observation().await.event_time.expect("dated").to_string();
                assert!(time.ends_with(&format!("T12:00:{second:02}.000Z")), "{time} after second {second}");
            } else if second > 0 {
                bench.observation().await;
            }
        }
    }

    #[tokio::test]
    async fn the_speed_of_a_line_is_found() {
        let mut bench = Bench::start_with(NmeaReceiver { bauds: vec![4_800, 38_400], ..NmeaReceiver::default() });
        let mut pty = bench.plug();
        bench.opened().await;
        // A pseudo terminal has no line; what a receiver at 38,400 baud looks like at another speed is played to it.
        let speed = |pty: &Pty| tcgetattr(&pty.master).expect("modes").input_speed();
        let mut second = 0;
        while speed(&pty) != 38_400 {
            assert_eq!(speed(&pty), 4_800);
            pty.master.write_all(&[0xf8, 0x80, 0x78, 0x00]).expect("write");
            tokio::time::timeout(Duration::from_millis(50), bench.wait(|_| None::<()>)).await.ok();
        }
        while second < 3 {
            second += 1;
            pty.master.write_all(rmc(second).as_bytes()).expect("write");
            assert_eq!(latitude(&bench.observation().await), 520_000_000);
        }
        assert!(bench.faults.contains_key("noise"), "{:?}", bench.faults);
        assert_eq!(speed(&pty), 38_400);
    }

    #[tokio::test]
    async fn an_unplugged_receiver_is_lost_once_and_heard_again_when_it_is_back() {
        let mut bench = Bench::start();
        assert!(bench.lost().await.contains("plug the device in"));
        let mut pty = bench.plug();
        bench.opened().await;
        pty.master.write_all(rmc(1).as_bytes()).expect("write");
        bench.observation().await;
        drop(pty);
        let why = bench.lost().await;
        assert!(why.contains("unplugged") || why.contains("lost"), "{why}");
        let mut pty = bench.plug();
        bench.opened().await;
        pty.master.write_all(rmc(2).as_bytes()).expect("write");
        assert!(bench.observation().await.event_time.is_some_and(|time| time.to_string().contains("12:00:02")));
    }
}
