//! Odoo installed and initialised once, kept in `target/odoo-cache`, and copied from by every run.
//!
//! Promise: a cache entry is complete or not used; it is never written to after it is complete, so runs beside each other
//! do not disturb each other; its name says everything it depends on, so a change makes a new entry. To start afresh,
//! delete the folder.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use sha2::Digest;

use crate::clock::Stopwatch;
use crate::interrupt::Interrupt;
use crate::odoo::python::{self, Python};
use crate::odoo::{DATABASE_ACCOUNT, Settings, package};
use crate::postgres::{Postgres, Programs};
use crate::scratch::Scratch;
use crate::{program, workspace};

/// The Odoo modules that a delivering company has, in every database.
pub(super) const MODULES: &str = "sale_management,sale_stock,stock_delivery,stock_fleet,account,portal";
/// The database that every other is a copy of.
pub(super) const TEMPLATE: &str = "tmpl";
/// Generates the key. User 2 is the administrator, whose keys need not expire; it is good for these databases only.
const MAKE_KEY: &str = "\
                        key = env['res.users.apikeys'].with_user(2)._generate('rpc', 'milepost tests', None)\n\
                        env.cr.commit()\n\
                        print('key=' + key)\n";

/// A complete cache entry.
#[derive(Debug)]
pub(super) struct Prepared {
    folder: PathBuf,
    programs: Programs,
}

impl Prepared {
    /// The entry for what this machine has and this project asks for, made first if it is missing.
    pub(super) fn ensure(interrupt: &Interrupt, watch: Stopwatch) -> Result<Self> {
        let programs = Programs::ensure(interrupt, watch)?;
        let python = Python::ensure(interrupt, watch)?;
        let lock = fs::read_to_string(python::lock_file()).context("failed to read Odoo's library list")?;
        let cache = cache_folder()?;
        fs::create_dir_all(&cache).with_context(|| format!("failed to create {}", cache.display()))?;
        let prepared = Self { folder: cache.join(entry_name(&python.version, programs.version, &lock)), programs };

        let guard = File::create(cache.join("lock")).context("failed to create the cache's lock")?;
        guard.lock().context("failed to lock the cache")?;
        if !prepared.complete_mark().exists() {
            prepared.make(&python, interrupt, watch)?;
        }
        Ok(prepared)
    }

    /// PostgreSQL's programs, of the version that made the cluster.
    pub(super) fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The stopped cluster that holds [`TEMPLATE`].
    pub(super) fn cluster(&self) -> PathBuf {
        self.folder.join("cluster")
    }

    /// The attachments that belong to [`TEMPLATE`].
    pub(super) fn filestore(&self) -> PathBuf {
        self.folder.join("filestore")
    }

    /// The program that runs Odoo.
    pub(super) fn launcher(&self) -> PathBuf {
        self.folder.join("odoo")
    }

    /// The administrator's API key, in every copy of [`TEMPLATE`].
    pub(super) fn key_file(&self) -> PathBuf {
        self.folder.join("key")
    }

    fn complete_mark(&self) -> PathBuf {
        self.folder.join("complete")
    }

    fn make(&self, python: &Python, interrupt: &Interrupt, watch: Stopwatch) -> Result<()> {
        watch.say("preparing Odoo; this takes a few minutes, once");
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder).context("failed to remove an unfinished cache entry")?;
        }
        fs::create_dir_all(&self.folder).with_context(|| format!("failed to create {}", self.folder.display()))?;
        let scratch = Scratch::create("odoo-preparation")?;
        package::unpack(&scratch.path().join("apt"), &self.folder.join("root"), interrupt)?;
        watch.say("Odoo's package is unpacked");
        python.make_environment(&self.folder.join("venv"), interrupt)?;
        watch.say("Odoo's Python libraries are installed");
        self.write_launcher()?;
        self.initialise(&scratch, interrupt, watch)?;
        fs::write(self.complete_mark(), "").context("failed to mark the cache entry complete")
    }

    fn write_launcher(&self) -> Result<()> {
        let folder = self.folder.display();
        let script = format!(
            "#!/bin/sh\nexport PYTHONPATH='{folder}/root/usr/lib/python3/dist-packages'\n\
             exec '{folder}/venv/bin/python3' -W ignore '{folder}/root/usr/bin/odoo' \"$@\"\n"
        );
        fs::write(self.launcher(), script).context("failed to write Odoo's launcher")?;
        fs::set_permissions(self.launcher(), fs::Permissions::from_mode(0o755))
            .context("failed to make Odoo's launcher executable")
    }

    /// Installs the modules into a new database, and keeps its cluster, its files and a key.
    fn initialise(&self, scratch: &Scratch, interrupt: &Interrupt, watch: Stopwatch) -> Result<()> {
        let folder = scratch.path().join("postgres");
        let cluster = self.programs.create_cluster(&folder)?;
        let log = scratch.path().join("postgres.log");
        let postgres = Postgres::start(self.programs.clone(), &cluster, &log, interrupt, watch)?;
        postgres.create_account(DATABASE_ACCOUNT)?;
        let data = scratch.path().join("data");
        let settings = Settings { postgres_port: postgres.port(), http_port: 0, data: data.clone() };
        let configuration = settings.write(scratch.path())?;
        self.install_modules(&configuration, scratch.path(), interrupt)?;
        watch.say("Odoo's modules are installed");
        self.make_key(&configuration)?;
        drop(postgres);

        program::output(Command::new("cp").arg("-a").arg(&cluster).arg(self.cluster()))?;
        let filestore = data.join("filestore").join(TEMPLATE);
        program::output(Command::new("cp").arg("-a").arg(filestore).arg(self.filestore()))?;
        watch.say("Odoo is prepared");
        Ok(())
    }

    fn install_modules(&self, configuration: &Path, folder: &Path, interrupt: &Interrupt) -> Result<()> {
        let log = folder.join("install.log");
        let output = File::create(&log).with_context(|| format!("failed to create {}", log.display()))?;
        let mut odoo = self.odoo(configuration);
        odoo.args(["-i", MODULES, "--stop-after-init", "--no-http"]);
        odoo.stdin(Stdio::null()).stdout(output.try_clone().context("failed to share a log file")?).stderr(output);
        let status = interrupt.run(&mut odoo)?;
        if !status.success() {
            bail!("Odoo failed to install its modules ({status}):\n{}", fs::read_to_string(&log).unwrap_or_default());
        }
        Ok(())
    }

    fn make_key(&self, configuration: &Path) -> Result<()> {
        let mut shell = Command::new(self.launcher());
        shell.arg("shell").arg("-c").arg(configuration).args(["-d", TEMPLATE, "--no-http", "--log-level", "error"]);
        let mut child = shell
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("failed to start Odoo's shell")?;
        child.stdin.take().context("Odoo's shell takes no input")?.write_all(MAKE_KEY.as_bytes())?;
        let output = child.wait_with_output().context("failed to wait for Odoo's shell")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let key = said.lines().find_map(|line| line.split_once("key=").map(|(_, key)| key.trim()));
        let key = key.with_context(|| {
            format!("Odoo's shell made no API key:\n{said}\n{}", String::from_utf8_lossy(&output.stderr))
        })?;
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(self.key_file())?;
        file.write_all(key.as_bytes()).context("failed to write Odoo's API key")
    }

    fn odoo(&self, configuration: &Path) -> Command {
        let mut command = Command::new(self.launcher());
        command.arg("-c").arg(configuration).args(["-d", TEMPLATE]);
        command
    }
}

/// The cache's folder; `MILEPOST_ODOO_CACHE` shares one between several check-outs.
fn cache_folder() -> Result<PathBuf> {
    match std::env::var_os("MILEPOST_ODOO_CACHE") {
        Some(folder) => std::path::absolute(folder).context("MILEPOST_ODOO_CACHE is not a path"),
        None => Ok(workspace::target()?.join("odoo-cache")),
    }
}

/// Everything that an entry depends on, short enough for a folder's name.
fn entry_name(python: &str, postgres: u32, lock: &str) -> String {
    let digest = sha2::Sha256::digest(format!("{lock}\n{MODULES}\n{MAKE_KEY}"));
    let mut name = format!("{}-python{python}-postgresql{postgres}-", package::VERSION);
    for byte in &digest[..6] {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_entry_depends_on_changes_its_name() {
        let name = entry_name("3.11", 15, "lxml==6.1.3\n");
        assert!(name.starts_with("19.0.0+dfsg-1-python3.11-postgresql15-"), "{name}");
        for other in [
            entry_name("3.12", 15, "lxml==6.1.3\n"),
            entry_name("3.11", 16, "lxml==6.1.3\n"),
            entry_name("3.11", 15, "lxml==6.1.4\n"),
        ] {
            assert_ne!(name, other);
        }
    }
}
