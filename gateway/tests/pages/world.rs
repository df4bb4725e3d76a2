//! A made-up fleet in the middle of its day, for the pages' tests and for looking at them.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the pictures are drawn within their bounds, by numbers written here"
)]

mod picture;

use milepost_gateway::auth::{Effort, Role, create_user_at};
use milepost_gateway::effect::{Effect, EffectBody};
use milepost_gateway::milestone::{Milestone, MilestoneKind, Status};
use milepost_gateway::store::plan::{Shipment, put_shipment, put_trip};
use milepost_gateway::store::{Store, StoreResult, blob, outbox};
use milepost_proto::{FleetId, Pod, Sha256, Timestamp, Trip};
use rusqlite::{Connection, params};
use serde_json::json;

/// The time at which the world is looked at.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_528_800_000);
/// The password of every user.
pub(crate) const PASSWORD: &str = "four quiet lorries";

const MINUTE: i64 = 60_000;

pub(crate) fn fleet(name: &str) -> FleetId {
    name.parse().expect("a name")
}

pub(crate) fn minutes_ago(minutes: i64) -> Timestamp {
    NOW.plus_millis(-minutes * MINUTE)
}

/// Fleet `north` with a day's work, fleet `south` with the same names and other facts, and a user each.
pub(crate) async fn make(store: &Store) {
    make_without_south(store).await;
    create_user_at(store, &fleet("south"), "sam", PASSWORD, Role::Viewer, Effort::LEAST, NOW).await.expect("a user");
    store.write(south).await.expect("written");
}

/// Fleet `north` alone.
pub(crate) async fn make_without_south(store: &Store) {
    create_user_at(store, &fleet("north"), "ada", PASSWORD, Role::Viewer, Effort::LEAST, NOW).await.expect("a user");
    store.write(north).await.expect("written");
}

fn north(connection: &Connection) -> StoreResult<()> {
    let north = fleet("north");
    vehicles(connection)?;
    for (trip, vehicle) in trips() {
        put_trip(connection, &north, &vehicle.parse().expect("a name"), &trip, NOW)?;
    }
    for (number, partner) in [
        (41, "Bakkerij de Molen"),
        (42, "Hotel Oudegracht"),
        (43, "Ziekenhuis Sint Jan, magazijn noord"),
        (44, "Fietsenwinkel Van Dijk & Zonen"),
        (45, "Garage Hilversum Oost"),
        (46, "Technische Unie Amersfoort"),
        (47, "Kwekerij Groenveld"),
    ] {
        let shipment = Shipment {
            shipment_id: format!("WH/OUT/000{number}"),
            reference: Some(format!("WH/OUT/000{number}")),
            odoo_picking_id: Some(number),
            odoo_sale_id: None,
            partner: Some(partner.to_owned()),
        };
        put_shipment(connection, &north, &shipment, NOW)?;
    }
    milestones(connection)?;
    proof(connection)?;
    cases(connection)
}

fn vehicles(connection: &Connection) -> StoreResult<()> {
    let rows: [(&str, &str, f64, f64, i64, i64); 4] = [
        ("truck-3", "BX-84-RK", 52.0907, 5.1214, 0, 2),
        ("truck-7", "V-419-KT", 52.1561, 5.3878, 1, 3),
        ("van-12", "VKL-62-J", 52.2215, 5.1719, 2, 6),
        ("van-15", "VNB-07-D", 51.9851, 5.0950, 47, 52),
    ];
    for (vehicle, plate, lat, lon, heard, mark) in rows {
        let heard = minutes_ago(heard).as_millis();
        connection.execute("INSERT INTO vehicle VALUES ('north', ?1, ?2, NULL)", [vehicle, plate])?;
        connection
            .execute("INSERT INTO device VALUES ('north', 'box-' || ?1, 'known', 0, 0, ?2)", params![vehicle, heard])?;
        connection.execute("INSERT INTO assignment VALUES ('north', 'box-' || ?1, 0, NULL, ?1, NULL)", [vehicle])?;
        connection.execute(
            "INSERT INTO vehicle_state (fleet_id, vehicle_id, state, low_water_mark, lat, lon, position_time, updated_at)
             VALUES ('north', ?1, x'00', ?2, ?3, ?4, ?5, ?5)",
            params![vehicle, minutes_ago(mark).as_millis(), lat, lon, heard],
        )?;
    }
    Ok(())
}

fn trips() -> [(Trip, &'static str); 3] {
    let trip = |id: &str, stops: serde_json::Value| -> Trip {
        serde_json::from_value(json!({ "id": id, "stops": stops })).expect("a trip")
    };
    let delivery = |id: &str, shipment: u32, name: &str, address: &str, lat: f64, lon: f64| {
        json!({ "id": id, "shipment": format!("WH/OUT/000{shipment}"), "kind": "delivery", "name": name,
            "address": address, "lat": lat, "lon": lon,
            "window": [minutes_ago(120).to_string(), minutes_ago(-60).to_string()] })
    };
    let depot =
        |lat: f64, lon: f64| json!({ "id": "D", "kind": "depot", "name": "Depot Lage Weide", "lat": lat, "lon": lon });
    let early = trip(
        "T-1124-A",
        json!([
            depot(52.1150, 5.0530),
            delivery("S1", 41, "Bakkerij de Molen", "Molenstraat 8, Maarssen", 52.1386, 5.0407),
            delivery("S2", 42, "Hotel Oudegracht", "Oudegracht 112, Utrecht", 52.0907, 5.1214),
            delivery("S3", 43, "Ziekenhuis Sint Jan", "Parklaan 1, Zeist", 52.0880, 5.2330),
        ]),
    );
    let east = trip(
        "T-1124-B",
        json!([
            depot(52.1150, 5.0530),
            delivery("S1", 44, "Fietsenwinkel Van Dijk", "Dorpsstraat 3, Soest", 52.1735, 5.2915),
            delivery("S2", 46, "Technische Unie", "Nijverheidsweg 20, Amersfoort", 52.1661, 5.3950),
        ]),
    );
    let north = trip(
        "T-1124-C",
        json!([
            delivery("S1", 45, "Hilversum", "Havenstraat 77, Hilversum", 52.2242, 5.1758),
            delivery("S2", 47, "Kwekerij Groenveld", "Rading 41, Loosdrecht", 52.1987, 5.0890),
        ]),
    );
    [(early, "truck-3"), (east, "truck-7"), (north, "van-12")]
}

fn milestones(connection: &Connection) -> StoreResult<()> {
    use MilestoneKind::{DeliveryArrived, DeliveryCompleted, DeliveryDeparted, DeliveryPartial, DeliveryRefused};
    use Status::{Confirmed, Corrected, Provisional, Retracted};
    put(connection, "truck-3", 41, "S1", DeliveryArrived, &[(Provisional, 96), (Confirmed, 96)])?;
    put(connection, "truck-3", 41, "S1", DeliveryCompleted, &[(Confirmed, 84)])?;
    put(connection, "truck-3", 41, "S1", DeliveryDeparted, &[(Confirmed, 81)])?;
    put(connection, "truck-3", 42, "S2", DeliveryArrived, &[(Provisional, 31), (Confirmed, 31), (Corrected, 34)])?;
    put(connection, "truck-3", 42, "S2", DeliveryDeparted, &[(Provisional, 22), (Retracted, 22)])?;
    put(connection, "truck-3", 42, "S2", DeliveryPartial, &[(Provisional, 6)])?;
    put(connection, "truck-7", 44, "S1", DeliveryArrived, &[(Confirmed, 44)])?;
    put(connection, "truck-7", 44, "S1", DeliveryRefused, &[(Confirmed, 39)])?;
    put(connection, "truck-7", 44, "S1", DeliveryDeparted, &[(Confirmed, 36)])?;
    put(connection, "truck-7", 46, "S2", DeliveryArrived, &[(Provisional, 3)])?;
    put(connection, "van-12", 45, "S1", DeliveryArrived, &[(Provisional, 1)])
}

fn put(
    connection: &Connection,
    vehicle: &str,
    shipment: u32,
    stop: &str,
    kind: MilestoneKind,
    revisions: &[(Status, i64)],
) -> StoreResult<()> {
    let trip = match vehicle {
        "truck-3" => "T-1124-A",
        "truck-7" => "T-1124-B",
        _ => "T-1124-C",
    };
    for (revision, &(status, minutes)) in (1..).zip(revisions) {
        let milestone = Milestone {
            milestone_id: format!("ms-{shipment}-{stop}-{kind}"),
            revision,
            status,
            kind,
            trip: trip.to_owned(),
            stop: Some(stop.to_owned()),
            shipment: Some(format!("WH/OUT/000{shipment}")),
            visit_no: 1,
            event_time: minutes_ago(minutes),
            confidence: if status == Status::Provisional { 0.86 } else { 0.98 },
            evidence: vec![
                format!("box-{vehicle}/9f2c41d07be34a1182c6f0a4d55e9b30/telemetry/{}", 40_211 + minutes),
                format!("box-{vehicle}/9f2c41d07be34a1182c6f0a4d55e9b30/event/{}", 318 + minutes),
            ],
            rule_version: "1".to_owned(),
            remarks: match status {
                Status::Corrected => vec!["an earlier fix arrived late and moved the arrival".to_owned()],
                _ => Vec::new(),
            },
        };
        let known_at = minutes_ago(minutes).plus_millis(i64::from(revision) * 20_000);
        write_milestone(connection, "north", vehicle, &milestone, known_at)?;
    }
    Ok(())
}

fn write_milestone(
    connection: &Connection,
    fleet: &str,
    vehicle: &str,
    milestone: &Milestone,
    known_at: Timestamp,
) -> StoreResult<()> {
    let (status, body) = (json!(milestone.status), json!(milestone).to_string());
    connection.execute(
        "INSERT INTO milestone VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1, ?10, ?11, ?12)
         ON CONFLICT DO UPDATE SET revision = excluded.revision, status = excluded.status,
             event_time = excluded.event_time, known_at = excluded.known_at, body = excluded.body",
        params![
            fleet,
            milestone.milestone_id,
            vehicle,
            milestone.revision,
            status.as_str(),
            milestone.kind.as_str(),
            milestone.trip,
            milestone.stop,
            milestone.shipment,
            milestone.event_time.as_millis(),
            known_at.as_millis(),
            body
        ],
    )?;
    connection.execute(
        "INSERT INTO milestone_history VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            fleet,
            milestone.milestone_id,
            milestone.revision,
            status.as_str(),
            milestone.event_time.as_millis(),
            known_at.as_millis(),
            body
        ],
    )?;
    let key = format!("{}/{}", milestone.milestone_id, milestone.revision);
    let shipment = milestone.shipment.clone().unwrap_or_default();
    let effect = Effect { key, shipment, body: EffectBody::Milestone { milestone: Box::new(milestone.clone()) } };
    outbox::put(connection, &fleet.parse().expect("a name"), &effect, known_at)?;
    if known_at < minutes_ago(5) {
        connection.execute(
            "UPDATE outbox SET state = 'done', attempts = 1, reference = 'mail.message,' || (1200 + position),
             settled_at = created_at + 4000 WHERE fleet_id = ?1 AND effect_key = ?2",
            params![fleet, effect.key],
        )?;
    }
    Ok(())
}

fn proof(connection: &Connection) -> StoreResult<()> {
    let north = fleet("north");
    let signature = keep(connection, &north, &picture::signature())?;
    let photo = keep(connection, &north, &picture::cartons())?;
    let not_yet_here = Sha256::of(b"a photo that is still on the vehicle");
    let pod: Pod = serde_json::from_value(json!({
        "client_ref": "c-8841", "stop": "S2", "shipment": "WH/OUT/00042", "outcome": "partial",
        "at": minutes_ago(6).to_string(),
        "items": [
            { "ref": "Linen, set of 12", "planned": 20, "delivered": 18, "refused": 0, "damaged": 2, "reason": "A9" },
            { "ref": "Soap dispenser", "planned": 6, "delivered": 6 },
        ],
        "recipient": { "name": "M. de Vries", "role": "reception" },
        "signature": signature, "photos": [photo, not_yet_here],
        "remarks": "Two sets wet from a torn carton. Agreed with reception.", "driver": "J. Bakker",
        "capture": { "lat_e7": 520_907_120, "lon_e7": 51_214_010, "fix_age_ms": 800 },
    }))
    .expect("a pod");
    let record = "north/box-truck-3/9f2c41d07be34a1182c6f0a4d55e9b30/evidence/17".to_owned();
    let body = EffectBody::Pod { pod: Box::new(pod), record: record.clone() };
    outbox::put(
        connection,
        &north,
        &Effect { key: record.clone(), shipment: "WH/OUT/00042".to_owned(), body },
        minutes_ago(6),
    )?;
    connection.execute(
        "UPDATE outbox SET attempts = 3, next_at = created_at + 420000,
         why = 'Odoo answered 503 (worker restarting); tried again automatically' WHERE effect_key = ?1",
        [record],
    )?;
    Ok(())
}

/// Keeps a blob as a vehicle would have handed it over.
pub(crate) fn keep(connection: &Connection, fleet: &FleetId, bytes: &[u8]) -> StoreResult<Sha256> {
    let sha256 = Sha256::of(bytes);
    let part = blob::Part { sha256, size: bytes.len() as u64, offset: 0, bytes: bytes.to_vec() };
    blob::put_part(connection, fleet, &"box-truck-3".parse().expect("a name"), &part, NOW)?;
    Ok(sha256)
}

fn cases(connection: &Connection) -> StoreResult<()> {
    connection.execute(
        "INSERT INTO exception_case (fleet_id, case_key, kind, subject, detail, opened_at, last_met_at, times_met)
         VALUES ('north', 'k1', 'parked_effect', 'WH/OUT/00044',
             'Odoo refuses the note: the picking was deleted. Restore it or skip the effect.', ?1, ?1, 1)",
        [minutes_ago(35).as_millis()],
    )?;
    connection.execute(
        "UPDATE outbox SET state = 'parked', why = 'the picking was deleted in Odoo; restore it or skip the effect'
         WHERE effect_key LIKE 'ms-44-S1-delivery.refused/%'",
        [],
    )?;
    Ok(())
}

/// The other fleet: the same names for everything, and other facts about all of it.
fn south(connection: &Connection) -> StoreResult<()> {
    connection.execute_batch(
        "INSERT INTO vehicle SELECT 'south', vehicle_id, 'SECRET', NULL FROM vehicle;
         INSERT INTO vehicle VALUES ('south', 'secret-truck', 'S-000-SS', NULL);
         INSERT INTO device SELECT 'south', device_id, state, 0, 0, last_seen_at + 3600000 FROM device;
         INSERT INTO device VALUES ('south', 'box-0', 'known', 0, 0, 1795532400000);
         INSERT INTO assignment SELECT 'south', device_id, valid_from, NULL, vehicle_id, NULL FROM assignment;
         INSERT INTO assignment SELECT 'south', 'box-truck-7', 1, NULL, 'van-15', NULL;
         INSERT INTO assignment VALUES ('south', 'box-secret', 0, NULL, 'secret-van', NULL);
         INSERT INTO vehicle_state (fleet_id, vehicle_id, state, lat, lon, position_time, updated_at)
             SELECT 'south', vehicle_id, state, lat - 1, lon - 1, 0, 0 FROM vehicle_state;
         INSERT INTO trip SELECT 'south', trip_id, 'secret-truck', version, 'open', starts_at - 1, plan, sha256, 0 FROM trip;
         INSERT INTO trip SELECT 'south', 'A-SECRET', 'van-15', version, 'open', 0, plan, sha256, 0 FROM trip LIMIT 1;
         INSERT INTO trip SELECT 'south', 'Z-SECRET', 'truck-3', version, 'open', 0, plan, sha256, 0 FROM trip LIMIT 1;
         INSERT INTO stop SELECT 'south', trip_id, stop_id, position, kind, shipment_id, 'Secret place', 'Secret street',
             lat + 1, lon + 1, 1, 2 FROM stop;
         INSERT INTO stop SELECT 'south', 'Z-SECRET', shipment_id, position, kind, shipment_id, 'Secret place',
             'Secret street', lat + 1, lon + 1, 1, 2 FROM stop WHERE fleet_id = 'north' AND shipment_id IS NOT NULL;
         INSERT INTO stop VALUES ('south', 'Z-SECRET', 'S9', 9, 'delivery', 'secret-shipment', NULL, NULL, 0, 0, 1, 2);
         INSERT INTO vehicle_state (fleet_id, vehicle_id, state, updated_at) VALUES ('south', 'secret-ghost', x'00', 0);
         INSERT INTO shipment SELECT 'south', shipment_id, 'SECRET', 7, 7, 'Secret consignee of south', state, 0
             FROM shipment;
         INSERT INTO shipment VALUES ('south', 'S-ONLY', NULL, NULL, NULL, 'Secret consignee of south', 'released', 0);
         INSERT INTO exception_case (fleet_id, case_key, kind, subject, detail, opened_at, last_met_at)
             VALUES ('south', 'k1', 'refused', 'secret subject', 'secret detail of south', 0, 0);",
    )?;
    for (shipment, stop) in [(41, "S1"), (42, "S2"), (43, "S3"), (44, "S1"), (45, "S1"), (46, "S2"), (47, "S2")] {
        for milestone_id in [format!("ms-south-{shipment}"), format!("ms-{shipment}-{stop}-delivery.arrived")] {
            let vehicle = if shipment == 47 { "van-12" } else { "truck-3" };
            for revision in [8, 9] {
                let milestone = milestone_of_south(milestone_id.clone(), revision, shipment, stop);
                write_milestone(connection, "south", vehicle, &milestone, minutes_ago(0))?;
            }
        }
    }
    keep(connection, &fleet("south"), b"\x89PNG\r\n\x1a\nsecret picture of south").map(|_| ())
}

fn milestone_of_south(milestone_id: String, revision: u32, shipment: u32, stop: &str) -> Milestone {
    Milestone {
        milestone_id,
        revision,
        status: Status::Confirmed,
        kind: MilestoneKind::Returned,
        trip: if shipment == 47 { "T-1124-C" } else { "T-1124-A" }.to_owned(),
        stop: Some(stop.to_owned()),
        shipment: Some(format!("WH/OUT/000{shipment}")),
        visit_no: 1,
        event_time: minutes_ago(0),
        confidence: 1.0,
        evidence: Vec::new(),
        rule_version: "1".to_owned(),
        remarks: vec!["remark of south".to_owned()],
    }
}
