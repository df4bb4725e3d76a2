//! A private, real Odoo 19 Community for the tests: loopback only, over its own PostgreSQL, with a fresh database.
//!
//! Promise: every start gives a database that holds the modules of [`prepared::MODULES`] and nothing else, and an API key
//! of its administrator. The slow part, installing, is done once and kept in a cache; see [`prepared`].

mod package;
mod prepared;
mod python;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::clock::Stopwatch;
use crate::interrupt::Interrupt;
use crate::odoo::prepared::{Prepared, TEMPLATE};
use crate::postgres::Postgres;
use crate::scratch::Scratch;
use crate::service::{Account, Service};
use crate::{port, program};

/// The account under which Odoo connects to PostgreSQL.
const DATABASE_ACCOUNT: &str = "odoo";
const DATABASE: &str = "test";
const START_PATIENCE: Duration = Duration::from_secs(120);
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// A running Odoo; it and its PostgreSQL stop when dropped.
#[derive(Debug)]
pub(crate) struct Odoo {
    // In this order: Odoo goes before its database does.
    _service: Service,
    postgres: Postgres,
    url: String,
    key_file: PathBuf,
}

impl Odoo {
    /// Starts Odoo on a free port with a fresh database, preparing the cache first if it is not there.
    pub(crate) fn start(scratch: &Scratch, interrupt: &Interrupt, watch: Stopwatch) -> Result<Self> {
        let prepared = Prepared::ensure(interrupt, watch)?;
        let folder = scratch.path().join("odoo");
        let data = prepared.programs().copy_cluster(&prepared.cluster(), &folder.join("postgres"))?;
        let log = folder.join("postgres.log");
        let postgres = Postgres::start(prepared.programs().clone(), &data, &log, interrupt, watch)?;
        postgres.copy_database(TEMPLATE, DATABASE, DATABASE_ACCOUNT)?;
        let filestores = folder.join("data/filestore");
        fs::create_dir_all(&filestores).with_context(|| format!("failed to create {}", filestores.display()))?;
        program::output(Command::new("cp").arg("-a").arg(prepared.filestore()).arg(filestores.join(DATABASE)))?;

        let [port] = port::free()?;
        let settings = Settings { postgres_port: postgres.port(), http_port: port, data: folder.join("data") };
        let configuration = settings.write(&folder)?;
        let arguments = ["-c", &configuration.to_string_lossy(), "-d", DATABASE];
        let log = folder.join("odoo.log");
        let mut service = Service::start("Odoo", &prepared.launcher(), &arguments, Account::Own, &log, Signal::INT)?;
        let url = format!("http://127.0.0.1:{port}");
        let key = fs::read_to_string(prepared.key_file()).context("failed to read Odoo's API key from the cache")?;
        service.wait_until(interrupt, START_PATIENCE, || warehouse_can_be_read(&url, &key))?;
        watch.say(&format!("Odoo answers at {url} (pid {})", service.pid()));
        Ok(Self { _service: service, postgres, url, key_file: prepared.key_file() })
    }

    /// Its address, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its only database.
    pub(crate) fn database(&self) -> &'static str {
        DATABASE
    }

    /// The file that holds an API key of its administrator.
    pub(crate) fn key_file(&self) -> &Path {
        &self.key_file
    }

    /// The port of its PostgreSQL.
    pub(crate) fn postgres_port(&self) -> u16 {
        self.postgres.port()
    }
}

/// The part of Odoo's configuration that differs from run to run.
#[derive(Debug)]
struct Settings {
    postgres_port: u16,
    http_port: u16,
    data: PathBuf,
}

impl Settings {
    fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join("odoo.conf");
        fs::write(&path, self.text()).with_context(|| format!("failed to write {}", path.display()))?;
        Ok(path)
    }

    /// One process, no scheduled jobs: the tests want answers, and the same ones every time.
    fn text(&self) -> String {
        let Self { postgres_port, http_port, data } = self;
        format!(
            "[options]\ndb_host = 127.0.0.1\ndb_port = {postgres_port}\ndb_user = {DATABASE_ACCOUNT}\ndata_dir = {}\n\
             http_interface = 127.0.0.1\nhttp_port = {http_port}\nlist_db = False\nmax_cron_threads = 0\nworkers = 0\n",
            data.display()
        )
    }
}

/// Whether the database answers with a record that only an installed stock module has.
fn warehouse_can_be_read(url: &str, key: &str) -> bool {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(ANSWER_PATIENCE)).build().into();
    let request = agent
        .post(format!("{url}/json/2/stock.warehouse/search_read"))
        .header("Authorization", format!("bearer {}", key.trim()))
        .send_json(serde_json::json!({ "domain": [], "fields": ["name"], "limit": 1 }));
    let answer = request.and_then(|mut response| response.body_mut().read_json::<serde_json::Value>());
    answer.is_ok_and(|records| records.get(0).is_some())
}
