//! What becomes of an effect for every way in which Odoo, or the way to it, can misbehave.
//!
//! A stub answers searches as an Odoo that has the picking and no note, and misbehaves when something is to be written.

use std::net::SocketAddr;

use milepost_gateway::effect::{Effect, EffectBody, Settlement};
use milepost_gateway::milestone::{Milestone, MilestoneKind, Status};
use milepost_gateway::odoo::{ApiKey, Connector, Mode, Settings};
use milepost_proto::Sha256;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the stub does when something is to be written.
#[derive(Debug, Clone, Copy)]
enum Write {
    /// Answers this status and JSON body.
    Json(u16, &'static str),
    /// Answers this status and an HTML page.
    Html(u16),
    /// Answers the beginning of a body and closes.
    CutShort,
    /// Closes without an answer.
    Close,
    /// Never answers.
    Silent,
}

async fn stub(write: Write) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(answer(client, write));
        }
    });
    address
}

async fn answer(mut client: TcpStream, write: Write) {
    let path = read_request(&mut client).await;
    let write = match path.as_str() {
        "/json/2/stock.picking/search_read" => Write::Json(200, r#"[{"id":24}]"#),
        "/json/2/mail.message/search_read" => Write::Json(200, "[]"),
        _ => write,
    };
    let reply = match write {
        Write::Json(status, body) => response(status, "application/json", body, body.len()),
        Write::Html(status) => response(status, "text/html", "<html>", 6),
        Write::CutShort => response(200, "application/json", "[5", 5),
        Write::Close => String::new(),
        Write::Silent => return std::future::pending().await,
    };
    client.write_all(reply.as_bytes()).await.expect("the client listens");
}

fn response(status: u16, kind: &str, body: &str, length: usize) -> String {
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Reads one request whole and gives its path.
async fn read_request(client: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return head.split(' ').nth(1).unwrap_or_default().to_owned();
            }
        }
        assert!(client.read_buf(&mut bytes).await.expect("the client speaks") > 0, "the request ended early");
    }
}

fn settings(url: String, mode: Mode) -> Settings {
    rustls::crypto::ring::default_provider().install_default().ok();
    Settings { url, database: "test".to_owned(), api_key: ApiKey::new("key"), mode, timeout_s: 1 }
}

fn effect() -> Effect {
    let milestone = Milestone {
        milestone_id: "m-1".to_owned(),
        revision: 1,
        status: Status::Confirmed,
        kind: MilestoneKind::DeliveryCompleted,
        trip: "T1".to_owned(),
        stop: Some("S1".to_owned()),
        shipment: Some("WH/OUT/00019".to_owned()),
        visit_no: 1,
        event_time: "2026-11-24T10:02:05Z".parse().expect("a time"),
        confidence: 1.0,
        evidence: Vec::new(),
        rule_version: "1".to_owned(),
        remarks: Vec::new(),
    };
    let body = EffectBody::Milestone { milestone: Box::new(milestone) };
    Effect { key: "m-1.1".to_owned(), shipment: "WH/OUT/00019".to_owned(), body }
}

/// The settlement's name and its reason.
async fn settle(url: String) -> (&'static str, String) {
    let connector = Connector::new(&settings(url, Mode::Live), Box::new(|_: &Sha256| None)).expect("settings");
    match connector.settle(&effect(), false).await {
        Settlement::Done { reference } => ("done", reference),
        Settlement::Retry { why } => ("retry", why),
        Settlement::Unknown { why } => ("unknown", why),
        Settlement::Park { why } => ("park", why),
    }
}

async fn check(write: Write, expected: &str, says: &str) {
    let address = stub(write).await;
    let (ended, why) = settle(format!("http://{address}")).await;
    assert_eq!(ended, expected, "{write:?}: {why}");
    assert!(why.contains(says), "{write:?}: {why}");
    assert_eq!(why.lines().count(), 1, "{write:?}: {why}");
}

#[tokio::test]
async fn a_healthy_odoo_settles_it_and_says_where() {
    check(Write::Json(200, "[560]"), "done", "mail.message,560").await;
}

#[tokio::test]
async fn what_may_have_been_committed_is_unknown() {
    check(Write::Json(500, r#"{"name":"builtins.RuntimeError","message":"after commit"}"#), "unknown", "500").await;
    check(Write::Html(502), "unknown", "502").await;
    check(Write::CutShort, "unknown", "lost").await;
    check(Write::Close, "unknown", "lost").await;
    check(Write::Silent, "unknown", "no answer in time").await;
    check(Write::Json(200, r#"{"not":"ids"}"#), "unknown", "odoo.url").await;
}

#[tokio::test]
async fn what_was_rolled_back_or_turned_away_is_retried() {
    let race = r#"{"name":"psycopg2.errors.SerializationFailure","message":"could not serialize"}"#;
    check(Write::Json(500, race), "retry", "rolled back").await;
    check(Write::Html(429), "retry", "slow down").await;
}

#[tokio::test]
async fn a_wrong_key_or_database_is_one_line_that_names_the_fix() {
    let refused = r#"{"name":"werkzeug.exceptions.Unauthorized","message":"Invalid apikey"}"#;
    check(Write::Json(401, refused), "retry", "New API Key").await;
    check(Write::Html(404), "retry", "odoo.database").await;
}

#[tokio::test]
async fn what_a_person_must_mend_is_parked_in_odoos_own_words() {
    check(Write::Json(422, r#"{"name":"odoo.exceptions.UserError","message":"No way"}"#), "park", "No way").await;
    check(Write::Json(403, r#"{"name":"odoo.exceptions.AccessError","message":"Not you"}"#), "park", "Not you").await;
    check(Write::Json(404, r#"{"name":"odoo.exceptions.MissingError","message":"Gone"}"#), "park", "Gone").await;
    let wizard = r#"{"type":"ir.actions.act_window","res_model":"stock.backorder.confirmation"}"#;
    check(Write::Json(200, wizard), "park", "stock.backorder.confirmation").await;
}

#[tokio::test]
async fn an_odoo_that_is_down_is_retried() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let (ended, why) = settle(format!("http://{free}")).await;
    assert_eq!(ended, "retry", "{why}");
    assert!(why.contains("cannot be reached"), "{why}");
}

#[tokio::test]
async fn a_search_that_is_not_answered_by_a_list_never_leads_to_a_write() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let asked = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("a client");
        let path = read_request(&mut client).await;
        client.write_all(response(200, "application/json", "{}", 2).as_bytes()).await.expect("the client listens");
        // Whatever comes next finds nobody, so only a write that was lost could make the outcome unknown.
        path
    });
    let (ended, why) = settle(format!("http://{address}")).await;
    assert_eq!(ended, "retry", "{why}");
    assert_eq!(asked.await.expect("it was asked"), "/json/2/stock.picking/search_read");
}

#[tokio::test]
async fn a_dry_run_sends_nothing_and_writes_every_call_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = folder.path().join("ledger.jsonl");
    // Nothing listens at this address; a call that was sent would fail.
    let settings = settings("http://127.0.0.1:1".to_owned(), Mode::DryRun { ledger: ledger.clone() });
    let signature = b"\x89PNG\r\n\x1a\n".to_vec();
    let hash = Sha256::of(&signature);
    let connector = Connector::new(&settings, Box::new(move |_: &Sha256| Some(signature.clone()))).expect("settings");
    let pod = json!({"client_ref": "c-1", "stop": "S1", "shipment": "WH/OUT/00019", "outcome": "completed",
                     "signature": hash});
    let proof = Effect {
        key: "pod-1".to_owned(),
        shipment: "WH/OUT/00019".to_owned(),
        body: EffectBody::Pod {
            pod: serde_json::from_value(pod).expect("a pod"),
            record: "f/truck-7/00/evidence/1".to_owned(),
        },
    };
    for effect in [effect(), proof] {
        let settled = connector.settle(&effect, false).await;
        assert!(matches!(settled, Settlement::Done { .. }), "{settled:?}");
    }
    let text = std::fs::read_to_string(&ledger).expect("a ledger");
    let calls: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let made: Vec<_> = calls.iter().map(|call| (call["effect"].as_str(), call["path"].as_str())).collect();
    assert_eq!(
        made,
        [
            (Some("m-1.1"), Some("/json/2/stock.picking/message_post")),
            (Some("pod-1"), Some("/json/2/ir.attachment/create")),
            (Some("pod-1"), Some("/json/2/ir.attachment/create")),
            (Some("pod-1"), Some("/json/2/stock.picking/message_post")),
        ]
    );
    assert_eq!(calls[0]["body"]["message_id"], "<m-1.1@milepost>");
    assert_eq!(calls[3]["body"]["attachment_ids"].as_array().map(Vec::len), Some(2));
}
