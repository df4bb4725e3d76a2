//! What the agent knows about itself: the one model behind the status page, `GET /status`, `status` and `/metrics`.
//!
//! Promise: nothing here is secret, and every number names its unit. The event loop publishes a new value after every
//! commit and every receipt, and once a second; whoever shows it only formats.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use milepost_proto::{Lane, TimeQuality, Timestamp, Trip};
use serde::{Deserialize, Serialize};

use crate::uplink::budget::LinkClass;

mod bus;

pub use bus::{BusStatus, ControllerStatus, DbcStatus, MISTAKES_MAX, PollingStatus, WrongVehicle};

/// Everything a technician may ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The agent's version.
    pub version: String,
    /// The device's name.
    pub device: String,
    /// When this was written, by the agent's best clock.
    pub now: Timestamp,
    /// How far that clock can be trusted.
    pub time_quality: TimeQuality,
    /// What the clock went through.
    #[serde(default)]
    pub clock: ClockStatus,
    /// Seconds since the agent started.
    pub uptime_s: u64,
    /// The current boot.
    pub boot_id: String,
    /// Each source, in configuration order.
    pub sources: Vec<SourceStatus>,
    /// The last position kept.
    pub position: Option<LastPosition>,
    /// The spool.
    pub spool: SpoolStatus,
    /// The way to the gateway.
    pub uplink: UplinkStatus,
    /// The current trip.
    pub trip: Option<Trip>,
    /// Driver captures accepted and rejected since the agent started, by rejection code.
    pub captures_accepted: u64,
    /// Rejections by code.
    pub captures_rejected: BTreeMap<String, u64>,
}

/// What the clock went through since the agent started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClockStatus {
    /// Seconds since it was set, by a better source or by more than its bound; absent while nobody knows the time.
    pub last_set_age_s: Option<u64>,
    /// How often the operating system's clock was seen to jump.
    pub steps: u64,
    /// Whether the operating system's clock says a time that cannot be.
    pub battery_suspect: bool,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Its kind in the configuration.
    pub kind: String,
    /// How it is.
    pub state: SourceHealth,
    /// What happened, when it is lost.
    pub why: Option<String>,
    /// Seconds since it last gave a usable reading.
    pub last_reading_age_s: Option<u64>,
    /// Readings decoded since the agent started.
    pub observed: u64,
    /// Readings kept since the agent started.
    pub kept: u64,
    /// Unusable input by kind since the agent started.
    pub faults: BTreeMap<String, u64>,
    /// The latest raw input, newest last, at most [`RAW_TAIL_MAX`] lines.
    pub raw_tail: Vec<String>,
    /// What only a vehicle bus has.
    #[serde(default, skip_serializing_if = "BusStatus::is_empty")]
    pub bus: BusStatus,
}

/// Most lines of raw input kept per source.
pub const RAW_TAIL_MAX: usize = 8;

/// How a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceHealth {
    /// Not open yet.
    Opening,
    /// Open, nothing usable heard yet.
    Silent,
    /// Usable readings arrive.
    Heard,
    /// Lost; being reopened.
    Lost,
    /// Came to its end.
    Ended,
}

/// Where the vehicle was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LastPosition {
    /// When.
    pub time: Timestamp,
    /// Degrees.
    pub lat: f64,
    /// Degrees.
    pub lon: f64,
    /// Satellites used.
    pub satellites: Option<u8>,
    /// Horizontal dilution of precision.
    pub hdop: Option<f64>,
}

/// The spool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpoolStatus {
    /// Its random id.
    pub spool_id: String,
    /// Each lane.
    pub lanes: Vec<LaneStatus>,
    /// Bytes on disk, database and write-ahead log.
    pub disk_bytes: u64,
    /// Most bytes it may take.
    pub quota_bytes: u64,
    /// Bytes free on its disk; absent when that cannot be told.
    #[serde(default)]
    pub free_bytes: Option<u64>,
    /// With less than this free there, it takes no more than it has, bytes.
    #[serde(default)]
    pub free_bytes_min: u64,
    /// Photos and signatures waiting to be handed over.
    pub blobs_waiting: u64,
    /// Why there is no spool, in a sentence; nothing is recorded meanwhile.
    pub obstacle: Option<String>,
}

/// One lane of the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneStatus {
    /// Which.
    pub lane: Lane,
    /// Records waiting for a receipt.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Event time of the oldest one waiting.
    pub oldest: Option<Timestamp>,
    /// The last sequence given out.
    pub last_sequence: u64,
}

/// The way to the gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UplinkStatus {
    /// The address of the gateway in use.
    pub gateway: String,
    /// Every gateway, in configuration order.
    #[serde(default)]
    pub gateways: Vec<GatewayStatus>,
    /// What it is doing.
    pub state: UplinkHealth,
    /// Why it does not send, in a sentence with its mend.
    pub why: Option<String>,
    /// Seconds since the last receipt.
    pub last_receipt_age_s: Option<u64>,
    /// Seconds until the next attempt, when one is waited for.
    pub next_attempt_s: Option<u64>,
    /// Attempts that failed in a row.
    pub failures: u32,
    /// Records covered by receipts since the agent started.
    pub settled: u64,
    /// Records the gateway refused since the agent started.
    pub refused: u64,
    /// What no gateway takes.
    #[serde(default)]
    pub poison: PoisonStatus,
    /// What was sent today over this kind of link.
    pub budget: BudgetStatus,
    /// What waits because of the link, and why, in sentences.
    #[serde(default)]
    pub held: Vec<String>,
    /// Bytes sent since the agent started, compressed.
    pub sent_bytes: u64,
    /// Requests made since the agent started.
    pub requests: u64,
}

/// One gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayStatus {
    /// Its address.
    pub url: String,
    /// Why it was not reached when it was last tried.
    pub trouble: Option<String>,
}

/// Chunks that were refused until they were set aside; gaps stand in their places.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoisonStatus {
    /// Records set aside since the agent started.
    pub set_aside: u64,
    /// Records kept aside in the spool.
    pub records: u64,
    /// Records of evidence among them.
    pub evidence: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why the latest was refused.
    pub why: Option<String>,
}

/// What was sent today (UTC) over one class of link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// The class.
    pub link: LinkClass,
    /// Evidence, events and requests without records.
    pub urgent: SpentStatus,
    /// Telemetry.
    pub telemetry: SpentStatus,
    /// Photos and signatures.
    pub blobs: SpentStatus,
}

/// Bytes sent, and how many may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpentStatus {
    /// Sent today, with about what HTTP/2, TLS and TCP/IP add.
    pub bytes: u64,
    /// Most bytes a day; absent when there is no bound.
    pub bytes_max: Option<u64>,
}

/// What the uplink is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UplinkHealth {
    /// Nothing to send; the last request worked.
    Idle,
    /// A request is under way.
    Sending,
    /// Waiting after a failure.
    Waiting,
    /// Stopped until a person mends something (certificate, clock, address).
    Stopped,
}

/// Longest wait for the agent's answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the agent that listens at `listen` (the configuration's `http.listen`).
///
/// A TLS provider must be installed, as for every use of reqwest, although this is plain HTTP on this machine.
///
/// # Errors
/// A sentence with its mend when nobody listens, or when whoever listens is not an agent.
pub async fn fetch(listen: SocketAddr) -> anyhow::Result<Status> {
    let address = reachable(listen);
    let client = reqwest::Client::builder().no_proxy().timeout(FETCH_TIMEOUT).build()?;
    let answer = client.get(format!("http://{address}/status")).send().await.with_context(|| {
        format!("no agent answers at {address}; start it, or compare [http] listen with the running agent's")
    })?;
    let answer = answer.error_for_status().with_context(|| format!("{address} does not answer like an agent"))?;
    answer.json().await.with_context(|| format!("{address} answers, but not with an agent's status"))
}

/// Where a listener on "any address" is reached from its own machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_any_address_is_asked_on_loopback() {
        let check = |listen: &str| reachable(listen.parse().expect("an address")).to_string();
        assert_eq!(check("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(check("[::]:8080"), "[::1]:8080");
        assert_eq!(check("192.168.8.1:80"), "192.168.8.1:80");
    }
}
