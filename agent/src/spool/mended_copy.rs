//! A copy of a spool file with another first page.
//!
//! Promise: when only the first page is damaged, which holds SQLite's header and the names of the tables, everything else
//! reads again: the tables of a spool always begin on the same pages, because one schema made them all. The damaged file is
//! not touched, and the copy is gone when its owner lets go of it. (SQLite file format, section 1.3: the database header.)

use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::file::{self, with_suffix};

/// Ends the names of the copy and of the file its first page is taken from.
pub(super) const COPY: &str = ".mending";
pub(super) const TEMPLATE: &str = ".template";
/// Offset of the page size in the header, two bytes, big-endian.
const PAGE_SIZE_AT: u64 = 16;
/// Offset of the number of pages, of the first free page and of the number of free pages, four bytes each, big-endian.
const PAGE_COUNT_AT: u64 = 28;
const FREE_PAGES_AT: u64 = 32;

/// The copy.
pub(super) struct MendedCopy {
    path: PathBuf,
}

impl MendedCopy {
    /// A copy of the file at `path` with the first page of a new spool; absent when it cannot be made.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let copy = Self { path: with_suffix(path, COPY) };
        copy.make(path).ok()?;
        Some(copy)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn make(&self, damaged: &Path) -> io::Result<()> {
        let first_page = first_page(&with_suffix(damaged, TEMPLATE))?;
        let bytes = fs::copy(damaged, &self.path)?;
        let log = with_suffix(damaged, "-wal");
        if log.exists() {
            fs::copy(log, with_suffix(&self.path, "-wal"))?;
        }
        let pages = u32::try_from(bytes / first_page.len() as u64).unwrap_or(u32::MAX);
        let mut copy = fs::OpenOptions::new().write(true).open(&self.path)?;
        copy.write_all(&first_page)?;
        copy.seek(SeekFrom::Start(PAGE_COUNT_AT))?;
        copy.write_all(&pages.to_be_bytes())?;
        copy.seek(SeekFrom::Start(FREE_PAGES_AT))?;
        copy.write_all(&[0; 8])
    }
}

impl Drop for MendedCopy {
    fn drop(&mut self) {
        delete(&self.path);
    }
}

/// The first page of a new spool, made at `path`.
fn first_page(path: &Path) -> io::Result<Vec<u8>> {
    delete(path);
    let page = file::create_template(path).map_err(io::Error::other).and_then(|()| {
        let mut template = fs::File::open(path)?;
        template.seek(SeekFrom::Start(PAGE_SIZE_AT))?;
        let mut size = [0; 2];
        template.read_exact(&mut size)?;
        let mut page = vec![0; usize::from(u16::from_be_bytes(size))];
        template.seek(SeekFrom::Start(0))?;
        template.read_exact(&mut page)?;
        Ok(page)
    });
    delete(path);
    page
}

fn delete(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        // What is not there need not be deleted.
        fs::remove_file(with_suffix(path, suffix)).ok();
    }
}
