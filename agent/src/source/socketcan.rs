//! A CAN interface of the kernel (SocketCAN).
//!
//! Promise: it only listens, unless it is given questions to ask. Frames are read as fast as they come and told in groups; a frame that the kernel had to drop
//! is counted, never silently missing. An interface that goes down or disappears is lost once and heard again when it is
//! back; what the controller says about the bus is recorded. Decoding is [`super::can`]'s.

use std::io;
use std::time::{Duration, SystemTime};

use socketcan::{CanAnyFrame, CanDataFrame, CanFdSocket, EmbeddedFrame, Frame as _, Socket as _};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio_util::sync::CancellationToken;

use super::bus::Bus;
use super::can::obd::poll::Poller;
use super::can::{CanId, Data, Frame, FrameBody, Observer};
use super::fault::Fault;
use super::reopening::Reopening;
use super::{ShuttingDown, SourceLink};

mod arrivals;
mod interface;
mod losses;

use arrivals::Arrivals;
pub use interface::CanInterface;
use losses::Losses;

/// Frames gather this long in the kernel before they are read: on a full 1 Mbit/s bus, 80 of them.
const GATHER: Duration = Duration::from_millis(10);
/// After so much silence the kernel's counters are looked at all the same.
const QUIET: Duration = Duration::from_secs(1);
/// What is waited for: frames, and word that the interface has gone.
const NEWS: Interest = Interest::READABLE.add(Interest::ERROR);
/// Most frames told at once.
const FRAMES_MAX: usize = 1_000;

/// Reads the interface until shutdown, and sends what `poller` asks, if there is one.
pub async fn run(
    interface: CanInterface,
    observer: Observer,
    poller: Option<Poller>,
    link: SourceLink,
    shutdown: CancellationToken,
) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        Err(ShuttingDown) = keep_open(&interface, Bus::new(observer, poller), &link) => {}
    }
}

async fn keep_open(interface: &CanInterface, mut bus: Bus, link: &SourceLink) -> Result<(), ShuttingDown> {
    let mut reopening = Reopening::new(interface.patience);
    loop {
        let why = match interface.open().and_then(|socket| watched(socket, interface)) {
            Ok(socket) => {
                reopening.opened(link).await?;
                bus.reopened(link.clock().monotonic_ms());
                let losses = Losses::new(&interface.name);
                let mut reader = Reader { socket, bus: &mut bus, arrivals: Arrivals::default(), losses };
                let error = reader.read(link, &mut reopening).await?;
                interface.trouble(&error)
            }
            Err(why) => why,
        };
        reopening.lost(why, link).await?;
    }
}

#[expect(deprecated, reason = "its successor is unsafe, for what does not own its descriptor; a socket does")]
fn watched(socket: CanFdSocket, interface: &CanInterface) -> Result<AsyncFd<CanFdSocket>, String> {
    AsyncFd::with_interest(socket, NEWS).map_err(|error| interface.trouble(&error))
}

/// One opened interface.
struct Reader<'a> {
    socket: AsyncFd<CanFdSocket>,
    bus: &'a mut Bus,
    arrivals: Arrivals,
    losses: Losses,
}

/// How a run of reads ended.
enum Ending {
    /// No more frames wait.
    Empty,
    /// There may be more, but it is time to tell these.
    Full,
    /// The interface is lost.
    Lost(io::Error),
}

impl Reader<'_> {
    /// Reads until the interface is lost; says what happened.
    async fn read(&mut self, link: &SourceLink, reopening: &mut Reopening) -> Result<io::Error, ShuttingDown> {
        let mut frames = Vec::with_capacity(FRAMES_MAX);
        loop {
            let pause = self.bus.pause(link.clock().monotonic_ms(), QUIET);
            let ending = self.fill(&mut frames, pause).await;
            let now_ms = link.clock().monotonic_ms();
            if let (Ending::Empty, Some((_, Some(stamp)))) = (&ending, frames.last()) {
                self.arrivals.anchor(*stamp, link.clock().wall());
            }
            frames.drain(..).for_each(|(frame, stamp)| self.take(&frame, stamp, now_ms));
            self.send(now_ms);
            self.count_dropped();
            if self.bus.tell(link).await? {
                reopening.heard();
            }
            match ending {
                Ending::Empty => tokio::time::sleep(GATHER).await,
                Ending::Full => {}
                Ending::Lost(error) => return Ok(error),
            }
        }
    }

    /// Waits for frames, but no longer than `pause`, and takes those that are there.
    async fn fill(&mut self, frames: &mut Vec<(CanAnyFrame, Option<SystemTime>)>, pause: Duration) -> Ending {
        let mut ready = match tokio::time::timeout(pause, self.socket.ready(NEWS)).await {
            Ok(Ok(ready)) => ready,
            Ok(Err(error)) => return Ending::Lost(error),
            Err(_quiet) => return Ending::Empty,
        };
        while frames.len() < FRAMES_MAX {
            match ready.try_io(|socket| socket.get_ref().read_frame_with_timestamps()) {
                Ok(Ok((frame, stamps))) => frames.push((frame, stamps.socket)),
                Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    self.bus.faults().count(Fault::Malformed);
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Ending::Lost(error),
                Err(_would_block) => return Ending::Empty,
            }
        }
        Ending::Full
    }

    /// Sends what is due. What the kernel does not take at once is not tried again: a question has its time.
    fn send(&mut self, now_ms: u64) {
        while let Some(frame) = self.bus.outgoing(now_ms) {
            let sent = data_frame(&frame).map(|frame| self.socket.get_ref().write_frame(&frame));
            if !matches!(sent, Some(Ok(()))) {
                self.bus.faults().count(Fault::NotSent);
            }
        }
    }

    fn take(&mut self, frame: &CanAnyFrame, stamp: Option<SystemTime>, now_ms: u64) {
        let event_time = stamp.and_then(|stamp| self.arrivals.event_time(stamp));
        let body = match frame {
            CanAnyFrame::Error(error) => return self.bus.error_frame(error.error_bits(), error.data()),
            CanAnyFrame::Remote(_) => FrameBody::RemoteRequest,
            CanAnyFrame::Normal(_) | CanAnyFrame::Fd(_) => FrameBody::Data(data(frame.data())),
        };
        self.bus.frame(&Frame { id: id(frame), body }, event_time, now_ms);
    }

    fn count_dropped(&mut self) {
        let dropped = self.losses.more(self.socket.get_ref());
        self.bus.faults().add(Fault::Dropped, dropped);
    }
}

fn id(frame: &CanAnyFrame) -> CanId {
    match frame.can_id() {
        socketcan::CanId::Standard(id) => CanId::Standard(id.as_raw()),
        socketcan::CanId::Extended(id) => CanId::Extended(id.as_raw()),
    }
}

fn data(bytes: &[u8]) -> Data {
    let mut data = Data::EMPTY;
    // The kernel's frames hold no more than ours.
    bytes.iter().take_while(|byte| data.push(**byte)).for_each(drop);
    data
}

/// A frame of at most eight bytes as the kernel takes it.
fn data_frame(frame: &Frame) -> Option<CanDataFrame> {
    let FrameBody::Data(data) = &frame.body else { return None };
    match frame.id {
        CanId::Standard(id) => CanDataFrame::new(socketcan::StandardId::new(id)?, data.as_bytes()),
        CanId::Extended(id) => CanDataFrame::new(socketcan::ExtendedId::new(id)?, data.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::clock::Clock;
    use crate::event::{EVENTS_MAX, Event};
    use crate::source::{SourceNews, reopening::Patience};

    #[tokio::test]
    async fn an_interface_that_is_not_there_is_lost_once_and_tried_again_until_shutdown() {
        let (sender, mut events) = mpsc::channel(EVENTS_MAX);
        let shutdown = CancellationToken::new();
        let patience = Patience { min: Duration::from_millis(1), max: Duration::from_millis(2) };
        let interface = CanInterface { patience, ..CanInterface::new("nocan7", false) };
        let link = SourceLink::new("bus", sender, Clock::system());
        let source = tokio::spawn(run(interface, Observer::default(), None, link, shutdown.clone()));
        let Some(Event::Source(report)) = events.recv().await else { panic!("news") };
        assert!(matches!(report.news, SourceNews::Lost { why } if why.contains("nocan7")));
        let again = tokio::time::timeout(Duration::from_millis(50), events.recv()).await;
        assert!(again.is_err(), "told once only: {again:?}");
        shutdown.cancel();
        source.await.expect("ends");
    }

    #[test]
    fn every_kind_of_frame_is_taken_as_it_is() {
        let mut bus = Bus::new(Observer::default(), None);
        let frames = [
            CanDataFrame::from_raw_id(0x123, &[1]).map(CanAnyFrame::Normal),
            socketcan::CanFdFrame::from_raw_id(0x18FE_F100, &[7; 64]).map(CanAnyFrame::Fd),
        ];
        for (frame, expected) in frames.iter().zip([(CanId::Standard(0x123), 1), (CanId::Extended(0x18FE_F100), 64)]) {
            let frame = frame.as_ref().expect("a frame");
            assert_eq!((id(frame), data(frame.data()).as_bytes().len()), expected);
            bus.frame(&Frame { id: id(frame), body: FrameBody::Data(data(frame.data())) }, None, 0);
        }
        assert_eq!(bus.faults().take().get("unknown_id"), Some(&1));
    }
}
