//! What to attempt now, and what follows from how an attempt ended.
//!
//! Promise: pure; time and chance are passed in. Retries wait with full jitter, so a carrier that comes back is not met
//! by everything at once. An attempt whose outcome is unknown is not looked into before the carrier's request limit.

use milepost_proto::Timestamp;

use crate::effect::Settlement;
use crate::store::outbox::{Aftermath, OutboxRow, State};

/// How effects are attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Most attempts under way at once.
    pub in_flight_max: usize,
    /// Attempts after which an effect waits for a person.
    pub attempts_max: u32,
    /// Longest a call may go on at the other side after its reply was lost, milliseconds.
    pub request_limit_ms: i64,
    /// Longest wait after the first failed attempt, milliseconds; doubles with each further one.
    pub backoff_ms_first: i64,
    /// Longest wait between attempts, milliseconds.
    pub backoff_ms_max: i64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            in_flight_max: 4,
            // With waits of five minutes on average this is about two days of trying.
            attempts_max: 500,
            request_limit_ms: 120_000,
            backoff_ms_first: 1_000,
            backoff_ms_max: 600_000,
        }
    }
}

impl Policy {
    /// The longest an effect waits for its next attempt, milliseconds.
    #[must_use]
    pub fn wait_ms_max(&self) -> i64 {
        self.backoff_ms_max.max(self.request_limit_ms)
    }

    /// How many rows to look at: those under way and as many that could be started.
    #[must_use]
    pub fn rows_wanted(&self) -> u32 {
        u32::try_from(self.in_flight_max.saturating_mul(2).saturating_add(1)).unwrap_or(u32::MAX)
    }
}

/// What to do now.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Attempts to begin.
    pub start: Vec<OutboxRow>,
    /// When something else will be due; absent when nothing waits or there is no room anyway.
    pub wake_at: Option<Timestamp>,
}

/// What to do now, given the oldest unsettled effect of each shipment and how many attempts are under way.
#[must_use]
pub fn next(heads: Vec<OutboxRow>, in_flight: usize, now: Timestamp, policy: &Policy) -> Decision {
    let room = policy.in_flight_max.saturating_sub(in_flight);
    let (due, waiting): (Vec<_>, Vec<_>) =
        heads.into_iter().filter(|row| row.state != State::Sending).partition(|row| row.next_at <= now);
    let wake_at = waiting.iter().map(|row| row.next_at).min().filter(|_| due.len() < room || room == 0);
    Decision { start: due.into_iter().take(room).collect(), wake_at }
}

/// How `row`, as it was before the attempt, stands after it; `chance` is from 0 to 1.
#[must_use]
pub fn aftermath(row: &OutboxRow, settlement: &Settlement, now: Timestamp, chance: f64, policy: &Policy) -> Aftermath {
    let attempts = row.attempts.saturating_add(1);
    let worn_out = attempts >= policy.attempts_max;
    let stand = |state, next_at, why: &str| Aftermath { state, next_at, reference: None, why: Some(why.to_owned()) };
    match settlement {
        Settlement::Done { reference } => {
            Aftermath { state: State::Done, next_at: now, reference: Some(reference.clone()), why: None }
        }
        Settlement::Park { why } => stand(State::Parked, now, why),
        Settlement::Retry { why } | Settlement::Unknown { why } if worn_out => {
            stand(State::Parked, now, &format!("given up after {attempts} attempts: {why}"))
        }
        // As long as an earlier attempt may have happened, the question stays open.
        Settlement::Retry { why } => {
            let state = if row.state == State::Unknown { State::Unknown } else { State::Pending };
            stand(state, now.plus_millis(wait_ms(attempts, chance, policy)), why)
        }
        Settlement::Unknown { why } => stand(State::Unknown, now.plus_millis(policy.request_limit_ms), why),
    }
}

/// Full jitter: anything up to the exponential bound.
fn wait_ms(attempts: u32, chance: f64, policy: &Policy) -> i64 {
    let doublings = attempts.saturating_sub(1).min(30);
    let bound = policy.backoff_ms_first.saturating_mul(1 << doublings).min(policy.backoff_ms_max);
    // Chance in thousandths keeps this in whole numbers.
    #[expect(clippy::cast_possible_truncation, reason = "0 to 1000 after clamping")]
    let thousandths = (chance.clamp(0.0, 1.0) * 1000.0) as i64;
    bound.saturating_mul(thousandths) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::{Effect, EffectBody};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn row(position: i64, state: State, attempts: u32, next_at: i64) -> OutboxRow {
        let pod = serde_json::from_str(
            r#"{"client_ref":"c","stop":"S1","shipment":"P1","outcome":"completed","revision":1}"#,
        )
        .expect("a proof");
        let body = EffectBody::Pod { pod: Box::new(pod), record: "r".to_owned() };
        let effect = Effect { key: format!("k{position}"), shipment: "P1".to_owned(), body };
        OutboxRow { position, effect, state, attempts, next_at: at(next_at), created_at: at(0) }
    }

    #[test]
    fn what_is_due_starts_within_the_room_there_is() {
        let policy = Policy { in_flight_max: 2, ..Policy::default() };
        let heads = || {
            vec![
                row(1, State::Sending, 1, 0),
                row(2, State::Pending, 0, 5),
                row(3, State::Unknown, 1, 10),
                row(4, State::Pending, 0, 50),
            ]
        };
        let check = |in_flight, now, start: &[i64], wake_at: Option<i64>| {
            let decision = next(heads(), in_flight, at(now), &policy);
            let started: Vec<i64> = decision.start.iter().map(|row| row.position).collect();
            assert_eq!((started.as_slice(), decision.wake_at), (start, wake_at.map(at)), "{in_flight} at {now}");
        };
        check(0, 0, &[], Some(5));
        check(1, 5, &[2], None);
        check(0, 5, &[2], Some(10));
        check(0, 10, &[2, 3], None);
        check(2, 10, &[], Some(50));
    }

    #[test]
    fn each_ending_leads_where_it_should() {
        let policy = Policy { attempts_max: 3, ..Policy::default() };
        let why = || "x".to_owned();
        let check = |before, attempts, settlement: Settlement, state, wait_ms: i64| {
            let after = aftermath(&row(1, before, attempts, 0), &settlement, at(1000), 1.0, &policy);
            assert_eq!((after.state, after.next_at), (state, at(1000 + wait_ms)), "{settlement:?}");
        };
        check(State::Pending, 0, Settlement::Done { reference: "mail.message,1".to_owned() }, State::Done, 0);
        check(State::Pending, 0, Settlement::Retry { why: why() }, State::Pending, 1000);
        check(State::Pending, 1, Settlement::Retry { why: why() }, State::Pending, 2000);
        check(State::Pending, 2, Settlement::Retry { why: why() }, State::Parked, 0);
        check(State::Pending, 0, Settlement::Unknown { why: why() }, State::Unknown, 120_000);
        check(State::Unknown, 1, Settlement::Retry { why: why() }, State::Unknown, 2000);
        check(State::Pending, 0, Settlement::Park { why: why() }, State::Parked, 0);
    }

    #[test]
    fn jitter_covers_the_whole_wait_and_never_exceeds_its_bound() {
        let policy = Policy::default();
        assert_eq!(wait_ms(1, 0.0, &policy), 0);
        assert_eq!(wait_ms(1, 0.5, &policy), 500);
        assert_eq!(wait_ms(u32::MAX, 1.0, &policy), policy.backoff_ms_max);
    }
}
