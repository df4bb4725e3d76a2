//! The MQTT contract against a real broker, with mosquitto_pub as the foreign app.
//!
//! The broker is the one at `MILEPOST_MQTT_PORT` on loopback; without it these tests say that they were skipped.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use milepost_agent::config::MqttConfig;
use milepost_agent::intake::mqtt::{self, PACKET_BYTES_MAX};
use milepost_agent::source::SourceNews;
use milepost_proto::{DeviceId, Sha256, Trip};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS, SubscribeFilter};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fake_loop::{self, FakeLoop, pod};

/// Longest wait for anything; a broker on loopback answers in milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// A device name of this test and this run, so that nothing retained is met again.
fn device(test: &str) -> DeviceId {
    format!("{test}-{}", std::process::id()).parse().expect("a name")
}

fn broker_port() -> Option<u16> {
    let port = std::env::var("MILEPOST_MQTT_PORT").ok().and_then(|port| port.parse().ok());
    if port.is_none() {
        eprintln!("skipped: no broker (set MILEPOST_MQTT_PORT)");
    }
    port
}

/// An agent's MQTT side that runs.
struct Agent {
    fake: FakeLoop,
    trip: watch::Sender<Option<Trip>>,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl Agent {
    fn start(port: u16, device: &DeviceId) -> Self {
        let fake = fake_loop::start(Some(fake_loop::trip()));
        let (trip_sender, trip) = watch::channel(Some(fake_loop::trip()));
        let config = MqttConfig { host: "127.0.0.1".to_owned(), port, username: None, password_file: None };
        let shutdown = CancellationToken::new();
        let run = mqtt::run(config, device.clone(), fake.intake.clone(), trip, fake.link.clone(), shutdown.clone());
        Self { fake, trip: trip_sender, shutdown, running: tokio::spawn(run) }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.expect("ends orderly");
    }
}

/// An app that listens to everything the agent says.
struct App {
    port: u16,
    prefix: String,
    heard: mpsc::UnboundedReceiver<(String, Vec<u8>)>,
}

impl App {
    async fn listen(port: u16, device: &DeviceId) -> Self {
        Self::listen_as("app", port, device).await
    }

    async fn listen_as(name: &str, port: u16, device: &DeviceId) -> Self {
        let prefix = format!("milepost/{device}/");
        let options = MqttOptions::new(format!("{name}-{device}"), "127.0.0.1", port);
        let (client, mut event_loop) = AsyncClient::new(options, 8);
        let filters = ["accepted/#", "rejected/#", "agent", "trip"]
            .map(|last| SubscribeFilter::new(format!("{prefix}{last}"), QoS::AtLeastOnce));
        client.subscribe_many(filters).await.expect("queued");
        let (sender, heard) = mpsc::unbounded_channel();
        let (subscribed_sender, subscribed) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let _client = client;
            let mut subscribed_sender = Some(subscribed_sender);
            loop {
                match event_loop.poll().await.expect("the broker stays") {
                    Event::Incoming(Packet::SubAck(_)) => {
                        subscribed_sender.take().map(|sender| sender.send(()));
                    }
                    Event::Incoming(Packet::Publish(publish)) => {
                        drop(sender.send((publish.topic, publish.payload.to_vec())));
                    }
                    _ => {}
                }
            }
        });
        tokio::time::timeout(PATIENCE, subscribed).await.expect("in time").expect("subscribed");
        Self { port, prefix, heard }
    }

    /// Waits for the next message on `topic`, passing over others.
    async fn hears(&mut self, topic: &str) -> Vec<u8> {
        let wanted = format!("{}{topic}", self.prefix);
        let hear = async {
            loop {
                match self.heard.recv().await.expect("the listener runs") {
                    (topic, payload) if topic == wanted => return payload,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, hear).await.unwrap_or_else(|_| panic!("nothing on {wanted}"))
    }

    async fn hears_json(&mut self, topic: &str) -> Value {
        serde_json::from_slice(&self.hears(topic).await).expect("JSON")
    }

    async fn hears_online(&mut self) {
        while self.hears("agent").await != b"online" {}
    }

    /// Publishes with QoS 1 as a foreign client would.
    fn publish(&self, topic: &str, payload: &[u8]) {
        self.publish_as("-s", topic, payload);
    }

    /// Publishes each line as a message of its own.
    fn publish_lines(&self, topic: &str, lines: &str) {
        self.publish_as("-l", topic, lines.as_bytes());
    }

    fn publish_as(&self, mode: &str, topic: &str, payload: &[u8]) {
        let mut client = Command::new("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-q", "1", mode, "-t"])
            .arg(format!("{}{topic}", self.prefix))
            .stdin(Stdio::piped())
            .spawn()
            .expect("mosquitto_pub is installed with the broker");
        client.stdin.take().expect("piped").write_all(payload).expect("taken");
        assert!(client.wait().expect("ends").success());
    }
}

async fn both(test: &str) -> Option<(DeviceId, App, Agent)> {
    let port = broker_port()?;
    let device = device(test);
    let mut app = App::listen(port, &device).await;
    let agent = Agent::start(port, &device);
    app.hears_online().await;
    Some((device, app, agent))
}

#[tokio::test]
async fn bad_messages_are_answered_and_the_next_one_works() {
    let Some((_, mut app, agent)) = both("bad").await else { return };
    let photo = vec![7; 300 * 1024];
    let sha256 = Sha256::of(&photo);

    app.publish("pod", br#"{"client_ref":"c-1","stop":"#);
    let torn = app.hears_json("rejected/c-1").await;
    app.publish("pod", b"\xff\xfe");
    let unreadable = app.hears_json("rejected/unreadable").await;
    app.publish("pod", pod("c/2", "S9").as_bytes());
    let unknown = app.hears_json("rejected/c%2F2").await;
    app.publish(&format!("blob/{sha256}/0"), &photo);
    let large = app.hears_json(&format!("rejected/{sha256}")).await;
    app.publish(&format!("blob/{}/0", "x".repeat(60_000)), b"part");
    let unnamed = app.hears_json("rejected/unreadable").await;
    for (rejection, code) in [
        (unnamed, "malformed"),
        (torn, "malformed"),
        (unreadable, "malformed"),
        (unknown, "unknown_stop"),
        (large, "too_large"),
    ] {
        assert_eq!(rejection["code"], code);
        assert!(rejection["mend"].as_str().is_some_and(|mend| !mend.is_empty()), "{rejection}");
    }

    app.publish("pod", pod("c-3", "S1").as_bytes());
    assert_eq!(app.hears_json("accepted/c-3").await, json!({"sequence": 1, "duplicate": false}));
    agent.stop().await;
}

#[tokio::test]
async fn a_packet_too_large_to_read_does_not_wedge_the_connection() {
    let Some((_, mut app, mut agent)) = both("wedge").await else { return };
    app.publish(&format!("blob/{}/0", Sha256::of(b"")), &vec![0; PACKET_BYTES_MAX + 1]);
    let counted = async {
        loop {
            if let SourceNews::Faults(counts) = agent.fake.news.recv().await.expect("the agent runs") {
                return counts;
            }
        }
    };
    let counted = tokio::time::timeout(PATIENCE, counted).await.expect("counted in time");
    assert_eq!(counted.get("oversized_packet"), Some(&1));

    app.hears_online().await;
    app.publish("pod", pod("c-1", "S1").as_bytes());
    assert_eq!(app.hears_json("accepted/c-1").await["sequence"], 1);
    agent.stop().await;
}

#[tokio::test]
async fn a_message_is_acknowledged_only_after_its_commit() {
    let Some((device, mut app, mut agent)) = both("commit").await else { return };
    agent.fake.commits.send_replace(false);
    app.publish("pod", pod("c-1", "S1").as_bytes());
    assert_eq!(agent.fake.arrived.recv().await.as_deref(), Some("c-1"));
    agent.stop().await;

    // Had it been acknowledged, the broker would not deliver it again.
    let agent = Agent::start(app.port, &device);
    assert_eq!(app.hears_json("accepted/c-1").await, json!({"sequence": 1, "duplicate": false}));
    agent.stop().await;
}

#[tokio::test]
async fn an_accepted_message_is_not_delivered_again() {
    let Some((device, mut app, agent)) = both("once").await else { return };
    app.publish("pod", pod("c-1", "S1").as_bytes());
    app.hears("accepted/c-1").await;
    // The acknowledgement follows the reply on the same connection; the answer to a second message follows both.
    app.publish("pod", pod("c-2", "S1").as_bytes());
    app.hears("accepted/c-2").await;
    agent.stop().await;

    let mut agent = Agent::start(app.port, &device);
    app.publish("pod", pod("c-3", "S1").as_bytes());
    app.hears("accepted/c-3").await;
    let mut arrived = Vec::new();
    while let Ok(client_ref) = agent.fake.arrived.try_recv() {
        arrived.push(client_ref);
    }
    assert!(!arrived.contains(&"c-1".to_owned()), "{arrived:?}");
    agent.stop().await;
}

#[tokio::test]
async fn a_morning_without_commits_is_answered_in_order_afterwards() {
    let Some((_, mut app, agent)) = both("morning").await else { return };
    agent.fake.commits.send_replace(false);
    // As many as mosquitto keeps by default, nearly; it sends them in bursts far above its in-flight window.
    let captures = 900;
    let lines: String = (1..=captures).map(|number| pod(&format!("c-{number}"), "S1") + "\n").collect();
    app.publish_lines("pod", &lines);
    agent.fake.commits.send_replace(true);
    for number in 1..=captures {
        assert_eq!(app.hears_json(&format!("accepted/c-{number}")).await["sequence"], number);
    }
    agent.stop().await;
}

#[tokio::test]
async fn the_same_capture_sent_twice_is_one() {
    let Some((_, mut app, agent)) = both("twice").await else { return };
    for duplicate in [false, true] {
        app.publish("driver", br#"{"client_ref":"a-1","action":"trip_started"}"#);
        assert_eq!(app.hears_json("accepted/a-1").await, json!({"sequence": 1, "duplicate": duplicate}));
    }
    agent.stop().await;
}

#[tokio::test]
async fn a_photo_arrives_in_parts() {
    let Some((_, mut app, agent)) = both("photo").await else { return };
    let sha256 = Sha256::of(b"whole photo");
    app.publish(&format!("blob/{sha256}/0"), b"whole ");
    assert_eq!(app.hears_json(&format!("accepted/{sha256}")).await, json!({"held": 6, "complete": false}));
    app.publish(&format!("blob/{sha256}/6/11"), b"photo");
    assert_eq!(app.hears_json(&format!("accepted/{sha256}")).await, json!({"held": 11, "complete": true}));
    agent.stop().await;
}

#[tokio::test]
async fn the_trip_is_retained_and_follows_its_changes() {
    let Some((device, mut app, agent)) = both("trip").await else { return };
    assert_eq!(app.hears_json("trip").await["id"], "T1");
    let changed = Trip { id: "T2".to_owned(), ..fake_loop::trip() };
    agent.trip.send_replace(Some(changed));
    assert_eq!(app.hears_json("trip").await["id"], "T2");
    let mut late = App::listen_as("late", app.port, &device).await;
    assert_eq!(late.hears_json("trip").await["id"], "T2");
    agent.trip.send_replace(None);
    assert_eq!(app.hears("trip").await, b"");
    agent.stop().await;
}

#[tokio::test]
async fn the_last_will_says_that_the_agent_is_gone() {
    let Some((_, mut app, agent)) = both("will").await else { return };
    agent.stop().await;
    assert_eq!(app.hears("agent").await, b"offline");
}

#[tokio::test]
async fn a_connection_taken_away_comes_back_with_its_subscriptions() {
    let Some((device, mut app, agent)) = both("thief").await else { return };
    // Two clients cannot have one name: the broker drops the agent, and the clean session drops its subscriptions.
    let options = MqttOptions::new(format!("milepost-{device}"), "127.0.0.1", app.port);
    let (_client, mut thief) = AsyncClient::new(options, 1);
    thief.poll().await.expect("connected");
    drop(thief);
    app.hears_online().await;
    app.publish("pod", pod("c-1", "S1").as_bytes());
    assert_eq!(app.hears_json("accepted/c-1").await["sequence"], 1);
    agent.stop().await;
}
