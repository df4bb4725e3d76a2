//! A CAN adapter on a serial line that speaks the LAWICEL protocol (SLCAN).
//!
//! Promise: the adapter is opened to listen only, unless the configuration says that it may take part in the bus. An
//! adapter that refuses is lost with the reason; one that says nothing is taken to obey, for many do not answer. An
//! unplugged one is lost once and heard again when it is back. What it says about the bus is asked now and then.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_serial::SerialStream;
use tokio_util::sync::CancellationToken;

use super::bus::Bus;
use super::can::Observer;
use super::can::bus_state::BusReport;
use super::can::obd::poll::Poller;
use super::fault::{Fault, Faults};
use super::reopening::{Patience, Reopening};
use super::serial::open_port;
use super::{ShuttingDown, SourceLink};
use crate::clock::Clock;

mod bitrate;
pub mod framer;

pub use bitrate::Bitrate;
use framer::{Framer, Said};

/// Most bytes taken at once.
const READ_BYTES_MAX: usize = 4_096;
/// Ends whatever the adapter was being told, and closes the bus, so that it can be set up.
const CLOSE: &[u8] = b"\r\r\rC\r";
/// Opens the bus to listen only.
const LISTEN: &[u8] = b"L\r";
/// Opens the bus to take part in it.
const TAKE_PART: &[u8] = b"O\r";
/// Most answers that may follow [`CLOSE`]: one each, and some of commands that somebody else left.
const ANSWERS_MAX: usize = 16;
/// Asks for the status flags.
const ASK_FLAGS: &[u8] = b"F\r";

/// Which adapter, and how to use it.
#[derive(Debug, Clone)]
pub struct SlcanAdapter {
    /// The device.
    pub path: PathBuf,
    /// Line speed, baud.
    pub baud: u32,
    /// Bit rate of the bus.
    pub bitrate: Bitrate,
    /// Whether it takes part in the bus.
    pub transmit: bool,
    /// How long an answer may take.
    pub answer: Duration,
    /// How often it is asked how the bus is.
    pub ask_every: Duration,
    /// How patient to be when it is lost.
    pub patience: Patience,
}

impl SlcanAdapter {
    /// An adapter with the usual patience: answers within 200 ms, asked every 10 s.
    #[must_use]
    pub fn new(path: &Path, baud: u32, bitrate: Bitrate, transmit: bool) -> Self {
        Self {
            path: path.to_owned(),
            baud,
            bitrate,
            transmit,
            answer: Duration::from_millis(200),
            ask_every: Duration::from_secs(10),
            patience: Patience::default(),
        }
    }
}

/// Reads the adapter until shutdown, and sends what `poller` asks, if there is one and the adapter may.
pub async fn run(
    adapter: SlcanAdapter,
    observer: Observer,
    poller: Option<Poller>,
    link: SourceLink,
    shutdown: CancellationToken,
) {
    let bus = Bus::new(observer, poller.filter(|_| adapter.transmit));
    tokio::select! {
        () = shutdown.cancelled() => {}
        Err(ShuttingDown) = keep_open(&adapter, bus, &link) => {}
    }
}

async fn keep_open(adapter: &SlcanAdapter, mut bus: Bus, link: &SourceLink) -> Result<(), ShuttingDown> {
    let mut reopening = Reopening::new(adapter.patience);
    loop {
        let why = match open_port(&adapter.path, adapter.baud) {
            Ok(stream) => {
                let (framer, clock) = (Framer::default(), link.clock());
                let mut session = Session { stream, adapter, bus: &mut bus, framer, clock };
                session.hold(link, &mut reopening).await?
            }
            Err(why) => why,
        };
        reopening.lost(why, link).await?;
    }
}

/// One opened line.
struct Session<'a> {
    stream: SerialStream,
    adapter: &'a SlcanAdapter,
    bus: &'a mut Bus,
    framer: Framer,
    clock: &'a Clock,
}

/// What an open bus is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// To say how it is.
    Flags,
    /// To send a frame.
    Frame,
}

/// What an adapter said to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Done,
    Refused,
    Silence,
}

impl Session<'_> {
    /// Opens the bus and reads until the adapter is lost; says why.
    async fn hold(&mut self, link: &SourceLink, reopening: &mut Reopening) -> Result<String, ShuttingDown> {
        if let Err(why) = self.open_bus().await {
            return Ok(why);
        }
        reopening.opened(link).await?;
        self.bus.reopened(self.clock.monotonic_ms());
        let mut asks = true;
        let mut latest = Order::Flags;
        let mut ask_at = Instant::now() + self.adapter.ask_every;
        loop {
            let until = Instant::now() + self.bus.pause(self.clock.monotonic_ms(), self.adapter.ask_every);
            match tokio::time::timeout_at(until.min(ask_at), self.read()).await {
                Ok(Ok(Answer::Refused)) if latest == Order::Frame => self.bus.faults().count(Fault::NotSent),
                // It does not know that command: it is not asked again.
                Ok(Ok(Answer::Refused)) => {
                    asks = false;
                    self.bus.faults().count(Fault::Refused);
                }
                Ok(Ok(Answer::Done | Answer::Silence)) | Err(_) => {}
                Ok(Err(why)) => return Ok(why),
            }
            if self.bus.tell(link).await? {
                reopening.heard();
            }
            match self.send().await {
                Ok(true) => latest = Order::Frame,
                Ok(false) => {}
                Err(why) => return Ok(why),
            }
            if Instant::now() >= ask_at {
                ask_at = Instant::now() + self.adapter.ask_every;
                latest = Order::Flags;
                if asks && let Err(why) = self.command(ASK_FLAGS).await {
                    return Ok(why);
                }
            }
        }
    }

    /// Sends what is due; says whether there was something.
    async fn send(&mut self) -> Result<bool, String> {
        let mut sent = false;
        while let Some(frame) = self.bus.outgoing(self.clock.monotonic_ms()) {
            match framer::command(&frame) {
                Some(command) => self.command(command.as_bytes()).await?,
                None => self.bus.faults().count(Fault::NotSent),
            }
            sent = true;
        }
        Ok(sent)
    }

    async fn open_bus(&mut self) -> Result<(), String> {
        self.command(CLOSE).await?;
        // A bus that was not open cannot be closed, which is no trouble; all answers have come when it is silent.
        for _ in 0..ANSWERS_MAX {
            if self.answer().await? == Answer::Silence {
                break;
            }
        }
        let bitrate = self.adapter.bitrate;
        self.command(bitrate.command().as_bytes()).await?;
        if self.answer().await? == Answer::Refused {
            return Err(self.trouble(&format!("refuses {bitrate}; correct the source's bitrate")));
        }
        self.command(if self.adapter.transmit { TAKE_PART } else { LISTEN }).await?;
        if self.answer().await? == Answer::Refused {
            let mend = if self.adapter.transmit {
                "refuses to open the bus; look at its bit rate and unplug it once"
            } else {
                "refuses to listen only; use another, or set transmit = true if it may acknowledge frames"
            };
            return Err(self.trouble(mend));
        }
        Ok(())
    }

    async fn command(&mut self, command: &[u8]) -> Result<(), String> {
        match tokio::time::timeout(self.adapter.answer, self.stream.write_all(command)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.trouble(&format!("was lost: {error}"))),
            Err(_) => Err(self.trouble("takes no commands; unplug it once")),
        }
    }

    /// Waits for the answer to a command.
    async fn answer(&mut self) -> Result<Answer, String> {
        let until = Instant::now() + self.adapter.answer;
        loop {
            match tokio::time::timeout_at(until, self.read()).await {
                Err(_) => return Ok(Answer::Silence),
                Ok(Ok(Answer::Silence)) => {}
                Ok(answer) => return answer,
            }
        }
    }

    /// Takes what comes next; the last answer among it, if there was one.
    async fn read(&mut self) -> Result<Answer, String> {
        let mut buffer = [0; READ_BYTES_MAX];
        let length = match self.stream.read(&mut buffer).await {
            Ok(0) => return Err(self.trouble("was unplugged")),
            Ok(length) => length,
            Err(error) => return Err(self.trouble(&format!("was lost: {error}"))),
        };
        let (mut answer, mut faults) = (Answer::Silence, Faults::default());
        let (bus, now_ms) = (&mut *self.bus, self.clock.monotonic_ms());
        self.framer.push(&buffer[..length], &mut faults, |said| match said {
            Said::Frame(frame) => bus.frame(&frame, None, now_ms),
            Said::Flags(flags) => bus.report(BusReport::from_flags(flags)),
            Said::Done => answer = Answer::Done,
            Said::Refused => answer = Answer::Refused,
            Said::Other => {}
        });
        self.bus.faults().merge(&faults);
        Ok(answer)
    }

    fn trouble(&self, what: &str) -> String {
        format!("{} {what}", self.adapter.path.display())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Write as _};

    use milepost_proto::Reading;
    use tokio::sync::mpsc;

    use super::*;
    use crate::event::{EVENTS_MAX, Event};
    use crate::source::can::obd::poll::{Addressing, PollPlan, Quantity};
    use crate::source::pty::Pty;
    use crate::source::{FaultCounts, SourceNews};

    const SPEED_90: &str = "T18FEF1008FF005AFFFFFFFFFF\r";
    const LIMIT: Duration = Duration::from_secs(20);

    /// Questions for every adapter under test: one that may not send must not.
    fn poller() -> Option<Poller> {
        let every_s = vec![(Quantity::Parameter(0x0d), 1)];
        Some(Poller::new(&PollPlan { addressing: Addressing::Standard, every_s }, 0))
    }

    /// What an adapter says to a command.
    type Manners = fn(&str) -> &'static str;

    fn obeys(command: &str) -> &'static str {
        if command == "F" { "F20\r" } else { "\r" }
    }

    fn says_nothing(_: &str) -> &'static str {
        ""
    }

    fn refuses_to_listen(command: &str) -> &'static str {
        if command == "L" { "\u{7}" } else { "\r" }
    }

    fn knows_no_flags(command: &str) -> &'static str {
        if command == "F" { "\u{7}" } else { "\r" }
    }

    /// An adapter under test, plugged in at a path; it notes the commands it is given.
    struct Bench {
        folder: tempfile::TempDir,
        events: mpsc::Receiver<Event>,
        commands: mpsc::UnboundedReceiver<String>,
        note: mpsc::UnboundedSender<String>,
        shutdown: CancellationToken,
    }

    impl Bench {
        fn start(transmit: bool) -> Self {
            let folder = tempfile::tempdir().expect("folder");
            let (sender, events) = mpsc::channel(EVENTS_MAX);
            let (note, commands) = mpsc::unbounded_channel();
            let shutdown = CancellationToken::new();
            let bitrate = Bitrate::from_bit_s(250_000).expect("known");
            let ms = Duration::from_millis;
            let adapter = SlcanAdapter {
                answer: ms(40),
                ask_every: ms(20),
                patience: Patience { min: ms(5), max: ms(10) },
                ..SlcanAdapter::new(&folder.path().join("adapter"), 115_200, bitrate, transmit)
            };
            let link = SourceLink::new("can0", sender, Clock::system());
            tokio::spawn(run(adapter, Observer::default(), poller(), link, shutdown.clone()));
            Self { folder, events, commands, note, shutdown }
        }

        /// Plugs in a line at whose other end nobody hears.
        fn plug_mute(&self) -> Pty {
            let pty = Pty::open().expect("pty");
            let path = self.folder.path().join("adapter");
            std::fs::remove_file(&path).ok();
            std::os::unix::fs::symlink(&pty.slave, path).expect("link");
            pty
        }

        /// Plugs in an adapter with these manners; gives the end it speaks from.
        fn plug(&self, manners: Manners) -> File {
            let pty = self.plug_mute();
            let (mut ear, note) = (pty.master.try_clone().expect("clone"), self.note.clone());
            let mut mouth = pty.master.try_clone().expect("clone");
            std::thread::spawn(move || {
                let (mut heard, mut byte) = (String::new(), [0]);
                while ear.read(&mut byte).is_ok_and(|length| length > 0) {
                    match byte[0] {
                        b'\r' => {
                            let command = std::mem::take(&mut heard);
                            mouth.write_all(manners(&command).as_bytes()).ok();
                            if note.send(command).is_err() {
                                return;
                            }
                        }
                        other => heard.push(char::from(other)),
                    }
                }
            });
            pty.master
        }

        async fn wait<T>(&mut self, mut wanted: impl FnMut(SourceNews) -> Option<T>) -> T {
            let all = async {
                loop {
                    let Some(Event::Source(report)) = self.events.recv().await else { panic!("source ended") };
                    if let Some(found) = wanted(report.news) {
                        return found;
                    }
                }
            };
            tokio::time::timeout(LIMIT, all).await.expect("in time")
        }

        async fn opened(&mut self) {
            self.wait(|news| matches!(news, SourceNews::Opened).then_some(())).await;
        }

        async fn lost(&mut self) -> String {
            self.wait(|news| if let SourceNews::Lost { why } = news { Some(why) } else { None }).await
        }

        /// The next reading for which `wanted` gives something.
        async fn reading<T>(&mut self, wanted: impl Fn(Reading) -> Option<T>) -> T {
            self.wait(|news| match news {
                SourceNews::Observed { observations, .. } => {
                    observations.into_iter().find_map(|observation| wanted(observation.reading))
                }
                _ => None,
            })
            .await
        }

        async fn speed(&mut self) -> f64 {
            self.reading(|reading| if let Reading::Signal(signal) = reading { Some(signal.value) } else { None }).await
        }

        /// The next frame that it is to send.
        async fn question(&mut self) -> String {
            loop {
                let command = self.command().await;
                if command.starts_with(['t', 'T']) {
                    return command;
                }
            }
        }

        async fn command(&mut self) -> String {
            loop {
                let command = tokio::time::timeout(LIMIT, self.commands.recv()).await.expect("in time").expect("told");
                if !command.is_empty() {
                    return command;
                }
            }
        }
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            self.shutdown.cancel();
        }
    }

    #[tokio::test]
    async fn an_adapter_is_closed_set_up_and_opened_to_listen_only() {
        let mut bench = Bench::start(false);
        let mut adapter = bench.plug(obeys);
        bench.opened().await;
        assert_eq!([bench.command().await, bench.command().await, bench.command().await], ["C", "S5", "L"]);
        adapter.write_all(SPEED_90.as_bytes()).expect("write");
        assert!((bench.speed().await - 90.0).abs() < 1e-9);
        assert_eq!(bench.command().await, "F");
    }

    #[tokio::test]
    async fn an_adapter_takes_part_in_the_bus_only_when_it_may() {
        let mut bench = Bench::start(true);
        let _adapter = bench.plug(obeys);
        bench.opened().await;
        assert_eq!([bench.command().await, bench.command().await, bench.command().await], ["C", "S5", "O"]);
    }

    #[tokio::test]
    async fn questions_go_to_an_adapter_that_may_send_and_a_frame_it_refuses_is_counted() {
        let mut bench = Bench::start(true);
        let mut adapter = bench.plug(|command| if command.starts_with('t') { "\u{7}" } else { "\r" });
        assert_eq!(bench.question().await, "t7DF80201000000000000");
        let refused = |news| if let SourceNews::Faults(faults) = news { faults.get("not_sent").copied() } else { None };
        assert_eq!(bench.wait(refused).await, 1);
        adapter.write_all(b"t7E8806410000080000AA\r").expect("write");
        assert_eq!(bench.question().await, "t7DF802010D0000000000");
        adapter.write_all(b"t7E8803410D5AAAAAAAAA\r").expect("write");
        assert!((bench.speed().await - 90.0).abs() < 1e-9);
    }

    #[tokio::test]
    async fn an_adapter_that_may_only_listen_is_never_given_a_frame() {
        let mut bench = Bench::start(false);
        let mut adapter = bench.plug(obeys);
        bench.opened().await;
        adapter.write_all(SPEED_90.as_bytes()).expect("write");
        assert!((bench.speed().await - 90.0).abs() < 1e-9);
        // It is asked for its flags a few times, and was given questions to ask from the start.
        let mut commands = Vec::new();
        while commands.iter().filter(|command| *command == "F").count() < 5 {
            commands.push(bench.command().await);
        }
        commands.retain(|command| command != "F");
        assert_eq!(commands, ["C", "S5", "L"]);
    }

    #[tokio::test]
    async fn an_adapter_that_says_nothing_is_listened_to() {
        let mut bench = Bench::start(false);
        let mut adapter = bench.plug(says_nothing);
        bench.opened().await;
        adapter.write_all(format!("\u{1}\u{2}t12{SPEED_90}").as_bytes()).expect("write");
        assert!((bench.speed().await - 90.0).abs() < 1e-9);
        let faults = bench.wait(|news| if let SourceNews::Faults(faults) = news { Some(faults) } else { None }).await;
        assert_eq!(faults, FaultCounts::from([("noise", 1), ("torn", 1), ("not_available", 4)]));
    }

    #[tokio::test]
    async fn an_adapter_that_refuses_to_listen_is_lost_with_the_reason_and_never_opened_otherwise() {
        let mut bench = Bench::start(false);
        let _adapter = bench.plug(refuses_to_listen);
        let why = loop {
            let why = bench.lost().await;
            if why.contains("refuses") {
                break why;
            }
        };
        assert!(why.contains("listen only") && why.contains("transmit = true"), "{why}");
        let mut commands = Vec::new();
        while let Ok(command) = bench.commands.try_recv() {
            commands.push(command);
        }
        assert!(!commands.contains(&"O".to_owned()), "{commands:?}");
    }

    #[tokio::test]
    async fn an_adapter_without_flags_is_not_asked_again() {
        let mut bench = Bench::start(false);
        let mut adapter = bench.plug(knows_no_flags);
        bench.opened().await;
        let refused = |news| if let SourceNews::Faults(faults) = news { faults.get("refused").copied() } else { None };
        assert_eq!(bench.wait(refused).await, 1);
        // Long enough to be asked ten times.
        let again = tokio::time::timeout(Duration::from_millis(200), bench.wait(refused)).await;
        assert!(again.is_err());
        adapter.write_all(SPEED_90.as_bytes()).expect("write");
        assert!((bench.speed().await - 90.0).abs() < 1e-9, "and is still listened to");
    }

    #[tokio::test]
    async fn what_the_flags_say_of_the_bus_is_recorded() {
        let mut bench = Bench::start(false);
        let _adapter = bench.plug(obeys);
        let passive = |reading| match reading {
            Reading::Switch(switch) if switch.name == "can0.error_passive" => Some(switch.on),
            _ => None,
        };
        assert!(bench.reading(passive).await);
    }

    #[tokio::test]
    async fn an_unplugged_adapter_is_lost_and_set_up_again_when_it_is_back() {
        let mut bench = Bench::start(false);
        assert!(bench.lost().await.contains("plug"));
        for _ in 0..2 {
            let mut pty = bench.plug_mute();
            bench.opened().await;
            pty.master.write_all(SPEED_90.as_bytes()).expect("write");
            assert!((bench.speed().await - 90.0).abs() < 1e-9);
            drop(pty);
            let why = bench.lost().await;
            assert!(why.contains("unplugged") || why.contains("lost"), "{why}");
        }
    }
}
