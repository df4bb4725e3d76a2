//! How many connections one device may have.
//!
//! Promise: a connection takes one of its device's places once its certificate is known and gives it back when it ends,
//! however it ends. One beyond the last is closed and counted; the device comes again by its own backoff. A certificate
//! that names nobody takes no place here: its first request is refused with the reason.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum_server::accept::Accept;
use milepost_proto::{DeviceId, FleetId};
use tokio_rustls::server::TlsStream;

use super::door::Placed;
use super::peer::Peer;

type Sender = (FleetId, DeviceId);

/// Why a connection beyond the last place is closed; it is counted by these words.
pub const TOO_MANY: &str = "the device has as many connections open as it may";

/// Lets in as many connections of each device as it has places.
#[derive(Debug, Clone)]
pub struct PerDevice<A> {
    inner: A,
    places: DevicePlaces,
}

/// The places of all devices.
#[derive(Debug, Clone)]
pub struct DevicePlaces {
    each: u32,
    taken: Arc<Mutex<HashMap<Sender, u32>>>,
}

/// One connection's place.
#[derive(Debug)]
pub struct DevicePlace {
    places: DevicePlaces,
    sender: Sender,
}

impl<A> PerDevice<A> {
    /// Lets in what `inner` lets in, with `each` places for a device.
    #[must_use]
    pub fn new(inner: A, each: u32) -> Self {
        Self { inner, places: DevicePlaces::new(each) }
    }
}

impl DevicePlaces {
    /// All places free, `each` for a device.
    #[must_use]
    pub fn new(each: u32) -> Self {
        Self { each, taken: Arc::default() }
    }

    /// A place for a connection of `sender`, if it has one left.
    #[must_use]
    pub fn take(&self, sender: Sender) -> Option<DevicePlace> {
        let mut taken = self.taken();
        let of_sender = taken.get(&sender).copied().unwrap_or(0);
        if of_sender >= self.each {
            return None;
        }
        taken.insert(sender.clone(), of_sender + 1);
        drop(taken);
        Some(DevicePlace { places: self.clone(), sender })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Sender, u32>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DevicePlace {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        let left = taken.get(&self.sender).map_or(0, |of_sender| of_sender.saturating_sub(1));
        if left == 0 {
            taken.remove(&self.sender);
        } else {
            taken.insert(self.sender.clone(), left);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_devices_places_are_its_own_and_free_again() {
        let places = DevicePlaces::new(2);
        let sender = |name: &str| ("north".parse().expect("a name"), name.parse().expect("a name"));
        let held: Vec<_> = (0..5).filter_map(|_| places.take(sender("box-7"))).collect();
        assert_eq!(held.len(), 2);
        assert!(places.take(sender("box-8")).is_some());
        drop(held);
        assert!(places.take(sender("box-7")).is_some());
        assert!(places.taken().is_empty(), "nobody is remembered who has gone");
    }
}
