//! Carries one JSON-2 request to Odoo and brings back how it ended.
//!
//! Promise: it tells apart a request that never left from one whose answer was lost, because only the second may have
//! changed something. It follows no redirect (a redirected POST would arrive as a GET), reads at most
//! [`BODY_BYTES_MAX`] and always answers within the configured timeout.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use serde_json::Value;

use super::Settings;
use super::classify::Exchange;

/// Largest answer that is read, in bytes; a larger one counts as lost.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest wait for a connection, seconds.
const CONNECT_TIMEOUT_S: u64 = 10;
/// Longest time an idle connection is kept, seconds. Servers close idle connections too; a write that meets one at that
/// moment has an unknown outcome, so ours are closed well before the usual 60 s.
const IDLE_S_MAX: u64 = 15;

/// A way to one database of one Odoo.
#[derive(Debug, Clone)]
pub struct Transport {
    http: reqwest::Client,
    url: String,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSettings {
    /// The key has characters that no header can carry.
    #[error("odoo.api_key has characters other than printable ASCII: the file should hold the key alone")]
    ApiKey,
    /// The database's name has characters that no header can carry.
    #[error("odoo.database has characters other than printable ASCII")]
    Database,
    /// The address is not an HTTP address.
    #[error("odoo.url {0:?} is not an address such as https://odoo.example")]
    Url(String),
    /// The HTTP client could not be built.
    #[error("the HTTP client cannot be set up: {0}")]
    Http(#[from] reqwest::Error),
    /// The dry-run ledger cannot be written.
    #[error("the dry-run ledger {path} cannot be opened: {source}")]
    Ledger {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl Transport {
    /// A transport for these settings; nothing is sent yet.
    ///
    /// # Errors
    /// [`InvalidSettings`].
    pub fn new(settings: &Settings) -> Result<Self, InvalidSettings> {
        let url = settings.url.trim_end_matches('/').to_owned();
        match reqwest::Url::parse(&url) {
            Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.has_host() => {}
            _ => return Err(InvalidSettings::Url(url)),
        }
        let mut bearer = HeaderValue::from_str(&format!("bearer {}", settings.api_key.reveal()))
            .map_err(|_| InvalidSettings::ApiKey)?;
        bearer.set_sensitive(true);
        let database = HeaderValue::from_str(&settings.database).map_err(|_| InvalidSettings::Database)?;
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, bearer),
            (reqwest::header::HeaderName::from_static("x-odoo-database"), database),
        ]);
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .redirect(Policy::none())
            .pool_idle_timeout(Duration::from_secs(IDLE_S_MAX))
            .connect_timeout(Duration::from_secs(CONNECT_TIMEOUT_S))
            .timeout(Duration::from_secs(settings.timeout_s.into()))
            .build()?;
        Ok(Self { http, url })
    }

    /// Calls `method` of `model`.
    pub async fn post(&self, path: &str, body: &Value) -> Exchange {
        self.exchange(self.http.post(format!("{}{path}", self.url)).json(body)).await
    }

    /// Fetches a page that needs no key, such as `/json/version`.
    pub async fn get(&self, path: &str) -> Exchange {
        self.exchange(self.http.get(format!("{}{path}", self.url))).await
    }

    async fn exchange(&self, request: reqwest::RequestBuilder) -> Exchange {
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_builder() => {
                return Exchange::NotSent { why: explain(&error) };
            }
            Err(error) => return Exchange::Lost { why: explain(&error) },
        };
        let status = response.status().as_u16();
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if bytes.len() + chunk.len() > BODY_BYTES_MAX => {
                    return Exchange::Lost { why: format!("it is larger than {BODY_BYTES_MAX} bytes") };
                }
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return Exchange::Answered { status, body: serde_json::from_slice(&bytes).ok() },
                Err(error) => return Exchange::Lost { why: explain(&error) },
            }
        }
    }
}

/// The innermost cause, which is the one that names what happened ("Connection refused").
fn explain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
