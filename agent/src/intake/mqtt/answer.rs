//! What a message is answered with.
//!
//! Promise: the answer of a capture or a part that was taken comes after its commit; what is refused before the event
//! loop hears of it is counted by its code.

use milepost_proto::Sha256;
use milepost_proto::driver_app::Rejection;
use rumqttc::Publish;
use serde::Serialize;

use crate::event::Intake;
use crate::intake::contract::{Contract, client_ref_of};
use crate::intake::topic::{Inbound, Topics, UNREADABLE};
use crate::intake::{AcceptedAnswer, BlobAnswer, blob};
use crate::source::{FaultCounts, ShuttingDown, SourceLink, SourceNews};

/// Most of a topic that the status page shows, characters; the payload may be a person's and is not shown.
const RAW_TOPIC_CHARS_MAX: usize = 120;

/// What the app is told.
pub(super) struct Reply {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
}

/// Finds the answer.
pub(super) struct Answerer<'r> {
    pub(super) intake: Intake,
    pub(super) topics: &'r Topics,
    pub(super) link: &'r SourceLink,
}

impl Answerer<'_> {
    /// The reply to a message; none where nobody waits for one.
    pub(super) async fn reply(&self, publish: &Publish) -> Result<Option<Reply>, ShuttingDown> {
        let topic: String = publish.topic.chars().take(RAW_TOPIC_CHARS_MAX).collect();
        let raw = format!("{topic} ({} bytes)", publish.payload.len());
        self.link.tell(SourceNews::Observed { observations: Vec::new(), raw: Some(raw) }).await?;
        match self.topics.read(&publish.topic) {
            Inbound::Capture(contract) => self.reply_to_capture(contract, &publish.payload).await.map(Some),
            Inbound::Blob { sha256, offset, size } => {
                let outcome = match blob::read_part(sha256, offset, size, &publish.payload) {
                    Ok(part) => self.intake.blob_part(part).await.map(BlobAnswer::from),
                    Err(rejection) => Err(self.count(rejection).await?),
                };
                // A name that is no hash may be as long as a topic can be; it is not repeated.
                let reference = sha256.parse::<Sha256>().map_or(UNREADABLE, |_| sha256);
                Ok(Some(self.address(reference, outcome)))
            }
            Inbound::Foreign => {
                self.link.tell(SourceNews::Faults(FaultCounts::from([("unknown_topic", 1)]))).await?;
                Ok(None)
            }
        }
    }

    async fn reply_to_capture(&self, contract: Contract, message: &[u8]) -> Result<Reply, ShuttingDown> {
        match contract.read(message) {
            Ok(capture) => {
                let client_ref = capture.client_ref().to_owned();
                let outcome = self.intake.capture(capture).await.map(AcceptedAnswer::from);
                Ok(self.address(&client_ref, outcome))
            }
            Err(rejection) => {
                let client_ref = client_ref_of(message);
                let outcome = Err::<AcceptedAnswer, _>(self.count(rejection).await?);
                Ok(self.address(client_ref.as_deref().unwrap_or(UNREADABLE), outcome))
            }
        }
    }

    /// Counts a refusal that never reaches the event loop.
    async fn count(&self, rejection: Rejection) -> Result<Rejection, ShuttingDown> {
        self.link.tell(SourceNews::Faults(FaultCounts::from([(rejection.code.as_str(), 1)]))).await?;
        Ok(rejection)
    }

    fn address(&self, reference: &str, outcome: Result<impl Serialize, Rejection>) -> Reply {
        match outcome {
            Ok(accepted) => Reply { topic: self.topics.accepted(reference), payload: json(&accepted) },
            Err(rejection) => Reply { topic: self.topics.rejected(reference), payload: json(&rejection) },
        }
    }
}

/// Numbers and texts only: serializing them does not fail.
fn json(answer: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(answer).unwrap_or_default()
}
