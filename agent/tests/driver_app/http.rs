//! The routes, over a real connection.

use std::net::SocketAddr;

use milepost_agent::pages::{PagesState, router};
use milepost_agent::source::SourceNews;
use milepost_agent::status::{self, Status};
use milepost_proto::{Sha256, Trip};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::fake_loop::{self, FakeLoop, pod};

struct Vehicle {
    address: SocketAddr,
    client: Client,
    fake: FakeLoop,
    trip: watch::Sender<Option<Trip>>,
    _status: watch::Sender<Status>,
}

async fn vehicle() -> Vehicle {
    // Another test of this process may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let fake = fake_loop::start(Some(fake_loop::trip()));
    let (status_sender, status) = watch::channel(example_status());
    let (trip_sender, trip) = watch::channel(Some(fake_loop::trip()));
    let state = PagesState { intake: fake.intake.clone(), link: fake.link.clone(), status, trip };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(axum::serve(listener, router(state)).into_future());
    Vehicle { address, client: Client::new(), fake, trip: trip_sender, _status: status_sender }
}

fn example_status() -> Status {
    serde_json::from_value(json!({
        "version": "0.1.0", "device": "truck-7", "now": "2026-11-24T10:00:00.000Z",
        "time_quality": {"source": "gnss", "error_ms": 1000}, "uptime_s": 5, "boot_id": "b",
        "sources": [{"name": "gnss", "kind": "nmea_serial", "state": "silent", "why": null,
            "last_reading_age_s": null, "observed": 0, "kept": 0, "faults": {}, "raw_tail": ["<script>"]}],
        "position": null,
        "spool": {"spool_id": "s", "lanes": [], "disk_bytes": 0, "quota_bytes": 1, "blobs_waiting": 0},
        "uplink": {"gateway": "https://g:1", "state": "idle", "why": null, "last_receipt_age_s": null,
            "next_attempt_s": null, "failures": 0, "settled": 0, "refused": 0, "sent_bytes": 0, "requests": 0,
            "budget": {"link": "wifi", "urgent": {"bytes": 0, "bytes_max": null},
                "telemetry": {"bytes": 0, "bytes_max": null}, "blobs": {"bytes": 0, "bytes_max": null}}},
        "trip": null, "captures_accepted": 0, "captures_rejected": {}
    }))
    .expect("the documented shape")
}

impl Vehicle {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.request(Method::POST, path).header("content-type", "application/json").body(body)
    }
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let body = response.bytes().await.expect("a whole answer");
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_capture_is_created_once_and_then_a_duplicate() {
    let vehicle = vehicle().await;
    let send = || answer(vehicle.post("/v1/pods", pod("c-1", "S1")));
    assert_eq!(send().await, (201, json!({"sequence": 1, "duplicate": false})));
    assert_eq!(send().await, (200, json!({"sequence": 1, "duplicate": true})));
}

#[tokio::test]
async fn each_shape_has_its_path() {
    let vehicle = vehicle().await;
    let action = r#"{"client_ref":"a-1","action":"arrived","stop":"S1"}"#;
    let exception = r#"{"client_ref":"e-1","code":"A84"}"#;
    assert_eq!(answer(vehicle.post("/v1/driver", action)).await.0, 201);
    assert_eq!(answer(vehicle.post("/v1/exceptions", exception)).await.0, 201);
    assert_eq!(answer(vehicle.post("/v1/pods", action)).await.0, 400);
}

#[tokio::test]
async fn every_refusal_has_its_status_code_and_mend() {
    let mut vehicle = vehicle().await;
    let cases = [
        (vehicle.post("/v1/pods", "{"), 400, "malformed"),
        (vehicle.post("/v1/pods", pod("c", "")), 422, "invalid_field"),
        (vehicle.post("/v1/pods", pod("c", "S9")), 422, "unknown_stop"),
        (vehicle.post("/v1/pods", vec![b' '; 64 * 1024 + 1]), 413, "too_large"),
        (vehicle.request(Method::POST, "/v1/pods").body(pod("c", "S1")), 400, "malformed"),
        (vehicle.request(Method::PUT, "/v1/blobs/..%2F..%2Fetc?offset=0").body("x"), 400, "malformed"),
        (vehicle.request(Method::PUT, &blob_path(b"x", "offset=-1")).body("x"), 400, "malformed"),
        (vehicle.request(Method::PUT, &blob_path(b"x", "offset=0&offset=1")).body("x"), 400, "malformed"),
        (vehicle.request(Method::PUT, "/v1/blobs/%FF").body("x"), 400, "malformed"),
        (vehicle.request(Method::PUT, &blob_path(b"x", "")).body(vec![0; 256 * 1024 + 1]), 413, "too_large"),
        (vehicle.request(Method::PUT, &blob_path(b"x", "size=8388609")).body("x"), 413, "too_large"),
    ];
    for (request, status, code) in cases {
        let (found, body) = answer(request).await;
        assert_eq!((found, body["code"].as_str()), (status, Some(code)), "{body}");
        assert!(body["mend"].as_str().is_some_and(|mend| !mend.is_empty()), "{body}");
    }
    // All but the unknown stop, which the event loop counts itself, are counted at the source.
    let mut counted = 0;
    while let Ok(SourceNews::Faults(counts)) = vehicle.fake.news.try_recv() {
        counted += counts.values().sum::<u64>();
    }
    assert_eq!(counted, 10);
}

fn blob_path(bytes: &[u8], query: &str) -> String {
    format!("/v1/blobs/{}?{query}", Sha256::of(bytes))
}

#[tokio::test]
async fn a_photo_arrives_in_parts() {
    let vehicle = vehicle().await;
    let part = |offset: usize, bytes: &'static str| {
        let path = blob_path(b"whole photo", &format!("offset={offset}&size=11"));
        answer(vehicle.request(Method::PUT, &path).body(bytes))
    };
    assert_eq!(part(0, "whole ").await, (201, json!({"held": 6, "complete": false})));
    assert_eq!(part(6, "photo").await, (201, json!({"held": 11, "complete": true})));
}

#[tokio::test]
async fn the_trip_is_there_until_there_is_none() {
    let vehicle = vehicle().await;
    let trip = || answer(vehicle.request(Method::GET, "/v1/trip"));
    assert_eq!(trip().await.1["stops"][0]["id"], "S1");
    vehicle.trip.send_replace(None);
    assert_eq!(trip().await, (204, Value::Null));
}

#[tokio::test]
async fn an_agent_that_is_ending_asks_for_another_try() {
    let mut vehicle = vehicle().await;
    let held = vehicle.fake.commits;
    held.send_replace(false);
    let request = vehicle.client.post(format!("http://{}/v1/pods", vehicle.address));
    let request = request.header("content-type", "application/json").body(pod("c-1", "S1"));
    let asked = tokio::spawn(answer(request));
    assert_eq!(vehicle.fake.arrived.recv().await.as_deref(), Some("c-1"));
    drop(held);
    let (status, body) = asked.await.expect("answered");
    assert_eq!((status, body["code"].as_str()), (503, Some("not_accepted")));
}

#[tokio::test]
async fn web_sites_elsewhere_can_neither_write_nor_read() {
    let vehicle = vehicle().await;
    let post = vehicle.post("/v1/pods", pod("c", "S1")).header("origin", "http://evil.example");
    assert_eq!(answer(post).await.0, 403);
    for path in ["/", "/status", "/metrics", "/v1/trip"] {
        let rebound = vehicle.request(Method::GET, path).header("host", "evil.example");
        assert_eq!(answer(rebound).await.0, 403, "{path}");
    }
}

#[tokio::test]
async fn pages_run_nothing_and_stay_nowhere() {
    let vehicle = vehicle().await;
    for path in ["/", "/style.css", "/status", "/metrics"] {
        let response = vehicle.request(Method::GET, path).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        let header = |name: &str| response.headers()[name].to_str().expect("text").to_owned();
        assert!(header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        let text = response.text().await.expect("text");
        assert!(path == "/status" || !text.contains("<script"), "{path}");
    }
}

#[tokio::test]
async fn nothing_local_can_be_changed_through_the_pages() {
    let vehicle = vehicle().await;
    for path in ["/", "/status", "/metrics", "/v1/trip"] {
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            assert_eq!(answer(vehicle.request(method, path)).await.0, 405, "{path}");
        }
    }
}

#[tokio::test]
async fn the_command_fetches_what_the_page_shows() {
    let vehicle = vehicle().await;
    let fetched = status::fetch(vehicle.address).await.expect("a status");
    assert_eq!(fetched, example_status());
}

#[tokio::test]
async fn the_command_says_when_nobody_listens() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let closed = TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr()).expect("a port");
    let error = status::fetch(closed).await.expect_err("nobody listens");
    assert!(error.to_string().starts_with(&format!("no agent answers at {closed}; start it")), "{error}");
}
