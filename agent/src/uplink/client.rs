//! Carries requests to the gateway over mutual TLS, one connection kept open.
//!
//! Promise: records and the device's certificate go to the configured address and nowhere else, whatever it answers; an
//! answer is read up to its bound and not beyond.

use std::time::Duration;

use anyhow::Context as _;
use milepost_proto::uplink::{BlobOffer, BlobState};
use milepost_proto::{SpoolId, UplinkAnswer, wire};
use serde::Deserialize;

use super::SendFailure;
use super::classify::{classify, classify_error, classify_fault};

/// Longest time connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence after a small request.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(15);
/// What the slowest link that is worth waiting for carries in a second, bytes; a large request gets that much more time.
const BYTES_PER_S_MIN: u64 = 4 * 1024;
/// Longest time any request may take.
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(120);
/// How often the other end is asked for a sign of life while a request is under way (HTTP/2 pings)…
const PING_EVERY: Duration = Duration::from_secs(5);
/// … and how long it may take to give one: a link that was lost without a word is noticed after the sum of both.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// A client for one gateway.
#[derive(Clone)]
pub struct GatewayClient {
    usual: reqwest::Client,
    /// Connections of its own for what must not wait behind a request that hangs.
    spare: reqwest::Client,
    url: String,
}

/// What the gateway answers to part of a blob.
#[derive(Deserialize)]
struct PartAnswer {
    held: u64,
    complete: bool,
}

impl GatewayClient {
    /// A client for the gateway at `url` that proves itself by `tls`.
    ///
    /// # Errors
    /// When the TLS set-up cannot be used.
    pub fn new(url: &str, tls: rustls::ClientConfig) -> anyhow::Result<Self> {
        let client = |tls: rustls::ClientConfig| {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls)
                .connect_timeout(CONNECT_TIMEOUT)
                .http2_keep_alive_interval(PING_EVERY)
                .http2_keep_alive_timeout(PING_TIMEOUT)
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .context("failed to set up the connection to the gateway")
        };
        Ok(Self { usual: client(tls.clone())?, spare: client(tls)?, url: url.to_owned() })
    }

    const fn connection(&self, spare: bool) -> &reqwest::Client {
        if spare { &self.spare } else { &self.usual }
    }

    /// Sends an encoded request about spool `asked`; by a connection that carries nothing else when `spare` says so.
    ///
    /// # Errors
    /// The [`SendFailure`] that says what to do about it; the request may still have reached the gateway.
    pub async fn request(&self, envelope: Vec<u8>, asked: SpoolId, spare: bool) -> Result<UplinkAnswer, SendFailure> {
        let request = self
            .connection(spare)
            .post(format!("{}/v1/batches", self.url))
            .header(reqwest::header::CONTENT_TYPE, wire::CONTENT_TYPE)
            .timeout(timeout(envelope.len()))
            .body(envelope);
        let body = answer(request).await?;
        wire::decode_answer(&body, asked).map_err(|fault| classify_fault(&fault))
    }

    /// Sends the bytes of a blob from `offset`.
    ///
    /// # Errors
    /// The [`SendFailure`] that says what to do about it.
    pub async fn blob_part(
        &self,
        blob: BlobOffer,
        offset: u64,
        bytes: Vec<u8>,
        spare: bool,
    ) -> Result<BlobState, SendFailure> {
        let BlobOffer { sha256, size } = blob;
        let url = format!("{}/v1/blobs/{sha256}?offset={offset}&size={size}", self.url);
        let request = self.connection(spare).put(url).timeout(timeout(bytes.len())).body(bytes);
        let body = answer(request).await?;
        let PartAnswer { held, complete } =
            serde_json::from_slice(&body).map_err(|error| SendFailure::Broken { why: error.to_string() })?;
        Ok(BlobState { sha256, held, complete })
    }
}

/// How long a request with a body of `bytes` may take, from connecting to the end of the answer.
fn timeout(bytes: usize) -> Duration {
    let carrying = Duration::from_secs(bytes as u64 / BYTES_PER_S_MIN);
    (SILENCE_TIMEOUT + carrying).min(REQUEST_TIMEOUT_MAX)
}

/// The body of a 200.
async fn answer(request: reqwest::RequestBuilder) -> Result<Vec<u8>, SendFailure> {
    let response = request.send().await.map_err(|error| classify_error(&error))?;
    let status = response.status().as_u16();
    let retry_after_s = response
        .headers()
        .get(reqwest::header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse().ok());
    let body = bounded_body(response).await?;
    if status == 200 { Ok(body) } else { Err(classify(status, retry_after_s, &String::from_utf8_lossy(&body))) }
}

async fn bounded_body(mut response: reqwest::Response) -> Result<Vec<u8>, SendFailure> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| classify_error(&error))? {
        body.extend_from_slice(&piece);
        if body.len() > wire::ENVELOPE_BYTES_MAX {
            let why = format!("its answer has more than the {} bytes allowed", wire::ENVELOPE_BYTES_MAX);
            return Err(SendFailure::Broken { why });
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// The spool that the golden answers speak of.
    const SPOOL: SpoolId = SpoolId([0x51; 16]);
    const GOLDEN: [&[u8]; 2] = [
        include_bytes!("../../../proto/tests/golden/v0-answer.bin"),
        include_bytes!("../../../proto/tests/golden/v1-answer.bin"),
    ];

    /// Gateways of every released version are understood.
    #[tokio::test]
    async fn golden_answers_are_read() {
        for golden in GOLDEN {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", golden.len());
            let answer = answered([head.as_bytes(), golden].concat()).await.expect("an answer");
            let [telemetry, other] = &answer.receipts[..] else { panic!("{answer:?}") };
            assert_eq!((telemetry.spool_id, telemetry.through), (SPOOL, 99));
            assert_eq!((telemetry.accepted.len(), telemetry.refused.len()), (2, 1));
            assert_ne!(other.spool_id, SPOOL, "a receipt for another spool settles nothing of this one");
            assert_eq!((answer.down_link[0].version, answer.blobs[0].held), (8, 65_536));
        }
    }

    /// What a gateway of version 0 says to a request of version 1: the agent stops, shows why, and asks again now and then.
    #[tokio::test]
    async fn an_older_gateway_is_asked_to_be_updated_and_nothing_is_lost() {
        let text =
            "the batch is refused: wire version 1 is not spoken here, this build speaks 0; update the older end\n";
        let answer = format!("HTTP/1.1 426 Upgrade Required\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        let SendFailure::Outdated { why } = outcome(answer).await else { panic!("taken for something else") };
        assert!(why.contains("426") && why.contains("update the older end"), "{why}");
    }

    /// What the client makes of a server that answers every request with `answer`.
    async fn outcome(answer: impl Into<Vec<u8>>) -> SendFailure {
        answered(answer).await.expect_err("no answer of a gateway")
    }

    async fn answered(answer: impl Into<Vec<u8>>) -> Result<UplinkAnswer, SendFailure> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let answer = answer.into();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1_024];
                let heard = stream.read(&mut request).await.expect("a request");
                assert!(heard > 0, "a request");
                // A client that has heard enough hangs up.
                stream.write_all(&answer).await.ok();
            }
        });
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let roots = rustls::RootCertStore::empty();
        let tls = versions.expect("versions").with_root_certificates(roots).with_no_client_auth();
        let client = GatewayClient::new(&url, tls).expect("a client");
        client.request(b"records".to_vec(), SPOOL, false).await
    }

    #[test]
    fn a_large_request_gets_time_a_small_one_does_not_wait_long() {
        assert_eq!(timeout(500), SILENCE_TIMEOUT);
        assert_eq!(timeout(256 * 1024), SILENCE_TIMEOUT + Duration::from_secs(64));
        assert_eq!(timeout(8 << 20), REQUEST_TIMEOUT_MAX);
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let answer = "HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(outcome(answer).await, SendFailure::Broken { why: "307".to_owned() });
    }

    #[tokio::test]
    async fn an_endless_answer_is_left_at_its_bound() {
        let mut answer = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n".to_vec();
        answer.resize(wire::ENVELOPE_BYTES_MAX * 2, b'x');
        let SendFailure::Broken { why } = outcome(answer).await else { panic!("taken for something else") };
        assert!(why.contains("more than"), "{why}");
    }

    #[tokio::test]
    async fn an_answer_cut_in_half_is_no_answer() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nMPST";
        assert!(matches!(outcome(answer).await, SendFailure::Unreachable { .. }));
    }
}
