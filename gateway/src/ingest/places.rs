//! Who may hand something over at the same time.
//!
//! Promise: at most [`REQUESTS_MAX`] bodies are held at once, of which one device has at most
//! [`REQUESTS_PER_DEVICE_MAX`], so that a device that sends byte by byte shuts nobody out but itself. A place is free
//! again when its request ends, however it ends.

use tokio::sync::{Semaphore, SemaphorePermit};

use super::device_places::{DevicePlace, DevicePlaces};
use super::peer::Peer;

/// Most requests whose bodies are held at once.
pub const REQUESTS_MAX: usize = 32;
/// Most of them from one device: a batch, a photo, and the same again on a connection that is not known to be dead yet.
pub const REQUESTS_PER_DEVICE_MAX: u32 = 4;

/// The places.
#[derive(Debug)]
pub struct Places {
    all: Semaphore,
    of_device: DevicePlaces,
}

/// One request's place.
#[derive(Debug)]
pub struct Place<'p> {
    _of_device: DevicePlace,
    _permit: SemaphorePermit<'p>,
}

impl Default for Places {
    /// All places free.
    fn default() -> Self {
        Self { all: Semaphore::new(REQUESTS_MAX), of_device: DevicePlaces::new(REQUESTS_PER_DEVICE_MAX) }
    }
}

impl Places {
    /// A place for a request of `peer`, if there is one for it.
    pub fn take(&self, peer: &Peer) -> Option<Place<'_>> {
        let of_device = self.of_device.take((peer.fleet_id.clone(), peer.device_id.clone()))?;
        Some(Place { _of_device: of_device, _permit: self.all.try_acquire().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(device: &str) -> Peer {
        Peer {
            fleet_id: "north".parse().expect("a name"),
            device_id: device.parse().expect("a name"),
            public_key: Vec::new(),
            earlier_keys: Vec::new(),
        }
    }

    #[test]
    fn a_device_that_takes_all_it_can_leaves_room_for_the_others() {
        let places = Places::default();
        let (greedy, modest) = (peer("greedy"), peer("modest"));
        let held: Vec<_> = (0..REQUESTS_MAX).filter_map(|_| places.take(&greedy)).collect();
        assert_eq!(u32::try_from(held.len()), Ok(REQUESTS_PER_DEVICE_MAX));
        assert!(places.take(&modest).is_some());
        drop(held);
        assert!(places.take(&greedy).is_some(), "free again");
        assert!(places.of_device.taken().is_empty(), "nobody is remembered who sends nothing");
    }

    #[test]
    fn all_together_are_bounded() {
        let places = Places::default();
        let peers: Vec<Peer> = (0..2 * REQUESTS_MAX).map(|number| peer(&format!("box-{number}"))).collect();
        let held: Vec<_> = peers.iter().filter_map(|peer| places.take(peer)).collect();
        assert_eq!(held.len(), REQUESTS_MAX);
    }
}
