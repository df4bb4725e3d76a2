//! `serve`: the gateway as a whole.
//!
//! Promise: once [`start`] answers, devices and people can connect. Everything stops by the one `shutdown`: open
//! requests finish, attempts under way get their grace, and nothing that was promised is lost, because every promise
//! was durable before it was made. If the store's writer or a listener fails, everything stops with an error rather
//! than staying half alive. One store is served by one gateway.

pub mod lock;
pub mod orders;
pub mod roster;
pub mod upkeep;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use milepost_proto::{FleetId, Sha256};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::lock::Lock;
use self::upkeep::Upkeep;
use crate::config::{Config, OdooSection};
use crate::ingest::{self, Ingest};
use crate::metrics::Metrics;
use crate::odoo::Connector;
use crate::outbox::Outbox;
use crate::outbox::decide::Policy;
use crate::pages::{self, PageState};
use crate::store::{Store, blob};
use crate::{clock, projector};

/// How long open pages may take to finish at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// A gateway that is running.
pub struct Gateway {
    /// Where devices connect.
    pub ingest_address: SocketAddr,
    /// Where people connect.
    pub pages_address: SocketAddr,
    /// What it keeps.
    pub store: Store,
    /// What it counts.
    pub metrics: Metrics,
    tasks: JoinSet<anyhow::Result<()>>,
    shutdown: CancellationToken,
    _lock: Lock,
}

/// Runs a gateway until `shutdown`.
///
/// # Errors
/// When it cannot start, or a part of it fails.
pub async fn run(config: &Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let gateway = start(config, shutdown).await?;
    tracing::info!(devices = %gateway.ingest_address, people = %gateway.pages_address, "the gateway is ready");
    // Without a service manager there is nobody to tell.
    drop(sd_notify::notify(&[sd_notify::NotifyState::Ready]));
    let ended = gateway.finished().await;
    drop(sd_notify::notify(&[sd_notify::NotifyState::Stopping]));
    ended
}

/// Starts a gateway.
///
/// # Errors
/// When the store, a certificate, a listener or a plan cannot be used; the error names which and why.
pub async fn start(config: &Config, shutdown: CancellationToken) -> anyhow::Result<Gateway> {
    let lock = Lock::take(&config.store_path)?;
    let store = Store::open(&config.store_path)
        .with_context(|| format!("failed to open the store {}", config.store_path.display()))?;
    roster::apply(&store, config).await?;
    let metrics = Metrics::new();
    let mut tasks = JoinSet::new();
    let fleets = vec![config.fleet.clone()];

    let listener = bind(config.ingest.listen, "[ingest] listen")?;
    let ingest_address = listener.local_addr().context("the ingest listener has no address")?;
    let section = &config.ingest;
    let tls = ingest::tls::server_config(&section.certificate, &section.key, &section.client_ca)?;
    let hands = Ingest::new(store.clone(), fleets.clone(), metrics.clone(), section.limits);
    let stop = shutdown.clone();
    tasks.spawn(async move { ingest::serve(listener, tls, hands, stop).await.context("serving devices failed") });

    let listener = bind(config.pages_listen, "[pages] listen")?;
    let pages_address = listener.local_addr().context("the pages listener has no address")?;
    let router = people_router(&store, &metrics);
    let stop = shutdown.clone();
    tasks.spawn(async move { serve_people(listener, router, stop).await.context("serving pages failed") });

    let fold = projector::run(store.clone(), fleets, config.rules.clone(), metrics.clone(), shutdown.clone());
    tasks.spawn(async move {
        fold.await;
        Ok(())
    });
    let upkeep = Upkeep {
        store: store.clone(),
        fleet_id: config.fleet.clone(),
        rules: config.rules.clone(),
        custody: config.custody,
        retention: config.retention,
        metrics: metrics.clone(),
    };
    let keeping = upkeep.run(shutdown.clone());
    tasks.spawn(async move {
        keeping.await;
        Ok(())
    });
    if let Some(odoo) = &config.odoo {
        start_odoo(&mut tasks, odoo, &config.fleet, &store, &metrics, &shutdown)?;
    }
    Ok(Gateway { ingest_address, pages_address, store, metrics, tasks, shutdown, _lock: lock })
}

impl Gateway {
    /// Completes when everything has stopped.
    ///
    /// # Errors
    /// The first failure of a part; everything else is then stopped too.
    pub async fn finished(mut self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        let store = self.store.clone();
        loop {
            let ended = tokio::select! {
                ended = self.tasks.join_next() => ended,
                () = store.stopped(), if outcome.is_ok() => {
                    outcome = Err(anyhow::anyhow!("the store's writer has stopped"));
                    self.shutdown.cancel();
                    continue;
                }
            };
            let Some(ended) = ended else { return outcome };
            let ended = ended.context("a part of the gateway panicked").and_then(|ended| ended);
            if ended.is_err() || !self.shutdown.is_cancelled() {
                self.shutdown.cancel();
                outcome = outcome.and(ended);
            }
        }
    }
}

/// Everything people and other systems are served: pages, reading APIs, figures.
fn people_router(store: &Store, metrics: &Metrics) -> Router {
    let figures = metrics.clone();
    let state = PageState::new(store.clone(), Arc::new(clock::now), Arc::new(move || figures.text()));
    pages::router(state)
}

async fn serve_people(listener: TcpListener, router: Router, shutdown: CancellationToken) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let stop = shutdown.clone();
    let serving = axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned()).into_future();
    let out_of_patience = async {
        shutdown.cancelled().await;
        tokio::time::sleep(SHUTDOWN_GRACE).await;
    };
    tokio::select! {
        ended = serving => ended,
        () = out_of_patience => Ok(()),
    }
}

fn start_odoo(
    tasks: &mut JoinSet<anyhow::Result<()>>,
    section: &OdooSection,
    fleet_id: &FleetId,
    store: &Store,
    metrics: &Metrics,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let connector = Arc::new(connector(section, fleet_id, store)?);
    let policy = Policy { request_limit_ms: i64::from(section.request_limit_s) * 1000, ..Policy::default() };
    let outbox = Outbox {
        store: store.clone(),
        fleet_id: fleet_id.clone(),
        carrier: Arc::clone(&connector),
        policy,
        metrics: metrics.clone(),
    };
    let settling = outbox.run(shutdown.clone());
    tasks.spawn(async move {
        settling.await;
        Ok(())
    });
    let orders =
        orders::OrderPull { store: store.clone(), fleet_id: fleet_id.clone(), connector, poll_s: section.poll_s };
    let pulling = orders.run(shutdown.clone());
    tasks.spawn(async move {
        pulling.await;
        Ok(())
    });
    Ok(())
}

/// The way into Odoo, reading photos and signatures from `store`.
///
/// # Errors
/// When the settings or the key cannot be used.
pub fn connector(section: &OdooSection, fleet_id: &FleetId, store: &Store) -> anyhow::Result<Connector> {
    let (store, fleet) = (store.clone(), fleet_id.clone());
    let blobs = move |sha256: &Sha256| {
        store.read_here(|connection| blob::bytes(connection, &fleet, *sha256)).unwrap_or_else(|fault| {
            tracing::error!(%fault, %sha256, "a blob cannot be read");
            None
        })
    };
    Ok(Connector::new(&section.settings()?, Box::new(blobs))?)
}

fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| format!("{key}: cannot listen on {address}"))?;
    listener.set_nonblocking(true).with_context(|| format!("{key}: cannot use {address}"))?;
    Ok(listener)
}
