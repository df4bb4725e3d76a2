//! Why a request is not taken, and what its sender is told.
//!
//! Promise: every refusal has one status, one sentence that names the mend, and one kind to count it by. A device may
//! try again on 429 and 503, when it is told to; on any other 4xx the same bytes will be refused again.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use milepost_proto::wire::WireFault;
use milepost_proto::{DeviceId, FleetId};

use crate::store::StoreFault;

/// When a device should come again after a 503.
const RETRY_AFTER_S: u64 = 2;

/// Why a request is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The certificate does not say who this is.
    #[error("the client certificate names no device: {0}; its subject needs O=<fleet> and CN=<device>, enroll again")]
    NoIdentity(String),
    /// The certificate is of a fleet this gateway does not serve.
    #[error("fleet {0} is not served here: check the agent's gateway address, or fleet in gateway.toml")]
    WrongFleet(FleetId),
    /// Nobody added this device.
    #[error("device {0} is not registered: add it with `milepost-gateway device add {0}` or a [[device]] entry")]
    Unregistered(DeviceId),
    /// Somebody revoked this device.
    #[error("device {0} was revoked: `milepost-gateway device add {0}` lets it in again")]
    Revoked(DeviceId),
    /// The bytes are no request.
    #[error("the batch is refused: {0}")]
    Wire(#[from] WireFault),
    /// More bytes than allowed.
    #[error("the body is larger than the {bytes_max} bytes allowed here; send less at once")]
    TooLarge {
        /// How many are allowed.
        bytes_max: usize,
    },
    /// The connection broke inside the body.
    #[error("the body broke off; send it again")]
    BrokenOff,
    /// The body did not arrive in time.
    #[error("the body took too long to arrive; send less at once")]
    TooSlow,
    /// As many requests as allowed are being taken.
    #[error("the gateway is taking as many requests as it can; come again shortly")]
    Busy,
    /// The device asks for more than its allowance.
    #[error(
        "this device asks for more than requests_per_s and bytes_per_s in [ingest] of gateway.toml allow: come again in \
         {} s; look why it sends so much", whole_s(*wait)
    )]
    TooMuch {
        /// When there is enough again.
        wait: Duration,
    },
    /// The store failed.
    #[error("the gateway cannot keep anything right now: {0}")]
    Store(StoreFault),
    /// A blob's name or part is unusable.
    #[error("the blob is refused: {0}")]
    Blob(String),
}

impl From<StoreFault> for Refused {
    fn from(fault: StoreFault) -> Self {
        match fault {
            StoreFault::Busy => Self::Busy,
            fault => Self::Store(fault),
        }
    }
}

impl Refused {
    /// The status it is answered with.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::NoIdentity(_) | Self::WrongFleet(_) | Self::Unregistered(_) | Self::Revoked(_) => {
                StatusCode::FORBIDDEN
            }
            Self::Wire(WireFault::Version(_)) => StatusCode::UPGRADE_REQUIRED,
            Self::Wire(WireFault::TooLarge(_) | WireFault::Bomb(_) | WireFault::Bound { .. })
            | Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Wire(_) | Self::BrokenOff | Self::Blob(_) => StatusCode::BAD_REQUEST,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooMuch { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The word it is counted by.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoIdentity(_) => "no_identity",
            Self::WrongFleet(_) => "wrong_fleet",
            Self::Unregistered(_) => "unregistered",
            Self::Revoked(_) => "revoked",
            Self::Wire(fault) => wire_kind(fault),
            Self::TooLarge { .. } => "too_large",
            Self::BrokenOff => "broken_off",
            Self::TooSlow => "too_slow",
            Self::Busy => "busy",
            Self::TooMuch { .. } => "too_much",
            Self::Store(_) => "store_failed",
            Self::Blob(_) => "blob_refused",
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = self.status();
        let retry_s = match &self {
            Self::TooMuch { wait } => Some(whole_s(*wait)),
            Self::Busy | Self::Store(_) => Some(RETRY_AFTER_S),
            _ => None,
        };
        let content = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
        let mut response = (status, [content], format!("{self}\n")).into_response();
        if let Some(retry_s) = retry_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_s));
        }
        response
    }
}

/// Whole seconds that are not too early, and at least one.
fn whole_s(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// Whether reading a body failed because it was longer than allowed.
#[must_use]
pub fn is_length_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        // The limiting body's own error type is not exported by axum; its text is all there is to tell it by.
        if error.to_string() == "length limit exceeded" {
            return true;
        }
        cause = error.source();
    }
    false
}

const fn wire_kind(fault: &WireFault) -> &'static str {
    match fault {
        WireFault::Truncated(_) => "wire_truncated",
        WireFault::TooLarge(_) => "wire_too_large",
        WireFault::Magic => "wire_magic",
        WireFault::Version(_) => "wire_version",
        WireFault::Kind(_) => "wire_kind",
        WireFault::Checksum => "wire_checksum",
        WireFault::Bomb(_) => "wire_bomb",
        WireFault::Compression(_) => "wire_compression",
        WireFault::Payload(_) => "wire_payload",
        WireFault::Bound { .. } => "wire_bound",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device gives up on 4xx and comes again after 503: the difference decides whether data waits or is lost.
    #[test]
    fn each_refusal_tells_the_device_whether_to_come_again() {
        let device = || "box-7".parse().expect("a name");
        let check = |refused: Refused, status: u16, comes_again: bool| {
            let response = refused.into_response();
            let retry = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!((response.status().as_u16(), retry), (status, comes_again));
        };
        check(Refused::Busy, 503, true);
        let waited = Refused::TooMuch { wait: Duration::from_millis(2001) }.into_response();
        assert_eq!(waited.headers()[header::RETRY_AFTER], "3", "never too early");
        check(StoreFault::Busy.into(), 503, true);
        check(StoreFault::Closed.into(), 503, true);
        check(Refused::Revoked(device()), 403, false);
        check(WireFault::Checksum.into(), 400, false);
        check(WireFault::Version(7).into(), 426, false);
        check(WireFault::Bomb(1).into(), 413, false);
        check(Refused::TooSlow, 408, false);
        check(Refused::TooMuch { wait: Duration::from_millis(1) }, 429, true);
    }
}
