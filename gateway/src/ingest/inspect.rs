//! Looks into a request before it is kept: which chunks open, what is inside, and what is refused.
//!
//! Promise: pure. One chunk that does not open is refused by its range and with its reason; the others of the request
//! are kept. What a device says of itself is taken within bounds: a low-water mark reaches no further than the moment it
//! arrived, because what has not happened yet can still be told.

use milepost_proto::uplink::Refusal;
use milepost_proto::{BootId, Chunk, Lane, Record, Timestamp, UplinkRequest};

use super::evidence;
use super::peer::Peer;
use crate::store::accept::{Arrival, ArrivedChunk, Content, SealState};
use crate::store::case::{Trouble, TroubleKind};
use crate::store::lane_range::LaneKey;
use crate::store::loss::Loss;

/// Longest name of a software version that is kept, characters.
const VERSION_CHARS_MAX: usize = 64;

/// A request that was looked into.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// What is to be kept.
    pub arrival: Arrival,
    /// What is refused, by lane.
    pub refusals: Vec<(Lane, Refusal)>,
}

/// Looks into `request`, which came from `peer` and was received at `now`.
#[must_use]
pub fn inspect(peer: &Peer, request: UplinkRequest, now: Timestamp) -> Inspected {
    let mut lanes: Vec<Lane> = request.batches.iter().map(|batch| batch.lane).collect();
    lanes.sort_unstable();
    lanes.dedup();
    let clock = DeviceClock { boot_id: request.boot_id, monotonic_ms: request.monotonic_ms };
    let mut inspected = Inspected {
        arrival: Arrival {
            fleet_id: peer.fleet_id.clone(),
            device_id: peer.device_id.clone(),
            public_key: peer.public_key.clone(),
            spool_id: request.spool_id,
            boot_id: request.boot_id,
            agent_version: request.agent_version.chars().take(VERSION_CHARS_MAX).collect(),
            low_water_mark: request.low_water_mark.map(|mark| mark.min(now)),
            lanes,
            chunks: Vec::new(),
            troubles: Vec::new(),
            down_link_held: request.down_link_held,
            blob_offers: request.blob_offers,
            received_at: now,
        },
        refusals: Vec::new(),
    };
    for batch in request.batches {
        for chunk in batch.chunks {
            inspected.take(peer, clock, batch.lane, batch.history, chunk);
        }
    }
    inspected
}

/// The device's monotonic clock when it sent the request.
#[derive(Clone, Copy)]
struct DeviceClock {
    boot_id: BootId,
    monotonic_ms: u64,
}

impl Inspected {
    fn take(&mut self, peer: &Peer, clock: DeviceClock, lane: Lane, history: bool, chunk: Chunk) {
        let range = chunk.range;
        let body = if i64::try_from(range.last()).is_err() {
            Err("sequences this high cannot be kept; give the spool a new id".to_owned())
        } else {
            chunk.open().map_err(|fault| format!("{fault}; report these sequences as a gap"))
        };
        let loss = body.as_ref().ok().and_then(|body| Loss::of(range, body));
        let content = match body {
            Ok(body) => body.boot_id().map(|boot_id| {
                let records = body.into_numbered(range);
                self.content(peer, clock, lane, &chunk, boot_id, &records)
            }),
            Err(reason) => {
                self.trouble(TroubleKind::Refused, lane, format!("sequences {range}: {reason}"));
                self.refusals.push((lane, Refusal { range, reason }));
                return;
            }
        };
        let Chunk { range, checksum, body } = chunk;
        self.arrival.chunks.push(ArrivedChunk { lane, history, range, checksum, body, content, loss });
    }

    fn content(
        &mut self,
        peer: &Peer,
        clock: DeviceClock,
        lane: Lane,
        chunk: &Chunk,
        boot_id: BootId,
        records: &[(u64, Record)],
    ) -> Content {
        let (seal, chain) = evidence::judge(lane, self.arrival.spool_id, chunk.range, records, &peer.keys());
        if seal == SealState::Broken {
            let detail = format!(
                "sequences {} are kept, but a signature or the hash chain does not hold; compare with the device's own \
                 spool before relying on these proofs",
                chunk.range
            );
            self.trouble(TroubleKind::SealBroken, lane, detail);
        }
        let times = || records.iter().map(|(_, record)| record.event_time);
        let event_times = [times().min().unwrap_or_default(), times().max().unwrap_or_default()];
        let oldest_ms = records.iter().map(|(_, record)| record.monotonic_ms).min();
        let age_ms =
            oldest_ms.filter(|_| boot_id == clock.boot_id).map(|oldest| clock.monotonic_ms.saturating_sub(oldest));
        Content { boot_id, event_times, age_ms, seal, chain }
    }

    fn trouble(&mut self, kind: TroubleKind, lane: Lane, detail: String) {
        let arrival = &mut self.arrival;
        let key = LaneKey {
            fleet_id: arrival.fleet_id.clone(),
            device_id: arrival.device_id.clone(),
            spool_id: arrival.spool_id,
            lane,
        };
        arrival.troubles.push(Trouble { kind, subject: key.to_string(), detail });
    }
}

#[cfg(test)]
mod tests {
    use milepost_proto::SpoolId;

    use super::*;

    #[test]
    fn what_a_device_says_of_itself_is_taken_within_bounds() {
        let peer = Peer {
            fleet_id: "north".parse().expect("a name"),
            device_id: "box-7".parse().expect("a name"),
            public_key: Vec::new(),
            earlier_keys: Vec::new(),
        };
        let now = Timestamp::from_millis(1_000_000);
        let check = |said: Option<Timestamp>, taken: Option<Timestamp>| {
            let request = UplinkRequest {
                agent_version: "v".repeat(1_000_000),
                spool_id: SpoolId([1; 16]),
                boot_id: BootId([2; 16]),
                monotonic_ms: u64::MAX,
                low_water_mark: said,
                batches: Vec::new(),
                down_link_held: Vec::new(),
                blob_offers: Vec::new(),
            };
            let arrival = inspect(&peer, request, now).arrival;
            assert_eq!((arrival.low_water_mark, arrival.agent_version.len()), (taken, VERSION_CHARS_MAX));
        };
        check(Some(Timestamp::MAX), Some(now));
        check(Some(Timestamp::from_millis(5)), Some(Timestamp::from_millis(5)));
        check(None, None);
    }
}
