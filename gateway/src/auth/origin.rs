//! Whether a form was sent from our own pages.
//!
//! Promise: a page of somebody else cannot make a signed-in browser change anything here. The session cookie is
//! `SameSite=Strict`; this is the second lock, for browsers and proxies that get the first one wrong.

/// Whether a POST with this `Origin` came from the site it was sent to, named by its `Host`.
///
/// Every browser sends `Origin` with a POST, so its absence is a refusal, not a pass.
#[must_use]
pub fn same_site(origin: Option<&str>, host: Option<&str>) -> bool {
    let (Some(origin), Some(host)) = (origin, host) else { return false };
    let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    !host.is_empty() && authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

/// A path on this site to go to after signing in: `wanted` if it is one, the board otherwise.
#[must_use]
pub fn local_path(wanted: Option<&str>) -> &str {
    match wanted {
        Some(path)
            if path.starts_with('/')
                && !path.starts_with("//")
                && path.len() <= 512
                && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') =>
        {
            path
        }
        _ => "/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_may_post() {
        let host = Some("127.0.0.1:8090");
        assert!(same_site(Some("http://127.0.0.1:8090"), host));
        assert!(same_site(Some("https://Milepost.example"), Some("milepost.example")));
        assert!(!same_site(Some("http://evil.example"), host));
        assert!(!same_site(Some("http://127.0.0.1:8091"), host));
        assert!(!same_site(Some("http://127.0.0.1:8090.evil.example"), host));
        assert!(!same_site(Some("null"), host));
        assert!(!same_site(None, host));
        assert!(!same_site(Some("http://"), Some("")));
    }

    #[test]
    fn signing_in_never_leads_off_the_site() {
        assert_eq!(local_path(Some("/shipments/WH%2FOUT%2F00001")), "/shipments/WH%2FOUT%2F00001");
        for elsewhere in ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nSet-Cookie:x", ""] {
            assert_eq!(local_path(Some(elsewhere)), "/", "{elsewhere:?}");
        }
        assert_eq!(local_path(None), "/");
    }
}
