//! Fixes as a receiver gives them, into fixes as the agent uses them.
//!
//! Promise: pure. A time that cannot be believed never reaches a record and never sets the clock; a fix that the
//! source's policy does not want is counted and goes no further, and neither does one whose date is in dispute. Every receiver's fixes pass here, however they came.

use milepost_proto::{Position, Reading, TimeQuality, Timestamp};

use super::Observation;
use super::fault::{Fault, Faults};

mod date;
mod gate;

pub use gate::FixPolicy;

/// Judges the fixes of one receiver.
#[derive(Debug, Clone)]
pub struct FixJudge {
    dates: date::Dates,
    gate: gate::Gate,
}

/// A fix that is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// To be reported; its time is absent where the receiver's is not believed.
    pub observation: Observation,
    /// The time it is now, for the agent's clock.
    pub sets_clock: Option<Timestamp>,
}

impl FixJudge {
    /// A judge that knows nothing of the receiver yet.
    #[must_use]
    pub fn new(policy: FixPolicy) -> Self {
        Self { dates: date::Dates::default(), gate: gate::Gate::new(policy) }
    }

    /// What to make of a fix, by a clock that says `now`; nothing when it is not wanted. Counts why.
    pub fn judge(
        &mut self,
        position: Position,
        event_time: Option<Timestamp>,
        (now, quality): (Timestamp, TimeQuality),
        faults: &mut Faults,
    ) -> Option<Judged> {
        let event_time = match event_time.map(|said| self.dates.judge(said, now, quality)) {
            Some(Ok(dated)) => {
                if dated.rolled_over {
                    faults.count(Fault::WeekRollover);
                }
                Some(dated.event_time)
            }
            Some(Err(fault)) => {
                faults.count(fault);
                // The next fix settles whose time is right; dated by the wrong one, this would seem to be from the future.
                if fault == Fault::UnconfirmedDate {
                    return None;
                }
                None
            }
            None => None,
        };
        if let Err(fault) = self.gate.pass(&position, event_time.unwrap_or(now)) {
            faults.count(fault);
            return None;
        }
        let observation = Observation { event_time, reading: Reading::Position(position) };
        Some(Judged { observation, sets_clock: event_time })
    }
}
