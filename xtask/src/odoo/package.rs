//! Odoo's program files: one pinned Debian package and the few it cannot serve a page without.
//!
//! Promise: what runs is byte for byte what the tests were written against, or nothing runs. The package is only in
//! Debian's unstable suite, where it moves; a move is a loud error here, not a surprise in a test.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::apt::OtherSuite;
use crate::interrupt::Interrupt;

/// The version the tests were written against.
pub(super) const VERSION: &str = "19.0.0+dfsg-1";
const SHA256: &str = "9d2f598b0555db17e291d48ed24df184c70823c053c4c5ed53c467ca7f629bbf";
const PACKAGE: &str = "odoo-19";
const SUITE: &str = "sid";

/// Scripts and fonts that the package links to; without them every page is an error 500, though the API works.
const COMPANIONS: [&str; 8] = [
    "libjs-jquery",
    "libjs-jquery-form",
    "libjs-underscore",
    "fonts-font-awesome",
    "fonts-inconsolata",
    "fonts-montserrat",
    "fonts-ocr-b",
    "fonts-roboto-unhinted",
];

/// Fetches the packages, working in `folder`, and unpacks them into `root`. apt itself checks the download against the
/// signed SHA-256, which this compares with the pinned one.
pub(super) fn unpack(folder: &Path, root: &Path, interrupt: &Interrupt) -> Result<()> {
    let suite = OtherSuite::open(SUITE, folder, interrupt)?;
    let (version, sha256) = suite.published(PACKAGE)?;
    check_pin(&version, &sha256)?;
    let packages: Vec<&str> = std::iter::once(PACKAGE).chain(COMPANIONS).collect();
    suite.unpack(&packages, root, interrupt)
}

fn check_pin(version: &str, sha256: &str) -> Result<()> {
    ensure!(
        version == VERSION && sha256 == SHA256,
        "Debian's {SUITE} now has {PACKAGE} {version} (SHA-256 {sha256}), but the tests are written against {VERSION} \
         (SHA-256 {SHA256}); try the new one by changing both in xtask/src/odoo/package.rs, or run with --fast"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_moved_or_changed_is_refused_by_name() {
        check_pin(VERSION, SHA256).expect("the pinned one");
        for (version, sha256) in [("19.0.1+dfsg-1", SHA256), (VERSION, "00")] {
            let error = check_pin(version, sha256).expect_err("not the pinned one").to_string();
            assert!(error.contains(version) && error.contains(sha256), "{error}");
        }
    }
}
