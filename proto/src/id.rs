//! Names of fleets, devices, vehicles and sites, and the random ids of boots and spools.
//!
//! Promise: a name that exists as one of these types is safe in a file name, a URL path, an MQTT topic, a certificate
//! subject and an SQL key, because its alphabet is `A-Z a-z 0-9 . _ -` and its length is 1 to 64.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest allowed name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// The text has no characters.
    #[error("a name must not be empty")]
    Empty,
    /// The text is longer than [`NAME_BYTES_MAX`].
    #[error("a name has at most {NAME_BYTES_MAX} characters, this one has {0}")]
    TooLong(usize),
    /// The text has a character outside the alphabet.
    #[error("a name is made of letters, digits, '.', '_' and '-', not {0:?}")]
    Character(char),
}

fn check_name(text: &str) -> Result<(), InvalidName> {
    if text.is_empty() {
        return Err(InvalidName::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(InvalidName::TooLong(text.len()));
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        Some(c) => Err(InvalidName::Character(c)),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                check_name(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                check_name(&text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// One operator's data; begins every key and comes from the client certificate or API key, never from a payload.
    FleetId
}
name! {
    /// A computer in a vehicle or depot, as its certificate names it.
    DeviceId
}
name! {
    /// A truck or van; devices are assigned to it with validity dates.
    VehicleId
}
name! {
    /// A depot or yard that a stationary device belongs to.
    SiteId
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

random_id! {
    /// Random per spool file, so that a replaced disk never collides with the one before it.
    SpoolId
}
random_id! {
    /// Random per boot of the device; monotonic times compare only within one boot.
    BootId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_everywhere() {
        let check = |text: &str| text.parse::<DeviceId>().map(|id| id.to_string());
        assert_eq!(check("truck-7"), Ok("truck-7".to_owned()));
        assert_eq!(check(""), Err(InvalidName::Empty));
        assert_eq!(check("a/b"), Err(InvalidName::Character('/')));
        assert_eq!(check("ü"), Err(InvalidName::Character('ü')));
        assert_eq!(check(&"x".repeat(65)), Err(InvalidName::TooLong(65)));
    }

    #[test]
    fn deserialising_checks_the_alphabet_too() {
        assert!(serde_json::from_str::<FleetId>("\"../etc\"").is_err());
    }
}
