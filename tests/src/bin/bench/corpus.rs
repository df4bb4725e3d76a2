//! The corpus of recordings and oracles beside the project, and how much of it came out equal.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use milepost_agent::source::can::{Frame, candump};
use serde_json::Value;

use crate::figure;

/// Values of an oracle that were found again.
#[derive(Debug, Default)]
pub(crate) struct Score {
    compared: u64,
    matched: u64,
}

impl Score {
    /// One more value of the oracle.
    pub(crate) const fn add(&mut self, matched: bool) {
        self.compared += 1;
        self.matched += matched as u64;
    }

    /// All that `other` counted.
    pub(crate) const fn merge(&mut self, other: &Self) {
        self.compared += other.compared;
        self.matched += other.matched;
    }

    /// Prints how many were compared, how many of them are missed, and the share that is equal.
    pub(crate) fn print(&self, name: &str) {
        figure::print(&format!("{name}_compared"), self.compared as f64, "values");
        figure::print(&format!("{name}_missed"), (self.compared - self.matched) as f64, "values");
        figure::print(&format!("{name}_matched_percent"), 100.0 * self.matched as f64 / self.compared as f64, "%");
    }
}

/// The corpus.
pub(crate) fn shared_data() -> anyhow::Result<PathBuf> {
    let ancestors = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut places = ancestors.map(|folder| folder.join("shared/data"));
    places.find(|data| data.is_dir()).context("there is no folder shared/data above the project; put the corpus there")
}

/// The recorded logs in a folder.
pub(crate) fn logs(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let paths: Result<Vec<_>, _> = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect();
    Ok(paths?.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect())
}

/// The readable frames of a log, which the oracles count.
pub(crate) fn frames(log: &Path) -> anyhow::Result<Vec<Frame>> {
    let bytes = std::fs::read(log)?;
    Ok(bytes.split(|byte| *byte == b'\n').filter_map(candump::parse).map(|line| line.frame).collect())
}

/// An oracle's rows, a JSON object a line, packed or not.
pub(crate) fn rows(path: &Path) -> anyhow::Result<Vec<Value>> {
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let text = if packed {
        String::from_utf8(Command::new("gzip").arg("-dc").arg(path).output()?.stdout)?
    } else {
        std::fs::read_to_string(path)?
    };
    let rows: Result<_, _> = text.lines().map(serde_json::from_str).collect();
    rows.with_context(|| format!("{} is no oracle", path.display()))
}

/// The frame that a row is about.
pub(crate) fn frame_index(row: &Value) -> anyhow::Result<usize> {
    let index = row["i"].as_u64().and_then(|index| usize::try_from(index).ok());
    index.context("a row of an oracle names its frame")
}
