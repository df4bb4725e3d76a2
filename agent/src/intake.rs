//! The driver app's way in, whichever way it comes.
//!
//! Promise: whoever hands something over gets one answer: *accepted*, after the commit that holds it, or a
//! [`Rejection`](milepost_proto::driver_app::Rejection) with a code for the app, a sentence for the driver and the
//! mend. Until an app has heard *accepted* it keeps its copy; whatever it sends twice is stored once. Nothing a client
//! sends stops what another one sends.
//!
//! [`contract`] reads and checks captures, [`blob`] parts of photos and signatures; both are pure and the same for
//! every transport. [`topic`] names the MQTT topics, [`mqtt`] and [`http`] carry the bytes.

pub mod blob;
pub mod contract;
pub mod http;
pub mod mqtt;
pub mod topic;

use serde::Serialize;

use crate::capture::{Accepted, BlobProgress};

/// The JSON answer to a capture that was accepted: `{"sequence":7,"duplicate":false}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AcceptedAnswer {
    sequence: u64,
    duplicate: bool,
}

impl From<Accepted> for AcceptedAnswer {
    fn from(Accepted { sequence, duplicate }: Accepted) -> Self {
        Self { sequence, duplicate }
    }
}

/// The JSON answer to a blob part that was accepted: `{"held":262144,"complete":false}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BlobAnswer {
    held: u64,
    complete: bool,
}

impl From<BlobProgress> for BlobAnswer {
    fn from(BlobProgress { held, complete }: BlobProgress) -> Self {
        Self { held, complete }
    }
}
