//! Everything that can happen to the agent, as one enum.

use milepost_proto::UplinkAnswer;
use milepost_proto::driver_app::Rejection;
use milepost_proto::uplink::BlobState;
use tokio::sync::{mpsc, oneshot};

use crate::capture::{Accepted, BlobPart, BlobProgress, DriverCapture};
use crate::source::SourceReport;
use crate::uplink::{SendFailure, Ticket};

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
    /// The request to a gateway with this ticket ended.
    Uplinked(Ticket, Result<Uplinked, SendFailure>),
}

/// What the gateway answered.
#[derive(Debug)]
pub enum Uplinked {
    /// Receipts and news, to a request.
    Answer(UplinkAnswer),
    /// How much it holds, to the part of a blob that began at this offset.
    Part(BlobState, u64),
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
