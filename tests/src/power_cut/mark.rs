//! Marks in the write log: what the vehicle had been answered, and when, at that point of the log.

use std::process::Command;

use anyhow::Context as _;
use milepost_proto::Timestamp;

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The agent runs for the first time.
    Started,
    /// The capture of this number was accepted.
    Capture(u64),
    /// The photo of this number was accepted whole.
    Photo(u64),
    /// Nothing more is written.
    Ended,
}

/// A mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// What it says.
    pub what: What,
    /// When.
    pub at: Timestamp,
}

impl Mark {
    /// The mark as one word, which is all that the log takes.
    #[must_use]
    pub fn word(self) -> String {
        let at_ms = self.at.as_millis();
        match self.what {
            What::Started => format!("started:0:{at_ms}"),
            What::Capture(n) => format!("capture:{n}:{at_ms}"),
            What::Photo(n) => format!("photo:{n}:{at_ms}"),
            What::Ended => format!("ended:0:{at_ms}"),
        }
    }

    /// Reads [`Mark::word`]; nothing for any other word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let mut parts = word.split(':');
        let (kind, n) = (parts.next()?, parts.next()?.parse().ok()?);
        let at = Timestamp::from_millis(parts.next()?.parse().ok()?);
        let what = match kind {
            "started" => What::Started,
            "capture" => What::Capture(n),
            "photo" => What::Photo(n),
            "ended" => What::Ended,
            _ => return None,
        };
        Some(Self { what, at })
    }

    /// Puts the mark into the log of the device-mapper target `log`.
    ///
    /// # Errors
    /// When dmsetup fails.
    pub fn put(self) -> anyhow::Result<()> {
        let mut command = Command::new("dmsetup");
        command.args(["message", "log", "0", "mark", &self.word()]);
        let output = command.output().context("failed to start dmsetup")?;
        anyhow::ensure!(output.status.success(), "dmsetup: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back() {
        let at = Timestamp::from_millis(1_700_000_000_123);
        for what in [What::Started, What::Capture(17), What::Photo(2), What::Ended] {
            let mark = Mark { what, at };
            assert_eq!(Mark::parse(&mark.word()), Some(mark));
        }
        assert_eq!(Mark::parse("mounted"), None);
    }
}
