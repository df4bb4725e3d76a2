//! Agents of every released wire version meet this gateway, with the bytes that they really send.

use milepost_proto::wire::decode_answer;
use milepost_proto::{Lane, SpoolId};
use reqwest::StatusCode;

use super::world::world;

/// The spool of the golden requests.
const SPOOL: SpoolId = SpoolId([0x51; 16]);
const REQUEST_V0: &[u8] = include_bytes!("../../../proto/tests/golden/v0-request.bin");
const REQUEST_V1: &[u8] = include_bytes!("../../../proto/tests/golden/v1-request.bin");
const REQUEST_V1_COMPRESSED: &[u8] = include_bytes!("../../../proto/tests/golden/v1-request-compressed.bin");

/// Posts golden bytes, and checks that the receipts are in their version and promise these lanes through these sequences.
async fn check(request: &[u8], version: u8, promised: &[(Lane, u64)], chunks: i64) {
    let world = world().await;
    let response = world.device("box-7").try_post(request.to_vec()).await.expect("answers");
    assert_eq!(response.status(), StatusCode::OK);
    let bytes = response.bytes().await.expect("a body");
    assert_eq!((&bytes[..4], bytes[4]), (b"MPST".as_slice(), version), "answered in another version");
    let answer = decode_answer(&bytes, SPOOL).expect("an answer");
    let found: Vec<_> = answer.receipts.iter().map(|receipt| (receipt.lane, receipt.through)).collect();
    assert_eq!(found, promised);
    assert!(answer.receipts.iter().all(|receipt| receipt.spool_id == SPOOL && receipt.refused.is_empty()));
    assert_eq!(answer.blobs.len(), 1, "the offered photo's state");
    assert_eq!(world.number("SELECT count(*) FROM journal").await, chunks);
    world.until("SELECT count(*) FROM exception_case WHERE kind = 'refused'", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_version_0_is_given_receipts_of_version_0() {
    check(REQUEST_V0, 0, &[(Lane::Evidence, 1), (Lane::Telemetry, 159)], 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_version_1_is_given_receipts_of_version_1() {
    check(REQUEST_V1, 1, &[(Lane::Evidence, 1), (Lane::Telemetry, 219)], 5).await;
    check(REQUEST_V1_COMPRESSED, 1, &[(Lane::Evidence, 4), (Lane::Telemetry, 0)], 4).await;
}

/// Its agent waits and asks again; nothing is kept of what could not be read, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_from_the_future_is_told_which_end_to_update() {
    let world = world().await;
    let truck = world.device("box-7");
    let mut request = REQUEST_V1.to_vec();
    request[4] = 2;
    let (status, text) = truck.post(request).await;
    assert_eq!(status, StatusCode::UPGRADE_REQUIRED);
    assert!(text.contains("wire version 2 is not spoken here") && text.contains("update the older end"), "{text}");
    assert!(world.gateway.metrics.text().contains("requests_total{kind=\"wire_version\"} 1"));
    assert_eq!(world.number("SELECT count(*) FROM journal").await, 0);
}
