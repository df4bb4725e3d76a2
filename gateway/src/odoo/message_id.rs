//! An effect's name inside Odoo: the `message_id` of the note that carries it.
//!
//! Promise: the same effect key always gives the same id and different keys give different ids, so a search for it
//! answers whether the effect already happened. Odoo keeps and searches the field but does not make it unique;
//! uniqueness is ours to keep, by searching first in a single-writer lane.

use milepost_proto::Sha256;

/// Longest part of the key that is kept readable, in bytes.
const READABLE_BYTES_MAX: usize = 96;

/// The message id for the effect `key`, such as `<m-42.3@milepost>`.
///
/// A key of letters, digits and `. _ -` stays readable; any other is made so and told apart by a hash of the original.
#[must_use]
pub fn message_id(key: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if key.len() <= READABLE_BYTES_MAX && !key.is_empty() && key.chars().all(is_plain) {
        return format!("<{key}@milepost>");
    }
    let readable: String = key.chars().take(READABLE_BYTES_MAX).map(|c| if is_plain(c) { c } else { '-' }).collect();
    let hash = Sha256::of(key.as_bytes()).to_string();
    format!("<{readable}+{}@milepost>", &hash[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_keys_stay_readable_and_others_are_told_apart() {
        assert_eq!(message_id("m-42.3"), "<m-42.3@milepost>");
        let slash = message_id("a/b");
        assert!(slash.starts_with("<a-b+"), "{slash}");
        assert_ne!(slash, message_id("a-b"));
        assert_ne!(slash, message_id("a b"));
        assert!(message_id(&"x".repeat(10_000)).len() < 140);
    }

    proptest! {
        #[test]
        fn different_keys_have_different_ids(one in ".{0,120}", other in ".{0,120}") {
            prop_assert_eq!(one == other, message_id(&one) == message_id(&other));
        }
    }
}
