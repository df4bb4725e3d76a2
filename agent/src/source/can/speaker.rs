//! Whom to believe when several units send the same signal.
//!
//! Promise: the first unit that gives a signal a value is followed until it gives none for [`SILENCE_MS`] while the bus
//! was awake. Units disagree in what they call the same (an odometer, a brake), and a value that alternates between two
//! of them would look like one that changes with every frame. Units that complete each other are both heard, because
//! each signal is followed by itself.

use super::code_watch::SILENCE_MS;

/// Whom each signal is taken from; at most one entry for each signal of the table.
#[derive(Debug, Clone, Default)]
pub struct Speakers {
    followed: Vec<Speaker>,
}

#[derive(Debug, Clone, Copy)]
struct Speaker {
    spn: u32,
    unit: u8,
    heard_ms: u64,
}

impl Speakers {
    /// Whether the value that `unit` gave a signal at `now_ms` is to be used.
    pub fn follow(&mut self, spn: u32, unit: u8, now_ms: u64) -> bool {
        let speaker = Speaker { spn, unit, heard_ms: now_ms };
        match self.followed.iter_mut().find(|followed| followed.spn == spn) {
            Some(followed) if followed.unit != unit && now_ms.saturating_sub(followed.heard_ms) < SILENCE_MS => false,
            Some(followed) => {
                *followed = speaker;
                true
            }
            None => {
                self.followed.push(speaker);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_followed_until_it_falls_silent() {
        let mut speakers = Speakers::default();
        let heard = [(0, 0), (3, 10), (0, 5_000), (3, 14_999), (3, 15_000), (0, 15_001), (3, 16_000)];
        let found = heard.map(|(unit, now_ms)| speakers.follow(84, unit, now_ms));
        assert_eq!(found, [true, false, true, false, true, false, true]);
        assert!(speakers.follow(70, 9, 16_000), "another signal has its own speaker");
    }
}
