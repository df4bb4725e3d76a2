//! What leaves for the gateway, and who carries it.
//!
//! Promise: handing something over never waits; what becomes of it comes back as one [`Event::Uplinked`], also when
//! nothing was reached.

use milepost_proto::SpoolId;
use milepost_proto::uplink::BlobOffer;
use tokio::sync::mpsc;

use super::client::GatewayClient;
use crate::event::{Event, Uplinked};

/// Something for the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
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

impl Outgoing {
    /// Bytes of its body.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        match self {
            Self::Request { envelope: bytes, .. } | Self::BlobPart { bytes, .. } => bytes.len(),
        }
    }
}

/// Takes something for the gateway under way.
pub type Carrier = Box<dyn FnMut(Outgoing) + Send>;

/// Carries by `client`; what comes back goes to `events`.
#[must_use]
pub fn over_https(client: GatewayClient, events: mpsc::Sender<Event>) -> Carrier {
    Box::new(move |outgoing| {
        let (client, events) = (client.clone(), events.clone());
        tokio::spawn(async move {
            let result = carry(&client, outgoing).await;
            // The loop is gone only when the agent shuts down.
            events.send(Event::Uplinked(result)).await.ok();
        });
    })
}

async fn carry(client: &GatewayClient, outgoing: Outgoing) -> Result<Uplinked, super::SendFailure> {
    match outgoing {
        Outgoing::Request { spool_id, envelope } => client.request(envelope, spool_id).await.map(Uplinked::Answer),
        Outgoing::BlobPart { blob, offset, bytes } => {
            client.blob_part(blob, offset, bytes).await.map(|state| Uplinked::Part(state, offset))
        }
    }
}
