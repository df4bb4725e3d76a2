//! Everything that can happen to the agent, as one enum.

use milepost_proto::driver_app::{DriverAction, DriverException, Pod, Rejection};
use milepost_proto::uplink::BlobState;
use milepost_proto::{Sha256, UplinkAnswer};
use tokio::sync::{mpsc, oneshot};

use crate::source::SourceReport;
use crate::uplink::SendFailure;

/// Most events waiting for the loop; whoever sends more waits.
pub const EVENTS_MAX: usize = 256;

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// A source has something to say.
    Source(SourceReport),
    /// The driver app hands over a capture; answered after the commit that holds it.
    Captured {
        /// What was captured.
        capture: DriverCapture,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Accepted, Rejection>>,
    },
    /// The driver app hands over part of a blob; answered after the commit that holds it.
    BlobPart {
        /// The part.
        part: BlobPart,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<BlobProgress, Rejection>>,
    },
    /// A request to the gateway ended.
    Uplinked(Result<Uplinked, SendFailure>),
}

/// What the gateway answered.
#[derive(Debug)]
pub enum Uplinked {
    /// Receipts and news, to a request.
    Answer(UplinkAnswer),
    /// How much it holds, to the part of a blob that began at this offset.
    Part(BlobState, u64),
}

/// What a driver captured, checked against its own bounds but not yet against the trip.
#[derive(Debug, Clone, PartialEq)]
pub enum DriverCapture {
    /// Proof of delivery.
    Pod(Box<Pod>),
    /// An action.
    Action(Box<DriverAction>),
    /// An exception.
    Exception(Box<DriverException>),
}

impl DriverCapture {
    /// The app's own reference.
    #[must_use]
    pub fn client_ref(&self) -> &str {
        match self {
            Self::Pod(pod) => &pod.client_ref,
            Self::Action(action) => &action.client_ref,
            Self::Exception(exception) => &exception.client_ref,
        }
    }

    /// The stop it is about, if it names one.
    #[must_use]
    pub fn stop(&self) -> Option<&str> {
        match self {
            Self::Pod(pod) => Some(&pod.stop),
            Self::Action(action) => action.stop.as_deref(),
            Self::Exception(exception) => exception.stop.as_deref(),
        }
    }
}

/// The vehicle holds it, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Its sequence in the evidence lane.
    pub sequence: u64,
    /// Whether the same capture had been accepted before; it was not stored again.
    pub duplicate: bool,
}

/// Part of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobPart {
    /// The blob's content address.
    pub sha256: Sha256,
    /// Where the part begins, bytes.
    pub offset: u64,
    /// The part.
    pub bytes: Vec<u8>,
    /// The blob's whole size, bytes, where the sender says so; a part sent without it is the last one.
    pub size: Option<u64>,
}

/// How much of a blob the vehicle holds, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobProgress {
    /// Bytes held from the start.
    pub held: u64,
    /// Whether it is whole and has the hash it was sent under.
    pub complete: bool,
}

/// The driver app's way to the event loop, whichever transport it came by.
#[derive(Clone)]
pub struct Intake {
    events: mpsc::Sender<Event>,
}

impl Intake {
    /// A way in.
    #[must_use]
    pub const fn new(events: mpsc::Sender<Event>) -> Self {
        Self { events }
    }

    /// Hands over a capture and waits until the vehicle holds it durably.
    ///
    /// # Errors
    /// A [`Rejection`] with its mend; `not_accepted` when the agent is shutting down or its disk is full.
    pub async fn capture(&self, capture: DriverCapture) -> Result<Accepted, Rejection> {
        self.ask(|reply| Event::Captured { capture, reply }).await
    }

    /// Hands over part of a blob and waits until the vehicle holds it durably.
    ///
    /// # Errors
    /// A [`Rejection`] with its mend.
    pub async fn blob_part(&self, part: BlobPart) -> Result<BlobProgress, Rejection> {
        self.ask(|reply| Event::BlobPart { part, reply }).await
    }

    async fn ask<T>(&self, event: impl FnOnce(oneshot::Sender<Result<T, Rejection>>) -> Event) -> Result<T, Rejection> {
        let (reply, answer) = oneshot::channel();
        self.events.send(event(reply)).await.map_err(|_| shutting_down())?;
        answer.await.map_err(|_| shutting_down())?
    }
}

fn shutting_down() -> Rejection {
    Rejection::new(
        milepost_proto::driver_app::RejectionCode::NotAccepted,
        "the vehicle is shutting down",
        "keep it and send it again later",
    )
}
