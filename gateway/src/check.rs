//! `check`: what is wrong with this configuration and with what it points at.
//!
//! Promise: everything is looked at, whatever is wrong with the rest, and each line says what would mend it. Nothing is
//! changed anywhere, except that a store that does not exist yet is created.

use std::io::Write;
use std::path::Path;

use crate::config::Config;
use crate::ingest::tls;
use crate::serve::{connector, roster};
use crate::store::{Store, accept, commit};

/// Checks everything that the configuration read from `path` points at and writes one line per finding to `out`. Answers
/// whether all is well.
///
/// # Errors
/// When `out` cannot be written.
pub async fn run(path: &Path, config: &Config, out: &mut impl Write) -> std::io::Result<bool> {
    writeln!(out, "ok       {}: fleet {}", path.display(), config.fleet)?;
    let mut report = Report { out, well: true };
    let ingest = &config.ingest;
    let files = tls::server_config(&ingest.certificate, &ingest.key, &ingest.client_ca);
    report.note("certificates", files.map(|_| format!("devices connect to {}", ingest.listen)))?;
    if !config.pages_listen.ip().is_loopback() {
        report.warn("pages", &format!("{} can be reached from other machines, without TLS", config.pages_listen))?;
    }
    if let Some(plan) = &config.plan {
        let trips = roster::read_plan(plan).and_then(|plan| roster::assign_trips(plan, config));
        report.note("plan", trips.map(|trips| format!("{} trips", trips.len())))?;
    }
    let store = Store::open(&config.store_path);
    if let Ok(store) = &store {
        check_odoo(config, store, &mut report).await?;
    }
    let standing = match store {
        Ok(store) => backlog(&store, config).await,
        Err(fault) => Err(fault.into()),
    };
    report.note("store", standing)?;
    Ok(report.well)
}

async fn backlog(store: &Store, config: &Config) -> anyhow::Result<String> {
    let fleet = config.fleet.clone();
    let read = move |connection: &rusqlite::Connection| {
        Ok((accept::journal_end(connection, &fleet)?, commit::cursor(connection, &fleet)?.position))
    };
    let (end, position) = store.read(read).await?;
    Ok(format!("{}: journal at {end}, folded up to {position}", config.store_path.display()))
}

async fn check_odoo<W: Write>(config: &Config, store: &Store, report: &mut Report<'_, W>) -> std::io::Result<()> {
    let Some(section) = &config.odoo else {
        return report.warn("odoo", "no [odoo] section: effects wait in the outbox");
    };
    let connector = match connector(section, &config.fleet, store) {
        Ok(connector) => connector,
        Err(error) => return report.note("odoo", Err(error)),
    };
    let probe = connector.probe().await;
    for finding in &probe.findings {
        writeln!(report.out, "odoo     {:?}: {}", finding.grade, finding.text)?;
    }
    let usable = if probe.is_usable() {
        Ok(format!("version {}", probe.version.unwrap_or_default()))
    } else {
        Err(anyhow::anyhow!("not usable as it is, see above"))
    };
    report.note("odoo", usable)
}

struct Report<'w, W> {
    out: &'w mut W,
    well: bool,
}

impl<W: Write> Report<'_, W> {
    fn note(&mut self, what: &str, found: anyhow::Result<String>) -> std::io::Result<()> {
        match found {
            Ok(text) => writeln!(self.out, "ok       {what}: {text}"),
            Err(error) => {
                self.well = false;
                writeln!(self.out, "problem  {what}: {error:#}")
            }
        }
    }

    fn warn(&mut self, what: &str, text: &str) -> std::io::Result<()> {
        writeln!(self.out, "note     {what}: {text}")
    }
}
