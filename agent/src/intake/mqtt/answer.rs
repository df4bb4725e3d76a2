//! Answers messages one by one, in the order the broker delivered them.
//!
//! Promise: reply first, then PUBACK. If the connection ends in between, the message comes again and is answered as a
//! duplicate.

use std::convert::Infallible;
use std::time::Duration;

use milepost_proto::driver_app::Rejection;
use rumqttc::{AsyncClient, Publish, QoS};
use serde::Serialize;
use tokio::sync::mpsc;

use super::{Connection, Delivery};
use crate::event::Intake;
use crate::intake::contract::{Contract, client_ref_of};
use crate::intake::topic::{Inbound, Topics, UNREADABLE};
use crate::intake::{AcceptedAnswer, BlobAnswer, blob};
use crate::source::{FaultCounts, ShuttingDown, SourceLink, SourceNews};

/// Wait before an acknowledgement is tried again that found the request queue full.
const ACK_RETRY: Duration = Duration::from_millis(10);

/// What the app is told.
struct Reply {
    topic: String,
    payload: Vec<u8>,
}

/// Answers until nothing can be delivered any more.
pub(super) async fn answer(
    mut deliveries: mpsc::Receiver<Delivery>,
    client: &AsyncClient,
    connection: &Connection,
    intake: &Intake,
    topics: &Topics,
    link: &SourceLink,
) -> Result<Infallible, ShuttingDown> {
    while let Some(delivery) = deliveries.recv().await {
        if let Some(reply) = reply(&delivery.publish, intake, topics, link).await? {
            let published = client.publish(reply.topic, QoS::AtLeastOnce, false, reply.payload).await;
            published.map_err(|_| ShuttingDown)?;
        }
        acknowledge(&delivery, client, connection).await;
    }
    Err(ShuttingDown)
}

/// Acknowledges a message, unless its connection is gone: on the next one its packet id may mean another message.
async fn acknowledge(delivery: &Delivery, client: &AsyncClient, connection: &Connection) {
    // No await between looking and queueing; and when a connection ends, its queued acknowledgements go with it.
    while *connection.borrow() == Some(delivery.connection) && client.try_ack(&delivery.publish).is_err() {
        tokio::time::sleep(ACK_RETRY).await;
    }
}

async fn reply(
    publish: &Publish,
    intake: &Intake,
    topics: &Topics,
    link: &SourceLink,
) -> Result<Option<Reply>, ShuttingDown> {
    let raw = format!("{} ({} bytes)", publish.topic, publish.payload.len());
    link.tell(SourceNews::Observed { observations: Vec::new(), raw: Some(raw) }).await?;
    match topics.read(&publish.topic) {
        Inbound::Capture(contract) => {
            reply_to_capture(contract, &publish.payload, intake, topics, link).await.map(Some)
        }
        Inbound::Blob { sha256, offset, size } => {
            let outcome = match blob::read_part(sha256, offset, size, &publish.payload) {
                Ok(part) => intake.blob_part(part).await.map(BlobAnswer::from),
                Err(rejection) => Err(count(rejection, link).await?),
            };
            Ok(Some(into_reply(sha256, outcome, topics)))
        }
        Inbound::Foreign => {
            link.tell(SourceNews::Faults(FaultCounts::from([("unknown_topic", 1)]))).await?;
            Ok(None)
        }
    }
}

async fn reply_to_capture(
    contract: Contract,
    message: &[u8],
    intake: &Intake,
    topics: &Topics,
    link: &SourceLink,
) -> Result<Reply, ShuttingDown> {
    match contract.read(message) {
        Ok(capture) => {
            let client_ref = capture.client_ref().to_owned();
            let outcome = intake.capture(capture).await.map(AcceptedAnswer::from);
            Ok(into_reply(&client_ref, outcome, topics))
        }
        Err(rejection) => {
            let client_ref = client_ref_of(message);
            let rejection = count(rejection, link).await?;
            let outcome = Err::<AcceptedAnswer, _>(rejection);
            Ok(into_reply(client_ref.as_deref().unwrap_or(UNREADABLE), outcome, topics))
        }
    }
}

/// Counts a refusal that never reaches the event loop.
async fn count(rejection: Rejection, link: &SourceLink) -> Result<Rejection, ShuttingDown> {
    link.tell(SourceNews::Faults(FaultCounts::from([(rejection.code.as_str(), 1)]))).await?;
    Ok(rejection)
}

fn into_reply(reference: &str, outcome: Result<impl Serialize, Rejection>, topics: &Topics) -> Reply {
    match outcome {
        Ok(accepted) => Reply { topic: topics.accepted(reference), payload: json(&accepted) },
        Err(rejection) => Reply { topic: topics.rejected(reference), payload: json(&rejection) },
    }
}

/// Numbers and texts only: serializing them does not fail.
fn json(answer: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(answer).unwrap_or_default()
}
