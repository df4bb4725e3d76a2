//! The MQTT topics of one device.
//!
//! Promise: what an app chose (its `client_ref`) can neither leave its own level of a reply topic nor become a
//! wildcard: `%`, `+`, `#`, `/` and control characters travel percent-encoded, everything else as it is.
//!
//! | topic | direction | payload |
//! |---|---|---|
//! | `milepost/<device>/pod`, `/exception`, `/driver` | to the agent | a capture as JSON |
//! | `…/blob/<sha256>/<offset>` or `…/blob/<sha256>/<offset>/<size>` | to the agent | the bytes of a part |
//! | `…/trip` | from the agent, retained | the stop list; empty when there is no trip |
//! | `…/accepted/<client_ref>` | from the agent | `{"sequence","duplicate"}`, after the commit |
//! | `…/accepted/<sha256>` | from the agent | `{"held","complete"}`, after the commit |
//! | `…/rejected/<client_ref>`, `…/rejected/<sha256>` | from the agent | `{"code","message","mend"}` |
//! | `…/agent` | from the agent, retained | `online`, or `offline` as its last will |
//!
//! A message without a readable `client_ref`, or a part whose name is no hash, is answered on `…/rejected/unreadable`.
//! A blob is whole once its contiguous bytes have the hash it is named by; the optional `<size>` refuses a blob that
//! will be too large with its first part instead of its last.

use std::fmt::Write as _;

use milepost_proto::DeviceId;

use super::contract::Contract;

/// Stands for the `client_ref` of a message that shows none.
pub const UNREADABLE: &str = "unreadable";

/// The topics of one device.
#[derive(Debug, Clone)]
pub struct Topics {
    /// `milepost/<device>/`.
    prefix: String,
}

/// What a topic says about the message on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inbound<'t> {
    /// A capture of this shape.
    Capture(Contract),
    /// A part of a blob; nothing is checked yet.
    Blob {
        /// The blob's name.
        sha256: &'t str,
        /// Where the part begins.
        offset: &'t str,
        /// The blob's size, where the app says it.
        size: Option<&'t str>,
    },
    /// Nothing that concerns the agent.
    Foreign,
}

impl Topics {
    /// The topics of `device`.
    #[must_use]
    pub fn new(device: &DeviceId) -> Self {
        Self { prefix: format!("milepost/{device}/") }
    }

    /// What to subscribe to.
    #[must_use]
    pub fn inbound(&self) -> [String; 4] {
        ["pod", "exception", "driver", "blob/#"].map(|last| format!("{}{last}", self.prefix))
    }

    /// What a message on `topic` is.
    #[must_use]
    pub fn read<'t>(&self, topic: &'t str) -> Inbound<'t> {
        let levels: Vec<&str> = topic.strip_prefix(&self.prefix).unwrap_or_default().split('/').collect();
        match levels[..] {
            ["pod"] => Inbound::Capture(Contract::Pod),
            ["exception"] => Inbound::Capture(Contract::Exception),
            ["driver"] => Inbound::Capture(Contract::Driver),
            ["blob", sha256, offset] => Inbound::Blob { sha256, offset, size: None },
            ["blob", sha256, offset, size] => Inbound::Blob { sha256, offset, size: Some(size) },
            _ => Inbound::Foreign,
        }
    }

    /// Where the stop list stands.
    #[must_use]
    pub fn trip(&self) -> String {
        format!("{}trip", self.prefix)
    }

    /// Where the agent says whether it is there.
    #[must_use]
    pub fn agent(&self) -> String {
        format!("{}agent", self.prefix)
    }

    /// Where an acceptance goes.
    #[must_use]
    pub fn accepted(&self, reference: &str) -> String {
        format!("{}accepted/{}", self.prefix, level(reference))
    }

    /// Where a rejection goes.
    #[must_use]
    pub fn rejected(&self, reference: &str) -> String {
        format!("{}rejected/{}", self.prefix, level(reference))
    }
}

/// `reference` as exactly one topic level.
fn level(reference: &str) -> String {
    let mut level = String::with_capacity(reference.len());
    for character in reference.chars() {
        if character.is_control() || matches!(character, '%' | '+' | '#' | '/') {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a String cannot fail.
                let _ = write!(level, "%{byte:02X}");
            }
        } else {
            level.push(character);
        }
    }
    level
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        Topics::new(&"truck-7".parse().expect("a name"))
    }

    #[test]
    fn topics_tell_what_a_message_is() {
        let cases = [
            ("milepost/truck-7/pod", Inbound::Capture(Contract::Pod)),
            ("milepost/truck-7/exception", Inbound::Capture(Contract::Exception)),
            ("milepost/truck-7/driver", Inbound::Capture(Contract::Driver)),
            ("milepost/truck-7/blob/ab/0", Inbound::Blob { sha256: "ab", offset: "0", size: None }),
            ("milepost/truck-7/blob/ab/0/9", Inbound::Blob { sha256: "ab", offset: "0", size: Some("9") }),
            ("milepost/truck-7/blob", Inbound::Foreign),
            ("milepost/truck-8/pod", Inbound::Foreign),
            ("milepost/truck-7/pod/x", Inbound::Foreign),
        ];
        for (topic, expected) in cases {
            assert_eq!(topics().read(topic), expected, "{topic}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_reference_is_one_level_of_its_own(one: String, other: String) {
            let (first, second) = (level(&one), level(&other));
            proptest::prop_assert!(!first.contains(['+', '#', '/']) && !first.chars().any(char::is_control));
            proptest::prop_assert_eq!(first == second, one == other);
        }
    }

    #[test]
    fn a_reference_stays_on_its_level() {
        let cases = [
            ("c-1", "milepost/truck-7/accepted/c-1"),
            ("a/b", "milepost/truck-7/accepted/a%2Fb"),
            ("+#%", "milepost/truck-7/accepted/%2B%23%25"),
            ("Zoë 1", "milepost/truck-7/accepted/Zoë 1"),
            ("\u{85}", "milepost/truck-7/accepted/%C2%85"),
        ];
        for (reference, expected) in cases {
            assert_eq!(topics().accepted(reference), expected);
        }
    }
}
