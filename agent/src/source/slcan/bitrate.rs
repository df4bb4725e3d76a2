//! The bit rates that the LAWICEL protocol has a command for.

use std::fmt;

/// A bit rate of the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bitrate {
    digit: char,
    bit_s: u32,
}

/// Bits per second in the order of the `S` command's digits.
const BIT_S: [u32; 9] = [10_000, 20_000, 50_000, 100_000, 125_000, 250_000, 500_000, 800_000, 1_000_000];

impl Bitrate {
    /// So many bits per second, if there is a command for it.
    #[must_use]
    pub fn from_bit_s(bit_s: u32) -> Option<Self> {
        let digit = ('0'..).zip(BIT_S).find(|(_, known)| *known == bit_s)?.0;
        Some(Self { digit, bit_s })
    }

    /// All of them, for people.
    #[must_use]
    pub fn all() -> String {
        BIT_S.map(|bit_s| bit_s.to_string()).join(", ")
    }

    /// The command that sets it.
    pub(super) fn command(self) -> String {
        format!("S{}\r", self.digit)
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bit/s", self.bit_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bit_rate_has_its_command() {
        let command = |bit_s| Bitrate::from_bit_s(bit_s).map(Bitrate::command);
        assert_eq!(command(10_000).as_deref(), Some("S0\r"));
        assert_eq!(command(250_000).as_deref(), Some("S5\r"));
        assert_eq!(command(1_000_000).as_deref(), Some("S8\r"));
        assert_eq!(command(333_333), None);
    }
}
