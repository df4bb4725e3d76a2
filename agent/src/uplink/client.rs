//! Carries requests to the gateway over mutual TLS, one connection kept open.

use std::time::Duration;

use anyhow::Context as _;
use milepost_proto::uplink::{BlobOffer, BlobState};
use milepost_proto::{UplinkAnswer, wire};
use serde::Deserialize;

use super::SendFailure;
use super::classify::{classify, classify_error};

/// Longest time a request may take, from connecting to the end of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client for one gateway.
#[derive(Clone)]
pub struct GatewayClient {
    http: reqwest::Client,
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
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .build()
            .context("failed to set up the connection to the gateway")?;
        Ok(Self { http, url: url.to_owned() })
    }

    /// Sends an encoded request.
    ///
    /// # Errors
    /// The [`SendFailure`] that says what to do about it; the request may still have reached the gateway.
    pub async fn request(&self, envelope: Vec<u8>) -> Result<UplinkAnswer, SendFailure> {
        let request = self
            .http
            .post(format!("{}/v1/batches", self.url))
            .header(reqwest::header::CONTENT_TYPE, wire::CONTENT_TYPE)
            .body(envelope);
        let body = answer(request).await?;
        wire::decode_answer(&body).map_err(|fault| SendFailure::Broken { why: fault.to_string() })
    }

    /// Sends the bytes of a blob from `offset`.
    ///
    /// # Errors
    /// The [`SendFailure`] that says what to do about it.
    pub async fn blob_part(&self, blob: BlobOffer, offset: u64, bytes: Vec<u8>) -> Result<BlobState, SendFailure> {
        let BlobOffer { sha256, size } = blob;
        let request = self.http.put(format!("{}/v1/blobs/{sha256}?offset={offset}&size={size}", self.url)).body(bytes);
        let body = answer(request).await?;
        let PartAnswer { held, complete } =
            serde_json::from_slice(&body).map_err(|error| SendFailure::Broken { why: error.to_string() })?;
        Ok(BlobState { sha256, held, complete })
    }
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
    let body = response.bytes().await.map_err(|error| classify_error(&error))?;
    if status == 200 { Ok(body.into()) } else { Err(classify(status, retry_after_s, &String::from_utf8_lossy(&body))) }
}
