//! One device that asks for too much, and others that do not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use milepost_proto::Lane;
use reqwest::StatusCode;
use tokio::task::JoinSet;

use crate::world::{World, switch};

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_floods_is_told_when_to_come_again_and_slows_nobody() {
    let world = World::start_with(None, "requests_per_s = 5\nrequests_burst = 25").await;
    let noisy = Arc::new(world.device("box-8"));
    let over = Arc::new(AtomicBool::new(false));
    let mut floods = JoinSet::new();
    for _ in 0..8 {
        let (noisy, over) = (Arc::clone(&noisy), Arc::clone(&over));
        floods.spawn(async move {
            let mut refused = 0;
            while !over.load(Ordering::Relaxed) {
                let answer = noisy.try_post(noisy.envelope(Lane::Event, &[])).await.expect("answers");
                if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                    let wait = answer.headers()["retry-after"].to_str().expect("text").parse::<u64>();
                    assert!(wait.expect("seconds") >= 1);
                    refused += 1;
                } else {
                    assert!([StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status()));
                }
            }
            refused
        });
    }
    world.until_counted("requests_total{kind=\"too_much\"}").await;
    let quiet = world.device("box-7");
    for sequence in 1..=20 {
        // `hand_over` fails on anything but a receipt.
        let answer = quiet.hand_over(Lane::Event, &[quiet.chunk(sequence, &[switch(10)])]).await;
        assert_eq!(answer.receipts[0].through, sequence);
    }
    over.store(true, Ordering::Relaxed);
    let refused: u32 = floods.join_all().await.into_iter().sum();
    assert!(refused > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_a_devices_share_are_closed_and_counted_and_others_get_in() {
    let world = World::start_with(None, "connections = 2").await;
    let clients: Vec<_> = (0..3).map(|_| world.device("box-8")).collect();
    for client in &clients[..2] {
        client.heartbeat(&[]).await;
    }
    let third = clients[2].try_post(clients[2].envelope(Lane::Event, &[])).await;
    assert!(third.is_err(), "closed before any answer");
    world.until_counted("connections_refused_total{kind=\"too_many_of_device\"}").await;
    world.device("box-7").heartbeat(&[]).await;
    clients[0].heartbeat(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_many_connections_share_a_commit() {
    const DEVICES: usize = 12;
    let world = World::start_with(None, "connections = 100").await;
    let (go_on, held_up) = std::sync::mpsc::channel::<()>();
    let store = world.gateway.store.clone();
    let holding = tokio::spawn(async move {
        let wait = move |_: &rusqlite::Connection| {
            held_up.recv().expect("told to go on");
            Ok(())
        };
        store.write(wait).await.expect("written");
    });
    let mut handing = JoinSet::new();
    for number in 0..DEVICES {
        // At most four requests of a device are taken at once, so four devices of three requests each.
        let device = world.device(["box-7", "box-8", "box-9", "box-10"][number % 4]);
        let first = number as u64 + 1;
        handing.spawn(async move { device.hand_over(Lane::Event, &[device.chunk(first, &[switch(10)])]).await });
    }
    while world.gateway.store.waiting() < DEVICES {
        tokio::task::yield_now().await;
    }
    let before = *world.gateway.store.commits().borrow();
    go_on.send(()).expect("it waits");
    holding.await.expect("ends");
    let answers = handing.join_all().await;
    assert_eq!(answers.len(), DEVICES);
    // What held them up is one commit, what waited for it the next; the fold may follow.
    let receipts_at = "SELECT count(*) FROM journal WHERE lane = 'event'";
    assert_eq!(world.number(receipts_at).await, 12);
    let commits = *world.gateway.store.commits().borrow() - before;
    assert!((2..DEVICES as u64).contains(&commits), "{commits} commits for {DEVICES} receipts");
}
