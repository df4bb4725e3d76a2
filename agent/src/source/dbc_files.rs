//! Reading DBC files from disk; what is in them is [`can::dbc`](super::can::dbc)'s.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::can::dbc::{Database, FileFault, Severity};
use crate::config::DbcConfig;
use crate::status::{DbcStatus, MISTAKES_MAX};

/// Largest file, bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The messages of all files, and what is wrong with them.
#[must_use]
pub fn load(files: &[PathBuf]) -> (Database, Vec<FileFault>) {
    Database::combine(files.iter().map(|file| (file.clone(), read(file).map_err(|error| error.to_string()))))
}

/// What could be used of some files.
#[derive(Debug)]
pub struct Loaded {
    /// The good messages, with the selected signals.
    pub database: Database,
    /// What cost a message, a signal or a selection, each with its place and its mend.
    pub mistakes: Vec<String>,
    /// What is strange, and used as it stands.
    pub oddities: Vec<String>,
}

/// Loads the files of a configuration and selects its signals; all, where it selects none.
#[must_use]
pub fn load_selected(config: &DbcConfig) -> Loaded {
    let (mut database, faults) = load(&config.files);
    let (refused, odd): (Vec<_>, Vec<_>) =
        faults.into_iter().partition(|fault| fault.fault.severity == Severity::Refused);
    let show = |faults: Vec<FileFault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut mistakes = show(refused);
    if !config.selected.is_empty() {
        let selected = config.selected.iter().map(|one| (one.from.as_str(), one.name.as_str()));
        mistakes.extend(database.select(selected).err().unwrap_or_default());
    }
    Loaded { database, mistakes, oddities: show(odd) }
}

impl Loaded {
    /// What is to be said of it on the status page.
    #[must_use]
    pub fn status(&self) -> DbcStatus {
        let shown = if self.mistakes.is_empty() { &self.oddities } else { &self.mistakes };
        DbcStatus {
            messages: self.database.messages().len() as u64,
            mistakes: self.mistakes.len() as u64,
            oddities: self.oddities.len() as u64,
            first: shown.iter().take(MISTAKES_MAX).cloned().collect(),
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}
