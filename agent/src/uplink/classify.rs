//! What an answer of the gateway means: one pure match over its status.
//!
//! Promise: only a 200 whose body decodes lets records leave the spool; everything else keeps them and says why.

use milepost_proto::wire::{WireFault, WireVersion};
use rustls::AlertDescription;

/// Why a request brought no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendFailure {
    /// No connection, or it broke: try again.
    #[error("the gateway cannot be reached: {why}")]
    Unreachable {
        /// What the network said.
        why: String,
    },
    /// The gateway does not want this device: nothing to retry until a person mends it.
    #[error("the gateway refuses this device: {why}; check that it is registered and its certificate is valid")]
    Denied {
        /// What the gateway said.
        why: String,
    },
    /// The two ends speak no version in common: nothing to retry until one of them is updated.
    #[error("the gateway and this agent speak no version in common: {why}")]
    Outdated {
        /// What the gateway said, and which end to update.
        why: String,
    },
    /// What answers there is no gateway: nothing to retry until the address is mended.
    #[error("what answers there is no gateway: {why}; check url in [gateway]")]
    NoGateway {
        /// What it said.
        why: String,
    },
    /// The gateway does not take what this request carries: something in it is at fault.
    #[error("the gateway refuses the request: {why}")]
    Refused {
        /// What the gateway said.
        why: String,
    },
    /// The gateway's answer neither takes nor refuses what was sent.
    #[error("the gateway's answer covers nothing of what was sent")]
    Uncovered,
    /// The request was too large: send less.
    #[error("the gateway finds the request too large; sending less")]
    TooLarge,
    /// The gateway is busy.
    #[error("the gateway is busy and asks to wait {} s", retry_after_ms / 1000)]
    Busy {
        /// How long it asks to wait, milliseconds.
        retry_after_ms: u64,
    },
    /// The gateway failed, or what answers is no gateway.
    #[error("the gateway failed: {why}")]
    Broken {
        /// What it said.
        why: String,
    },
}

/// The wire version this agent speaks.
const VERSION: u8 = WireVersion::CURRENT as u8;
/// Longest wait a gateway can ask for, milliseconds.
const RETRY_AFTER_MS_MAX: u64 = 600_000;

/// What a status other than 200 means. `retry_after_s` is the header of that name, `body` what a person may read.
#[must_use]
pub fn classify(status: u16, retry_after_s: Option<u64>, body: &str) -> SendFailure {
    let why = format!("{status} {}", body.chars().take(200).collect::<String>()).trim_end().to_owned();
    match status {
        401 | 403 => SendFailure::Denied { why },
        400 | 422 => SendFailure::Refused { why },
        404 | 405 | 415 => SendFailure::NoGateway { why },
        413 => SendFailure::TooLarge,
        426 => SendFailure::Outdated { why: format!("{why}; {}", older_end(body)) },
        429 | 503 => SendFailure::Busy {
            retry_after_ms: retry_after_s.unwrap_or(1).saturating_mul(1_000).min(RETRY_AFTER_MS_MAX),
        },
        _ => SendFailure::Broken { why },
    }
}

/// Which end to update, as far as the gateway says what it speaks ("… this build speaks 0 to 3; …").
fn older_end(body: &str) -> &'static str {
    let spoken = body.split_once("speaks ").map_or("", |(_, rest)| rest.split(';').next().unwrap_or_default());
    match spoken.split(' ').filter_map(|word| word.parse::<u8>().ok()).max() {
        Some(newest) if newest > VERSION => "update this agent",
        Some(newest) if newest < VERSION => "update the gateway",
        _ => "update the older of the two",
    }
}

/// What an answer that does not decode means: one of a version not spoken here names the end to update.
#[must_use]
pub fn classify_fault(fault: &WireFault) -> SendFailure {
    match fault {
        WireFault::Version(version) => {
            let end = if *version > VERSION { "this agent" } else { "the gateway" };
            let why = format!("it answers in version {version}, this agent speaks {VERSION}; update {end}");
            SendFailure::Outdated { why }
        }
        fault => SendFailure::Broken { why: fault.to_string() },
    }
}

/// What a failed connection means: a TLS alert about our certificate is a refusal, everything else may pass.
#[must_use]
pub fn classify_error(error: &(dyn std::error::Error + 'static)) -> SendFailure {
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(alert) = tls_alert(error) {
            return SendFailure::Denied { why: format!("TLS alert {alert:?}") };
        }
        why = error.to_string();
        cause = error.source();
    }
    SendFailure::Unreachable { why }
}

/// Alerts with which the other end refuses our certificate (RFC 8446 section 6.2).
const CERTIFICATE_ALERTS: [AlertDescription; 9] = [
    AlertDescription::AccessDenied,
    AlertDescription::BadCertificate,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateRequired,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateUnknown,
    AlertDescription::DecryptError,
    AlertDescription::UnknownCA,
    AlertDescription::UnsupportedCertificate,
];

/// The alert with which the other end refused our certificate, if that is what `error` is. It is told by its text,
/// because HTTP/2 passes on the words of a TLS error but not the error.
fn tls_alert(error: &dyn std::error::Error) -> Option<AlertDescription> {
    let text = error.to_string();
    let received = |alert: &AlertDescription| text.ends_with(&rustls::Error::AlertReceived(*alert).to_string());
    CERTIFICATE_ALERTS.into_iter().find(received)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_meaning() {
        let check = |status, retry_after_s| match classify(status, retry_after_s, "because") {
            SendFailure::Denied { .. } => "denied",
            SendFailure::Outdated { .. } => "outdated",
            SendFailure::NoGateway { .. } => "no gateway",
            SendFailure::Refused { .. } => "refused",
            SendFailure::Uncovered => "uncovered",
            SendFailure::TooLarge => "too large",
            SendFailure::Busy { retry_after_ms: 1_000 } => "busy 1 s",
            SendFailure::Busy { retry_after_ms: RETRY_AFTER_MS_MAX } => "busy max",
            SendFailure::Busy { .. } => "busy",
            SendFailure::Broken { .. } => "broken",
            SendFailure::Unreachable { .. } => "unreachable",
        };
        assert_eq!(check(401, None), "denied");
        assert_eq!(check(403, None), "denied");
        assert_eq!(check(400, None), "refused");
        assert_eq!(check(422, None), "refused");
        assert_eq!(check(404, None), "no gateway");
        assert_eq!(check(426, None), "outdated");
        assert_eq!(check(413, None), "too large");
        assert_eq!(check(503, None), "busy 1 s");
        assert_eq!(check(503, Some(u64::MAX)), "busy max");
        assert_eq!(check(429, Some(7)), "busy");
        assert_eq!(check(500, None), "broken");
        assert_eq!(check(204, None), "broken", "success without a receipt settles nothing");
        assert_eq!(check(302, None), "broken");
    }

    #[test]
    fn an_end_that_is_too_old_is_named() {
        let why = |version| classify_fault(&WireFault::Version(version)).to_string();
        assert!(why(VERSION + 1).ends_with("update this agent"));
        let says =
            |newest: u8| format!("wire version 9 is not spoken here, this build speaks 0 to {newest}; update it");
        assert!(classify(426, None, &says(VERSION + 1)).to_string().ends_with("update this agent"));
        assert!(classify(426, None, &says(VERSION - 1)).to_string().ends_with("update the gateway"));
        let own = WireFault::Version(VERSION).to_string();
        assert!(classify(426, None, &own).to_string().ends_with("update the older of the two"));
        assert!(classify(426, None, "").to_string().ends_with("update the older of the two"));
        assert!(matches!(classify_fault(&WireFault::Magic), SendFailure::Broken { .. }));
    }

    #[test]
    fn a_certificate_alert_is_a_refusal_and_a_reset_is_not() {
        #[derive(Debug, thiserror::Error)]
        #[error("request failed")]
        struct Outer(#[source] std::io::Error);

        let alert = rustls::Error::AlertReceived(AlertDescription::UnknownCA);
        let refused = Outer(std::io::Error::other(alert));
        assert!(matches!(classify_error(&refused), SendFailure::Denied { .. }));
        let reset = Outer(std::io::ErrorKind::ConnectionReset.into());
        assert!(matches!(classify_error(&reset), SendFailure::Unreachable { .. }));
    }
}
