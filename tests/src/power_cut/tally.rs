//! What many cuts showed, as the guest tells it to the host.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cut::Kind;
use super::survey::Verdict;

/// Most findings told in full.
const EXAMPLES_MAX: usize = 8;

/// Counts over all cuts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Cuts by kind.
    pub cuts: BTreeMap<String, u64>,
    /// Cuts after which something answered was nowhere.
    pub lost: u64,
    /// Cuts after which the disk did not mount, the spool did not open or something in it was damaged.
    pub corrupt: u64,
    /// Cuts after which something was there twice, or was about to be.
    pub doubled: u64,
    /// Cuts during the spool's creation after which the file it had begun was set aside; it owed nothing.
    pub created_anew: u64,
    /// Cuts that met a spool which had let go of evidence.
    pub settled: u64,
    /// Most captures that were owed at a cut.
    pub captures: u64,
    /// The first findings.
    pub examples: Vec<String>,
}

impl Tally {
    /// Counts a cut.
    pub fn add(&mut self, kind: Kind, captures: u64, mut verdict: Verdict) {
        *self.cuts.entry(kind.name().to_owned()).or_default() += 1;
        self.captures = self.captures.max(captures);
        let set_aside = verdict.set_aside.take();
        if kind == Kind::Creation {
            self.created_anew += u64::from(set_aside.is_some());
        } else {
            verdict.corrupt.extend(set_aside.map(|why| format!("the file was set aside: {why}")));
            let gone = verdict.is_new.then(|| "the spool that the gateway knows".to_owned());
            verdict.lost.extend(gone);
        }
        let findings = [("lost", &verdict.lost), ("corrupt", &verdict.corrupt), ("doubled", &verdict.doubled)];
        for (what, list) in findings {
            if let Some(first) = list.first().filter(|_| self.examples.len() < EXAMPLES_MAX) {
                let name = kind.name();
                self.examples
                    .push(format!("{name} cut after {captures} captures: {what} {first} ({} such)", list.len()));
            }
        }
        self.lost += u64::from(!verdict.lost.is_empty());
        self.corrupt += u64::from(!verdict.corrupt.is_empty());
        self.doubled += u64::from(!verdict.doubled.is_empty());
        self.settled += u64::from(verdict.settled > 0);
    }

    /// All cuts.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.cuts.values().sum()
    }

    /// As text for the host.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "cuts": self.cuts, "lost": self.lost, "corrupt": self.corrupt, "doubled": self.doubled,
            "created_anew": self.created_anew, "settled": self.settled, "captures": self.captures,
            "examples": self.examples,
        })
    }

    /// Reads [`Tally::to_json`].
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        let number = |name: &str| value[name].as_u64();
        Some(Self {
            cuts: serde_json::from_value(value["cuts"].clone()).ok()?,
            lost: number("lost")?,
            corrupt: number("corrupt")?,
            doubled: number("doubled")?,
            created_anew: number("created_anew")?,
            settled: number("settled")?,
            captures: number("captures")?,
            examples: serde_json::from_value(value["examples"].clone()).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_counted_by_cut_and_told_to_the_host() {
        let mut tally = Tally::default();
        let lost = Verdict { lost: vec!["capture 3".to_owned(), "capture 4".to_owned()], ..Verdict::default() };
        tally.add(Kind::Torn, 4, lost);
        tally.add(Kind::Flushed, 5, Verdict { settled: 2, ..Verdict::default() });
        let set_aside = Verdict { set_aside: Some("empty".to_owned()), ..Verdict::default() };
        tally.add(Kind::Creation, 0, set_aside.clone());
        assert_eq!((tally.cuts(), tally.lost, tally.corrupt, tally.created_anew), (3, 1, 0, 1));
        tally.add(Kind::Flushed, 5, set_aside);
        assert_eq!((tally.corrupt, tally.settled, tally.captures), (1, 1, 5), "only a spool that owes nothing may go");
        assert_eq!(Tally::from_json(&tally.to_json()), Some(tally));
    }
}
