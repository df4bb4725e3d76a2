//! Debian packages: installing what a service lacks, and fetching single packages from another suite.
//!
//! Promise: nothing is installed that is already there; a daemon that an installation started by itself is stopped again,
//! and one that was there before is left alone; fetching from another suite uses a package state of our own and touches
//! nothing of the machine's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::clock::Stopwatch;
use crate::interrupt::Interrupt;
use crate::program;

/// A program that a service needs, and how Debian provides it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    /// The packages to install when it is missing.
    pub(crate) packages: &'static [&'static str],
    /// The system service that these packages start on their own, if any.
    pub(crate) autostarts: Option<&'static str>,
}

/// Installs `need` if `is_there` finds nothing, and returns what `is_there` finds then.
pub(crate) fn ensure<T>(
    need: Need,
    interrupt: &Interrupt,
    watch: Stopwatch,
    is_there: impl Fn() -> Option<T>,
) -> Result<T> {
    if let Some(found) = is_there() {
        return Ok(found);
    }
    let packages = need.packages.join(" ");
    if program::find("apt-get").is_none() || !rustix::process::geteuid().is_root() {
        bail!("{packages} missing, and installing takes root and apt-get; install by hand: apt-get install {packages}");
    }
    watch.say(&format!("installing {packages}"));
    refresh_lists(interrupt)?;
    program::download(interrupt, || {
        let mut command = apt_get(&["install", "-y", "--no-install-recommends"]);
        command.args(need.packages);
        command
    })?;
    if let Some(daemon) = need.autostarts {
        stop_daemon(daemon);
    }
    is_there().with_context(|| format!("installed {packages}, but what they should bring is still not found"))
}

/// Once per run is enough, and on a machine that never did it, needed.
fn refresh_lists(interrupt: &Interrupt) -> Result<()> {
    static FRESH: OnceLock<()> = OnceLock::new();
    if FRESH.get().is_none() {
        program::download(interrupt, || apt_get(&["update"]))?;
        FRESH.get_or_init(|| ());
    }
    Ok(())
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.arg("-q").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Stops a daemon that the packages just installed may have started. It may as well not run: then there is nothing to do.
fn stop_daemon(daemon: &str) {
    let by_systemd = Path::new("/run/systemd/system").exists();
    let mut command = Command::new(if by_systemd { "systemctl" } else { "service" });
    if by_systemd {
        command.args(["disable", "--now", daemon]);
    } else {
        command.args([daemon, "stop"]);
    }
    let _ = program::succeeds(&mut command);
}

/// A private package state that sees another suite of the mirror which the machine itself uses.
#[derive(Debug)]
pub(crate) struct OtherSuite {
    folder: PathBuf,
    options: Vec<String>,
}

impl OtherSuite {
    /// Fetches the package lists of `suite` into `folder`.
    pub(crate) fn open(suite: &str, folder: &Path, interrupt: &Interrupt) -> Result<Self> {
        for inner in ["lists/partial", "cache/archives/partial"] {
            let path = folder.join(inner);
            fs::create_dir_all(&path).with_context(|| format!("failed to create {}", path.display()))?;
        }
        let source = format!(
            "Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
            mirror()?
        );
        let sources = folder.join("suite.sources");
        fs::write(&sources, source).with_context(|| format!("failed to write {}", sources.display()))?;
        let other = Self { folder: folder.to_path_buf(), options: private_options(folder, &sources) };
        program::download(interrupt, || other.command("apt-get", &["update"]))?;
        Ok(other)
    }

    /// The version and SHA-256 of `package` in this suite.
    pub(crate) fn published(&self, package: &str) -> Result<(String, String)> {
        let shown = program::output(&mut self.command("apt-cache", &["show", package]))?;
        let field = |name: &str| {
            let value = shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            value.map(str::to_owned).with_context(|| format!("apt-cache show {package} has no {name}"))
        };
        Ok((field("Version")?, field("SHA256")?))
    }

    /// Downloads `packages` and unpacks all of them into `root`, without installing anything.
    pub(crate) fn unpack(&self, packages: &[&str], root: &Path, interrupt: &Interrupt) -> Result<()> {
        let debs = self.folder.join("debs");
        fs::create_dir_all(&debs).with_context(|| format!("failed to create {}", debs.display()))?;
        program::download(interrupt, || {
            let mut command = self.command("apt-get", &["download"]);
            command.args(packages).current_dir(&debs);
            command
        })?;
        for entry in fs::read_dir(&debs).context("failed to list the downloaded packages")? {
            let deb = entry.context("failed to list the downloaded packages")?.path();
            program::output(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(root))?;
        }
        Ok(())
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.arg("-q").args(&self.options).args(arguments);
        command
    }
}

fn private_options(folder: &Path, sources: &Path) -> Vec<String> {
    let settings = [
        format!("Dir::Etc::sourcelist={}", sources.display()),
        "Dir::Etc::sourceparts=/dev/null".to_owned(),
        format!("Dir::State::Lists={}", folder.join("lists").display()),
        format!("Dir::Cache={}", folder.join("cache").display()),
        "APT::Sandbox::User=root".to_owned(),
        "Acquire::Languages=none".to_owned(),
    ];
    settings.into_iter().flat_map(|setting| ["-o".to_owned(), setting]).collect()
}

/// The Debian mirror that the machine's own package sources name.
fn mirror() -> Result<String> {
    let targets = program::output(Command::new("apt-get").args([
        "indextargets",
        "--no-release-info",
        "--format",
        "$(REPO_URI) $(RELEASE)",
        "Created-By: Packages",
    ]))?;
    main_mirror(&targets).context("apt's sources name no Debian mirror; add one to /etc/apt/sources.list.d")
}

/// Picks the archive proper out of lines `URI RELEASE`: not security fixes, updates or backports.
fn main_mirror(targets: &str) -> Option<String> {
    let mut pairs = targets.lines().filter_map(|line| line.split_once(' '));
    pairs.find(|(_, release)| !release.contains(['-', '/'])).map(|(uri, _)| uri.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_archive_proper() {
        let targets = "http://a.example/security/ bookworm-security\nhttp://b.example/debian/ bookworm-updates\n\
                       http://c.example/debian/ bookworm\nhttp://d.example/debian/ trixie\n";
        assert_eq!(main_mirror(targets).as_deref(), Some("http://c.example/debian/"));
        assert_eq!(main_mirror("http://a.example/security/ bookworm-security\n"), None);
    }
}
