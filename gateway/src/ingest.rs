//! `POST /v1/batches` and `PUT /v1/blobs/{sha256}` over mutual TLS: where devices hand over what they recorded.
//!
//! Promise: whose data it is comes from the client certificate and from nothing else; a receipt is sent only after what
//! it names is durable; whatever a peer sends is answered in one clear sentence and counted by kind, and never stops
//! what others send. Nothing here waits for Odoo or for the fold. What is in memory at once is bounded: at most
//! [`CONNECTIONS_MAX`] connections and [`REQUESTS_MAX`](places::REQUESTS_MAX) bodies, each within the wire's own bounds;
//! beyond that (503), or beyond its own share of that and its own [allowance] (429), a device is told when to come again.

pub mod allowance;
pub mod batches;
pub mod blobs;
pub mod device_places;
pub mod door;
pub mod evidence;
pub mod inspect;
pub mod peer;
pub mod per_device;
pub mod places;
pub mod refusal;
pub mod tls;

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, header};
use axum::routing::{post, put};
use axum_server::Handle;
use axum_server::tls::TlsInfo;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use milepost_proto::FleetId;
use tokio_util::sync::CancellationToken;

use self::allowance::Allowances;
use self::door::Door;
use self::peer::Peer;
use self::per_device::PerDevice;
use self::places::{Place, Places};
use self::refusal::Refused;
use crate::config::LimitsSection;
use crate::metrics::Metrics;
use crate::store::roster::{self, Standing};
use crate::store::{Store, device_key};

/// Most connections open at once.
pub const CONNECTIONS_MAX: usize = 4096;
/// Longest a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest a connection may wait before its first request.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest a connection may be silent: vehicles leave connections behind that nobody closes, and each holds a place.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// How long an HTTP/2 peer that was silent for so long has to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long open requests may take to finish at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// Most log lines a minute about peers that are turned away; the rest are only counted.
const REFUSALS_LOGGED_PER_MINUTE: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// What the handlers share.
pub struct Ingest {
    store: Store,
    fleets: Vec<FleetId>,
    metrics: Metrics,
    places: Places,
    limits: LimitsSection,
    allowances: Allowances,
    log_allowance: DefaultDirectRateLimiter,
}

impl Ingest {
    /// Takes custody for `fleets` into `store`, of each device within `limits`.
    #[must_use]
    pub fn new(store: Store, fleets: Vec<FleetId>, metrics: Metrics, limits: LimitsSection) -> Arc<Self> {
        let log_allowance = RateLimiter::direct(Quota::per_minute(REFUSALS_LOGGED_PER_MINUTE));
        let allowances = Allowances::new(&limits);
        Arc::new(Self { store, fleets, metrics, places: Places::default(), limits, allowances, log_allowance })
    }

    /// Who sent the request, if they may hand anything over.
    fn admit(&self, tls: &TlsInfo) -> Result<Peer, Refused> {
        let mut peer = Peer::from_certificate(tls.peer_certificates.first().map(Vec::as_slice))?;
        if !self.fleets.contains(&peer.fleet_id) {
            return Err(Refused::WrongFleet(peer.fleet_id));
        }
        // A few indexed rows, read here: a device must not wait behind the pages' questions.
        let (standing, keys) = self.store.read_here(|connection| {
            let standing = roster::standing(connection, &peer.fleet_id, &peer.device_id)?;
            Ok((standing, device_key::noted(connection, &peer.fleet_id, &peer.device_id)?))
        })?;
        peer.earlier_keys = keys;
        match standing {
            Standing::Known => Ok(peer),
            Standing::Revoked => Err(Refused::Revoked(peer.device_id)),
            Standing::Unknown => Err(Refused::Unregistered(peer.device_id)),
        }
    }

    /// A place for a request of `peer`, whose body is as long as it says, or as long as it may be.
    fn place(&self, peer: &Peer, request: &Request<Body>, bytes_max: usize) -> Result<Place<'_>, Refused> {
        let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let bytes = declared.and_then(|length| length.parse().ok()).unwrap_or(bytes_max).min(bytes_max);
        self.allowances.take(peer, bytes).map_err(|wait| Refused::TooMuch { wait })?;
        self.places.take(peer).ok_or(Refused::Busy)
    }

    /// Counts and, within the allowance, logs that someone was turned away.
    fn note(&self, refused: &Refused) {
        self.metrics.request(refused.kind());
        if self.log_allowance.check().is_ok() {
            tracing::warn!(kind = refused.kind(), "refused a request: {refused}");
        }
    }

    fn note_failed_handshake(&self, from: Option<&SocketAddr>, error: &std::io::Error) {
        self.metrics.connection_refused(tls::failure_kind(error));
        if self.log_allowance.check().is_ok() {
            let from = from.map(ToString::to_string).unwrap_or_default();
            tracing::warn!(from, "refused a connection: {error}{}", tls::mend(error));
        }
    }
}

/// The routes for devices.
pub fn router(ingest: Arc<Ingest>) -> Router {
    Router::new()
        .route("/v1/batches", post(batches::post))
        .route("/v1/blobs/{sha256}", put(blobs::put))
        .with_state(ingest)
}

/// Serves devices on `listener` until `shutdown`, then lets open requests finish.
///
/// # Errors
/// When the listener cannot be served.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    ingest: Arc<Ingest>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let handle = Handle::new();
    let noted = Arc::clone(&ingest);
    let tls = RustlsAcceptor::new(RustlsConfig::from_config(tls)).acceptor(Door::new(CONNECTIONS_MAX));
    let acceptor = PerDevice::new(tls, ingest.limits.connections);
    let mut server = axum_server::from_tcp(listener)?.acceptor(acceptor);
    server.http_builder().http1().header_read_timeout(SILENCE_MAX);
    server.http_builder().http2().keep_alive_interval(SILENCE_MAX).keep_alive_timeout(PING_TIMEOUT);
    let server = server
        .handle(handle.clone())
        .first_request_timeout(FIRST_REQUEST_TIMEOUT)
        .accept_error_handler(move |from, error| noted.note_failed_handshake(from, error));
    let serving = server.serve(router(ingest).into_make_service());
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return ended,
        () = shutdown.cancelled() => handle.graceful_shutdown(Some(SHUTDOWN_GRACE)),
    }
    serving.await
}

/// The body, if it is within `bytes_max` and arrives in time.
async fn read_body(request: Request<Body>, bytes_max: usize) -> Result<Bytes, Refused> {
    let body = axum::body::to_bytes(request.into_body(), bytes_max);
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if refusal::is_length_limit(&error) => Err(Refused::TooLarge { bytes_max }),
        Ok(Err(_)) => Err(Refused::BrokenOff),
        Err(_) => Err(Refused::TooSlow),
    }
}
