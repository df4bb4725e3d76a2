//! What the driver app hands over, and what it is answered.

use milepost_proto::Sha256;
use milepost_proto::driver_app::{DriverAction, DriverException, Pod};

/// What a driver captured, checked against its own bounds but not yet against the trip.
#[derive(Debug, Clone, PartialEq)]
pub enum DriverCapture {
    /// Proof of delivery.
    Pod(Box<Pod>),
    /// An action.
    Action(Box<DriverAction>),
    /// An exception.
    Exception(Box<DriverException>),
}

impl DriverCapture {
    /// The app's own reference.
    #[must_use]
    pub fn client_ref(&self) -> &str {
        match self {
            Self::Pod(pod) => &pod.client_ref,
            Self::Action(action) => &action.client_ref,
            Self::Exception(exception) => &exception.client_ref,
        }
    }

    /// The stop it is about, if it names one.
    #[must_use]
    pub fn stop(&self) -> Option<&str> {
        match self {
            Self::Pod(pod) => Some(&pod.stop),
            Self::Action(action) => action.stop.as_deref(),
            Self::Exception(exception) => exception.stop.as_deref(),
        }
    }
}

/// The vehicle holds it, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Its sequence in the evidence lane.
    pub sequence: u64,
    /// Whether the same capture had been accepted before; it was not stored again.
    pub duplicate: bool,
}

/// Part of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobPart {
    /// The blob's content address.
    pub sha256: Sha256,
    /// Where the part begins, bytes.
    pub offset: u64,
    /// The part.
    pub bytes: Vec<u8>,
    /// The blob's whole size, bytes, where the sender says so; a part sent without it is the last one.
    pub size: Option<u64>,
}

/// How much of a blob the vehicle holds, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobProgress {
    /// Bytes held from the start.
    pub held: u64,
    /// Whether it is whole and has the hash it was sent under.
    pub complete: bool,
}
