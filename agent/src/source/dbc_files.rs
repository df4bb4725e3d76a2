//! Reading DBC files from disk; what is in them is [`can::dbc`](super::can::dbc)'s.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::can::dbc::{Database, FileFault};

/// Largest file, bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The messages of all files, and what is wrong with them.
#[must_use]
pub fn load(files: &[PathBuf]) -> (Database, Vec<FileFault>) {
    Database::combine(files.iter().map(|file| (file.clone(), read(file).map_err(|error| error.to_string()))))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}
