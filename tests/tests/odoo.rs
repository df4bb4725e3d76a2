//! The connector against a real Odoo: orders come in as shipments, effects are there once whatever replies are lost.
//!
//! Needs `MILEPOST_ODOO_URL`, `MILEPOST_ODOO_DB` and `MILEPOST_ODOO_KEY_FILE`; `cargo xtask test` sets them.

use std::time::{SystemTime, UNIX_EPOCH};

use milepost_gateway::effect::{Effect, EffectBody, Settlement};
use milepost_gateway::milestone::{Milestone, MilestoneKind, Status};
use milepost_gateway::odoo::classify::FailureKind;
use milepost_gateway::odoo::orders::cursor::OVERLAP_S;
use milepost_gateway::odoo::orders::field::time;
use milepost_gateway::odoo::{ApiKey, BlobSource, Connector, Cursor, ImportedOrders, Place, ShipmentState, trips};
use milepost_proto::{Pod, Sha256, VehicleId};
use serde_json::json;
use system_tests::lossy_proxy::{Fault, LossyProxy};
use system_tests::odoo_story::{ConfirmedOrder, Odoo, Order};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n not a real signature";

/// The Odoo to test against, or a line that says why there is none.
fn odoo() -> Option<Odoo> {
    let odoo = Odoo::from_env().expect("the environment is complete");
    if odoo.is_none() {
        println!("skipped: no Odoo (set MILEPOST_ODOO_URL)");
    }
    odoo
}

/// A text that no earlier run used in the same database.
#[expect(clippy::disallowed_methods, reason = "a name that no earlier run used is wanted, not a time")]
fn unique(name: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    format!("{name}-{}", since.as_nanos())
}

async fn place_order(odoo: &Odoo, place: Option<(f64, f64)>) -> ConfirmedOrder {
    let order = Order { customer: unique("Customer"), place, barcode: unique("BC"), quantity: 10 };
    odoo.confirm_order(&order).await.expect("the order is confirmed")
}

/// A connector that has only [`SIGNATURE`].
fn connector(odoo: &Odoo, url: &str) -> Connector {
    let blobs = |hash: &Sha256| (*hash == Sha256::of(SIGNATURE)).then(|| SIGNATURE.to_vec());
    connector_with(odoo, url, Box::new(blobs))
}

fn connector_with(odoo: &Odoo, url: &str, blobs: Box<dyn BlobSource>) -> Connector {
    Connector::new(&odoo.settings(url), blobs).expect("the settings are good")
}

fn arrived(shipment: &str, key: &str, status: Status) -> Effect {
    let milestone = Milestone {
        milestone_id: key.to_owned(),
        revision: 1,
        status,
        kind: MilestoneKind::DeliveryArrived,
        trip: "T1".to_owned(),
        stop: Some("S1".to_owned()),
        shipment: Some(shipment.to_owned()),
        visit_no: 1,
        event_time: "2026-11-24T10:02:05Z".parse().expect("a time"),
        confidence: 0.97,
        evidence: vec!["truck-7/00/event/1".to_owned()],
        rule_version: "1".to_owned(),
        remarks: Vec::new(),
    };
    let body = EffectBody::Milestone { milestone: Box::new(milestone) };
    Effect { key: key.to_owned(), shipment: shipment.to_owned(), body }
}

fn delivered(shipment: &str, key: &str) -> Effect {
    let pod: Pod = serde_json::from_value(json!({
        "client_ref": "c-1", "stop": "S1", "shipment": shipment, "outcome": "completed",
        "recipient": {"name": "<script>J. Smith</script>", "role": "warehouse"},
        "signature": Sha256::of(SIGNATURE), "items": [{"ref": "move-1", "planned": 10, "delivered": 10}],
    }))
    .expect("a pod");
    let body = EffectBody::Pod { pod: Box::new(pod), record: "f/truck-7/00/evidence/1".to_owned() };
    Effect { key: key.to_owned(), shipment: shipment.to_owned(), body }
}

/// Polls until Odoo has no more, as a gateway does after a start.
async fn poll_all(connector: &Connector, mut cursor: Cursor) -> ImportedOrders {
    let able = connector.probe().await.capabilities;
    let mut all = ImportedOrders::default();
    loop {
        let page = connector.poll_orders(&able, &cursor).await.expect("Odoo answers");
        cursor = page.cursor.clone();
        all.shipments.extend(page.shipments);
        all.problems.extend(page.problems);
        all.ended_trips.extend(page.ended_trips);
        if !page.more {
            all.cursor = cursor;
            return all;
        }
    }
}

/// The cursor moved so that the next pass reads only what changes from now on; Odoo's times have whole seconds, so this
/// touches `partner` until the next second has begun there.
async fn past_overlap(odoo: &Odoo, partner: i64, cursor: Cursor) -> Cursor {
    let since = cursor.since.expect("a pass is over").plus_millis(1000);
    loop {
        let touch = json!({"ids": [partner], "vals": {"comment": unique("touched")}});
        odoo.call("res.partner", "write", touch).await.expect("written");
        let read = json!({"ids": [partner], "fields": ["write_date"]});
        let rows = odoo.call("res.partner", "read", read).await.expect("read");
        if time(&rows[0], "write_date").expect("a time") >= since {
            return Cursor { since: Some(since.plus_millis(OVERLAP_S * 1000)), ..cursor };
        }
    }
}

fn done(settlement: Settlement) -> String {
    match settlement {
        Settlement::Done { reference } => reference,
        other => panic!("not done: {other:?}"),
    }
}

#[tokio::test]
async fn probe_finds_everything_and_a_wrong_key_is_one_line_that_names_the_fix() {
    let Some(odoo) = odoo() else { return };
    let probe = connector(&odoo, odoo.url()).probe().await;
    assert!(probe.is_usable(), "{:#?}", probe.findings);
    assert!(probe.capabilities.sale && probe.capabilities.batches && probe.capabilities.vehicles, "{probe:#?}");

    let mut settings = odoo.settings(odoo.url());
    settings.api_key = ApiKey::new("0000000000000000000000000000000000000000");
    let probe = Connector::new(&settings, Box::new(|_: &Sha256| None)).expect("settings").probe().await;
    assert!(!probe.is_usable());
    let complaints: Vec<String> = probe.findings.iter().skip(1).map(ToString::to_string).collect();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].contains("New API Key"), "{complaints:?}");
}

#[tokio::test]
async fn a_wrong_database_is_named() {
    let Some(odoo) = odoo() else { return };
    let mut settings = odoo.settings(odoo.url());
    settings.database = "no-such-database".to_owned();
    let connector = Connector::new(&settings, Box::new(|_: &Sha256| None)).expect("settings");
    let failure = connector.poll_orders(&Default::default(), &Cursor::default()).await.expect_err("no such database");
    assert_eq!(failure.kind, FailureKind::WrongDatabase);
    assert!(failure.message.contains("odoo.database"), "{failure}");
}

#[tokio::test]
async fn a_confirmed_order_comes_in_once_planned_it_is_a_trip_and_cancelled_it_leaves_it() {
    let Some(odoo) = odoo() else { return };
    let first = place_order(&odoo, Some((47.3769, 8.5417))).await;
    let second = place_order(&odoo, Some((47.3900, 8.5150))).await;
    let connector = connector(&odoo, odoo.url());

    let orders = poll_all(&connector, Cursor::default()).await;
    let shipment = orders.shipments.iter().find(|one| one.picking_id == first.picking_id).expect("it came in");
    assert_eq!(shipment.shipment, first.picking);
    assert_eq!(shipment.state, ShipmentState::Open);
    assert_eq!(shipment.sale_order, Some((first.sale_order_id, first.sale_order.clone())));
    assert_eq!(shipment.place, Some(Place { lat: 47.3769, lon: 8.5417 }));
    assert_eq!(shipment.address.as_deref(), Some("Dockstrasse 1, 8005 Zürich, Switzerland"));
    assert_eq!(shipment.items.len(), 1);
    assert!(shipment.items[0].barcode.as_deref().is_some_and(|code| code.starts_with("BC-")), "{shipment:?}");
    assert!((shipment.items[0].planned - 10.0).abs() < 1e-9);
    assert!(shipment.window.is_some());
    assert_eq!(shipment.trip, None);

    let plate = unique("ZH");
    let batch = odoo.plan_batch(&[second.picking_id, first.picking_id], &plate).await.expect("planned");
    let planned = poll_all(&connector, orders.cursor).await;
    let truck = |asked: &str| (asked == plate).then(|| "truck-7".parse::<VehicleId>().expect("a name"));
    let found = trips(&planned.shipments, truck).trips;
    let (vehicle, trip) = found.first().expect("a trip");
    assert_eq!((vehicle.as_str(), trip.id.as_str()), ("truck-7", batch.as_str()));
    let stops: Vec<_> = trip.stops.iter().map(|stop| stop.shipment.clone().expect("a shipment")).collect();
    assert_eq!(stops, [second.picking, first.picking]);

    // Odoo takes a cancelled picking out of its batch without touching the batch; its trip must follow all the same.
    let cursor = past_overlap(&odoo, second.partner_id, planned.cursor).await;
    odoo.call("stock.picking", "action_cancel", json!({"ids": [second.picking_id]})).await.expect("cancelled");
    let changed = poll_all(&connector, cursor).await;
    let cancelled = changed.shipments.iter().find(|one| one.picking_id == second.picking_id).expect("reported");
    assert_eq!(cancelled.state, ShipmentState::Cancelled);
    let found = trips(&changed.shipments, truck).trips;
    let stops: Vec<_> = found.iter().flat_map(|(_, trip)| &trip.stops).map(|stop| stop.id.clone()).collect();
    assert_eq!(stops, [format!("picking-{}", first.picking_id)]);

    odoo.call("stock.picking", "action_cancel", json!({"ids": [first.picking_id]})).await.expect("cancelled");
    let changed = poll_all(&connector, changed.cursor).await;
    assert!(changed.ended_trips.contains(&batch), "{:?}", changed.ended_trips);
}

#[tokio::test]
async fn an_address_without_coordinates_is_a_problem_until_someone_sets_them() {
    let Some(odoo) = odoo() else { return };
    let order = place_order(&odoo, None).await;
    let connector = connector(&odoo, odoo.url());
    let orders = poll_all(&connector, Cursor::default()).await;
    let codes = |orders: &ImportedOrders| -> Vec<&'static str> {
        orders.problems.iter().filter(|one| one.subject == order.picking).map(|one| one.code.as_str()).collect()
    };
    assert_eq!(codes(&orders), ["no_geocode"]);

    let place = json!({"partner_latitude": 47.0, "partner_longitude": 8.0});
    odoo.call("res.partner", "write", json!({"ids": [order.partner_id], "vals": place})).await.expect("written");
    let mended = poll_all(&connector, orders.cursor).await;
    let shipment = mended.shipments.iter().find(|one| one.picking_id == order.picking_id).expect("it came again");
    assert_eq!(shipment.place, Some(Place { lat: 47.0, lon: 8.0 }));
    assert_eq!(codes(&mended), Vec::<&str>::new());
}

#[tokio::test]
async fn a_milestone_settled_twice_is_one_note() {
    let Some(odoo) = odoo() else { return };
    let order = place_order(&odoo, Some((47.0, 8.0))).await;
    let effect = arrived(&order.picking, &unique("m"), Status::Provisional);
    let first = done(connector(&odoo, odoo.url()).settle(&effect, false).await);
    let again = done(connector(&odoo, odoo.url()).settle(&effect, false).await);
    assert_eq!(first, again);
    let notes = odoo.notes(order.picking_id).await.expect("notes");
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(first, format!("mail.message,{}", notes[0].id));
    assert!(notes[0].body.contains("Arrived at the delivery address"), "{notes:?}");

    let retracted = arrived(&order.picking, &unique("m"), Status::Retracted);
    done(connector(&odoo, odoo.url()).settle(&retracted, false).await);
    let notes = odoo.notes(order.picking_id).await.expect("notes");
    assert!(notes[1].body.contains("did_not_occur"), "{notes:?}");
}

#[tokio::test]
async fn a_proof_settled_twice_has_its_files_once_and_its_text_is_no_markup() {
    let Some(odoo) = odoo() else { return };
    let order = place_order(&odoo, Some((47.0, 8.0))).await;
    let effect = delivered(&order.picking, &unique("pod"));

    let nothing_arrived = connector_with(&odoo, odoo.url(), Box::new(|_: &Sha256| None));
    let waiting = nothing_arrived.settle(&effect, false).await;
    assert!(matches!(&waiting, Settlement::Retry { why } if why.contains("has not arrived")), "{waiting:?}");
    assert_eq!(odoo.notes(order.picking_id).await.expect("notes"), []);

    for _ in 0..2 {
        done(connector(&odoo, odoo.url()).settle(&effect, false).await);
    }
    let files = odoo.attachments(order.picking_id).await.expect("files");
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["pod-c-1-r1-signature.png", "pod-c-1-r1.json"]);
    let notes = odoo.notes(order.picking_id).await.expect("notes");
    assert_eq!(notes.iter().map(|note| note.attachments).collect::<Vec<_>>(), [2], "{notes:?}");
    assert!(!notes[0].body.contains("<script"), "{notes:?}");
    assert!(notes[0].body.contains("&lt;script&gt;J. Smith"), "{notes:?}");
}

#[tokio::test]
async fn a_large_photo_is_kept_bit_for_bit_and_once() {
    let Some(odoo) = odoo() else { return };
    // Odoo shrinks images beyond 1920 pixels on arrival unless told not to; the file is made by Odoo's own imaging.
    let order = place_order(&odoo, Some((47.0, 8.0))).await;
    let photo = large_png();
    let hash = Sha256::of(&photo);
    let mut effect = delivered(&order.picking, &unique("pod"));
    if let EffectBody::Pod { pod, .. } = &mut effect.body {
        pod.signature = None;
        pod.photos = vec![hash];
    }
    let expected = milepost_gateway::odoo::attachment::sha1(&photo);
    let blobs = move |asked: &Sha256| (*asked == hash).then(|| photo.clone());
    done(connector_with(&odoo, odoo.url(), Box::new(blobs)).settle(&effect, false).await);
    let files = odoo.attachments(order.picking_id).await.expect("files");
    assert!(files.contains(&("pod-c-1-r1-photo-1.png".to_owned(), expected)), "{files:?}");
}

/// Every effect kind, every loss, at the call whose path contains `path`; nothing is doubled and nothing missing.
async fn check_losses(path: &str, effects: impl Fn(&str) -> Vec<Effect>) {
    let Some(odoo) = odoo() else { return };
    let proxy = LossyProxy::start(odoo.authority(), path).await.expect("a proxy");
    for fault in [Fault::Request, Fault::Reply, Fault::HalfTheReply] {
        let order = place_order(&odoo, Some((47.0, 8.0))).await;
        let connector = connector(&odoo, &proxy.url());
        let effects = effects(&order.picking);
        for effect in &effects {
            proxy.lose_next(fault);
            let lost = connector.settle(effect, false).await;
            assert!(matches!(lost, Settlement::Unknown { .. }), "{fault:?}: {lost:?}");
            done(connector.settle(effect, true).await);
        }
        let notes = odoo.notes(order.picking_id).await.expect("notes");
        assert_eq!(notes.len(), effects.len(), "{fault:?}: {notes:?}");
        let proofs = effects.iter().filter(|effect| matches!(effect.body, EffectBody::Pod { .. })).count();
        let files = odoo.attachments(order.picking_id).await.expect("files");
        assert_eq!(files.len(), 2 * proofs, "{fault:?}: {files:?}");
    }
    assert!(proxy.lost() > 0);
}

#[tokio::test]
async fn a_note_whose_request_or_reply_was_lost_is_there_once() {
    check_losses("/message_post", |shipment| {
        vec![
            arrived(shipment, &unique("m"), Status::Confirmed),
            arrived(shipment, "key/with/slashes", Status::Corrected),
            delivered(shipment, &unique("pod")),
        ]
    })
    .await;
}

#[tokio::test]
async fn an_attachment_whose_request_or_reply_was_lost_is_there_once() {
    check_losses("/ir.attachment/create", |shipment| vec![delivered(shipment, &unique("pod"))]).await;
}

#[tokio::test]
async fn a_shipment_odoo_does_not_have_waits_for_a_person() {
    let Some(odoo) = odoo() else { return };
    let effect = arrived("WH/OUT/99999999", &unique("m"), Status::Provisional);
    let parked = connector(&odoo, odoo.url()).settle(&effect, false).await;
    assert!(matches!(&parked, Settlement::Park { why } if why.contains("WH/OUT/99999999")), "{parked:?}");
}

/// A grey PNG of 2400 × 2 pixels: stored deflate blocks, so nothing is needed to make it.
fn large_png() -> Vec<u8> {
    const WIDTH: u32 = 2400;
    const HEIGHT: u32 = 2;
    let mut rows = Vec::new();
    for _ in 0..HEIGHT {
        rows.push(0);
        rows.extend((0..WIDTH).map(|column| column.to_le_bytes()[0]));
    }
    let length = u16::try_from(rows.len()).expect("one stored block");
    let mut data = vec![0x78, 0x01, 0x01];
    data.extend(length.to_le_bytes());
    data.extend((!length).to_le_bytes());
    data.extend(&rows);
    data.extend(adler32(&rows).to_be_bytes());
    let mut header = Vec::new();
    header.extend(WIDTH.to_be_bytes());
    header.extend(HEIGHT.to_be_bytes());
    header.extend([8, 0, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, body) in [(b"IHDR", header), (b"IDAT", data), (b"IEND", Vec::new())] {
        png.extend(u32::try_from(body.len()).expect("small").to_be_bytes());
        let start = png.len();
        png.extend(kind);
        png.extend(body);
        png.extend(crc32(&png[start..]).to_be_bytes());
    }
    png
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    b << 16 | a
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
