//! The Python that Odoo runs on: a virtual environment with exactly the libraries of `odoo-requirements.lock`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::apt::{self, Need};
use crate::clock::Stopwatch;
use crate::interrupt::Interrupt;
use crate::{program, workspace};

const NEED: Need = Need { packages: &["python3", "python3-venv"], autostarts: None };
/// Prints its version and full path, and fails if it is too old for the locked libraries or cannot make virtual environments.
const PROBE: &str = "import sys, venv, ensurepip; assert sys.version_info >= (3, 11); \
                     print('%d.%d' % sys.version_info[:2]); print(sys.executable)";

/// A Python that can carry Odoo.
#[derive(Debug, Clone)]
pub(super) struct Python {
    /// `MAJOR.MINOR`.
    pub(super) version: String,
    program: PathBuf,
}

impl Python {
    /// The first on the search path if it will do, else the system's own, installed if need be.
    pub(super) fn ensure(interrupt: &Interrupt, watch: Stopwatch) -> Result<Self> {
        apt::ensure(NEED, interrupt, watch, || ["python3", "/usr/bin/python3"].into_iter().find_map(probe))
    }

    /// Makes a virtual environment in `folder` with the locked libraries.
    pub(super) fn make_environment(&self, folder: &Path, interrupt: &Interrupt) -> Result<()> {
        program::output(Command::new(&self.program).args(["-m", "venv"]).arg(folder))?;
        program::download(interrupt, || {
            let mut pip = Command::new(folder.join("bin/python3"));
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
                .arg(lock_file());
            pip
        })
        .context("failed to install Odoo's Python libraries")
    }
}

/// The list of Odoo's Python libraries, each with its version.
pub(super) fn lock_file() -> PathBuf {
    workspace::root().join("xtask/odoo-requirements.lock")
}

fn probe(program: &str) -> Option<Python> {
    let answer = program::output(Command::new(program).args(["-c", PROBE])).ok()?;
    let (version, path) = answer.trim().split_once('\n')?;
    Some(Python { version: version.to_owned(), program: path.into() })
}
