//! The log that dm-log-writes keeps of a disk (Linux, `Documentation/admin-guide/device-mapper/log-writes.rst`).
//!
//! ```text
//!  sector 0   magic u64, version u64, entries u64, sector size u32           little endian
//!  then       sector u64, sectors u64, flags u64, data length u64, a mark's text; padded to a sector
//!             the written bytes, unless it is a mark or a discard
//! ```
//!
//! Promise: entries come in the order in which they became durable: a write stands before the flush that covered it, and
//! one that no flush ever covered is not there.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;
/// Bytes of an entry before a mark's text.
const ENTRY_BYTES: usize = 32;
/// Most bytes one entry may write; the kernel's largest request is far below.
const WRITE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A message of the program under test.
    Mark(String),
    /// Something the file system asked of the disk.
    Request(Request),
}

/// A flush, a write, or both in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Whether everything before it is durable with it.
    pub flush: bool,
    /// Whether its own bytes are durable with it.
    pub durable: bool,
    /// Where it writes, bytes from the start of the disk.
    pub at: u64,
    /// How much it writes, bytes; 0 for a flush alone.
    pub bytes: u64,
    /// Where its bytes are in the log; absent for a discard, which writes zeros.
    data_at: Option<u64>,
}

/// An open log.
#[derive(Debug)]
pub struct WriteLog {
    file: File,
    entries: Vec<Entry>,
}

impl WriteLog {
    /// Reads the entries of the log at `path`, a file or a disk.
    ///
    /// # Errors
    /// When it cannot be read or is no such log.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
        let entries = entries(&file).with_context(|| format!("{} is no write log", path.display()))?;
        Ok(Self { file, entries })
    }

    /// The entries, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What a request writes.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn bytes_of(&self, request: &Request) -> anyhow::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(request.bytes)?];
        if let Some(at) = request.data_at {
            self.file.read_exact_at(&mut bytes, at).context("the log ends early")?;
        }
        Ok(bytes)
    }
}

fn entries(file: &File) -> anyhow::Result<Vec<Entry>> {
    let mut head = [0; 28];
    file.read_exact_at(&mut head, 0)?;
    ensure!(number(&head, 0) == MAGIC, "it does not begin as one");
    ensure!(number(&head, 8) == VERSION, "version {} is not known here", number(&head, 8));
    let (count, sector_bytes) = (number(&head, 16), number(&head, 24) & 0xffff_ffff);
    ensure!((512..=4096).contains(&sector_bytes), "sectors of {sector_bytes} bytes");
    let (mut entries, mut at) = (Vec::new(), sector_bytes);
    for n in 0..count {
        let mut entry = vec![0; usize::try_from(sector_bytes)?];
        file.read_exact_at(&mut entry, at)?;
        at += sector_bytes;
        let (sector, sectors, flags, length) =
            (number(&entry, 0), number(&entry, 8), number(&entry, 16), number(&entry, 24));
        if flags & MARK != 0 {
            let end = ENTRY_BYTES + usize::try_from(length)?;
            let text = entry.get(ENTRY_BYTES..end).with_context(|| format!("mark {n} is too long"))?;
            entries.push(Entry::Mark(String::from_utf8_lossy(text).into_owned()));
            continue;
        }
        let bytes = sectors.saturating_mul(sector_bytes);
        ensure!(bytes <= WRITE_BYTES_MAX, "entry {n} writes {bytes} bytes");
        let data_at = (flags & DISCARD == 0).then_some(at);
        at += if data_at.is_some() { bytes } else { 0 };
        let at = sector * sector_bytes;
        entries.push(Entry::Request(Request {
            flush: flags & FLUSH != 0,
            durable: flags & FUA != 0,
            at,
            bytes,
            data_at,
        }));
    }
    Ok(entries)
}

/// The number at `at`; zero beyond the end.
fn number(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    let found = &bytes[at..bytes.len().min(at + 8)];
    number[..found.len()].copy_from_slice(found);
    u64::from_le_bytes(number)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A log of these sectors.
    pub(in crate::power_cut) fn log_of(entries: u64, sectors: &[Vec<u8>]) -> WriteLog {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), [sector(&[MAGIC, 1, entries, 512], ""), sectors.concat()].concat())
            .expect("written");
        WriteLog::open(file.path()).expect("a log")
    }

    /// A mark.
    pub(in crate::power_cut) fn mark(word: &str) -> Vec<u8> {
        sector(&[0, 0, MARK, word.len() as u64], word)
    }

    /// A write of one sector, full of `fill`.
    pub(in crate::power_cut) fn write(at: u64, fill: u8) -> Vec<u8> {
        [sector(&[at, 1, 0, 0], ""), vec![fill; 512]].concat()
    }

    /// A flush alone.
    pub(in crate::power_cut) fn flush() -> Vec<u8> {
        sector(&[0, 0, FLUSH, 0], "")
    }

    fn sector(numbers: &[u64], text: &str) -> Vec<u8> {
        let mut sector: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        sector.extend_from_slice(text.as_bytes());
        sector.resize(512, 0);
        sector
    }

    #[test]
    fn entries_are_read_in_order_with_their_bytes() {
        let discard = sector(&[16, 2, DISCARD, 0], "");
        let durable = [sector(&[0, 1, FLUSH | FUA, 0], ""), vec![9; 512]].concat();
        let log = log_of(4, &[mark("ready"), write(8, 7), discard, durable]);
        let shape = |entry: &Entry| match entry {
            Entry::Mark(text) => text.clone(),
            Entry::Request(request) => {
                let bytes = log.bytes_of(request).expect("bytes");
                format!("{} {} {} {:?}", request.flush, request.durable, request.at, (bytes.len(), bytes[0]))
            }
        };
        let shapes: Vec<String> = log.entries().iter().map(shape).collect();
        assert_eq!(
            shapes,
            ["ready", "false false 4096 (512, 7)", "false false 8192 (1024, 0)", "true true 0 (512, 9)"]
        );
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), sector(&[1, 2, 3], "")).expect("written");
        assert!(WriteLog::open(file.path()).is_err());
    }
}
