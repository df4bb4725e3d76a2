//! Every moment of a write log at which the power may go, and the disk that is then left.
//!
//! Promise: each mark gives a disk with only what was flushed by then; each flush, up to a bound, gives one with a seeded
//! part of what it was about to make durable. What had been answered at that moment is counted from the marks before it.

use anyhow::Context as _;
use milepost_proto::Timestamp;

use super::account::Account;
use super::disk::{Disk, Write};
use super::mark::{Mark, What};
use super::write_log::{Entry, Request, WriteLog};
use crate::chance::Chance;

/// What a cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Before the agent had started for the first time: it owes nothing yet.
    Creation,
    /// Only what was flushed.
    Flushed,
    /// What was flushed, and some of what was not.
    Torn,
}

impl Kind {
    /// Its name in figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Creation => "creation",
            Self::Flushed => "flushed",
            Self::Torn => "torn",
        }
    }
}

/// Most torn disks of one run; a slow machine makes more flushes, of which then every second or third is cut.
const TORN_MAX: usize = 400;

/// Replays `log` over a disk that held `base`, and shows the disk after each cut to `visit`.
///
/// # Errors
/// When the log cannot be read or lacks its marks, and what `visit` returns.
pub fn for_each(
    log: &WriteLog,
    base: Vec<u8>,
    seed: u64,
    mut visit: impl FnMut(Kind, Account, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut answered = Answered::new(log)?;
    let (mut disk, mut chance) = (Disk::new(base), Chance::new(seed));
    let is_flush = |entry: &&Entry| matches!(entry, Entry::Request(request) if request.flush);
    let flushes_apart = log.entries().iter().filter(is_flush).count().div_ceil(TORN_MAX).max(1);
    let mut flushes = 0;
    for entry in log.entries() {
        match entry {
            Entry::Mark(word) => {
                let Some(mark) = Mark::parse(word) else { continue };
                answered.take(mark);
                if mark.what == What::Ended {
                    return Ok(());
                }
                visit(answered.kind(Kind::Flushed), answered.account, disk.flushed())?;
            }
            Entry::Request(request) => {
                if request.flush {
                    flushes += 1;
                    if disk.is_dirty() && flushes % flushes_apart == 0 {
                        visit(answered.kind(Kind::Torn), answered.account, &disk.torn(&mut chance))?;
                    }
                    disk.flush();
                }
                write(&mut disk, log, request)?;
            }
        }
    }
    anyhow::bail!("the log ends before the run did")
}

fn write(disk: &mut Disk, log: &WriteLog, request: &Request) -> anyhow::Result<()> {
    if request.bytes == 0 {
        return Ok(());
    }
    let write = Write { at: usize::try_from(request.at)?, bytes: log.bytes_of(request)? };
    if request.durable {
        disk.write_durably(&write);
    } else {
        disk.write(write);
    }
    Ok(())
}

/// What was answered so far.
struct Answered {
    account: Account,
    started: bool,
    /// The marks after the next one.
    following: std::vec::IntoIter<Mark>,
}

impl Answered {
    fn new(log: &WriteLog) -> anyhow::Result<Self> {
        let words = log.entries().iter().filter_map(|entry| match entry {
            Entry::Mark(word) => Mark::parse(word),
            Entry::Request(_) => None,
        });
        let mut following = words.collect::<Vec<Mark>>().into_iter();
        following.next().context("the log has no marks")?;
        let account = Account { captures: 0, photos: 0, since: Timestamp::EPOCH, until: Timestamp::MAX };
        Ok(Self { account, started: false, following })
    }

    fn take(&mut self, mark: Mark) {
        match mark.what {
            What::Started => self.started = true,
            What::Capture(n) => self.account.captures = n,
            What::Photo(n) => self.account.photos = n,
            What::Ended => {}
        }
        self.account.since = mark.at;
        // A mark is dated, then logged: what is logged before the next mark happened before the one after it was dated.
        self.following.next();
        self.account.until = self.following.as_slice().first().map_or(Timestamp::MAX, |after_next| after_next.at);
    }

    const fn kind(&self, kind: Kind) -> Kind {
        if self.started { kind } else { Kind::Creation }
    }
}

#[cfg(test)]
mod tests {
    use super::super::write_log::tests::{flush, log_of, mark, write};
    use super::*;

    #[test]
    fn a_mark_shows_what_was_flushed_and_a_flush_what_may_be_torn() {
        let log = log_of(
            8,
            &[
                write(0, 1),
                flush(),
                mark("started:0:1000"),
                write(1, 2),
                mark("capture:1:2000"),
                flush(),
                mark("photo:1:3000"),
                mark("ended:0:4000"),
            ],
        );
        let (mut seen, mut torn) = (Vec::new(), std::collections::BTreeSet::new());
        for seed in 0..20 {
            seen.clear();
            for_each(&log, vec![0; 1_024], seed, |kind, account, disk| {
                let until_ms = (account.until < Timestamp::MAX).then(|| account.until.as_millis());
                let Account { captures, photos, since, .. } = account;
                if kind == Kind::Torn {
                    torn.insert(disk[512]);
                } else {
                    seen.push((kind, captures, photos, since.as_millis(), until_ms, disk[0], disk[512]));
                }
                Ok(())
            })
            .expect("a whole log");
        }
        assert_eq!(
            seen,
            [
                (Kind::Creation, 0, 0, 0, None, seen[0].5, 0),
                (Kind::Flushed, 0, 0, 1_000, Some(3_000), 1, 0),
                (Kind::Flushed, 1, 0, 2_000, Some(4_000), 1, 0),
                (Kind::Flushed, 1, 1, 3_000, None, 1, 2),
            ]
        );
        assert_eq!(torn, [0, 2].into(), "with some seeds it is there, with others not");
    }

    #[test]
    fn a_run_that_did_not_end_is_no_run() {
        let log = log_of(1, &[mark("started:0:1000")]);
        assert!(for_each(&log, Vec::new(), 1, |_, _, _| Ok(())).is_err());
    }
}
