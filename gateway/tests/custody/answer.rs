//! What the gateway says it holds, misses and lost, against what devices handed over.

use milepost_gateway::auth::{Scope, create_api_key};
use milepost_gateway::config::{CustodySection, RetentionSection};
use milepost_gateway::milestone::Rules;
use milepost_gateway::serve::upkeep::Upkeep;
use milepost_proto::reading::{Gap, GapReason};
use milepost_proto::{Chunk, Lane, SequenceRange};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{World, pod, switch, world};

fn gap(first: u64, last: u64, reason: GapReason) -> Chunk {
    let range = SequenceRange::new(first, last).expect("a range");
    Chunk::gap(range, Gap { reason, detail: "quota".to_owned() }).expect("sealed")
}

async fn key(world: &World, fleet: &str) -> String {
    let fleet = fleet.parse().expect("a name");
    create_api_key(&world.gateway.store, &fleet, "test", &[Scope::Read]).await.expect("a key")
}

async fn get(world: &World, path: &str, key: &str) -> (StatusCode, Value) {
    let url = format!("http://{}{path}", world.gateway.pages_address);
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.get(url).bearer_auth(key).send().await.expect("answers");
    let status = answer.status();
    (status, answer.json().await.expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sequence_is_held_missing_or_lost_for_one_reason() {
    let world = world().await;
    let truck = world.device("box-7");
    let one = || vec![switch(10)];
    let event = [truck.chunk(1, &[switch(1), switch(2)]), truck.chunk(6, &one()), gap(7, 16, GapReason::Evicted)];
    for chunk in event {
        truck.hand_over(Lane::Event, &[chunk]).await;
    }
    truck.hand_over(Lane::Telemetry, &[gap(1, 3, GapReason::Quarantined), gap(4, 4, GapReason::Damaged)]).await;
    // The same sequences again, saying something else.
    truck.hand_over(Lane::Event, &[truck.chunk(6, &[switch(11)])]).await;

    let (status, found) = get(&world, "/v1/devices/box-7/custody", &key(&world, "north").await).await;
    assert_eq!(status, StatusCode::OK);
    let lanes = &found["spools"][0]["lanes"];
    assert_eq!(
        lanes[0],
        json!({"lane": "event", "through": 2, "highest": 16, "above": [[6, 16]], "missing": [[3, 5]],
            "missing_records": 3, "holes_in_all": 1, "contested_chunks": 2, "dropped_records": 0,
            "lost": [{"reason": "evicted", "reports": 1, "records": 10}]})
    );
    assert_eq!(
        lanes[1]["lost"],
        json!([{"reason": "quarantined", "reports": 1, "records": 3}, {"reason": "damaged", "reports": 1, "records": 1}])
    );
    let losses: Vec<(&Value, &Value)> =
        found["losses"].as_array().expect("a list").iter().map(|loss| (&loss["range"], &loss["reason"])).collect();
    assert_eq!(losses.len(), 3);
    assert_eq!(losses[0], (&json!([7, 16]), &json!("evicted")));
    let after = found["losses"][1]["position"].as_u64().expect("a position");
    let (_, rest) = get(&world, &format!("/v1/devices/box-7/custody?after={after}"), &key2(&world).await).await;
    assert_eq!(rest["losses"].as_array().expect("a list").len(), 1);
    world.until_counted("records_lost_total{lane=\"event\",reason=\"evicted\"} 10").await;
}

async fn key2(world: &World) -> String {
    let fleet = "north".parse().expect("a name");
    create_api_key(&world.gateway.store, &fleet, "second", &[Scope::Read]).await.expect("a key")
}

#[tokio::test(flavor = "multi_thread")]
async fn another_fleets_device_and_one_that_is_nowhere_look_the_same() {
    let world = world().await;
    world.device("box-7").heartbeat(&[]).await;
    let south = key(&world, "south").await;
    let other = get(&world, "/v1/devices/box-7/custody", &south).await;
    let nowhere = get(&world, "/v1/devices/nowhere/custody", &south).await;
    assert_eq!((other.0, &other.1), (StatusCode::NOT_FOUND, &nowhere.1));
    let no_name = get(&world, "/v1/devices/%2e%2e%2fx/custody", &south).await;
    assert_eq!(no_name, nowhere);
    assert_eq!(get(&world, "/v1/custody", &south).await.1, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_that_is_lost_or_stays_missing_becomes_a_case() {
    let world = world().await;
    let truck = world.device("box-7");
    truck.hand_over(Lane::Telemetry, &[gap(1, 9, GapReason::Evicted)]).await;
    assert_eq!(world.number("SELECT count(*) FROM exception_case").await, 0, "telemetry may be given up");
    truck.hand_over(Lane::Evidence, &[gap(1, 2, GapReason::Damaged)]).await;
    assert_eq!(world.number("SELECT count(*) FROM exception_case WHERE kind = 'evidence_lost'").await, 1);

    truck.hand_over(Lane::Evidence, &[truck.chunk(5, &[pod(10, "S1", "P1")])]).await;
    let upkeep = Upkeep {
        store: world.gateway.store.clone(),
        fleet_id: "north".parse().expect("a name"),
        rules: Rules::default(),
        custody: CustodySection { evidence_missing_s: 3600 },
        retention: RetentionSection::default(),
        metrics: world.gateway.metrics.clone(),
    };
    let open = "SELECT count(*) FROM exception_case WHERE kind = 'evidence_missing' AND detail LIKE '%3..=4%'";
    let now = milepost_gateway::clock::now();
    upkeep.look(now).await.expect("looks");
    assert_eq!(world.number(open).await, 0, "it may still come");
    upkeep.look(now.plus_millis(2 * 3_600_000)).await.expect("looks");
    assert_eq!(world.number(open).await, 1);
    world.until_counted("sequences_missing{kind=\"evidence\"} 2").await;
}
