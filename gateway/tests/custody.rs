//! A whole gateway on loopback, with real mutual TLS, met by devices that behave well and badly.

#[path = "custody/answer.rs"]
mod answer;
#[path = "custody/backup.rs"]
mod backup;
#[path = "custody/limits.rs"]
mod limits;
#[path = "custody/world.rs"]
mod world;

use milepost_gateway::store::Store;
use milepost_proto::uplink::BlobState;
use milepost_proto::{Lane, SequenceRange, Sha256};
use reqwest::StatusCode;
use world::{World, pod, switch, world};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receipt_names_is_on_the_disk_whatever_happens_to_the_gateway() {
    let world = world().await;
    let truck = world.device("box-7");
    let answer = truck.hand_over(Lane::Event, &[truck.chunk(1, &[switch(10), switch(11)])]).await;
    let receipt = &answer.receipts[0];
    assert_eq!((receipt.lane, receipt.through, receipt.refused.len()), (Lane::Event, 2, 0));

    // As a kill leaves it: the gateway still has the file open and never closed it.
    let left_behind = world.copy_of_store();
    let store = Store::open(&left_behind.path().join("gateway.sqlite")).expect("reopens");
    let sql = "SELECT count(*) FROM journal WHERE device_id = 'box-7' AND first_sequence = 1 AND last_sequence = 2";
    let rows: i64 =
        store.read(move |connection| Ok(connection.query_row(sql, [], |row| row.get(0))?)).await.expect("reads");
    assert_eq!(rows, 1);

    let again = truck.hand_over(Lane::Event, &[truck.chunk(1, &[switch(10), switch(11)])]).await;
    assert_eq!(again.receipts, answer.receipts, "a lost answer: the same chunk is promised again");
    assert_eq!(world.number("SELECT count(*) FROM journal").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_gateway_on_the_same_store_is_refused() {
    let world = world().await;
    let refused = world.start_again().await.expect_err("the first still serves it").to_string();
    assert!(refused.contains("another gateway serves the store"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_does_not_open_is_refused_and_the_others_are_kept() {
    let world = world().await;
    let truck = world.device("box-7");
    let mut damaged = truck.chunk(2, &[switch(11)]);
    damaged.body[0] ^= 1;
    let chunks = [truck.chunk(1, &[switch(10)]), damaged, truck.chunk(3, &[switch(12)])];
    let answer = truck.hand_over(Lane::Event, &chunks).await;
    let receipt = &answer.receipts[0];
    assert_eq!((receipt.through, receipt.accepted.as_slice()), (1, [SequenceRange::single(3)].as_slice()));
    assert_eq!(receipt.refused[0].range, SequenceRange::single(2));
    assert!(receipt.refused[0].reason.contains("report these sequences as a gap"), "{}", receipt.refused[0].reason);
    assert_eq!(world.number("SELECT count(*) FROM exception_case WHERE kind = 'refused'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_batch_are_answered_with_the_mend_and_stop_nobody() {
    let world = world().await;
    let truck = world.device("box-7");
    let good = truck.envelope(Lane::Event, &[truck.chunk(1, &[switch(10)])]);
    let check = async |bytes: Vec<u8>, status: StatusCode, kind: &str, words: &str| {
        let (found, text) = truck.post(bytes).await;
        assert_eq!(found, status, "{text}");
        assert!(text.contains(words), "{text}");
        assert!(world.gateway.metrics.text().contains(&format!("requests_total{{kind=\"{kind}\"}} 1")), "{kind}");
    };
    let mut flipped = good.clone();
    flipped[20] ^= 0x10;
    check(flipped, StatusCode::BAD_REQUEST, "wire_checksum", "damaged on the way").await;
    let mut future = good.clone();
    future[4] = 9;
    check(future, StatusCode::UPGRADE_REQUIRED, "wire_version", "update the older end").await;
    check(world::bomb(), StatusCode::PAYLOAD_TOO_LARGE, "wire_bomb", "more than the").await;
    check(vec![0; 2 * 1024 * 1024], StatusCode::PAYLOAD_TOO_LARGE, "too_large", "send less at once").await;
    check(b"GET / HTTP/1.1 and more".to_vec(), StatusCode::BAD_REQUEST, "wire_magic", "not MPST").await;

    let (status, _) = truck.post(good).await;
    assert_eq!(status, StatusCode::OK, "the next good one is taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_registered_devices_of_this_fleet_get_in() {
    let world = world().await;
    let check = async |device: world::Device, reason: &str| {
        let (status, text) = device.post(device.envelope(Lane::Event, &[device.chunk(1, &[switch(10)])])).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(text.contains(reason), "{text}");
    };
    check(world.device("stranger"), "stranger is not registered").await;
    check(world.device_of("south", "box-7"), "fleet south is not served here").await;
    world.revoke("box-7").await;
    check(world.device("box-7"), "box-7 was revoked").await;
    assert_eq!(world.number("SELECT count(*) FROM journal").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_ca_gets_no_further_than_the_handshake() {
    let world = world().await;
    let forged = world.forged_device("box-7");
    let sent = forged.try_post(forged.envelope(Lane::Event, &[])).await;
    assert!(sent.is_err_and(|error| error.is_connect() || error.is_request()), "an alert, not an answer");
    world.until_counted("connections_refused_total{kind=\"bad_certificate\"} 1").await;
    let truck = world.device("box-7");
    assert_eq!(truck.hand_over(Lane::Event, &[truck.chunk(1, &[switch(10)])]).await.receipts[0].through, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_judged_by_the_key_of_the_certificate_and_kept_either_way() {
    let world = world().await;
    let truck = world.device("box-7");
    let mut proofs = truck.signed(&[pod(10, "S1", "P1"), pod(20, "S1", "P1"), pod(30, "S1", "P1")]);
    let good = truck.chunk(1, &proofs[..2]);
    proofs[2].monotonic_ms += 1;
    let tampered = truck.chunk(3, &proofs[2..]);
    for (chunk, through, seal) in [(good, 2, "ok"), (tampered, 3, "broken")] {
        assert_eq!(truck.hand_over(Lane::Evidence, &[chunk]).await.receipts[0].through, through);
        let text = world.gateway.metrics.text();
        assert!(text.contains(&format!("evidence_seals_total{{kind=\"{seal}\"}} 1")), "{text}");
    }
    assert_eq!(world.number("SELECT count(*) FROM exception_case WHERE kind = 'seal_broken'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_that_waited_while_the_certificate_was_renewed_still_holds() {
    let world = world().await;
    let before = world.device("box-7");
    let proofs = before.signed(&[pod(10, "S1", "P1"), pod(20, "S1", "P1")]);
    before.hand_over(Lane::Evidence, &[before.chunk(1, &proofs[..1])]).await;
    let renewed = world.device("box-7");
    renewed.hand_over(Lane::Evidence, &[renewed.chunk(2, &proofs[1..])]).await;
    let text = world.gateway.metrics.text();
    assert!(text.contains("evidence_seals_total{kind=\"ok\"} 2"), "{text}");
    assert_eq!(world.number("SELECT count(*) FROM exception_case").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_resumes_where_it_broke_off_and_a_lie_is_discarded() {
    let world = world().await;
    let truck = world.device("box-7");
    let photo: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let name = Sha256::of(&photo);
    let check = async |name: Sha256, offset: usize, end: usize, status: StatusCode, words: &str| {
        let (found, text) = truck.put_blob(name, offset, 3000, &photo[offset..end]).await;
        assert_eq!(found, status, "{text}");
        assert!(text.contains(words), "{text}");
    };
    check(name, 0, 1000, StatusCode::OK, r#""held":1000"#).await;
    check(name, 2000, 3000, StatusCode::CONFLICT, r#""held":1000"#).await;
    let offered = truck.offer(name, 3000).await;
    assert_eq!(offered, BlobState { sha256: name, held: 1000, complete: false });
    check(name, 1000, 3000, StatusCode::OK, r#""complete":true"#).await;
    assert!(truck.offer(name, 3000).await.complete, "its own receipt");

    let lie = Sha256::of(b"something else");
    check(lie, 0, 3000, StatusCode::UNPROCESSABLE_ENTITY, "do not hash").await;
    assert_eq!(truck.offer(lie, 3000).await.held, 0);
    check(name, 0, 3000, StatusCode::OK, r#""complete":true"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trip_of_its_vehicle_comes_down_until_the_device_holds_it() {
    let world = world().await;
    let truck = world.device("box-7");
    let answer = truck.heartbeat(&[]).await;
    let item = &answer.down_link[0];
    assert_eq!((item.id.as_str(), item.version, item.sha256), ("trip", 1, Sha256::of(&item.body)));
    assert_eq!(truck.heartbeat(&[("trip".to_owned(), 1)]).await.down_link, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odoo_that_never_answers_delays_no_receipt() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let world = World::start(Some(&url)).await;
    let truck = world.device("box-7");
    truck.hand_over(Lane::Evidence, &[truck.chunk(1, &[pod(10, "S1", "P1")])]).await;
    world.until("SELECT count(*) FROM outbox WHERE state = 'sending'", 1).await;
    // From here on someone waits for Odoo; whoever hands over does not.
    let (_held_open, _) = silent.accept().await.expect("the gateway called");
    for sequence in 1..=20 {
        let answer = truck.hand_over(Lane::Event, &[truck.chunk(sequence, &[switch(10)])]).await;
        assert_eq!(answer.receipts[0].through, sequence);
    }
    assert_eq!(world.number("SELECT count(*) FROM outbox WHERE state = 'sending'").await, 1, "it still waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_asked_to_stop_stops_cleanly_even_while_odoo_is_silent() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let world = World::start(Some(&format!("http://{}", silent.local_addr().expect("an address")))).await;
    let (_held_open, _) = silent.accept().await.expect("the gateway called");
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(30), world.stop()).await;
    stopped.expect("in time").expect("without a failure");
}
