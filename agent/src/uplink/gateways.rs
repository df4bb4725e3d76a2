//! Which of several gateways is used now.
//!
//! Promise: the first that works is used, in the order of the configuration; after [`FAILURES_MAX`] failures in a row, or
//! [`FAILING_MS_MAX`] of nothing but failures, the next is tried; while a later one is in use, the first is asked again every
//! few minutes, at a moment that differs from vehicle to vehicle, and used again as soon as it answers. All gateways of a
//! fleet share one store or copy it to each other: a receipt of one settles like a receipt of any.

/// Most gateways.
pub const GATEWAYS_MAX: usize = 8;
/// Failures in a row after which the next gateway is tried.
pub const FAILURES_MAX: u32 = 3;
/// How long a gateway may do nothing but fail, milliseconds.
pub const FAILING_MS_MAX: u64 = 60_000;
/// How often the first gateway is asked again while a later one is in use, milliseconds; half to one and a half of it.
pub const RETURN_MS: u64 = 180_000;

/// What a failure leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The same gateway is tried again.
    Stay,
    /// Another one, which has not failed since the last that worked.
    Next,
    /// Another one, but all of them have failed by now.
    Around,
    /// All of them have failed in a way that only a person can mend.
    Hopeless,
}

/// The gateways, by their place in the configuration.
#[derive(Debug, Clone)]
pub struct Gateways {
    /// What each said when it last failed; absent while it works or was not tried.
    complaints: Vec<Option<String>>,
    /// Whether only a person can mend that.
    finals: Vec<bool>,
    current: usize,
    /// Of the current one, since it last worked.
    failures: u32,
    failing_since_ms: Option<u64>,
    /// Gateways that failed since one last worked.
    gone_through: usize,
    /// When to ask the first again; absent while it is in use.
    return_due_ms: Option<u64>,
}

impl Gateways {
    /// `count` gateways, the first in use.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self {
            complaints: vec![None; count.clamp(1, GATEWAYS_MAX)],
            finals: vec![false; count.clamp(1, GATEWAYS_MAX)],
            current: 0,
            failures: 0,
            failing_since_ms: None,
            gone_through: 0,
            return_due_ms: None,
        }
    }

    /// The one in use.
    #[must_use]
    pub const fn current(&self) -> usize {
        self.current
    }

    /// What each said when it last failed.
    #[must_use]
    pub fn complaints(&self) -> &[Option<String>] {
        &self.complaints
    }

    /// When the first is to be asked again, milliseconds; absent while it is in use.
    #[must_use]
    pub const fn return_due_ms(&self) -> Option<u64> {
        self.return_due_ms
    }

    /// `gateway` answered. If it is the first, it is in use again.
    pub fn handle_answer(&mut self, gateway: usize) {
        self.complain(gateway, None, false);
        if gateway == 0 {
            self.current = 0;
            self.return_due_ms = None;
        }
        if gateway == self.current {
            self.gone_through = 0;
            self.forget_failures();
        }
    }

    /// `gateway` failed, and `is_final` says that asking it again soon is in vain. `chance` is uniform in 0..1.
    pub fn handle_failure(&mut self, gateway: usize, why: &str, is_final: bool, now_ms: u64, chance: f64) -> Turn {
        self.complain(gateway, Some(why.to_owned()), is_final);
        if gateway != self.current {
            // The first was asked whether it is back; or a request to one that is no longer in use came to its end.
            self.return_due_ms = self.return_due_ms.map(|_| return_at(now_ms, chance));
            return Turn::Stay;
        }
        self.failures = self.failures.saturating_add(1);
        let since_ms = *self.failing_since_ms.get_or_insert(now_ms);
        let is_given_up =
            is_final || self.failures >= FAILURES_MAX || now_ms.saturating_sub(since_ms) >= FAILING_MS_MAX;
        if !is_given_up || self.complaints.len() == 1 {
            return if is_final { Turn::Hopeless } else { Turn::Stay };
        }
        self.turn(now_ms, chance)
    }

    fn turn(&mut self, now_ms: u64, chance: f64) -> Turn {
        self.gone_through += 1;
        self.current = (self.current + 1) % self.complaints.len();
        self.return_due_ms = (self.current != 0).then(|| return_at(now_ms, chance));
        self.forget_failures();
        if self.gone_through < self.complaints.len() {
            return Turn::Next;
        }
        self.gone_through = 0;
        if self.finals.iter().all(|is_final| *is_final) { Turn::Hopeless } else { Turn::Around }
    }

    fn complain(&mut self, gateway: usize, why: Option<String>, is_final: bool) {
        if let Some((complaint, was_final)) = self.complaints.get_mut(gateway).zip(self.finals.get_mut(gateway)) {
            *complaint = why;
            *was_final = is_final;
        }
    }

    const fn forget_failures(&mut self) {
        self.failures = 0;
        self.failing_since_ms = None;
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a few minutes, in milliseconds"
)]
fn return_at(now_ms: u64, chance: f64) -> u64 {
    now_ms + RETURN_MS / 2 + (RETURN_MS as f64 * chance.clamp(0.0, 1.0)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(gateways: &mut Gateways, now_ms: u64) -> (Turn, usize) {
        let turn = gateways.handle_failure(gateways.current(), "no route", false, now_ms, 0.5);
        (turn, gateways.current())
    }

    #[test]
    fn the_next_is_tried_after_failures_in_a_row_and_all_of_them_in_turn() {
        let mut gateways = Gateways::new(3);
        assert_eq!([(); 3].map(|()| fail(&mut gateways, 0)), [(Turn::Stay, 0), (Turn::Stay, 0), (Turn::Next, 1)]);
        assert_eq!([(); 3].map(|()| fail(&mut gateways, 0)), [(Turn::Stay, 1), (Turn::Stay, 1), (Turn::Next, 2)]);
        assert_eq!([(); 3].map(|()| fail(&mut gateways, 0)), [(Turn::Stay, 2), (Turn::Stay, 2), (Turn::Around, 0)]);
        assert_eq!(gateways.return_due_ms(), None, "the first is in use");
    }

    #[test]
    fn the_next_is_tried_after_a_minute_of_failing_too() {
        let mut gateways = Gateways::new(2);
        assert_eq!(fail(&mut gateways, 0), (Turn::Stay, 0));
        assert_eq!(fail(&mut gateways, FAILING_MS_MAX), (Turn::Next, 1));
        let mut gateways = Gateways::new(2);
        fail(&mut gateways, 0);
        gateways.handle_answer(0);
        assert_eq!(fail(&mut gateways, FAILING_MS_MAX), (Turn::Stay, 0), "it worked in between");
    }

    #[test]
    fn the_first_is_asked_again_and_used_again_when_it_answers() {
        let mut gateways = Gateways::new(2);
        assert_eq!([(); 3].map(|()| fail(&mut gateways, 1_000))[2], (Turn::Next, 1));
        assert_eq!(gateways.return_due_ms(), Some(1_000 + RETURN_MS));
        gateways.handle_answer(1);
        assert_eq!(gateways.return_due_ms(), Some(1_000 + RETURN_MS), "the second working changes nothing");
        assert_eq!(gateways.handle_failure(0, "still gone", false, 200_000, 0.0), Turn::Stay);
        assert_eq!((gateways.current(), gateways.return_due_ms()), (1, Some(200_000 + RETURN_MS / 2)));
        gateways.handle_answer(0);
        assert_eq!((gateways.current(), gateways.return_due_ms()), (0, None));
        assert_eq!(gateways.complaints(), [None, None]);
    }

    #[test]
    fn one_that_refuses_this_device_is_left_at_once_and_one_gateway_alone_has_no_next() {
        let mut gateways = Gateways::new(2);
        assert_eq!(gateways.handle_failure(0, "revoked", true, 0, 0.5), Turn::Next);
        assert_eq!(gateways.handle_failure(1, "revoked", true, 0, 0.5), Turn::Hopeless);
        let mut alone = Gateways::new(1);
        assert_eq!([(); 9].map(|()| fail(&mut alone, 0)), [(Turn::Stay, 0); 9]);
        assert_eq!(alone.handle_failure(0, "revoked", true, 0, 0.5), Turn::Hopeless);
        let mut mixed = Gateways::new(2);
        assert_eq!(mixed.handle_failure(0, "revoked", true, 0, 0.5), Turn::Next);
        assert_eq!([(); 3].map(|()| fail(&mut mixed, 0)), [(Turn::Stay, 1), (Turn::Stay, 1), (Turn::Around, 0)]);
    }
}
