//! The order in which a receiver says things, and so when it has said all.
//!
//! Promise: once a receiver's cycle was the same [`SAME_MIN`] times, its end is recognised at its last sentence instead
//! of at the next fix, a whole interval later. Whoever is told of an end too early says so: then more of the same is
//! asked for each time, so that a receiver without a steady cycle soon costs nothing. Memory is a few words: a cycle is
//! known by its length and a hash of its kinds.

use super::sentence::Kind;

/// How many cycles must have been the same before their end is relied upon.
const SAME_MIN: u32 = 3;
/// After so many mistakes nothing is relied upon any more: the wait is then hours.
const SAME_MAX: u32 = 1 << 16;

/// Learns a receiver's cycle.
#[derive(Debug, Clone)]
pub(super) struct Cycle {
    /// The one under way.
    now: Order,
    /// The last complete one, and how often it was the same in a row.
    last: Order,
    same: u32,
    /// How often it must be the same.
    same_min: u32,
}

/// Which sentences came, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Order {
    length: u32,
    hash: u64,
}

impl Default for Cycle {
    fn default() -> Self {
        Self { now: Order::default(), last: Order::default(), same: 0, same_min: SAME_MIN }
    }
}

impl Cycle {
    /// A sentence came; whether it is known to be the cycle's last.
    pub(super) fn heard(&mut self, kind: Kind) -> bool {
        self.now = self.now.with(kind);
        self.same >= self.same_min && self.now == self.last
    }

    /// The cycle has ended, however that was noticed.
    pub(super) fn ended(&mut self) {
        let now = std::mem::take(&mut self.now);
        self.same = if now == self.last { self.same.saturating_add(1) } else { 1 };
        self.last = now;
    }

    /// An end was announced, and the cycle went on.
    pub(super) fn was_wrong(&mut self) {
        self.same = 0;
        self.same_min = self.same_min.saturating_mul(4).min(SAME_MAX);
    }
}

impl Order {
    /// FNV-1a over the kinds.
    const fn with(self, kind: Kind) -> Self {
        let hash = (self.hash ^ (kind as u64 + 1)).wrapping_mul(0x0100_0000_01b3);
        Self { length: self.length.saturating_add(1), hash }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes through `cycles` (`R`MC, `G`GA, `V`TG, gs`A`) and shows a `!` after each sentence that was taken as the end.
    fn check(cycles: &[&str], expected: &str) {
        let mut cycle = Cycle::default();
        let mut shown = String::new();
        for sentences in cycles {
            for (at, letter) in sentences.char_indices() {
                shown.push(letter);
                let kind = match letter {
                    'R' => Kind::Rmc,
                    'G' => Kind::Gga,
                    'V' => Kind::Vtg,
                    _ => Kind::Gsa,
                };
                if cycle.heard(kind) {
                    shown.push('!');
                    if at + 1 < sentences.len() {
                        cycle.was_wrong();
                    }
                }
            }
            cycle.ended();
            shown.push(' ');
        }
        assert_eq!(shown.trim_end(), expected);
    }

    #[test]
    fn a_steady_cycle_is_known_after_three_times() {
        check(&["VGR", "VGR", "VGR", "VGR", "VGR"], "VGR VGR VGR VGR! VGR!");
    }

    #[test]
    fn an_end_is_only_known_after_the_whole_cycle_and_changes_are_learned_anew() {
        check(&["GGR", "GGR", "GGR", "GAR", "GAR", "GAR", "GAR"], "GGR GGR GGR GAR GAR GAR GAR!");
        check(&["GA", "GAA", "GA", "GAA", "GA"], "GA GAA GA GAA GA");
    }

    #[test]
    fn a_receiver_that_adds_a_sentence_now_and_then_is_soon_not_relied_upon() {
        let cycles = ["G", "G", "G", "G", "GR"].repeat(3);
        check(&cycles, "G G G G! G!R G G G G GR G G G G GR");
    }
}
