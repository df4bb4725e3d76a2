//! `run`: the agent as a whole, from a configuration to a shutdown.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use milepost_proto::{BootId, DownLinkItem, SpoolId};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::clock::Clock;
use crate::config::{Config, HttpConfig};
use crate::event::{EVENTS_MAX, Intake};
use crate::event_loop::without_spool::{RETRY_EVERY, Waiting};
use crate::event_loop::{self, Parts};
use crate::pages::{self, PagesState};
use crate::source::{self, SourceLink, SourceNews};
use crate::spool::{Opened, Signer, Spool, SpoolError, SpoolOptions};
use crate::uplink::client::GatewayClient;
use crate::uplink::outgoing;
use crate::{identity, intake};

/// The kernel's name for this boot.
const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";

/// Runs the agent until `shutdown`.
///
/// # Errors
/// When something that the configuration names cannot be used at all (key, certificate, spool folder, listening address),
/// or when the spool was found damaged or deleted: starting again mends that.
pub async fn run(config: Config, clock: Clock, shutdown: CancellationToken) -> anyhow::Result<()> {
    let boot_id = boot_id();
    let identity = identity::load(&config.gateway)?;
    let clients = config.gateway.urls.iter().map(|url| GatewayClient::new(url, identity.tls.clone()));
    let clients = clients.collect::<anyhow::Result<Vec<_>>>()?;
    let (events, mut inbox) = mpsc::channel(EVENTS_MAX);
    let (status, status_seen) = watch::channel(event_loop::first_status(&config, &clock, boot_id));
    let (trip, trip_seen) = watch::channel(None);
    let link = |name: &str| SourceLink::new(name, events.clone(), clock.clone());
    let state =
        PagesState { intake: Intake::new(events.clone()), link: link("http"), status: status_seen, trip: trip_seen };
    if let Some(http) = &config.http {
        serve_pages(http, state.clone(), shutdown.clone()).await?;
    }
    if let Some(mqtt) = &config.mqtt {
        let device = config.device.clone();
        let served = intake::mqtt::run(mqtt.clone(), device, state.intake, state.trip, link("mqtt"), shutdown.clone());
        tokio::spawn(served);
    }
    sd_notify::notify(&[sd_notify::NotifyState::Ready]).ok();
    let waiting =
        Waiting { events: &mut inbox, status: &status, clock: &clock, alive: notify_alive, retry_every: RETRY_EVERY };
    let signer = Arc::new(identity.signer);
    let open = || open_spool(&config, boot_id, Arc::clone(&signer));
    let opening = waiting.open(open, &shutdown).await;
    let opening = opening.with_context(|| format!("failed to open the spool {}", config.spool.path.display()))?;
    let Some(((spool, opened, down_link), absence)) = opening else { return Ok(()) };
    spool.keep_free(config.spool.free_bytes_min);
    info!("spool {} is open", opened.spool_id);
    for source in &config.sources {
        // It ends with the shutdown, and reports what becomes of it until then.
        drop(source::spawn(source, link(&source.name), shutdown.clone()));
    }
    let parts = Parts {
        clock,
        boot_id,
        spool,
        opened,
        absence,
        down_link,
        carrier: outgoing::over_https(clients, events),
        status,
        trip,
        chance: Box::new(chance),
        alive: notify_alive,
        config,
    };
    event_loop::run(parts, inbox, shutdown).await.context("the agent must start anew, which sets a damaged spool aside")
}

fn open_spool(
    config: &Config,
    boot_id: BootId,
    signer: Arc<Signer>,
) -> Result<(Spool, Opened, Vec<DownLinkItem>), SpoolError> {
    let no_id = |error: anyhow::Error| SpoolError::File(error.to_string());
    Spool::open(SpoolOptions {
        path: &config.spool.path,
        quota_bytes: config.spool.quota_bytes,
        boot_id,
        fresh_spool_id: SpoolId(random_bytes().map_err(no_id)?),
        signer: Box::new(move |digest| signer(digest)),
    })
}

async fn serve_pages(http: &HttpConfig, state: PagesState, shutdown: CancellationToken) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(http.listen)
        .await
        .with_context(|| format!("failed to listen on {} ([http] listen)", http.listen))?;
    info!("status page on http://{}/", http.listen);
    tokio::spawn(async move {
        // Whoever listens for source news has gone only when everything ends.
        state.link.tell(SourceNews::Opened).await.ok();
        let server = axum::serve(listener, pages::router(state)).with_graceful_shutdown(shutdown.cancelled_owned());
        if let Err(error) = server.await {
            tracing::error!("the local pages ended: {error}");
        }
    });
    Ok(())
}

/// This boot, as the kernel names it; random where it does not.
fn boot_id() -> BootId {
    std::fs::read_to_string(Path::new(BOOT_ID_FILE))
        .ok()
        .and_then(|text| parse_uuid(text.trim()))
        .map_or_else(|| BootId(random_bytes().unwrap_or_default()), BootId)
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
}

fn random_bytes() -> anyhow::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    Ok(bytes)
}

/// Uniform in 0..1.
fn chance() -> f64 {
    let [a, b, c, d, ..] = random_bytes().unwrap_or_default();
    f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

fn notify_alive() {
    // Outside systemd there is nobody to notify.
    sd_notify::notify(&[sd_notify::NotifyState::Watchdog]).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_boot_id_reads() {
        assert_eq!(
            parse_uuid("00010203-0405-0607-0809-0a0b0c0d0e0f"),
            Some([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
        );
        assert_eq!(parse_uuid("not a boot"), None);
    }

    #[test]
    fn chance_stays_in_its_range() {
        assert!((0..100).map(|_| chance()).all(|chance| (0.0..=1.0).contains(&chance)));
    }
}
