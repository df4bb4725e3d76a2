//! The pages as a browser and a program meet them: who gets in, what each sees, and that nothing a vehicle, an order or
//! a driver says becomes anything but text.

#[path = "pages/world.rs"]
mod world;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use milepost_gateway::auth::guard::OPEN_PATHS;
use milepost_gateway::auth::{Scope, create_api_key, revoke_api_key};
use milepost_gateway::pages::{PageState, paths, router};
use milepost_gateway::store::Store;
use milepost_gateway::store::plan::{Shipment, put_shipment};
use tower_service::Service;
use world::{NOW, PASSWORD, fleet, keep};

const HOST: &str = "127.0.0.1:8090";

struct Gateway {
    router: Router,
    store: Store,
    _folder: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

impl Gateway {
    async fn start() -> Self {
        let gateway = Self::empty();
        world::make(&gateway.store).await;
        gateway
    }

    fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("gateway.sqlite")).expect("opens");
        let figures = Arc::new(|| "# EOF\n".to_owned());
        let router = router(PageState::new(store.clone(), Arc::new(|| NOW), figures));
        Self { router, store, _folder: folder }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.router.clone().call(request).await.expect("answers").into_parts();
        let body = to_bytes(body, 1 << 20).await.expect("whole").to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, path: &str, key: &str) -> Answer {
        let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {key}"));
        self.send(request.body(Body::empty()).expect("a request")).await
    }

    async fn post(&self, path: &str, form: &str, origin: Option<&str>, cookie: &str) -> Answer {
        let mut request = Request::post(path)
            .header(header::HOST, HOST)
            .header(header::COOKIE, cookie)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        self.send(request.body(Body::from(form.to_owned())).expect("a request")).await
    }

    async fn sign_in(&self, name: &str, password: &str) -> Answer {
        let form = format!("fleet=north&name={name}&password={}&next=%2Fshipments%2FX", password.replace(' ', "+"));
        self.post("/sign-in", &form, Some("http://127.0.0.1:8090"), "").await
    }

    async fn key(&self, fleet_name: &str, scopes: &[Scope]) -> String {
        let name = format!("{scopes:?}");
        create_api_key(&self.store, &fleet(fleet_name), &name, scopes).await.expect("a key")
    }
}

/// A path for a route's template.
fn example_of(path: &str) -> String {
    path.replace("{*id}", "WH%2FOUT%2F00042").replace("{sha256}", &"0".repeat(64)).replace("{id}", "box-truck-7")
}

#[tokio::test]
async fn nobody_unknown_gets_behind_any_route() {
    let gateway = Gateway::start().await;
    let behind = paths().filter(|path| !OPEN_PATHS.contains(path)).map(example_of);
    let mut tried = 0;
    for path in behind.chain(["/nowhere".to_owned(), "/api/v1/nowhere".to_owned()]) {
        for key in ["", "mpk_", "mpk_0000"] {
            let answer = gateway.get(&path, key).await;
            if path.starts_with("/api/") || path.starts_with("/v1/") || path == "/metrics" {
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
                assert!(answer.text().contains("\"mend\""), "{path}");
            } else {
                assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
                assert!(answer.header(header::LOCATION).starts_with("/sign-in"), "{path}");
            }
            tried += 1;
        }
    }
    assert!(tried >= 3 * 10, "{tried}");
}

#[tokio::test]
async fn what_is_open_shows_nothing_of_anybody() {
    let gateway = Gateway::start().await;
    for path in OPEN_PATHS {
        let answer = gateway.get(path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        for word in ["north", "south", "truck-", "WH/OUT"] {
            assert!(!answer.text().contains(word), "{path} shows {word}");
        }
    }
}

#[tokio::test]
async fn every_answer_forbids_scripts_frames_and_guessing() {
    let gateway = Gateway::start().await;
    let key = gateway.key("north", &[Scope::Read, Scope::Metrics]).await;
    for path in paths().map(example_of) {
        let answer = gateway.get(&path, &key).await;
        let policy = answer.header(header::CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff", "{path}");
        assert_eq!(answer.header(header::X_FRAME_OPTIONS), "DENY", "{path}");
        assert!(!answer.header(header::CACHE_CONTROL).is_empty(), "{path}");
        assert!(!answer.text().contains("style=\"") && !answer.text().contains("<script"), "{path}");
    }
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_say_until_it_is_revoked() {
    let gateway = Gateway::start().await;
    let (read, metrics) = (gateway.key("north", &[Scope::Read]).await, gateway.key("north", &[Scope::Metrics]).await);
    assert_eq!(gateway.get("/api/v1/vehicles", &read).await.status, StatusCode::OK);
    assert_eq!(gateway.get("/metrics", &read).await.status, StatusCode::FORBIDDEN);
    assert_eq!(gateway.get("/metrics", &metrics).await.text(), "# EOF\n");
    assert_eq!(gateway.get("/api/v1/vehicles", &metrics).await.status, StatusCode::FORBIDDEN);
    assert_eq!(gateway.get("/", &metrics).await.status, StatusCode::FORBIDDEN);
    revoke_api_key(&gateway.store, &fleet("north"), &format!("{:?}", [Scope::Read])).await.expect("revoked");
    assert_eq!(gateway.get("/api/v1/vehicles", &read).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn signing_in_opens_the_pages_and_signing_out_closes_them() {
    let gateway = Gateway::start().await;
    let answer = gateway.sign_in("ada", PASSWORD).await;
    assert_eq!((answer.status, answer.header(header::LOCATION)), (StatusCode::SEE_OTHER, "/shipments/X"));
    let cookie = answer.header(header::SET_COOKIE).to_owned();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict;"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    let board = |cookie: String| {
        gateway.send(Request::get("/").header(header::COOKIE, cookie).body(Body::empty()).expect("a request"))
    };
    let page = board(cookie.clone()).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains("truck-7") && page.text().contains(">ada<"));
    let foreign = gateway.post("/sign-out", "", Some("http://evil.example"), &cookie).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    assert_eq!(board(cookie.clone()).await.status, StatusCode::OK);
    let out = gateway.post("/sign-out", "", Some("http://127.0.0.1:8090"), &cookie).await;
    assert_eq!(out.status, StatusCode::SEE_OTHER);
    assert_eq!(board(cookie).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn an_unknown_name_and_a_wrong_password_look_the_same() {
    let gateway = Gateway::start().await;
    let unknown = gateway.sign_in("nobody", PASSWORD).await;
    let wrong = gateway.sign_in("ada", "four quiet larries").await;
    assert_eq!((unknown.status, wrong.status), (StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED));
    assert_eq!(unknown.text().replace("nobody", "ada"), wrong.text());
    assert!(wrong.headers.get(header::SET_COOKIE).is_none());
}

#[tokio::test]
async fn guessing_is_slowed_even_for_the_right_password() {
    let gateway = Gateway::start().await;
    for _ in 0..5 {
        assert_eq!(gateway.sign_in("ada", "guess after guess").await.status, StatusCode::UNAUTHORIZED);
    }
    let answer = gateway.sign_in("ada", PASSWORD).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.header(header::RETRY_AFTER).parse::<u64>().expect("seconds") > 0);
}

#[tokio::test]
async fn a_form_from_elsewhere_signs_nobody_in() {
    let gateway = Gateway::start().await;
    let form = format!("fleet=north&name=ada&password={}", PASSWORD.replace(' ', "+"));
    for origin in [None, Some("null"), Some("http://evil.example")] {
        let answer = gateway.post("/sign-in", &form, origin, "").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{origin:?}");
    }
}

#[tokio::test]
async fn one_fleet_never_sees_another() {
    let gateway = Gateway::start().await;
    let key = gateway.key("north", &[Scope::Read, Scope::Metrics]).await;
    for path in paths().map(example_of) {
        let text = gateway.get(&path, &key).await.text().to_lowercase();
        for word in ["secret", "south"] {
            assert!(!text.contains(word), "{path} shows {word}");
        }
    }
    let picture = milepost_proto::Sha256::of(b"\x89PNG\r\n\x1a\nsecret picture of south");
    assert_eq!(gateway.get(&format!("/blobs/{picture}"), &key).await.status, StatusCode::NOT_FOUND);
    assert_eq!(gateway.get("/shipments/S-ONLY", &key).await.status, StatusCode::NOT_FOUND);
    let own = gateway.key("south", &[Scope::Read]).await;
    assert_eq!(gateway.get(&format!("/blobs/{picture}"), &own).await.status, StatusCode::OK);
    assert!(gateway.get("/", &own).await.text().contains("Secret consignee of south"));
    assert!(!gateway.get("/", &own).await.text().contains("Bakkerij de Molen"));
}

/// The other fleet gives the same names to everything, so whatever one query lets through changes a page.
#[tokio::test]
async fn what_a_fleet_is_shown_does_not_depend_on_other_fleets() {
    let (alone, together) = (Gateway::empty(), Gateway::start().await);
    world::make_without_south(&alone.store).await;
    let scopes = [Scope::Read, Scope::Metrics];
    let (key_alone, key_together) = (alone.key("north", &scopes).await, together.key("north", &scopes).await);
    let shipments = (41..=47).map(|number| format!("/shipments/WH%2FOUT%2F000{number}"));
    for path in paths().map(example_of).filter(|path| path != "/sign-in").chain(shipments) {
        let (one, other) = (alone.get(&path, &key_alone).await, together.get(&path, &key_together).await);
        assert_eq!(one.text(), other.text(), "{path}");
    }
}

#[tokio::test]
async fn hostile_text_is_shown_as_text() {
    const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";
    let gateway = Gateway::start().await;
    let key = gateway.key("north", &[Scope::Read]).await;
    let shipment = Shipment {
        shipment_id: HOSTILE.to_owned(),
        reference: Some(HOSTILE.to_owned()),
        odoo_picking_id: None,
        odoo_sale_id: None,
        partner: Some(HOSTILE.to_owned()),
    };
    let pod = serde_json::json!({"key": "hostile", "shipment": HOSTILE, "body": {"pod": {"record": HOSTILE, "pod": {
        "client_ref": HOSTILE, "stop": HOSTILE, "shipment": HOSTILE, "outcome": "failed", "reason": HOSTILE,
        "items": [{"ref": HOSTILE}], "recipient": {"name": HOSTILE, "role": HOSTILE}, "remarks": HOSTILE,
        "driver": HOSTILE}}}});
    let effect = serde_json::from_value(pod).expect("an effect");
    let written = gateway.store.write(move |connection| {
        put_shipment(connection, &fleet("north"), &shipment, NOW)?;
        milepost_gateway::store::outbox::put(connection, &fleet("north"), &effect, NOW)?;
        connection.execute("UPDATE vehicle SET license_plate = ?1", [HOSTILE])?;
        connection.execute("UPDATE stop SET name = ?1", [HOSTILE])?;
        connection.execute("UPDATE exception_case SET subject = ?1, detail = ?1, kind = ?1", [HOSTILE])?;
        connection.execute("UPDATE outbox SET why = ?1, reference = ?1", [HOSTILE])?;
        Ok(())
    });
    written.await.expect("written");
    let page = format!("/shipments/{}", milepost_gateway::pages::link::segment(HOSTILE));
    for path in ["/", &page] {
        let answer = gateway.get(path, &key).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(answer.text().matches("&#60;script&#62;").count() >= 5, "{path} leaves it out");
        assert!(!answer.text().contains("<script") && !answer.text().contains("<img src=x"), "{path}");
    }
    let next = gateway.get("/sign-in?next=/%22%3E%3Cscript%3E", "").await;
    assert!(!next.text().contains("<script"));
}

#[tokio::test]
async fn the_board_says_who_is_silent_what_is_owed_and_how_long_ago() {
    let gateway = Gateway::start().await;
    let key = gateway.key("north", &[Scope::Read]).await;
    let board = gateway.get("/", &key).await.text();
    for words in ["1 silent", "heard <time", ">47 min ago</time>", ">52 min ago</time>", "6 to go", "T-1124-C"] {
        assert!(board.contains(words), "lacks {words}");
    }
    for words in ["needs a person", "the picking was deleted", "Arrived at delivery", "provisional", "86 % sure"] {
        assert!(board.contains(words), "lacks {words}");
    }
    assert_eq!(board.matches("class=\"vehicle heard\"").count(), 3);
    assert_eq!(board.matches("class=\"vehicle silent\"").count(), 1);
}

#[tokio::test]
async fn a_shipment_named_like_a_path_has_its_page() {
    let gateway = Gateway::start().await;
    let key = gateway.key("north", &[Scope::Read]).await;
    assert!(gateway.get("/", &key).await.text().contains("href=\"/shipments/WH%2FOUT%2F00042\""));
    for path in ["/shipments/WH%2FOUT%2F00042", "/shipments/WH/OUT/00042"] {
        let page = gateway.get(path, &key).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        for word in ["Hotel Oudegracht", "M. de Vries", "retracted", "still on the vehicle", "Odoo answered 503"] {
            assert!(page.text().contains(word), "{path} lacks {word}");
        }
    }
}

#[tokio::test]
async fn paths_lead_nowhere_but_to_rows() {
    let gateway = Gateway::start().await;
    let key = gateway.key("north", &[Scope::Read]).await;
    for path in [
        "/blobs/..%2F..%2Fetc%2Fpasswd",
        "/blobs/%2e%2e",
        "/blobs/0000",
        "/shipments/..%2F..%2Fetc%2Fpasswd",
        "/shipments/../../etc/passwd",
        "/static/..%2Fboard.html",
        "/shipments/%00",
    ] {
        assert_eq!(gateway.get(path, &key).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_picture_are_a_download() {
    let gateway = Gateway::start().await;
    let key = gateway.key("north", &[Scope::Read]).await;
    let page = b"<!doctype html><script>alert(1)</script>";
    let kept = gateway.store.write(move |connection| keep(connection, &fleet("north"), page)).await.expect("kept");
    let answer = gateway.get(&format!("/blobs/{kept}"), &key).await;
    assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, page.as_slice()));
    assert_eq!(answer.header(header::CONTENT_TYPE), "application/octet-stream");
    assert_eq!(answer.header(header::CONTENT_DISPOSITION), "attachment");
}

#[tokio::test]
async fn the_feed_of_milestones_gives_each_once_in_the_order_it_became_known() {
    let gateway = Gateway::start().await;
    let key = gateway.key("north", &[Scope::Read]).await;
    let page = async |since: String| {
        let answer = gateway.get(&format!("/api/v1/milestones?since={since}"), &key).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        serde_json::from_slice::<serde_json::Value>(&answer.body).expect("json")
    };
    let all = page(String::from("1970-01-01T00:00:00Z")).await;
    let all = all["milestones"].as_array().expect("a list").clone();
    assert_eq!(all.len(), 11);
    let known: Vec<&str> = all.iter().map(|entry| entry["known_at"].as_str().expect("a time")).collect();
    assert!(known.is_sorted());
    let place = |entry: &serde_json::Value| {
        format!("{}~{}", entry["known_at"].as_str().expect("a time"), entry["milestone_id"].as_str().expect("an id"))
    };
    for (index, entry) in all.iter().enumerate() {
        let rest = page(place(entry)).await;
        assert_eq!(rest["milestones"].as_array().expect("a list").as_slice(), &all[index + 1..]);
    }
    let end = page(place(&all[10])).await;
    assert_eq!(end["next"], place(&all[10]));
    let refused = gateway.get("/api/v1/milestones?since=yesterday", &key).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.text().contains("mend"));
}

#[tokio::test]
async fn the_outbox_says_how_much_is_owed_and_what() {
    let gateway = Gateway::start().await;
    let key = gateway.key("north", &[Scope::Read]).await;
    let answer: serde_json::Value =
        serde_json::from_slice(&gateway.get("/api/v1/outbox", &key).await.body).expect("json");
    let depth = answer["depth"].as_array().expect("a list");
    let owed = depth.iter().filter(|depth| depth["state"] != "done");
    let counted: u64 = owed.map(|depth| depth["count"].as_u64().expect("a count")).sum();
    let listed = answer["owed"].as_array().expect("a list");
    assert_eq!((counted, listed.len()), (4, 4));
    assert!(listed.iter().any(|effect| effect["state"] == "parked"));
}
