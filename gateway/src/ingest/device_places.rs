//! How many of something each device has at once.
//!
//! Promise: a device never has more than its share, whoever else asks; a place is free again when it is dropped, and a
//! device that has none is not remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use milepost_proto::{DeviceId, FleetId};

type Sender = (FleetId, DeviceId);

/// The places of all devices.
#[derive(Debug, Clone)]
pub struct DevicePlaces {
    each: u32,
    taken: Arc<Mutex<HashMap<Sender, u32>>>,
}

/// One place of a device.
#[derive(Debug)]
pub struct DevicePlace {
    places: DevicePlaces,
    sender: Sender,
}

impl DevicePlaces {
    /// All places free, `each` for a device.
    #[must_use]
    pub fn new(each: u32) -> Self {
        Self { each, taken: Arc::default() }
    }

    /// A place for `sender`, if it has one left.
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

    pub(super) fn taken(&self) -> MutexGuard<'_, HashMap<Sender, u32>> {
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
