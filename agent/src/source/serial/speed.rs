//! Which speed a line runs at.
//!
//! Promise: pure and bounded: each speed of the list is tried for [`TRIAL_MS`], round and round, until checksums hold;
//! a speed that was found is left only when nothing but noise was heard for [`DOUBT_MS`] (another receiver was plugged
//! in, or the receiver was set to another speed). A silent line is no reason to doubt. A list of one is never left.

/// How long a speed is tried: receivers speak once a second, a few once in two. Twice as long after a first sentence.
const TRIAL_MS: u64 = 3_000;
/// Sentences whose checksum holds; one may be chance.
const GOOD_MIN: u64 = 2;
/// How long a speed that was right is held on to though nothing can be read.
const DOUBT_MS: u64 = 30_000;

/// Looks for a line's speed.
#[derive(Debug, Clone)]
pub(super) struct SpeedSearch {
    bauds: Vec<u32>,
    at: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Since when this speed is tried, and how many good sentences it gave.
    Trying { since_ms: u64, good: u64 },
    /// It is right; when that was last seen, and whether noise was heard since.
    Found { good_ms: u64, noise: bool },
}

impl SpeedSearch {
    /// Begins with the first of `bauds`; 9,600 when there is none.
    pub(super) fn new(bauds: &[u32], now_ms: u64) -> Self {
        let bauds = if bauds.is_empty() { vec![9_600] } else { bauds.to_vec() };
        Self { bauds, at: 0, state: State::Trying { since_ms: now_ms, good: 0 } }
    }

    /// The speed to listen at.
    pub(super) fn baud(&self) -> u32 {
        self.bauds[self.at]
    }

    /// The line was opened again: a speed that was found stays, a trial begins anew.
    pub(super) fn reopened(&mut self, now_ms: u64) {
        self.state = match self.state {
            State::Trying { .. } => State::Trying { since_ms: now_ms, good: 0 },
            State::Found { .. } => State::Found { good_ms: now_ms, noise: false },
        };
    }

    /// `good` sentences were read, and `noise` or not beside them. Whether to listen at another speed from now on.
    pub(super) fn heard(&mut self, good: u64, noise: bool, now_ms: u64) -> bool {
        match &mut self.state {
            State::Trying { since_ms, good: so_far } => {
                *so_far += good;
                if *so_far >= GOOD_MIN {
                    self.state = State::Found { good_ms: now_ms, noise: false };
                } else if now_ms.saturating_sub(*since_ms) >= TRIAL_MS * (1 + *so_far) {
                    return self.next(now_ms);
                }
            }
            State::Found { good_ms, .. } if good > 0 => {
                *good_ms = now_ms;
                self.state = State::Found { good_ms: now_ms, noise: false };
            }
            State::Found { good_ms, noise: noisy } => {
                *noisy |= noise;
                if *noisy && now_ms.saturating_sub(*good_ms) >= DOUBT_MS {
                    return self.next(now_ms);
                }
            }
        }
        false
    }

    fn next(&mut self, now_ms: u64) -> bool {
        self.at = (self.at + 1) % self.bauds.len();
        self.state = State::Trying { since_ms: now_ms, good: 0 };
        self.bauds.len() > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is heard in a second (`g`ood sentence, `x` noise, `.` nothing), and the speed listened at after it.
    fn check(bauds: &[u32], seconds: &str, expected: &[u32]) {
        let mut search = SpeedSearch::new(bauds, 0);
        let speeds = seconds.chars().zip(1_u64..).map(|(heard, second)| {
            let changed = search.heard(u64::from(heard == 'g'), heard == 'x', second * 1_000);
            (search.baud(), changed)
        });
        let mut shown = vec![bauds[0]];
        for (baud, changed) in speeds {
            assert_eq!(changed, shown.last() != Some(&baud));
            if changed {
                shown.push(baud);
            }
        }
        assert_eq!(shown, expected, "{seconds}");
    }

    #[test]
    fn each_speed_is_tried_in_turn_until_checksums_hold() {
        let bauds = [4_800, 9_600, 38_400];
        check(&bauds, "gggggggg", &[4_800]);
        check(&bauds, "xxxggggggg", &[4_800, 9_600]);
        check(&bauds, "xxxxxxxxxxgg", &[4_800, 9_600, 38_400, 4_800]);
        check(&bauds, "gxxxgxxx", &[4_800]);
        check(&bauds, "gxxxxxgxgg", &[4_800, 9_600]);
    }

    #[test]
    fn a_speed_that_was_right_is_left_after_half_a_minute_of_noise_and_never_for_silence() {
        let bauds = [4_800, 9_600];
        check(&bauds, &format!("gg{}gg", "x".repeat(29)), &[4_800]);
        check(&bauds, &format!("gg{}gg", "x".repeat(31)), &[4_800, 9_600]);
        check(&bauds, &format!("gg{}gg", ".".repeat(300)), &[4_800]);
    }

    #[test]
    fn a_single_speed_is_never_left() {
        let mut search = SpeedSearch::new(&[9_600], 0);
        assert!((1..100).all(|second| !search.heard(0, true, second * 1_000)));
        assert_eq!(search.baud(), 9_600);
    }
}
