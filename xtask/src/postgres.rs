//! A private PostgreSQL: loopback only, everybody trusted, made to be thrown away (no write is ever synced).

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::apt::{self, Need};
use crate::clock::Stopwatch;
use crate::interrupt::Interrupt;
use crate::service::{Account, Service};
use crate::{port, program};

const NEED: Need = Need { packages: &["postgresql"], autostarts: Some("postgresql") };
const INSTALLATIONS: &str = "/usr/lib/postgresql";
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Where PostgreSQL's own programs are, and whose account they run under.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// The major version.
    pub(crate) version: u32,
    account: Account,
}

/// A running server; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Postgres {
    _service: Service,
    programs: Programs,
    port: u16,
}

impl Programs {
    /// Finds the newest installed version, installing Debian's if there is none.
    pub(crate) fn ensure(interrupt: &Interrupt, watch: Stopwatch) -> Result<Self> {
        let version = apt::ensure(NEED, interrupt, watch, newest_version)?;
        // It refuses to run as root.
        let root = rustix::process::geteuid().is_root();
        Ok(Self { version, account: if root { Account::Named("postgres") } else { Account::Own } })
    }

    /// Creates an empty cluster in `folder/data` and returns that path.
    pub(crate) fn create_cluster(&self, folder: &Path) -> Result<PathBuf> {
        let data = folder.join("data");
        fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
        self.give(folder)?;
        let mut initdb = self.account.command(&self.path("initdb"));
        program::output(
            initdb.args(["-E", "UTF8", "--locale=C.UTF-8", "-A", "trust", "-U", "postgres", "-D"]).arg(&data),
        )?;
        Ok(data)
    }

    /// Copies the stopped cluster `from` to `folder/data`, ready to be started, and returns that path.
    pub(crate) fn copy_cluster(&self, from: &Path, folder: &Path) -> Result<PathBuf> {
        let data = folder.join("data");
        fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
        program::output(Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(&data))?;
        self.give(folder)?;
        Ok(data)
    }

    fn give(&self, folder: &Path) -> Result<()> {
        if let Account::Named(account) = self.account {
            program::output(Command::new("chown").arg("-R").arg(account).arg(folder))?;
        }
        Ok(())
    }

    fn path(&self, program: &str) -> PathBuf {
        Path::new(INSTALLATIONS).join(self.version.to_string()).join("bin").join(program)
    }
}

impl Postgres {
    /// Starts a server over the cluster `data`, whose parent folder takes its socket; its log goes to `log`.
    pub(crate) fn start(
        programs: Programs,
        data: &Path,
        log: &Path,
        interrupt: &Interrupt,
        watch: Stopwatch,
    ) -> Result<Self> {
        let [port] = port::free()?;
        let sockets = data.parent().context("the cluster is in no folder")?.to_string_lossy();
        let (data, port_text) = (data.to_string_lossy(), port.to_string());
        let sockets = format!("unix_socket_directories={sockets}");
        let mut arguments = vec!["-D", &data, "-p", &port_text];
        let settings =
            ["listen_addresses=127.0.0.1", &sockets, "fsync=off", "synchronous_commit=off", "full_page_writes=off"];
        arguments.extend(settings.iter().flat_map(|setting| ["-c", setting]));
        // SIGINT is its "fast shutdown": no waiting for clients, but a clean cluster.
        let server = programs.path("postgres");
        let mut service = Service::start("PostgreSQL", &server, &arguments, programs.account, log, Signal::INT)?;
        let mut probe = Postgres::client(&programs, port, "pg_isready");
        service.wait_until(interrupt, START_PATIENCE, || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() && program::succeeds(&mut probe)
        })?;
        watch.say(&format!("PostgreSQL {} answers on port {port} (pid {})", programs.version, service.pid()));
        Ok(Self { _service: service, programs, port })
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Creates the account `name`, which may create databases.
    pub(crate) fn create_account(&self, name: &str) -> Result<()> {
        program::output(Self::client(&self.programs, self.port, "createuser").args(["-U", "postgres", "-d", name]))
            .map(drop)
    }

    /// Creates the database `name` of `owner` as a copy of `template`.
    pub(crate) fn copy_database(&self, template: &str, name: &str, owner: &str) -> Result<()> {
        let mut command = Self::client(&self.programs, self.port, "createdb");
        program::output(command.args(["-U", owner, "-T", template, name])).map(drop)
    }

    fn client(programs: &Programs, port: u16, program: &str) -> Command {
        let mut command = Command::new(programs.path(program));
        command.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
        command
    }
}

fn newest_version() -> Option<u32> {
    let versions = fs::read_dir(INSTALLATIONS).ok()?.flatten();
    let complete = versions.filter(|version| version.path().join("bin/initdb").is_file());
    complete.filter_map(|version| version.file_name().to_str()?.parse().ok()).max()
}
