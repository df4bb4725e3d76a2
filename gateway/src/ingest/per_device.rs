//! How many connections one device may have.
//!
//! Promise: a connection takes one of its device's places once its certificate is known and gives it back when it ends,
//! however it ends. One beyond the last is closed and counted; the device comes again by its own backoff. A certificate
//! that names nobody takes no place here: its first request is refused with the reason.

use std::future::Future;
use std::io;
use std::pin::Pin;

use axum_server::accept::Accept;
use tokio_rustls::server::TlsStream;

use super::device_places::{DevicePlace, DevicePlaces};
use super::door::Placed;
use super::peer::Peer;

/// Why a connection beyond the last place is closed; it is counted by these words.
pub const TOO_MANY: &str = "the device has as many connections open as it may";

/// Lets in as many connections of each device as it has places.
#[derive(Debug, Clone)]
pub struct PerDevice<A> {
    inner: A,
    places: DevicePlaces,
}

impl<A> PerDevice<A> {
    /// Lets in what `inner` lets in, with `each` places for a device.
    #[must_use]
    pub fn new(inner: A, each: u32) -> Self {
        Self { inner, places: DevicePlaces::new(each) }
    }
}

type Accepting<S, T> = Pin<Box<dyn Future<Output = io::Result<(S, T)>> + Send>>;

impl<A, I, S, T> Accept<I, S> for PerDevice<A>
where
    A: Accept<I, S, Stream = TlsStream<T>>,
    A::Future: Send + 'static,
    A::Service: Send,
    T: Send + 'static,
{
    type Stream = TlsStream<T>;
    type Service = Placed<A::Service, Option<DevicePlace>>;
    type Future = Accepting<Self::Stream, Self::Service>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let (accepting, places) = (self.inner.accept(stream, service), self.places.clone());
        Box::pin(async move {
            let (stream, service) = accepting.await?;
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let peer = Peer::from_certificate(certificate.map(AsRef::as_ref));
            let place = match peer {
                Ok(peer) => Some(places.take((peer.fleet_id, peer.device_id)).ok_or_else(too_many)?),
                Err(_) => None,
            };
            Ok((stream, Placed::new(service, place)))
        })
    }
}

fn too_many() -> io::Error {
    io::Error::new(io::ErrorKind::QuotaExceeded, TOO_MANY)
}
