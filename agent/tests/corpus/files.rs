//! The corpus of recordings and oracles, where somebody put one beside the project; it is no part of it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// The corpus; without it a test says so and checks nothing.
pub(crate) fn shared_data() -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared/data"))
        .find(|data| data.is_dir());
    if found.is_none() {
        eprintln!("skipped: no shared data");
    }
    found
}

/// The recorded logs in a folder.
pub(crate) fn logs(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).expect("corpus folder").map(|entry| entry.expect("entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect()
}

/// A JSON object a line.
pub(crate) fn rows<T: DeserializeOwned>(text: &str) -> Vec<T> {
    text.lines().map(|line| serde_json::from_str(line).expect("row")).collect()
}
