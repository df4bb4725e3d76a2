//! Who may speak to the local pages: the vehicle's own network, not a web site in the driver's browser.
//!
//! Promise, in two rules that need no configuration. A page from elsewhere cannot write: its `Origin` is not this
//! host's. It cannot read either, by pointing its own name at the vehicle's address (DNS rebinding): a `Host` is
//! accepted only if it is an address or a name that nobody can register in the public DNS. JSON and PUT make browsers
//! ask first in any case, and nobody answers that question.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Endings that the public DNS never serves (RFC 6761, 6762, 8375; `.internal` is reserved by ICANN).
const LOCAL_ENDINGS: [&str; 5] = [".local", ".localhost", ".internal", ".home.arpa", ".lan"];

/// Refuses requests from web sites elsewhere.
pub(super) async fn refuse_foreign(request: Request, next: Next) -> Response {
    // HTTP/2 has the host in the address instead of a header.
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let host = header_text(request.headers(), &header::HOST).or(authority.as_deref()).unwrap_or_default();
    match check(host, header_text(request.headers(), &header::ORIGIN)) {
        Ok(()) => next.run(request).await,
        Err(why) => (StatusCode::FORBIDDEN, why).into_response(),
    }
}

/// The header's text; empty where it is there but is no text, so that it matches nothing.
fn header_text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

fn check(host: &str, origin: Option<&str>) -> Result<(), &'static str> {
    if !is_local(host) {
        return Err("open this page by the vehicle's address or by a .local name\n");
    }
    match origin {
        Some(origin) if !is_same(origin, host) => Err("requests from other web sites are not accepted\n"),
        _ => Ok(()),
    }
}

fn is_same(origin: &str, host: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

fn is_local(host: &str) -> bool {
    let name = name_of(host).to_ascii_lowercase();
    let name = name.trim_end_matches('.');
    let single_label = !name.is_empty() && !name.contains(['.', ':']);
    single_label || name.parse::<IpAddr>().is_ok() || LOCAL_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// `host` without its port and without the brackets of an IPv6 address.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(host: &str, origin: Option<&str>) -> bool {
        check(host, origin).is_err()
    }

    #[test]
    fn the_vehicle_is_reached_by_address_or_local_name() {
        for host in
            ["127.0.0.1:8080", "192.168.8.1", "[::1]:8080", "[fe80::1]", "localhost:80", "milepost", "Truck.local."]
        {
            assert!(!is_refused(host, None), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:8080", "local.evil.example", "", ":8080", "[::1"] {
            assert!(is_refused(host, None), "{host}");
        }
    }

    #[test]
    fn only_its_own_pages_may_write() {
        assert!(!is_refused("10.0.0.1:8080", Some("http://10.0.0.1:8080")));
        for origin in ["http://evil.example", "http://10.0.0.1:9090", "null", "10.0.0.1:8080"] {
            assert!(is_refused("10.0.0.1:8080", Some(origin)), "{origin}");
        }
    }
}
