//! The driver: one proof of delivery with a signature and a photo, handed to the vehicle as a driver app would.

use std::fs;

use anyhow::{Context, Result};
use milepost_proto::Sha256;
use serde_json::json;

use super::stage::{Stage, http, recording};
use crate::clock::Stopwatch;

/// Delivers the first shipment of the trip.
pub(super) fn deliver(stage: &Stage, watch: Stopwatch) -> Result<()> {
    let trip = stage.trip()?;
    let stop = trip.stops.iter().find(|stop| stop.shipment.is_some()).context("the trip has no delivery")?;
    let shipment = stop.shipment.as_deref().context("a delivery has a shipment")?;
    let signature = hand_over(stage, "signature.png")?;
    let photo = hand_over(stage, "photo.jpg")?;
    let items: Vec<_> = stop
        .items
        .iter()
        .map(|item| json!({"ref": item.r#ref, "planned": item.planned, "delivered": item.planned}))
        .collect();
    let pod = json!({
        "client_ref": "demo-pod-1", "stop": stop.id, "shipment": shipment, "outcome": "completed", "items": items,
        "recipient": {"name": "R. Mott", "role": "goods in"}, "signature": signature, "photos": [photo],
        "remarks": "Gate code worked", "driver": "demo",
    });
    http()
        .post(stage.agent_url("/v1/pods"))
        .send_json(pod)
        .context("the vehicle did not accept the proof of delivery")?;
    watch.say(&format!("the driver delivers {shipment}: signature and photo are safe in the vehicle"));
    Ok(())
}

/// Hands a file to the vehicle; gives its content address.
fn hand_over(stage: &Stage, name: &str) -> Result<Sha256> {
    let bytes = fs::read(recording(name)).with_context(|| format!("failed to read {name}"))?;
    let sha256 = Sha256::of(&bytes);
    let url = stage.agent_url(&format!("/v1/blobs/{sha256}?offset=0&size={}", bytes.len()));
    http().put(url).send(&bytes).with_context(|| format!("the vehicle did not accept {name}"))?;
    Ok(sha256)
}
