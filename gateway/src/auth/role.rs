//! Roles of people and scopes of API keys.
//!
//! Promise: what somebody may do is decided here and nowhere else; a role is a fixed set of scopes, so a page asks for
//! one scope and need not know whether a person or a program is looking.

use std::fmt;
use std::str::FromStr;

/// What a signed-in person is to their fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Looks.
    Viewer,
    /// Looks, and works on orders and exceptions.
    Operator,
    /// Everything, including users and keys.
    Admin,
}

/// One thing an API key may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read pages, milestones, shipments, vehicles and the outbox.
    Read,
    /// Post orders.
    Orders,
    /// Read the process's figures.
    Metrics,
}

/// The text is not a role or not a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not one of {known}")]
pub struct UnknownWord {
    text: String,
    known: &'static str,
}

impl Role {
    /// The role's word in SQL, on the command line and in pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Whether a person of this role may do it.
    #[must_use]
    pub const fn allows(self, scope: Scope) -> bool {
        match scope {
            Scope::Read | Scope::Metrics => true,
            Scope::Orders => matches!(self, Self::Operator | Self::Admin),
        }
    }
}

impl Scope {
    /// The scope's word in SQL, on the command line and in pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Orders => "orders",
            Self::Metrics => "metrics",
        }
    }

    /// Scopes as SQL keeps them: words with a space between.
    #[must_use]
    pub fn join(scopes: &[Self]) -> String {
        scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Reads what [`join`](Self::join) wrote.
    ///
    /// # Errors
    /// [`UnknownWord`] for the first word that is not a scope.
    pub fn split(words: &str) -> Result<Vec<Self>, UnknownWord> {
        words.split_ascii_whitespace().map(str::parse).collect()
    }
}

impl FromStr for Role {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "operator" => Ok(Self::Operator),
            "admin" => Ok(Self::Admin),
            _ => Err(UnknownWord { text: text.to_owned(), known: "viewer, operator, admin" }),
        }
    }
}

impl FromStr for Scope {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "read" => Ok(Self::Read),
            "orders" => Ok(Self::Orders),
            "metrics" => Ok(Self::Metrics),
            _ => Err(UnknownWord { text: text.to_owned(), known: "read, orders, metrics" }),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_and_others_are_named() {
        for role in [Role::Viewer, Role::Operator, Role::Admin] {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        let scopes = vec![Scope::Read, Scope::Metrics];
        assert_eq!(Scope::split(&Scope::join(&scopes)), Ok(scopes));
        assert_eq!(Scope::split("").map(|scopes| scopes.len()), Ok(0));
        let refused = Scope::split("read write").map_err(|error| error.to_string());
        assert_eq!(refused, Err(r#""write" is not one of read, orders, metrics"#.to_owned()));
    }

    #[test]
    fn a_viewer_looks_and_posts_nothing() {
        assert!(Role::Viewer.allows(Scope::Read));
        assert!(!Role::Viewer.allows(Scope::Orders));
        assert!(Role::Operator.allows(Scope::Orders));
    }
}
