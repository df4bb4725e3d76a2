//! What leaves for a gateway, and who carries it.
//!
//! Promise: handing something over never waits; what becomes of it comes back as one [`Event::Uplinked`] with the same
//! ticket, also when nothing was reached.

use milepost_proto::SpoolId;
use milepost_proto::uplink::BlobOffer;
use tokio::sync::mpsc;

use super::client::GatewayClient;
use super::{SendFailure, Ticket};
use crate::event::{Event, Uplinked};

/// Something for the gateway that its ticket names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Which request it is, and for which gateway.
    pub ticket: Ticket,
    /// What it is.
    pub parcel: Parcel,
}

/// What is carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parcel {
    /// A request.
    Request {
        /// The spool it speaks of; so does the answer.
        spool_id: SpoolId,
        /// The request in its envelope.
        envelope: Vec<u8>,
    },
    /// Part of a blob.
    BlobPart {
        /// Which blob.
        blob: BlobOffer,
        /// Where the part begins, in bytes.
        offset: u64,
        /// The part.
        bytes: Vec<u8>,
    },
}

impl Parcel {
    /// Bytes of its body.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        match self {
            Self::Request { envelope: bytes, .. } | Self::BlobPart { bytes, .. } => bytes.len(),
        }
    }
}

/// Takes something for a gateway under way.
pub type Carrier = Box<dyn FnMut(Outgoing) + Send>;

/// Carries by `clients`, one for each gateway in the order of the configuration; what comes back goes to `events`.
#[must_use]
pub fn over_https(clients: Vec<GatewayClient>, events: mpsc::Sender<Event>) -> Carrier {
    Box::new(move |Outgoing { ticket, parcel }| {
        let (client, events) = (clients.get(ticket.gateway).cloned(), events.clone());
        tokio::spawn(async move {
            let result = match client {
                Some(client) => carry(&client, parcel, ticket.spare).await,
                None => Err(SendFailure::Broken { why: "no such gateway is configured".to_owned() }),
            };
            // The loop is gone only when the agent shuts down.
            events.send(Event::Uplinked(ticket, result)).await.ok();
        });
    })
}

async fn carry(client: &GatewayClient, parcel: Parcel, spare: bool) -> Result<Uplinked, SendFailure> {
    match parcel {
        Parcel::Request { spool_id, envelope } => client.request(envelope, spool_id, spare).await.map(Uplinked::Answer),
        Parcel::BlobPart { blob, offset, bytes } => {
            client.blob_part(blob, offset, bytes, spare).await.map(|state| Uplinked::Part(state, offset))
        }
    }
}
