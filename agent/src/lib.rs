//! The Milepost agent: records what happens to a vehicle, keeps it safe while offline, and hands it over without loss.
