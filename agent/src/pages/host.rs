//! Who may speak to the local pages: the vehicle's own network, not a web site in the driver's browser.
//!
//! Promise, in two rules that need no configuration. A page from elsewhere cannot write: its `Origin` is not this
//! host's. It cannot read either, by pointing its own name at the vehicle's address (DNS rebinding): a `Host` is
//! accepted only if it is an address or a name that nobody can register in the public DNS. JSON and PUT make browsers
//! ask first in any case, and nobody answers that question.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Endings that the public DNS never serves (RFC 6761, 6762, 8375; `.internal` is reserved by ICANN).
const LOCAL_ENDINGS: [&str; 5] = [".local", ".localhost", ".internal", ".home.arpa", ".lan"];

/// Refuses requests from web sites elsewhere.
pub(super) async fn refuse_foreign(request: Request, next: Next) -> Response {
    match check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => (StatusCode::FORBIDDEN, why).into_response(),
    }
}

fn check(headers: &HeaderMap) -> Result<(), &'static str> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_local(host) {
        return Err("open this page by the vehicle's address or by a .local name\n");
    }
    match headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default()) {
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
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().expect("a header"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().expect("a header"));
        }
        check(&headers).is_err()
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
