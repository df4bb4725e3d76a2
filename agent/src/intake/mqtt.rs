//! The driver app over MQTT 3.1.1: any broker in the vehicle, QoS 1, mosquitto is the reference.
//!
//! Promise: the broker gets its PUBACK only after the commit that holds the message, or after the message was refused
//! for good and the refusal published. A message that is lost with the connection comes again, because the session
//! outlives connections; nothing is kept here. The MQTT client's own queue is never a buffer: on a lost session it is
//! emptied, the app hears nothing and sends again, and the answer is then a duplicate's.
//!
//! `not_accepted` (disk full of evidence, agent ending) is published and acknowledged like any refusal, because the app
//! keeps what was not accepted; left unacknowledged it would block everything behind it.
//!
//! Bounds: a part above 256 KiB or a capture above 64 KiB is answered `too_large`. A packet above
//! [`PACKET_BYTES_MAX`] cannot be answered, and a persistent session would deliver it again for ever. Then the session is
//! given up: the broker forgets the packet together with everything unacknowledged, none of which was accepted, so the
//! apps still hold it and send it again. A *retained* packet of that size comes back with every subscription and would
//! keep the agent out; the broker's own `message_size_limit` is the remedy.
//!
//! Two loops share one connection: `Carrier` moves packets and answers messages one by one, `greeting` subscribes and
//! publishes the trip. The carrier waits for commits and for nothing else: were it to wait for room in a queue that it
//! alone empties, both would wait for ever. Brokers overshoot their in-flight window (mosquitto 2.0 sends a whole window
//! per acknowledgement when a backlog drains), so what is unanswered waits in the socket, not in memory.

mod answer;
mod greeting;

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use milepost_proto::uplink::BLOB_PART_BYTES_MAX;
use milepost_proto::{DeviceId, Trip};
use rumqttc::{AsyncClient, ConnectReturnCode, ConnectionError, EventLoop, LastWill, MqttOptions, Packet, Publish};
use rumqttc::{Event, QoS, StateError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::answer::{Answerer, Reply};
use super::topic::Topics;
use crate::config::MqttConfig;
use crate::event::Intake;
use crate::source::{FaultCounts, ShuttingDown, SourceLink, SourceNews};

/// Largest packet that is read at all, bytes. Far above what is accepted, so that an app which sends a whole photo at
/// once is told `too_large` instead of hearing nothing.
pub const PACKET_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most packets waiting to be sent: a reply and an acknowledgement for every message that can be unacknowledged at once,
/// since each holds one of MQTT's 65,535 packet ids. Room is taken as it is needed, about 100 bytes each. Smaller will
/// not do: answers leave only as the broker acknowledges earlier ones, which it does behind the whole burst it has
/// already sent (900 messages from mosquitto's default queue). Beyond this (a flood of QoS 0) the connection is dropped.
const REQUESTS_MAX: usize = 2 * 65_535;
/// Silence after which the broker is asked whether it is still there. A commit that takes longer than half as much again
/// costs the connection, not the message.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Serves the driver app until `shutdown`, through whatever the broker does.
///
/// Ends without a farewell: the broker then publishes the last will, `offline`, just as after a power cut.
pub async fn run(
    config: MqttConfig,
    device: DeviceId,
    intake: Intake,
    trip: watch::Receiver<Option<Trip>>,
    link: SourceLink,
    shutdown: CancellationToken,
) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        Err(ShuttingDown) = serve(&config, &device, intake, trip, &link) => {}
    }
}

async fn serve(
    config: &MqttConfig,
    device: &DeviceId,
    intake: Intake,
    trip: watch::Receiver<Option<Trip>>,
    link: &SourceLink,
) -> Result<Infallible, ShuttingDown> {
    let topics = Topics::new(device);
    let (client, event_loop) = AsyncClient::new(readable_options(config, device, &topics, link).await?, REQUESTS_MAX);
    let (connected_sender, connected) = watch::channel(false);
    let greeting = greeting::greet(client.clone(), connected, trip, &topics);
    let address = format!("{}:{}", config.host, config.port);
    let answerer = Answerer { intake, topics: &topics, link };
    let carrier = Carrier { event_loop, client, connected: connected_sender, answerer, address };
    let (never, _) = tokio::try_join!(carrier.carry(link), greeting)?;
    Ok(never)
}

/// The connection's options, as soon as the password file can be read.
async fn readable_options(
    config: &MqttConfig,
    device: &DeviceId,
    topics: &Topics,
    link: &SourceLink,
) -> Result<MqttOptions, ShuttingDown> {
    let mut failures = 0;
    loop {
        match options(config, device, topics) {
            Ok(options) => return Ok(options),
            Err(error) => link.tell(SourceNews::Lost { why: format!("{error:#}") }).await?,
        }
        failures += 1;
        tokio::time::sleep(reconnect_delay(failures)).await;
    }
}

fn options(config: &MqttConfig, device: &DeviceId, topics: &Topics) -> anyhow::Result<MqttOptions> {
    let mut options = MqttOptions::new(format!("milepost-{device}"), config.host.clone(), config.port);
    options
        .set_clean_session(false)
        .set_manual_acks(true)
        .set_keep_alive(KEEP_ALIVE)
        .set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX)
        .set_last_will(LastWill::new(topics.agent(), "offline", QoS::AtLeastOnce, true));
    if let Some(username) = &config.username {
        let password = config.password_file.as_deref().map(read_password).transpose()?.unwrap_or_default();
        options.set_credentials(username.clone(), password);
    }
    Ok(options)
}

fn read_password(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("cannot read mqtt.password_file {}; create it, readable for the agent", path.display())
    })?;
    Ok(text.trim_end().to_owned())
}

/// Moves packets: the only one who touches the network.
struct Carrier<'r> {
    event_loop: EventLoop,
    client: AsyncClient,
    /// Whether a connection stands; written on every change, also from one connection to the next.
    connected: watch::Sender<bool>,
    answerer: Answerer<'r>,
    /// The broker, for people.
    address: String,
}

impl Carrier<'_> {
    async fn carry(mut self, link: &SourceLink) -> Result<Infallible, ShuttingDown> {
        let mut failures = 0;
        loop {
            let lost = match self.event_loop.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    self.connect(link).await?;
                    None
                }
                Ok(Event::Incoming(Packet::PingResp)) => {
                    // The connection holds, which a ConnAck alone does not show.
                    failures = 0;
                    None
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    failures = 0;
                    self.answer(publish).await?
                }
                Ok(_) => None,
                Err(error) => Some(self.part(&error, link).await?),
            };
            if let Some(why) = lost {
                self.connected.send_replace(false);
                link.tell(SourceNews::Lost { why }).await?;
                failures += 1;
                tokio::time::sleep(reconnect_delay(failures)).await;
            }
        }
    }

    async fn connect(&mut self, link: &SourceLink) -> Result<(), ShuttingDown> {
        if self.event_loop.mqtt_options.clean_session() {
            // The poisoned session is gone; now a lasting one.
            self.event_loop.mqtt_options.set_clean_session(false);
            self.event_loop.clean();
            return Ok(());
        }
        self.connected.send_replace(true);
        link.tell(SourceNews::Opened).await
    }

    /// Answers a message, then acknowledges it; says why where the connection was dropped instead.
    ///
    /// An acknowledgement is good on its own connection only: on the next one its packet id may mean another message.
    /// None can stray, because connections change in `poll` alone and take the queued acknowledgements with them.
    async fn answer(&mut self, mut publish: Publish) -> Result<Option<String>, ShuttingDown> {
        if publish.payload.len() > BLOB_PART_BYTES_MAX {
            // One byte above the bound is enough to be refused; the rest need not wait in memory.
            publish.payload = publish.payload[..=BLOB_PART_BYTES_MAX].to_vec().into();
        }
        let reply = self.answerer.reply(&publish).await?;
        let replied = reply.map_or(Ok(()), |Reply { topic, payload }| {
            self.client.try_publish(topic, QoS::AtLeastOnce, false, payload)
        });
        if replied.and_then(|()| self.client.try_ack(&publish)).is_ok() {
            return Ok(None);
        }
        self.event_loop.clean();
        Ok(Some(format!("the broker at {} takes no answers; it will deliver again", self.address)))
    }

    /// Draws the consequences of a lost connection; returns the reason for people.
    async fn part(&mut self, error: &ConnectionError, link: &SourceLink) -> Result<String, ShuttingDown> {
        if is_poisoned(error) {
            self.event_loop.mqtt_options.set_clean_session(true);
            link.tell(SourceNews::Faults(FaultCounts::from([("oversized_packet", 1)]))).await?;
        }
        Ok(reason(error, &self.address))
    }
}

/// Whether the broker sent something that can never be read and would, in this session, send it for ever.
const fn is_poisoned(error: &ConnectionError) -> bool {
    matches!(
        error,
        ConnectionError::MqttState(StateError::Deserialization(rumqttc::Error::PayloadSizeLimitExceeded(_)))
    )
}

fn reason(error: &ConnectionError, address: &str) -> String {
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => format!("the broker at {address} refused the login; check [mqtt] username and password_file"),
        ConnectionError::Io(error) => format!("no broker at {address} ({error}); is it running?"),
        _ if is_poisoned(error) => {
            format!("the broker at {address} sent a packet above {PACKET_BYTES_MAX} bytes; apps must send parts")
        }
        other => format!("lost the broker at {address}: {other}"),
    }
}

/// Waits grow from a quarter of a second to 32 s. One vehicle has one broker, so no jitter is needed.
fn reconnect_delay(failures: u32) -> Duration {
    Duration::from_millis(250 << failures.saturating_sub(1).min(7))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        let waits = [1, 2, 3, 8, 9, u32::MAX].map(|failures| reconnect_delay(failures).as_millis());
        assert_eq!(waits, [250, 500, 1_000, 32_000, 32_000, 32_000]);
    }

    #[test]
    fn a_refused_login_names_the_keys_to_check() {
        let error = ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized);
        assert!(reason(&error, "127.0.0.1:1883").ends_with("check [mqtt] username and password_file"));
    }

    #[test]
    fn a_missing_password_file_is_named() {
        let config = MqttConfig {
            host: "127.0.0.1".to_owned(),
            port: 1883,
            username: Some("agent".to_owned()),
            password_file: Some("/nonexistent/password".into()),
        };
        let device = "truck-7".parse().expect("a name");
        let error = options(&config, &device, &Topics::new(&device)).expect_err("no such file");
        assert!(error.to_string().contains("/nonexistent/password"), "{error}");
    }
}
