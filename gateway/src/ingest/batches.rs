//! `POST /v1/batches`: takes a request into custody and answers its receipts.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, header};
use axum::response::{IntoResponse, Response};
use axum_server::tls::TlsInfo;
use milepost_proto::uplink::Refusal;
use milepost_proto::wire::{self, ENVELOPE_BYTES_MAX, WireVersion};
use milepost_proto::{Lane, Receipt, SpoolId, Timestamp, UplinkAnswer};

use super::inspect::{Inspected, inspect};
use super::peer::Peer;
use super::refusal::Refused;
use super::{Ingest, read_body};
use crate::clock;
use crate::store::StoreFault;
use crate::store::accept::{Accepted, accept};

/// Answers a request: receipts, or why not.
pub async fn post(
    State(ingest): State<Arc<Ingest>>,
    Extension(tls): Extension<Arc<TlsInfo>>,
    request: Request<Body>,
) -> Response {
    let began = clock::now();
    match take(&ingest, &tls, request, began).await {
        Ok(envelope) => {
            ingest.metrics.request("receipt");
            ingest.metrics.receipt_s.observe(clock::seconds_between(began, clock::now()));
            ([(header::CONTENT_TYPE, wire::CONTENT_TYPE)], envelope).into_response()
        }
        Err(refused) => {
            ingest.note(&refused);
            refused.into_response()
        }
    }
}

async fn take(ingest: &Ingest, tls: &TlsInfo, request: Request<Body>, now: Timestamp) -> Result<Vec<u8>, Refused> {
    let peer = ingest.admit(tls)?;
    let _place = ingest.place(&peer, &request, ENVELOPE_BYTES_MAX)?;
    let bytes = read_body(request, ENVELOPE_BYTES_MAX).await?;
    // Decompressing and verifying signatures is work for a worker thread, not for the thread that carries bytes.
    let looked_into = tokio::task::spawn_blocking(move || look_into(&peer, &bytes, now)).await;
    let (version, Inspected { arrival, refusals }) = looked_into.map_err(|_| Refused::Store(StoreFault::Defect))??;
    let spool_id = arrival.spool_id;
    let noted = Noted::of(&arrival.chunks, refusals.len());
    let accepted = ingest.store.try_write(move |connection| accept(connection, &arrival)).await?;
    noted.count(ingest, &accepted);
    Ok(wire::encode_answer(version, spool_id, &answer(spool_id, accepted, &refusals))?)
}

/// What the request holds, and the version to answer it in.
fn look_into(peer: &Peer, bytes: &[u8], now: Timestamp) -> Result<(WireVersion, Inspected), Refused> {
    let (version, request) = wire::decode_request(bytes)?;
    Ok((version, inspect(peer, request, now)))
}

fn answer(spool_id: SpoolId, accepted: Accepted, refusals: &[(Lane, Refusal)]) -> UplinkAnswer {
    let receipts = accepted.lanes.into_iter().map(|(lane, held)| Receipt {
        spool_id,
        lane,
        through: held.through,
        accepted: held.above,
        refused: refusals.iter().filter(|(of, _)| *of == lane).map(|(_, refusal)| refusal.clone()).collect(),
    });
    UplinkAnswer { receipts: receipts.collect(), down_link: accepted.down_link, blobs: accepted.blobs }
}

/// What is counted about a request once its outcome is known.
struct Noted {
    records: Vec<(Lane, u64)>,
    seals: Vec<crate::store::accept::SealState>,
    ages_ms: Vec<u64>,
    refused: u64,
}

impl Noted {
    fn of(chunks: &[crate::store::accept::ArrivedChunk], refused: usize) -> Self {
        let content = || chunks.iter().filter_map(|chunk| chunk.content.as_ref().map(|content| (chunk, content)));
        Self {
            records: content().map(|(chunk, _)| (chunk.lane, chunk.range.count())).collect(),
            seals: content().filter(|(chunk, _)| chunk.lane == Lane::Evidence).map(|(_, c)| c.seal).collect(),
            ages_ms: content().filter_map(|(_, content)| content.age_ms).collect(),
            refused: refused as u64,
        }
    }

    fn count(self, ingest: &Ingest, accepted: &Accepted) {
        let metrics = &ingest.metrics;
        metrics.chunks("new", accepted.tally.new);
        metrics.chunks("duplicate", accepted.tally.duplicate);
        metrics.chunks("conflicting", accepted.tally.conflicting);
        metrics.chunks("held_back", accepted.tally.held_back);
        metrics.chunks("refused", self.refused);
        for (lane, loss) in &accepted.losses {
            metrics.lost(*lane, loss.reason, loss.records);
        }
        self.seals.into_iter().for_each(|seal| metrics.seal(seal));
        self.records.into_iter().for_each(|(lane, records)| metrics.records(lane, records));
        for age_ms in self.ages_ms {
            metrics.record_age_s.observe(std::time::Duration::from_millis(age_ms).as_secs_f64());
        }
    }
}
