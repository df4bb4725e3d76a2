//! A driver's phone: keeps each capture until the vehicle says that it holds it, and sends it again otherwise.

use milepost_agent::capture::{Accepted, BlobPart, BlobProgress, DriverCapture};
use milepost_agent::event::Event;
use milepost_proto::driver_app::{ActionKind, Outcome, Rejection, RejectionCode};
use milepost_proto::{DriverAction, DriverException, Pod, Sha256, Timestamp};
use tokio::sync::oneshot;

use super::route::{Doing, shipment, stop_id};
use super::schedule::Happening;
use super::truth::CaptureTruth;
use super::{SECOND_MS, World};

/// Largest photo or signature, bytes.
const BLOB_BYTES_MAX: u64 = 9_000;
/// Largest part that a phone sends at once, bytes.
const PART_BYTES: usize = 4_000;

/// What a phone holds.
#[derive(Debug, Default)]
pub(super) struct Phone {
    pub(super) waiting: Vec<Waiting>,
    made: u64,
    /// The day and stop of the last proof.
    proved: Option<(u64, u32)>,
}

/// A capture with its photos and signatures, which go first.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    capture: DriverCapture,
    blobs: Vec<Vec<u8>>,
}

impl World {
    /// The driver captures something, if the vehicle is on its round.
    pub(super) fn capture(&mut self, vehicle: usize) {
        let next_ms = self.within(60, 900);
        self.schedule.put(self.now_ms + next_ms, Happening::Capture(vehicle));
        let route = self.vehicles[vehicle].route;
        let (day, (doing, _)) = (route.day(self.now_ms), route.doing(self.now_ms));
        if doing == Doing::Parked {
            return;
        }
        self.phones[vehicle].made += 1;
        let client_ref = format!("v{vehicle}-{}", self.phones[vehicle].made);
        let at = self.chance.happens(0.5).then(|| Timestamp::from_millis(self.now_ms));
        let waiting = match doing {
            Doing::Standing(stop) if self.phones[vehicle].proved != Some((day, stop)) => {
                self.phones[vehicle].proved = Some((day, stop));
                self.proof(client_ref.clone(), at, shipment(vehicle, day, stop), stop)
            }
            Doing::Standing(stop) => {
                let action = if self.chance.happens(0.5) { ActionKind::Unloading } else { ActionKind::Departed };
                let (client_ref, stop) = (client_ref.clone(), Some(stop_id(stop)));
                let action = DriverAction { client_ref, action, stop, at, driver: None };
                Waiting { capture: DriverCapture::Action(Box::new(action)), blobs: Vec::new() }
            }
            Doing::Driving | Doing::Parked => {
                let exception = DriverException {
                    client_ref: client_ref.clone(),
                    code: "AF".to_owned(),
                    stop: None,
                    text: Some("a queue on the road".to_owned()),
                    photos: Vec::new(),
                    at,
                    driver: None,
                };
                Waiting { capture: DriverCapture::Exception(Box::new(exception)), blobs: Vec::new() }
            }
        };
        let truth = CaptureTruth { accepted: false, phone_dated: at.is_some() };
        self.truth.captures.insert(client_ref, truth);
        self.phones[vehicle].waiting.push(waiting);
        self.schedule.put(self.now_ms + 1, Happening::Phone(vehicle));
    }

    fn proof(&mut self, client_ref: String, at: Option<Timestamp>, shipment: String, stop: u32) -> Waiting {
        let mut blobs: Vec<Vec<u8>> = Vec::new();
        for _ in 0..self.chance.below(3) {
            let seed = self.chance.number();
            let length = usize::try_from(1 + self.chance.below(BLOB_BYTES_MAX)).unwrap_or(1);
            blobs.push((0..length).map(|at| (seed >> (at % 57)).to_le_bytes()[0] ^ at.to_le_bytes()[0]).collect());
        }
        let mut hashes = blobs.iter().map(|blob| Sha256::of(blob));
        let pod = Pod {
            client_ref,
            stop: stop_id(stop),
            shipment,
            outcome: if self.chance.happens(0.8) { Outcome::Completed } else { Outcome::Refused },
            reason: None,
            at,
            items: Vec::new(),
            recipient: None,
            signature: hashes.next(),
            photos: hashes.collect(),
            remarks: None,
            driver: None,
            revision: 1,
            capture: None,
        };
        Waiting { capture: DriverCapture::Pod(Box::new(pod)), blobs }
    }

    /// The phone sends what it holds, one after the other, as long as the vehicle answers.
    pub(super) fn phone(&mut self, vehicle: usize) {
        let mut waiting = std::mem::take(&mut self.phones[vehicle].waiting).into_iter();
        let mut left = Vec::new();
        for one in waiting.by_ref() {
            match self.send_capture(vehicle, &one) {
                Some(true) => {}
                Some(false) => left.push(one),
                None => {
                    left.push(one);
                    break;
                }
            }
        }
        left.extend(waiting);
        if !left.is_empty() {
            let again_ms = self.within(2, 60);
            self.schedule.put(self.now_ms + again_ms, Happening::Phone(vehicle));
        }
        self.phones[vehicle].waiting = left;
    }

    /// Whether the phone need not send it again; nothing when the vehicle does not answer at all.
    fn send_capture(&mut self, vehicle: usize, waiting: &Waiting) -> Option<bool> {
        for blob in &waiting.blobs {
            if !self.send_blob(vehicle, blob)? {
                return Some(false);
            }
        }
        let client_ref = waiting.capture.client_ref().to_owned();
        let (reply, answer) = oneshot::channel();
        let capture = waiting.capture.clone();
        let answer: Result<Accepted, Rejection> = self.ask(vehicle, Event::Captured { capture, reply }, answer)?;
        match answer {
            Ok(_) => {
                if let Some(truth) = self.truth.captures.get_mut(&client_ref)
                    && !truth.accepted
                {
                    truth.accepted = true;
                    self.truth.tally.captures += 1;
                }
                Some(!self.chance.happens(self.faults.phone_deaf))
            }
            Err(rejection) if rejection.code == RejectionCode::NotAccepted => Some(false),
            Err(rejection) => {
                self.truth.breach(format!("capture {client_ref} is rejected: {rejection}"));
                Some(true)
            }
        }
    }

    /// Whether the vehicle holds the blob whole.
    fn send_blob(&mut self, vehicle: usize, blob: &[u8]) -> Option<bool> {
        let sha256 = Sha256::of(blob);
        let mut offset = 0;
        // One part more than there are, for one that is asked for again.
        for _ in 0..=blob.len() / PART_BYTES + 1 {
            let end = blob.len().min(offset + PART_BYTES);
            let bytes = blob[offset..end].to_vec();
            let part = BlobPart { sha256, offset: offset as u64, bytes, size: Some(blob.len() as u64) };
            let (reply, answer) = oneshot::channel();
            let answer: Result<BlobProgress, Rejection> = self.ask(vehicle, Event::BlobPart { part, reply }, answer)?;
            match answer {
                Ok(progress) if progress.complete => {
                    if self.truth.blobs.insert(sha256) {
                        self.truth.tally.blobs += 1;
                    }
                    return Some(true);
                }
                Ok(progress) => offset = usize::try_from(progress.held).unwrap_or(0).min(blob.len()),
                Err(rejection) if rejection.code == RejectionCode::NotAccepted => return Some(false),
                Err(rejection) => {
                    self.truth.breach(format!("blob {sha256} is rejected: {rejection}"));
                    return Some(true);
                }
            }
        }
        self.truth.breach(format!("blob {sha256} does not become whole"));
        Some(true)
    }

    fn ask<T>(&mut self, vehicle: usize, event: Event, mut answer: oneshot::Receiver<T>) -> Option<T> {
        self.touch(vehicle, |agent| agent.hand(event));
        answer.try_recv().ok()
    }

    /// A length of time between these, milliseconds.
    pub(super) fn within(&mut self, from_s: u64, to_s: u64) -> i64 {
        i64::try_from((from_s * 1_000) + self.chance.below((to_s - from_s).max(1) * 1_000)).unwrap_or(SECOND_MS)
    }
}
