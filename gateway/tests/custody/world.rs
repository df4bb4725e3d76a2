//! A gateway, its CA, and devices that speak to it.

use milepost_gateway::clock;
use milepost_gateway::config::Config;
use milepost_gateway::serve::{self, Gateway};
use milepost_gateway::store::roster;
use milepost_proto::reading::Switch;
use milepost_proto::seal::{EvidenceSeal, chain_start, evidence_digest};
use milepost_proto::uplink::{BlobOffer, BlobState};
use milepost_proto::wire::{self, decode_answer, encode_request};
use milepost_proto::{
    Batch, BootId, Chunk, Lane, Reading, Record, Sha256, SpoolId, TimeQuality, Timestamp, UplinkAnswer, UplinkRequest,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};
use reqwest::{Certificate, Client, Identity, StatusCode};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use tokio_util::sync::{CancellationToken, DropGuard};

const BOOT: BootId = BootId([2; 16]);
const SPOOL: SpoolId = SpoolId([1; 16]);

pub(crate) struct World {
    pub(crate) gateway: Gateway,
    folder: tempfile::TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
    stop: DropGuard,
}

/// A gateway of fleet `north` with device `box-7` on `truck-7`, a plan, and no Odoo.
pub(crate) async fn world() -> World {
    World::start(None).await
}

impl World {
    pub(crate) async fn start(odoo_url: Option<&str>) -> Self {
        Self::start_with(odoo_url, "").await
    }

    /// With more lines in `[ingest]`.
    pub(crate) async fn start_with(odoo_url: Option<&str>, ingest: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("gateway.toml"), config_text(odoo_url, ingest)).expect("written");
        Self::start_in(folder).await
    }

    /// On what an earlier gateway left in `folder`, with a new CA.
    pub(crate) async fn start_in(folder: tempfile::TempDir) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let ca = new_ca();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let shown = CertificateParams::new(names).expect("names").signed_by(&key, &ca).expect("signed");
        write("gateway.pem", &shown.pem());
        write("gateway.key", &key.serialize_pem());
        write("ca.pem", &ca.pem());
        write("odoo.key", "no-such-key");
        write("plan.json", PLAN);
        let config = Config::load(&folder.path().join("gateway.toml")).expect("a configuration");
        let shutdown = CancellationToken::new();
        let gateway = serve::start(&config, shutdown.clone()).await.expect("starts");
        Self { gateway, folder, ca, stop: shutdown.drop_guard() }
    }

    /// Starts a second gateway from the same configuration.
    pub(crate) async fn start_again(&self) -> anyhow::Result<()> {
        let config = Config::read(&config_text(None, ""), self.folder.path()).expect("a configuration");
        serve::start(&config, CancellationToken::new()).await.map(drop)
    }

    pub(crate) fn device(&self, name: &str) -> Device {
        self.device_of("north", name)
    }

    pub(crate) fn device_of(&self, fleet: &str, name: &str) -> Device {
        Device::new(self, &self.ca, fleet, name)
    }

    /// A device whose certificate says the right things and is signed by somebody else.
    pub(crate) fn forged_device(&self, name: &str) -> Device {
        Device::new(self, &new_ca(), "north", name)
    }

    /// A file beside the store.
    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Asks the gateway to stop, waits until it has, and leaves the folder.
    pub(crate) async fn leave(self) -> tempfile::TempDir {
        let Self { gateway, stop, folder, .. } = self;
        drop(stop);
        gateway.finished().await.expect("stops cleanly");
        folder
    }

    pub(crate) fn copy_of_store(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().expect("folder");
        for name in ["gateway.sqlite", "gateway.sqlite-wal"] {
            std::fs::copy(self.folder.path().join(name), copy.path().join(name)).expect("copied");
        }
        copy
    }

    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        let read = move |connection: &rusqlite::Connection| Ok(connection.query_row(sql, [], |row| row.get(0))?);
        self.gateway.store.read(read).await.expect("reads")
    }

    /// Waits for commits until `sql` gives `expected`.
    pub(crate) async fn until(&self, sql: &'static str, expected: i64) {
        let mut commits = self.gateway.store.commits();
        let reached = async {
            while self.number(sql).await != expected {
                commits.changed().await.expect("the writer runs");
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(20), reached).await;
        assert!(waited.is_ok(), "{sql} gives {}, not {expected}", self.number(sql).await);
    }

    /// Waits until the figures hold `line`: a refused handshake ends for the client before the gateway has counted it.
    pub(crate) async fn until_counted(&self, line: &str) {
        let counted = async {
            while !self.gateway.metrics.text().contains(line) {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(20), counted).await;
        assert!(waited.is_ok(), "{line} is not in {}", self.gateway.metrics.text());
    }

    /// Asks the gateway to stop and waits until it has.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let Self { gateway, stop, folder: _folder, .. } = self;
        drop(stop);
        gateway.finished().await
    }

    pub(crate) async fn revoke(&self, device: &str) {
        let (fleet, device) = ("north".parse().expect("a name"), device.parse().expect("a name"));
        let revoke = move |connection: &rusqlite::Connection| roster::revoke_device(connection, &fleet, &device);
        assert!(self.gateway.store.write(revoke).await.expect("writes"), "there is such a device");
    }
}

pub(crate) struct Device {
    http: Client,
    address: String,
    key: EcdsaKeyPair,
}

impl Device {
    fn new(world: &World, signed_by: &CertifiedIssuer<'static, KeyPair>, fleet: &str, name: &str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, fleet);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, signed_by).expect("signed");
        let identity = format!("{}{}", key.serialize_pem(), certificate.pem());
        let http = Client::builder()
            .tls_certs_only([Certificate::from_pem(world.ca.pem().as_bytes()).expect("a CA")])
            .identity(Identity::from_pem(identity.as_bytes()).expect("an identity"))
            .no_proxy()
            .build()
            .expect("a client");
        let address = format!("https://127.0.0.1:{}", world.gateway.ingest_address.port());
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key.serialize_der(), &SystemRandom::new())
            .expect("a key");
        Self { http, address, key }
    }

    /// `records` as the first of the spool's evidence, chained and signed with the key of the certificate.
    pub(crate) fn signed(&self, records: &[Record]) -> Vec<Record> {
        let mut prev_hash = chain_start(SPOOL);
        let sign = |(sequence, record): (u64, &Record)| {
            let Record { event_time, monotonic_ms, time_quality, reading, .. } = record.clone();
            let digest = evidence_digest(prev_hash, sequence, event_time, monotonic_ms, time_quality, &reading);
            let digest = digest.expect("a digest");
            let signature = self.key.sign(&SystemRandom::new(), &digest.0).expect("signed").as_ref().to_vec();
            let seal = Some(EvidenceSeal { prev_hash: std::mem::replace(&mut prev_hash, digest), signature });
            Record { event_time, monotonic_ms, time_quality, reading, seal }
        };
        (1..).zip(records).map(sign).collect()
    }

    pub(crate) fn chunk(&self, first: u64, records: &[Record]) -> Chunk {
        Chunk::seal(first, BOOT, records.to_vec()).expect("sealed")
    }

    pub(crate) fn envelope(&self, lane: Lane, chunks: &[Chunk]) -> Vec<u8> {
        let batch = Batch { lane, history: false, chunks: chunks.to_vec() };
        encode_request(&UplinkRequest { batches: vec![batch], ..empty() }).expect("encodes")
    }

    pub(crate) async fn hand_over(&self, lane: Lane, chunks: &[Chunk]) -> UplinkAnswer {
        self.ask(self.envelope(lane, chunks)).await
    }

    pub(crate) async fn heartbeat(&self, down_link_held: &[(String, u64)]) -> UplinkAnswer {
        let request = UplinkRequest { down_link_held: down_link_held.to_vec(), ..empty() };
        self.ask(encode_request(&request).expect("encodes")).await
    }

    pub(crate) async fn offer(&self, sha256: Sha256, size: u64) -> BlobState {
        let request = UplinkRequest { blob_offers: vec![BlobOffer { sha256, size }], ..empty() };
        self.ask(encode_request(&request).expect("encodes")).await.blobs[0]
    }

    async fn ask(&self, envelope: Vec<u8>) -> UplinkAnswer {
        let response = self.try_post(envelope).await.expect("answers");
        assert_eq!(response.status(), StatusCode::OK);
        decode_answer(&response.bytes().await.expect("a body"), SPOOL).expect("an answer")
    }

    pub(crate) async fn post(&self, envelope: Vec<u8>) -> (StatusCode, String) {
        let response = self.try_post(envelope).await.expect("answers");
        let status = response.status();
        let bytes = response.bytes().await.expect("a body");
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(crate) async fn try_post(&self, envelope: Vec<u8>) -> reqwest::Result<reqwest::Response> {
        let request = self.http.post(format!("{}/v1/batches", self.address));
        request.header("content-type", wire::CONTENT_TYPE).body(envelope).send().await
    }

    pub(crate) async fn put_blob(
        &self,
        name: Sha256,
        offset: usize,
        size: usize,
        bytes: &[u8],
    ) -> (StatusCode, String) {
        let url = format!("{}/v1/blobs/{name}?offset={offset}&size={size}", self.address);
        let response = self.http.put(url).body(bytes.to_vec()).send().await.expect("answers");
        (response.status(), response.text().await.expect("a body"))
    }
}

pub(crate) fn switch(at_s: i64) -> Record {
    record(at_s, Reading::Switch(Switch { name: "door".to_owned(), on: true }))
}

pub(crate) fn pod(at_s: i64, stop: &str, shipment: &str) -> Record {
    let json =
        format!(r#"{{"client_ref":"c","stop":"{stop}","shipment":"{shipment}","outcome":"completed","revision":1}}"#);
    record(at_s, Reading::Pod(Box::new(serde_json::from_str(&json).expect("a proof"))))
}

fn record(at_s: i64, reading: Reading) -> Record {
    let event_time = Timestamp::from_millis(1_700_000_000_000 + at_s * 1000);
    Record { event_time, monotonic_ms: 5, time_quality: TimeQuality::UNKNOWN, reading, seal: None }
}

/// An envelope whose payload decompresses to 64 MiB of zeros.
pub(crate) fn bomb() -> Vec<u8> {
    // A zstd frame without checksum and content size: one RLE block of 128 KiB, 512 times.
    let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x58];
    for block in 0..512_u32 {
        let header = ((128 * 1024) << 3) | (1 << 1) | u32::from(block == 511);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    let mut envelope = b"MPST\x00\x01".to_vec();
    envelope.extend_from_slice(&1000_u32.to_le_bytes());
    envelope.extend_from_slice(&milepost_proto::chunk::checksum(&frame).to_le_bytes());
    envelope.extend_from_slice(&frame);
    envelope
}

fn empty() -> UplinkRequest {
    UplinkRequest {
        agent_version: "0.1.0".to_owned(),
        spool_id: SPOOL,
        boot_id: BOOT,
        monotonic_ms: 99,
        low_water_mark: Some(clock::now()),
        batches: Vec::new(),
        down_link_held: Vec::new(),
        blob_offers: Vec::new(),
    }
}

fn new_ca() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "test CA");
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("a CA")
}

fn config_text(odoo_url: Option<&str>, ingest: &str) -> String {
    let odoo = odoo_url.map_or_else(String::new, |url| {
        format!("[odoo]\nurl = \"{url}\"\ndatabase = \"test\"\napi_key_file = \"odoo.key\"\n")
    });
    format!(
        "fleet = \"north\"\nplan = \"plan.json\"\n[store]\npath = \"gateway.sqlite\"\n[ingest]\nlisten = \"127.0.0.1:0\"\n\
         certificate = \"gateway.pem\"\nkey = \"gateway.key\"\nclient_ca = \"ca.pem\"\n{ingest}\n[pages]\nlisten = \"127.0.0.1:0\"\n\
         {odoo}[[vehicle]]\nid = \"truck-7\"\n[[device]]\nid = \"box-7\"\nvehicle = \"truck-7\"\n\
         [[device]]\nid = \"box-8\"\nvehicle = \"truck-7\"\n[[device]]\nid = \"box-9\"\nsite = \"yard\"\n\
         [[device]]\nid = \"box-10\"\nsite = \"yard\"\n"
    )
}

const PLAN: &str = r#"{"trips":[{"id":"T1","device":"box-7","stops":[
    {"id":"S1","shipment":"P1","kind":"delivery","lat":47.0,"lon":8.0,"radius_m":100}]}]}"#;
