//! The secrets that a browser or a program presents: session tokens and API keys.
//!
//! Promise: a secret is 32 random bytes and is seen once, by its holder; the store keeps its SHA-256 and finds it by
//! that, so neither a copied database nor the time a look-up takes helps anybody to a secret.

use milepost_proto::Sha256;
use ring::rand::SecureRandom;

/// What every API key begins with, so that scanners for leaked secrets know it.
pub const API_KEY_PREFIX: &str = "mpk_";
/// The session cookie's name.
pub const SESSION_COOKIE: &str = "milepost_session";

const SECRET_BYTES: usize = 32;
const HEADER_BYTES_MAX: usize = 4096;

/// A secret that was just made; show it to its holder and forget it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes for a new secret")]
pub struct NoRandomness;

impl Secret {
    /// A new session token.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn session(random: &dyn SecureRandom) -> Result<Self, NoRandomness> {
        random_hex(random).map(Self)
    }

    /// A new API key.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn api_key(random: &dyn SecureRandom) -> Result<Self, NoRandomness> {
        random_hex(random).map(|hex| Self(format!("{API_KEY_PREFIX}{hex}")))
    }

    /// The secret itself, for its holder.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the store keeps of it.
    #[must_use]
    pub fn fingerprint(&self) -> Sha256 {
        Sha256::of(self.0.as_bytes())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a request presents, by what the store knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// A session cookie.
    Session(Sha256),
    /// An API key.
    ApiKey(Sha256),
}

/// Reads the secret out of a request's `Authorization` and `Cookie` headers. A key that is presented decides, so a
/// program is never mistaken for the browser it runs in.
#[must_use]
pub fn presented(authorization: Option<&str>, cookie: Option<&str>) -> Option<Presented> {
    match authorization.filter(|header| header.len() <= HEADER_BYTES_MAX) {
        Some(header) => {
            let (scheme, key) = header.split_once(' ')?;
            let key = key.trim();
            let is_key = scheme.eq_ignore_ascii_case("bearer") && key.starts_with(API_KEY_PREFIX);
            is_key.then(|| Presented::ApiKey(Sha256::of(key.as_bytes())))
        }
        None => {
            let cookies = cookie.filter(|header| header.len() <= HEADER_BYTES_MAX)?.split(';');
            let mut pairs = cookies.filter_map(|pair| pair.trim().split_once('='));
            let (_, token) = pairs.find(|(name, _)| *name == SESSION_COOKIE)?;
            Some(Presented::Session(Sha256::of(token.as_bytes())))
        }
    }
}

fn random_hex(random: &dyn SecureRandom) -> Result<String, NoRandomness> {
    let mut bytes = [0; SECRET_BYTES];
    random.fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(Sha256(bytes).to_string())
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;

    use super::*;

    #[test]
    fn a_key_is_found_by_its_fingerprint_and_shown_nowhere_else() {
        let key = Secret::api_key(&SystemRandom::new()).expect("random");
        assert_eq!(key.reveal().len(), API_KEY_PREFIX.len() + 64);
        let header = format!("Bearer {}", key.reveal());
        assert_eq!(presented(Some(&header), None), Some(Presented::ApiKey(key.fingerprint())));
        assert!(!format!("{key:?}").contains(&key.reveal()[4..]));
        assert_ne!(key, Secret::api_key(&SystemRandom::new()).expect("random"));
    }

    #[test]
    fn what_is_no_credential_presents_nothing() {
        let session = Some(Presented::Session(Sha256::of(b"abc")));
        assert_eq!(presented(None, Some("theme=dark; milepost_session=abc")), session);
        assert_eq!(presented(None, Some("milepost_session")), None);
        assert_eq!(presented(None, Some("xmilepost_session=abc")), None);
        assert_eq!(presented(None, None), None);
        assert_eq!(presented(Some("Basic mpk_x"), Some("milepost_session=abc")), None);
        assert_eq!(presented(Some("Bearer sk_x"), None), None);
        assert_eq!(presented(Some("Bearer"), None), None);
    }
}
