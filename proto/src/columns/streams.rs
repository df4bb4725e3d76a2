//! Which stream each record belongs to: the fixes, one signal, or everything else.
//!
//! Promise: streams that speak in turn cost next to nothing, because the one that followed last time is expected to follow
//! again.

use super::ColumnsFault;
use super::range_coder::{Coder, Likelihood};

/// What a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// Fixes without a seal.
    Fix,
    /// Everything that has no columns of its own.
    Other,
    /// The signal of this place in the chunk's list.
    Signal(usize),
}

/// Places of the streams before the signals.
const SIGNALS_FROM: usize = 2;

impl Stream {
    const fn place(self) -> usize {
        match self {
            Self::Fix => 0,
            Self::Other => 1,
            Self::Signal(index) => SIGNALS_FROM + index,
        }
    }

    const fn at(place: usize) -> Self {
        match place {
            0 => Self::Fix,
            1 => Self::Other,
            place => Self::Signal(place - SIGNALS_FROM),
        }
    }
}

/// The column of streams.
pub(super) struct Streams {
    all: Vec<Known>,
    last: usize,
    /// Signals are listed as they first appear: this many places have been seen, or need no first appearance.
    seen: usize,
    is_new: Likelihood,
    place_bits: u32,
}

/// What a stream has shown.
#[derive(Debug, Clone)]
struct Known {
    /// The place of the stream that followed it last time.
    next: usize,
    is_followed: Likelihood,
    /// The pause before its last record, milliseconds.
    usual_ms: i64,
}

impl Streams {
    /// Nothing was seen of so many signals.
    pub(super) fn new(signals: usize) -> Self {
        let known = |place| Known { next: place, is_followed: Likelihood::of(7, 8), usual_ms: 0 };
        let count = SIGNALS_FROM + signals;
        Self {
            all: (0..count).map(known).collect(),
            last: 0,
            seen: SIGNALS_FROM,
            is_new: Likelihood::EVEN,
            place_bits: usize::BITS - (count - 1).leading_zeros(),
        }
    }

    /// Passes the next record's stream.
    ///
    /// # Errors
    /// In decoding: a signal that the chunk does not list.
    pub(super) fn code<C: Coder>(&mut self, coder: &mut C, stream: Stream) -> Result<Stream, ColumnsFault> {
        let place = stream.place();
        let Known { next, is_followed, .. } = &mut self.all[self.last];
        let heard = if coder.decide(is_followed, place == *next) {
            *next
        } else if self.seen < self.all.len() && coder.decide(&mut self.is_new, place == self.seen) {
            self.seen
        } else {
            usize::try_from(coder.plain(self.place_bits, place as u64)).unwrap_or(usize::MAX)
        };
        if heard >= self.all.len() {
            return Err(ColumnsFault::Value);
        }
        self.all[self.last].next = heard;
        self.seen = self.seen.max(heard + 1);
        self.last = heard;
        Ok(Stream::at(heard))
    }

    /// The pause before the last record of a stream that was passed, milliseconds.
    pub(super) fn usual_ms(&mut self, stream: Stream) -> &mut i64 {
        &mut self.all[stream.place()].usual_ms
    }
}
