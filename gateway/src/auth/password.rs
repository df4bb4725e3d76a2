//! Passwords: argon2id hashes in PHC string form.
//!
//! Promise: a stored hash carries its own salt and cost, so the cost can be raised later without touching anybody's
//! password; checking an unknown user's password takes as long as checking a known one's, so time tells nothing.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier};
use ring::rand::SecureRandom;

/// Shortest password accepted for a new user, in characters (NIST SP 800-63B asks for 8 with a second factor, more
/// without; length is the only rule, there are no character classes).
pub const PASSWORD_CHARS_MIN: usize = 10;
/// Longest password looked at, in bytes: hashing must not become a way to burn the gateway's time.
pub const PASSWORD_BYTES_MAX: usize = 256;

/// What one check costs an attacker, and us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    memory_kib: u32,
    passes: u32,
}

impl Effort {
    /// For people's passwords: 19 MiB and two passes (OWASP password storage, argon2id), about 30 ms.
    pub const FULL: Self = Self { memory_kib: 19 * 1024, passes: 2 };
    /// For simulated worlds with throw-away users, never for people.
    pub const LEAST: Self = Self { memory_kib: 8, passes: 1 };

    fn params(self) -> Result<Params, PasswordFault> {
        Params::new(self.memory_kib, self.passes, 1, None).map_err(|error| PasswordFault::Hash(error.to_string()))
    }
}

/// Why a password cannot be used for a new user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    /// Too easily guessed.
    #[error("a password needs at least {PASSWORD_CHARS_MIN} characters; several words are easy to remember")]
    TooShort,
    /// Longer than is looked at.
    #[error("a password has at most {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    /// The operating system gave no random bytes, or the hash function refused.
    #[error("the password could not be hashed: {0}")]
    Hash(String),
}

/// Hashes a new password with a random salt.
///
/// # Errors
/// [`PasswordFault`] says what is wrong with it.
pub fn hash(password: &str, effort: Effort, random: &dyn SecureRandom) -> Result<String, PasswordFault> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(PasswordFault::TooShort);
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(PasswordFault::TooLong);
    }
    let mut salt = [0; 16];
    random.fill(&mut salt).map_err(|_| PasswordFault::Hash("no random bytes to be had".to_owned()))?;
    Argon2::from(effort.params()?)
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| PasswordFault::Hash(error.to_string()))
}

/// Whether `password` is the one behind `stored`. Without a stored hash the same work is done and the answer is no.
#[must_use]
pub fn matches(password: &str, stored: Option<&str>) -> bool {
    if password.len() > PASSWORD_BYTES_MAX {
        return false;
    }
    match stored.map(PasswordHash::new) {
        Some(Ok(hash)) => Argon2::default().verify_password(password.as_bytes(), &hash).is_ok(),
        Some(Err(_)) | None => {
            if let Ok(params) = Effort::FULL.params() {
                let _spent: Result<PasswordHash, _> =
                    Argon2::from(params).hash_password_with_salt(password.as_bytes(), &[0; 16]);
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;

    use super::*;

    #[test]
    fn only_the_right_password_matches() {
        let stored = hash("correct horse battery", Effort::LEAST, &SystemRandom::new()).expect("hashes");
        assert!(stored.starts_with("$argon2id$"), "{stored}");
        assert!(matches("correct horse battery", Some(&stored)));
        assert!(!matches("correct horse batterz", Some(&stored)));
        assert!(!matches("correct horse battery", None));
        assert!(!matches("correct horse battery", Some("damaged")));
    }

    #[test]
    fn the_same_password_never_has_the_same_hash() {
        let hashed = || hash("correct horse battery", Effort::LEAST, &SystemRandom::new()).expect("hashes");
        assert_ne!(hashed(), hashed());
    }

    #[test]
    fn length_is_bounded_both_ways() {
        let check = |password: &str| hash(password, Effort::LEAST, &SystemRandom::new()).map(|_| ());
        assert_eq!(check("ninechars"), Err(PasswordFault::TooShort));
        assert_eq!(check("zehn Züge!"), Ok(()));
        assert_eq!(check(&"x".repeat(257)), Err(PasswordFault::TooLong));
    }
}
