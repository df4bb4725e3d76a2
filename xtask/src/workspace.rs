//! Where the project and its build output are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The project's root folder.
pub(crate) fn root() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    xtask.parent().map_or_else(|| xtask.clone(), Path::to_path_buf)
}

/// The folder that holds the built binaries of this profile, e.g. `target/debug`.
pub(crate) fn binaries() -> Result<PathBuf> {
    let program = std::env::current_exe().context("failed to find the running program")?;
    Ok(program.parent().context("the running program is in no folder")?.to_path_buf())
}

/// Cargo's build folder, `target` unless configured otherwise.
pub(crate) fn target() -> Result<PathBuf> {
    let binaries = binaries()?;
    Ok(binaries.parent().context("the binaries' folder has no parent")?.to_path_buf())
}

/// The cargo that runs this chore, so that all of it is built by one toolchain.
pub(crate) fn cargo() -> std::process::Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(cargo);
    command.current_dir(root());
    command
}
