//! Finding the one chunk that a gateway will not take.
//!
//! Promise: a refused request is made smaller until one chunk is left, so what is healthy goes on; only a chunk that was
//! refused [`REFUSALS_MAX`] times alone is named as poison, and only by a gateway that still takes a request without it. One
//! that takes nothing at all is at fault itself, and no chunk is blamed for it.

use milepost_proto::{Batch, Lane, SequenceRange};

/// Bytes of chunk bodies in one request, before compression.
pub const REQUEST_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Below this a request is made smaller only to find what is wrong with it.
pub const REQUEST_BYTES_MIN: usize = 4 * 1024;
/// Where a link that fails under large requests leads.
const LINK_BYTES_MIN: usize = 16 * 1024;
/// How often a chunk is refused alone before it is set aside.
pub const REFUSALS_MAX: u32 = 3;
/// Most characters of a reason that are kept.
const WHY_CHARS_MAX: usize = 200;

/// What a request carries, as far as its fate is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Chunks.
    pub chunks: usize,
    /// Bytes of their bodies.
    pub bytes: usize,
    /// The first of them.
    pub first: Option<(Lane, SequenceRange)>,
}

impl Load {
    /// What these batches weigh.
    #[must_use]
    pub fn of(batches: &[Batch]) -> Self {
        let chunks = || batches.iter().flat_map(|batch| batch.chunks.iter().map(|chunk| (batch.lane, chunk)));
        Self {
            chunks: chunks().count(),
            bytes: chunks().map(|(_, chunk)| chunk.body.len()).sum(),
            first: chunks().next().map(|(lane, chunk)| (lane, chunk.range)),
        }
    }
}

/// A chunk that no gateway takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poison {
    /// Its lane.
    pub lane: Lane,
    /// Its sequences.
    pub range: SequenceRange,
    /// Why it was refused, in a sentence.
    pub why: String,
}

/// What a refusal leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Narrowed {
    /// Nothing was in the request that could be at fault.
    Nothing,
    /// The next request carries less.
    Smaller,
    /// The one chunk left is tried again.
    Alone,
    /// It was refused often enough: ask whether the gateway takes a request without it.
    Ask,
}

/// How much the next request may carry, and what is suspected.
#[derive(Debug, Clone)]
pub struct Narrowing {
    bytes_max: usize,
    /// Whether something in the latest requests was refused.
    is_looking: bool,
    suspect: Option<Suspect>,
}

#[derive(Debug, Clone)]
struct Suspect {
    poison: Poison,
    bytes: usize,
    refusals: u32,
}

impl Default for Narrowing {
    fn default() -> Self {
        Self { bytes_max: REQUEST_BYTES_MAX, is_looking: false, suspect: None }
    }
}

impl Narrowing {
    /// Most bytes of chunk bodies in the next request; its first chunk goes whatever its size.
    #[must_use]
    pub const fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Whether the oldest chunks are to be sent first, so that what was refused is met again.
    #[must_use]
    pub const fn is_looking(&self) -> bool {
        self.is_looking
    }

    /// Whether the next request should be one without chunks.
    #[must_use]
    pub fn wants_answer_without(&self) -> bool {
        self.suspect.as_ref().is_some_and(|suspect| suspect.refusals >= REFUSALS_MAX)
    }

    /// The gateway took all of `load`, or all but what it named itself.
    pub fn handle_taken(&mut self, load: Load) {
        if load.chunks > 0 {
            self.is_looking = false;
            self.suspect = None;
            self.grow(load.bytes);
        }
    }

    /// A request with `load` was refused as a whole.
    pub fn handle_refused(&mut self, load: Load, why: &str) -> Narrowed {
        let Some((lane, range)) = load.first else { return Narrowed::Nothing };
        self.is_looking = true;
        if load.chunks > 1 {
            self.suspect = None;
            // One chunk always goes, so a single byte means one chunk.
            self.bytes_max = (load.bytes / 2).max(1);
            return Narrowed::Smaller;
        }
        self.bytes_max = 1;
        let before = self.suspect.take().filter(|before| (before.poison.lane, before.poison.range) == (lane, range));
        let refusals = before.map_or(0, |before| before.refusals).saturating_add(1);
        let why = why.chars().take(WHY_CHARS_MAX).collect();
        self.suspect = Some(Suspect { poison: Poison { lane, range, why }, bytes: load.bytes, refusals });
        if refusals >= REFUSALS_MAX { Narrowed::Ask } else { Narrowed::Alone }
    }

    /// The gateway took a request without chunks: what it refused before is at fault.
    pub fn handle_answer_without(&mut self) -> Option<Poison> {
        let suspect = self.suspect.take_if(|suspect| suspect.refusals >= REFUSALS_MAX)?;
        self.is_looking = false;
        self.grow(suspect.bytes);
        Some(suspect.poison)
    }

    /// The gateway refuses a request without chunks too, or cannot be reached: nothing is suspected.
    pub fn acquit(&mut self) {
        if let Some(suspect) = self.suspect.take() {
            self.grow(suspect.bytes);
        }
    }

    /// The link failed under a request of `load`: a smaller one may get through a slow link in time.
    pub fn handle_link_failure(&mut self, load: Load) {
        if load.bytes > LINK_BYTES_MIN {
            self.bytes_max = self.bytes_max.min(load.bytes / 2).max(LINK_BYTES_MIN);
        }
    }

    fn grow(&mut self, from_bytes: usize) {
        let doubled = self.bytes_max.max(from_bytes).saturating_mul(2);
        self.bytes_max = doubled.clamp(REQUEST_BYTES_MIN, REQUEST_BYTES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(first: u64, chunks: usize) -> Load {
        let range = SequenceRange::new(first, first).expect("a range");
        Load { chunks, bytes: chunks * 100, first: Some((Lane::Telemetry, range)) }
    }

    /// Sequences `1..=count` of 100 bytes each against a gateway that refuses every request with `poison` in it.
    fn drain(count: u64, poison: u64) -> (Vec<u64>, usize) {
        let (mut narrowing, mut next, mut set_aside, mut requests) = (Narrowing::default(), 1, Vec::new(), 0);
        while next <= count {
            requests += 1;
            assert!(requests < 100, "it does not end");
            if narrowing.wants_answer_without() {
                let found = narrowing.handle_answer_without().expect("a suspect");
                set_aside.push(found.range.first());
                next = found.range.last() + 1;
                continue;
            }
            let fit = (narrowing.bytes_max() / 100).clamp(1, 2_048) as u64;
            let end = count.min(next + fit - 1);
            let sent = load(next, usize::try_from(end - next + 1).expect("few"));
            if (next..=end).contains(&poison) {
                narrowing.handle_refused(sent, "422");
            } else {
                narrowing.handle_taken(sent);
                next = end + 1;
            }
        }
        (set_aside, requests)
    }

    #[test]
    fn one_chunk_among_two_thousand_is_found_and_nothing_else_is_blamed() {
        for poison in [1, 2, 700, 1_999, 2_000] {
            let (set_aside, requests) = drain(2_000, poison);
            assert_eq!(set_aside, [poison]);
            assert!(requests < 60, "{requests} for {poison}");
        }
        assert_eq!(drain(2_000, 0).0, Vec::<u64>::new());
    }

    #[test]
    fn a_chunk_is_blamed_only_after_its_own_refusals_in_a_row() {
        let mut narrowing = Narrowing::default();
        assert_eq!(narrowing.handle_refused(load(1, 2), "no"), Narrowed::Smaller);
        assert_eq!(narrowing.handle_refused(load(1, 1), "no"), Narrowed::Alone);
        assert_eq!(narrowing.handle_refused(load(1, 1), "no"), Narrowed::Alone);
        assert_eq!(narrowing.handle_refused(load(2, 1), "no"), Narrowed::Alone, "another chunk begins anew");
        assert_eq!(narrowing.handle_refused(load(2, 1), "no"), Narrowed::Alone);
        assert_eq!(narrowing.handle_answer_without(), None);
        assert_eq!(narrowing.handle_refused(load(2, 1), "no"), Narrowed::Ask);
        assert!(narrowing.wants_answer_without());
        assert_eq!(narrowing.handle_answer_without().map(|poison| poison.range.first()), Some(2));
    }

    #[test]
    fn a_gateway_that_refuses_an_empty_request_blames_no_chunk() {
        let mut narrowing = Narrowing::default();
        for _ in 0..REFUSALS_MAX {
            narrowing.handle_refused(load(1, 1), "no");
        }
        assert_eq!(narrowing.handle_refused(Load::default(), "no"), Narrowed::Nothing);
        narrowing.acquit();
        assert_eq!((narrowing.wants_answer_without(), narrowing.handle_answer_without()), (false, None));
    }

    #[test]
    fn a_link_that_fails_under_large_requests_gets_smaller_ones_and_grows_again() {
        let mut narrowing = Narrowing::default();
        for _ in 0..20 {
            let bytes = narrowing.bytes_max();
            narrowing.handle_link_failure(Load { bytes, ..load(1, 9) });
        }
        assert_eq!(narrowing.bytes_max(), LINK_BYTES_MIN);
        narrowing.handle_taken(Load { bytes: LINK_BYTES_MIN, ..load(1, 9) });
        assert_eq!(narrowing.bytes_max(), 2 * LINK_BYTES_MIN);
    }
}
