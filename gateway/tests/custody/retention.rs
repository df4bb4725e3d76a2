//! What is old goes, and neither a device that sends it again nor one that sends late changes what stands.

use milepost_gateway::clock;
use milepost_gateway::config::{CustodySection, RetentionSection};
use milepost_gateway::milestone::Rules;
use milepost_gateway::serve::upkeep::Upkeep;
use milepost_gateway::store::{plan, refold, verify};
use milepost_proto::{FleetId, Lane, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::world::{World, pod, switch, world};

fn north() -> FleetId {
    "north".parse().expect("a name")
}

fn upkeep(world: &World) -> Upkeep {
    Upkeep {
        store: world.gateway.store.clone(),
        fleet_id: north(),
        rules: Rules::default(),
        custody: CustodySection::default(),
        retention: RetentionSection { event_days: Some(1), evidence_days: Some(2), ..RetentionSection::default() },
        metrics: world.gateway.metrics.clone(),
    }
}

async fn drop_old(world: &World, now: Timestamp) -> u64 {
    upkeep(world).drop_old(now, &CancellationToken::new()).await.expect("drops")
}

const JOURNAL: &str = "SELECT count(*) FROM journal";
const STANDING: &str = "SELECT count(*) FROM milestone WHERE status <> 'retracted'";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_settled_and_old_goes_and_nothing_that_comes_later_changes_what_stands() {
    let world = world().await;
    let truck = world.device("box-7");
    let event = truck.chunk(1, &[switch(1), switch(2)]);
    let proof = truck.chunk(1, &truck.signed(&[pod(10, "S1", "P1")]));
    truck.hand_over(Lane::Event, std::slice::from_ref(&event)).await;
    truck.hand_over(Lane::Evidence, std::slice::from_ref(&proof)).await;
    world.until("SELECT count(*) FROM milestone WHERE kind = 'delivery.completed'", 1).await;
    let standing = world.number(STANDING).await;
    let later = clock::now().plus_millis(10 * 86_400_000);

    assert_eq!(drop_old(&world, clock::now()).await, 0, "nothing is old yet");
    assert_eq!(drop_old(&world, later).await, 0, "its trip is open");
    let close = |connection: &rusqlite::Connection| plan::close_trip(connection, &north(), "T1", clock::now());
    assert!(world.gateway.store.write(close).await.expect("writes"));
    assert_eq!(drop_old(&world, later).await, 0, "Odoo is still owed its proof");
    let settle = |connection: &rusqlite::Connection| Ok(connection.execute("UPDATE outbox SET state = 'done'", [])?);
    assert!(world.gateway.store.write(settle).await.expect("writes") > 0);
    assert_eq!(drop_old(&world, later).await, 3);
    assert_eq!(world.number(JOURNAL).await, 0);
    let report = world.gateway.store.read(verify::verify).await.expect("reads");
    assert_eq!(report.findings, Vec::<String>::new());

    // A lost answer: the device sends again what it was promised.
    let answer = truck.hand_over(Lane::Event, &[event]).await;
    assert_eq!((answer.receipts[0].through, world.number(JOURNAL).await), (2, 0));
    truck.hand_over(Lane::Evidence, &[proof]).await;
    assert_eq!(world.number(JOURNAL).await, 0);
    world.until_counted("chunks_total{kind=\"duplicate\"} 2").await;

    // Something late, of a time that is settled.
    truck.hand_over(Lane::Evidence, &[truck.chunk(2, &[pod(5, "S1", "P1")])]).await;
    world.until("SELECT count(*) FROM exception_case WHERE kind = 'before_floor'", 1).await;
    // And everything folded again, for whatever reason.
    let again = |connection: &rusqlite::Connection| {
        refold::ask(connection, &north(), &"truck-7".parse().expect("a name"), "the rules changed")
    };
    world.gateway.store.write(again).await.expect("asked");
    world.until("SELECT count(*) FROM refold_due", 0).await;
    assert_eq!(world.number(STANDING).await, standing);
    assert_eq!(world.number("SELECT count(*) FROM milestone WHERE status = 'retracted'").await, 0);
    assert_eq!(world.number("SELECT count(*) FROM milestone_history WHERE status = 'corrected'").await, 0);
    assert_eq!(world.number(JOURNAL).await, 1, "it is kept all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_with_an_open_case_and_what_was_lost_keep_everything() {
    let world = world().await;
    let truck = world.device("box-7");
    truck.hand_over(Lane::Event, &[truck.chunk(1, &[switch(1)])]).await;
    truck.hand_over(Lane::Event, &[truck.chunk(1, &[switch(2)])]).await;
    world.until("SELECT position FROM cursor", 2).await;
    let close = |connection: &rusqlite::Connection| plan::close_trip(connection, &north(), "T1", clock::now());
    world.gateway.store.write(close).await.expect("writes");
    assert_eq!(drop_old(&world, clock::now().plus_millis(10 * 86_400_000)).await, 0);
    assert_eq!(world.number(JOURNAL).await, 2, "two copies contradict each other");
}
