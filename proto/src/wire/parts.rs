//! What every wire version tells alike: enums by their place, and payloads as postcard.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{PAYLOAD_BYTES_MAX, WireFault};
use crate::lane::Lane;
use crate::uplink::DownLinkKind;

/// A message as postcard.
pub(super) fn payload<T: Serialize>(message: &T) -> Result<Vec<u8>, WireFault> {
    let payload = postcard::to_stdvec(message).map_err(|error| WireFault::Payload(error.to_string()))?;
    if payload.len() > PAYLOAD_BYTES_MAX { Err(WireFault::TooLarge(payload.len())) } else { Ok(payload) }
}

/// The number a lane has on the wire.
pub(super) const fn lane_place(lane: Lane) -> u8 {
    match lane {
        Lane::Evidence => 0,
        Lane::Event => 1,
        Lane::Telemetry => 2,
    }
}

/// The lane with this number.
pub(super) fn lane(place: u8) -> Result<Lane, WireFault> {
    Lane::ALL
        .into_iter()
        .find(|lane| lane_place(*lane) == place)
        .ok_or_else(|| WireFault::Payload(format!("there is no lane {place}; update the older end")))
}

/// The number a kind of down-link item has on the wire.
pub(super) const fn kind_place(kind: DownLinkKind) -> u8 {
    match kind {
        DownLinkKind::Trip => 0,
    }
}

/// The kind with this number; nothing for one that this build does not know and could do nothing with.
pub(super) const fn kind(place: u8) -> Option<DownLinkKind> {
    match place {
        0 => Some(DownLinkKind::Trip),
        _ => None,
    }
}

/// Bytes in one piece: their count, then themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Self)
    }
}
