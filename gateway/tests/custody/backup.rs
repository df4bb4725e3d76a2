//! A backup taken while devices hand over, put back, and completed by the devices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use milepost_gateway::serve::lock::Lock;
use milepost_gateway::store::{backup, verify};
use milepost_proto::{Chunk, Lane};
use rusqlite::Connection;
use tokio::task::JoinSet;

use crate::world::{Device, switch, world};

fn chunks(device: &Device) -> Vec<Chunk> {
    (0..120_i64).map(|n| device.chunk(n.unsigned_abs() * 5 + 1, &[n, n, n, n, n].map(switch))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_whole_and_devices_complete_it_without_loss_or_doubles() {
    let world = world().await;
    let names = ["box-7", "box-8", "box-9"];
    let handed = Arc::new(AtomicU64::new(0));
    let mut handing = JoinSet::new();
    for name in names {
        let (device, handed) = (world.device(name), Arc::clone(&handed));
        handing.spawn(async move {
            for chunk in chunks(&device) {
                device.hand_over(Lane::Event, &[chunk]).await;
                handed.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while handed.load(Ordering::Relaxed) < 30 {
        tokio::task::yield_now().await;
    }
    let (store, to) = (world.path("gateway.sqlite"), world.path("backup.sqlite"));
    let pages = tokio::task::spawn_blocking(move || backup::back_up(&store, &to)).await.expect("ends").expect("copied");
    assert!(pages > 0);
    handing.join_all().await;
    // A gateway serves this store, so nothing is put in its place.
    assert!(Lock::take(&world.path("gateway.sqlite")).is_err());

    let copied = Connection::open(world.path("backup.sqlite")).expect("opens");
    let held: i64 = copied.query_row("SELECT count(*) FROM chunk", [], |row| row.get(0)).expect("a number");
    assert!(held >= 30, "what was receipted before the backup began is in it: {held}");
    assert_eq!(verify::verify(&copied).expect("reads").findings, Vec::<String>::new());
    drop(copied);

    let folder = world.leave().await;
    let file = |name: &str| folder.path().join(name);
    let lock = Lock::take(&file("gateway.sqlite")).expect("free");
    backup::restore(&file("backup.sqlite"), &file("gateway.sqlite"), true, "old").expect("restored").expect("aside");
    drop(lock);

    let world = crate::world::World::start_in(folder).await;
    let mut again = JoinSet::new();
    for name in names {
        let device = world.device(name);
        again.spawn(async move {
            for chunk in chunks(&device) {
                device.hand_over(Lane::Event, &[chunk]).await;
            }
        });
    }
    again.join_all().await;
    assert_eq!(world.number("SELECT count(*) FROM journal").await, 3 * 120, "none lost, none doubled");
    assert_eq!(world.number("SELECT sum(last_sequence - first_sequence + 1) FROM lane_range").await, 3 * 600);
    assert_eq!(world.number("SELECT count(*) FROM journal WHERE contested").await, 0);
    let report = world.gateway.store.read(verify::verify).await.expect("reads");
    assert_eq!(report.findings, Vec::<String>::new());
    assert_eq!((report.lanes, report.chunks), (3, 360));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_does_not_hold_any_more_is_found() {
    let world = world().await;
    let truck = world.device("box-7");
    truck.hand_over(Lane::Event, &chunks(&truck)[..3]).await;
    let whole = world.path("whole.sqlite");
    let (store, to) = (world.path("gateway.sqlite"), whole.clone());
    tokio::task::spawn_blocking(move || backup::back_up(&store, &to)).await.expect("ends").expect("copied");
    let check = |harm: &str, word: &str| {
        let harmed = world.path("harmed.sqlite");
        std::fs::copy(&whole, &harmed).expect("copied");
        let connection = Connection::open(&harmed).expect("opens");
        assert_eq!(verify::verify(&connection).expect("reads").findings, Vec::<String>::new());
        connection.execute_batch(harm).expect("harmed");
        let findings = verify::verify(&connection).expect("reads").findings;
        assert!(findings.iter().any(|finding| finding.contains(word)), "{harm}: {findings:?}");
    };
    check("UPDATE chunk SET body = x'00' WHERE position = 2", "not those that arrived");
    check("DELETE FROM chunk WHERE position = 2", "6..=10 were promised");
    check("DELETE FROM lane_range", "not counted as held");
    check("UPDATE chunk SET first_sequence = 5 WHERE position = 2", "claim the same sequences");
    check("UPDATE chunk SET chain_end = x'aa', chain_begin = x'bb'", "hash chain breaks");
    check("UPDATE cursor SET position = 1000", "the journal ends at 3");
    check("INSERT INTO blob VALUES ('north', zeroblob(32), 3, 3, 1, 'box-7', 1)", "no longer hashes");
    check("PRAGMA foreign_keys = OFF; DELETE FROM lane", "belong to no lane");
}
