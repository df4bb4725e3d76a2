//! What the agent says on every new connection, and whenever the trip changes.
//!
//! Promise: after every ConnAck the subscriptions stand again (a broker may have lost the session), `…/agent` says
//! `online`, and `…/trip` holds the current trip, or nothing when there is none.

use std::convert::Infallible;

use milepost_proto::Trip;
use rumqttc::{AsyncClient, ClientError, QoS, SubscribeFilter};
use tokio::sync::watch;

use crate::intake::topic::Topics;
use crate::source::ShuttingDown;

/// Greets until one of its channels closes.
pub(super) async fn greet(
    client: AsyncClient,
    mut connected: watch::Receiver<bool>,
    mut trip: watch::Receiver<Option<Trip>>,
    topics: &Topics,
) -> Result<Infallible, ShuttingDown> {
    loop {
        let reconnected = tokio::select! {
            changed = connected.changed() => changed.map(|()| true),
            changed = trip.changed() => changed.map(|()| false),
        };
        let reconnected = reconnected.map_err(|_| ShuttingDown)?;
        if !*connected.borrow() {
            continue;
        }
        if reconnected {
            introduce(&client, topics).await.map_err(|_| ShuttingDown)?;
        }
        let payload = trip_payload(trip.borrow_and_update().as_ref());
        client.publish(topics.trip(), QoS::AtLeastOnce, true, payload).await.map_err(|_| ShuttingDown)?;
    }
}

async fn introduce(client: &AsyncClient, topics: &Topics) -> Result<(), ClientError> {
    let filters = topics.inbound().map(|topic| SubscribeFilter::new(topic, QoS::AtLeastOnce));
    client.subscribe_many(filters).await?;
    client.publish(topics.agent(), QoS::AtLeastOnce, true, "online").await
}

/// The trip as JSON; empty, which clears what was retained, when there is none.
fn trip_payload(trip: Option<&Trip>) -> Vec<u8> {
    // A trip is texts and finite numbers: serializing it does not fail.
    trip.and_then(|trip| serde_json::to_vec(trip).ok()).unwrap_or_default()
}
