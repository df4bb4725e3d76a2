//! Small C libraries put between a real binary and the C library, to break what it believes of its disk.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Compiles `source` into `folder` as the library `name`.
///
/// # Errors
/// When there is no C compiler, naming what brings one, or it refuses.
pub fn compile(source: &str, folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let (text, library) = (folder.join(format!("{name}.c")), folder.join(format!("{name}.so")));
    std::fs::write(&text, source)?;
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&text);
    let output = cc.output().context("no C compiler: apt-get install gcc libc6-dev")?;
    ensure!(output.status.success(), "cc: {}", String::from_utf8_lossy(&output.stderr));
    Ok(library)
}
