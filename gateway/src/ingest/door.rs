//! How many devices may be connected at once.
//!
//! Promise: a connection takes its place before the handshake costs anything and gives it back when it ends, however it
//! ends; beyond the last place connections are closed, counted, and the device comes again by its own backoff.

use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum_server::accept::Accept;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_service::Service;

/// Lets in as many connections as there are places.
#[derive(Debug, Clone)]
pub struct Door {
    places: Arc<Semaphore>,
}

impl Door {
    /// A door with this many places.
    #[must_use]
    pub fn new(connections_max: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(connections_max)) }
    }
}

impl<I, S> Accept<I, S> for Door {
    type Stream = I;
    type Service = Placed<S, OwnedSemaphorePermit>;
    type Future = Ready<io::Result<(I, Self::Service)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        ready(match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => Ok((stream, Placed::new(service, place))),
            Err(_) => Err(io::Error::new(io::ErrorKind::ResourceBusy, "as many connections as allowed are open")),
        })
    }
}

/// A connection's service, which holds its place, whatever a place is.
#[derive(Debug)]
pub struct Placed<S, P> {
    service: S,
    place: Arc<P>,
}

impl<S, P> Placed<S, P> {
    /// `service` for as long as it lives in `place`.
    pub fn new(service: S, place: P) -> Self {
        Self { service, place: Arc::new(place) }
    }
}

impl<S: Clone, P> Clone for Placed<S, P> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), place: Arc::clone(&self.place) }
    }
}

impl<S: Service<R>, P, R> Service<R> for Placed<S, P> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.service.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_free_again_when_its_connection_ends() {
        let door = Door::new(1);
        let (_, first) = door.accept((), "service").await.expect("a place");
        let refused = door.accept((), "service").await.expect_err("none left");
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        drop(first);
        assert!(door.accept((), "service").await.is_ok());
    }
}
