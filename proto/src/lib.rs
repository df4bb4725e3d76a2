//! What the Milepost agent and gateway speak to each other, and nothing else.
//!
//! Promise: everything here is pure. No file, socket, clock, environment or random number is touched, so the same
//! input gives the same output on a vehicle, in the yard and in a simulation. Words are those of the product:
//! a [`Reading`] is one decoded fact, a [`Record`] is a reading sealed with its times, a [`Chunk`] is a run of records
//! sealed together, a [`Batch`] carries chunks of one lane, and a [`Receipt`] is the gateway's durable promise.

pub mod blob;
pub mod chunk;
mod columns;
pub mod config_table;
pub mod driver_app;
pub mod id;
pub mod lane;
pub mod plan;
pub mod ranges;
pub mod reading;
pub mod record;
pub mod seal;
pub mod time;
pub mod uplink;
pub mod wire;

pub use blob::Sha256;
pub use chunk::{Chunk, ChunkBody};
pub use driver_app::{DriverAction, DriverException, Pod};
pub use id::{BootId, DeviceId, FleetId, SiteId, SpoolId, VehicleId};
pub use lane::Lane;
pub use plan::{Plan, Stop, Trip};
pub use ranges::{SequenceRange, SequenceRanges};
pub use reading::{Gap, Position, Reading};
pub use record::{Record, RecordId};
pub use time::{TimeQuality, TimeSource, Timestamp};
pub use uplink::{Batch, DownLinkItem, Receipt, UplinkAnswer, UplinkRequest};
