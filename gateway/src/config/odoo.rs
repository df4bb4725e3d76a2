//! `[odoo]`: where Odoo is, and where its key is kept.

use std::path::{Path, PathBuf};

use anyhow::Context;
use milepost_proto::config_table::Table;

use crate::odoo::{ApiKey, Mode, REQUEST_LIMIT_S_DEFAULT, Settings, TIMEOUT_S_DEFAULT, TIMEOUT_S_MIN};

const LEDGER_DEFAULT: &str = "odoo-ledger.jsonl";

/// `[odoo]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OdooSection {
    /// Base address.
    pub url: String,
    /// Name of the database.
    pub database: String,
    /// Where the API key is.
    pub key: KeySource,
    /// Whether anything is really sent.
    pub mode: OdooMode,
    /// The dry run's ledger file.
    pub ledger: PathBuf,
    /// Seconds between looks for new orders.
    pub poll_s: u32,
    /// Seconds after which Odoo has given up on a request whose reply was lost (its `limit_time_real`).
    pub request_limit_s: u32,
    /// Longest wait for an answer, seconds.
    pub timeout_s: u32,
}

/// Where the API key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// In a file that holds the key alone.
    File(PathBuf),
    /// In an environment variable of this name.
    Env(String),
}

/// Whether anything is really sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OdooMode {
    /// Calls go to Odoo.
    Live,
    /// Calls are written to the ledger.
    DryRun,
}

/// Reads the section; nothing when something indispensable is missing.
pub fn read(mut table: Table<'_>, folder: &Path) -> Option<OdooSection> {
    let mode = read_mode(&mut table);
    let key = read_key(&mut table, folder);
    let section = OdooSection {
        url: table.require("url").unwrap_or_default(),
        database: table.require("database").unwrap_or_default(),
        // A dry run sends nothing, so it needs no key.
        key: match (key, mode) {
            (Some(key), _) => key,
            (None, OdooMode::DryRun) => KeySource::Env(String::new()),
            (None, OdooMode::Live) => {
                table.fault("api_key_file", "is missing (or api_key_env): say where the API key is");
                return None;
            }
        },
        mode,
        ledger: folder.join(table.get_or("ledger", PathBuf::from(LEDGER_DEFAULT))),
        poll_s: table.get_in("poll_s", 1..=3600, 15),
        request_limit_s: table.get_in("request_limit_s", 0..=3600, REQUEST_LIMIT_S_DEFAULT),
        timeout_s: table.get_in("timeout_s", TIMEOUT_S_MIN..=600, TIMEOUT_S_DEFAULT),
    };
    table.finish();
    Some(section)
}

fn read_mode(table: &mut Table<'_>) -> OdooMode {
    match table.get_or("mode", "live".to_owned()).as_str() {
        "live" => OdooMode::Live,
        "dry_run" => OdooMode::DryRun,
        other => {
            table.fault("mode", &format!("must be \"live\" or \"dry_run\", not {other:?}"));
            OdooMode::DryRun
        }
    }
}

fn read_key(table: &mut Table<'_>, folder: &Path) -> Option<KeySource> {
    if table.get::<String>("api_key").is_some() {
        table.fault(
            "api_key",
            "must not be in this file: put the key alone in a file that only the gateway's user can read and name it \
             in api_key_file, or name an environment variable in api_key_env",
        );
        return Some(KeySource::Env(String::new()));
    }
    let file = table.get::<PathBuf>("api_key_file").map(|path| KeySource::File(folder.join(path)));
    let env = table.get::<String>("api_key_env").map(KeySource::Env);
    if file.is_some() && env.is_some() {
        table.fault("api_key_env", "cannot stand next to api_key_file: name one place");
    }
    file.or(env)
}

impl OdooSection {
    /// The connector's settings, with the key read from where it is.
    ///
    /// # Errors
    /// When the key is not where the configuration says.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        let (mode, api_key) = match self.mode {
            OdooMode::Live => (Mode::Live, self.read_key()?),
            OdooMode::DryRun => (Mode::DryRun { ledger: self.ledger.clone() }, ApiKey::new("")),
        };
        let (url, database) = (self.url.clone(), self.database.clone());
        Ok(Settings { url, database, api_key, mode, timeout_s: self.timeout_s })
    }

    fn read_key(&self) -> anyhow::Result<ApiKey> {
        let text = match &self.key {
            KeySource::File(path) => std::fs::read_to_string(path)
                .with_context(|| format!("odoo.api_key_file: cannot read {}", path.display()))?,
            KeySource::Env(name) => std::env::var(name)
                .with_context(|| format!("odoo.api_key_env: the environment variable {name} is not set"))?,
        };
        anyhow::ensure!(!text.trim().is_empty(), "the Odoo API key is empty: create one in Odoo under Preferences");
        Ok(ApiKey::new(&text))
    }
}
