//! A reading sealed with its three times and its place in a sequence.

use serde::{Deserialize, Serialize};

use crate::id::{DeviceId, FleetId, SpoolId};
use crate::lane::Lane;
use crate::reading::Reading;
use crate::seal::EvidenceSeal;
use crate::time::{TimeQuality, Timestamp};

/// The name of a record, unique for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordId {
    /// Whose data.
    pub fleet_id: FleetId,
    /// Which device.
    pub device_id: DeviceId,
    /// Which spool file on that device.
    pub spool_id: SpoolId,
    /// Which lane.
    pub lane: Lane,
    /// Place in the lane, from 1, contiguous.
    pub sequence: u64,
}

impl std::fmt::Display for RecordId {
    /// `fleet/device/spool/lane/sequence`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/{}/{}", self.fleet_id, self.device_id, self.spool_id, self.lane, self.sequence)
    }
}

/// A reading with its times. Its sequence follows from its place in its chunk; its boot is its chunk's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When it happened, as its source says.
    pub event_time: Timestamp,
    /// When the agent recorded it: milliseconds on the device's monotonic clock since this boot.
    pub monotonic_ms: u64,
    /// How far `event_time` can be trusted.
    pub time_quality: TimeQuality,
    /// What happened.
    pub reading: Reading,
    /// The evidence lane's hash chain and signature; absent in the other lanes.
    pub seal: Option<EvidenceSeal>,
}
