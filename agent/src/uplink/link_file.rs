//! What the vehicle's network says of its link: one word in a small file that a dispatcher script or a modem manager keeps.
//!
//! Promise: the file is read once a minute and never more than its first bytes; what is no link class counts as unknown, and
//! the status says why.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use super::budget::LinkClass;

/// How often the file is read, milliseconds.
const EVERY_MS: u64 = 60_000;
/// Most bytes of it that are read.
const BYTES_MAX: u64 = 64;

/// The file, and what it said last.
#[derive(Debug)]
pub struct LinkFile {
    path: Option<PathBuf>,
    read_ms: Option<u64>,
    said: Result<LinkClass, String>,
}

impl LinkFile {
    /// The file at `path`; absent when none is configured.
    #[must_use]
    pub const fn new(path: Option<PathBuf>) -> Self {
        Self { path, read_ms: None, said: Err(String::new()) }
    }

    /// The link's class, read again when that is due; absent when nobody says.
    pub fn class(&mut self, now_ms: u64) -> Option<LinkClass> {
        let path = self.path.as_ref()?;
        if self.read_ms.is_none_or(|read_ms| now_ms.saturating_sub(read_ms) >= EVERY_MS) {
            self.read_ms = Some(now_ms);
            self.said = read(path).map_err(|why| format!("link_file {}: {why}", path.display()));
        }
        self.said.clone().ok()
    }

    /// Why the class is not known although a file is configured.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        let said = self.said.as_ref().err().filter(|why| !why.is_empty());
        said.map(String::as_str)
    }
}

fn read(path: &std::path::Path) -> Result<LinkClass, String> {
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text).map_err(|error| error.to_string())?;
    text.trim().parse().map_err(|error| format!("{error}, not {:?}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_once_a_minute_and_what_it_should_say_is_told() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("link");
        let mut file = LinkFile::new(Some(path.clone()));
        assert_eq!((file.class(0), file.trouble().is_some()), (None, true));
        fs::write(&path, "wifi\n").expect("written");
        assert_eq!(file.class(EVERY_MS - 1), None, "not yet");
        assert_eq!((file.class(EVERY_MS), file.trouble()), (Some(LinkClass::Wifi), None));
        fs::write(&path, "5g").expect("written");
        assert_eq!(file.class(2 * EVERY_MS), None);
        assert!(file.trouble().expect("why").ends_with("a link is wifi, metered or roaming, not \"5g\""));
        assert_eq!(LinkFile::new(None).class(0), None);
    }
}
