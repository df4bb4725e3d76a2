//! The times of records by column: when it happened, when it was recorded, and how far that can be trusted.
//!
//! Promise: lossless. A source that speaks at a steady pace costs nothing but its irregularities: the time since the record
//! before is expected to be what it was when the same stream last spoke.

use super::ColumnsFault;
use super::enumeration::Enumeration;
use super::integer::{Integers, Miss, unexpected};
use super::range_coder::{Coder, Likelihood};
use crate::record::Record;
use crate::time::{TimeQuality, TimeSource, Timestamp};

/// How much of the difference between the two clocks is taken over from each fix: serial lines deliver unevenly.
const SMOOTHING: i64 = 4;
/// Beyond this a difference is no unevenness but another clock, milliseconds.
const UNEVEN_MS_MAX: i64 = 64;

/// The error that a chunk's first time is expected to have: what the agent grants a receiver's, milliseconds.
const ERROR_MS_FIRST: i64 = 1_000;

/// The times of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) event_time: Timestamp,
    pub(super) monotonic_ms: u64,
    pub(super) time_quality: TimeQuality,
}

impl Times {
    /// Those of `record`.
    pub(super) const fn of(record: &Record) -> Self {
        Self { event_time: record.event_time, monotonic_ms: record.monotonic_ms, time_quality: record.time_quality }
    }
}

/// The columns of times.
pub(super) struct TimeColumns {
    last_ms: Option<i64>,
    fixes: Dated,
    others: Dated,
}

/// The columns of records that are dated in one way: fixes by their receiver, the rest by the agent's clock.
struct Dated {
    pauses: Integers,
    pause_miss: Miss,
    clocks: Integers,
    clock_miss: Miss,
    /// Monotonic time less event time, as expected, in quarters of a millisecond.
    clock_x4: Option<i64>,
    is_smoothed: bool,
    is_same_quality: Likelihood,
    source: Enumeration<TimeSource>,
    errors: Integers,
    error_ms: i64,
}

impl Dated {
    fn new(is_smoothed: bool) -> Self {
        Self {
            pauses: Integers::new(),
            pause_miss: Miss::of(0),
            clocks: Integers::new(),
            clock_miss: Miss::of(if is_smoothed { 2 } else { 0 }),
            clock_x4: None,
            is_smoothed,
            is_same_quality: Likelihood::of(15, 16),
            source: Enumeration::new(TimeSource::Gnss),
            errors: Integers::new(),
            error_ms: ERROR_MS_FIRST,
        }
    }

    fn code_pause<C: Coder>(&mut self, coder: &mut C, pause_ms: i64, usual_ms: i64) -> i64 {
        let off = self.pauses.code(coder, self.pause_miss.size(), pause_ms.wrapping_sub(usual_ms));
        self.pause_miss.learn(off);
        usual_ms.wrapping_add(off)
    }

    /// Passes the monotonic time, by how far the two clocks are apart.
    fn code_clock<C: Coder>(&mut self, coder: &mut C, event_ms: i64, monotonic_ms: u64, hint: Option<i64>) -> u64 {
        let apart = monotonic_ms.cast_signed().wrapping_sub(event_ms);
        let apart = match self.clock_x4.or(hint) {
            None => {
                let monotonic_ms = unexpected(coder, monotonic_ms.cast_signed());
                monotonic_ms.wrapping_sub(event_ms)
            }
            Some(expected_x4) => {
                let expected = expected_x4.wrapping_add(2) >> 2;
                let off = self.clocks.code(coder, self.clock_miss.size(), apart.wrapping_sub(expected));
                self.clock_miss.learn(off);
                expected.wrapping_add(off)
            }
        };
        self.clock_x4 = Some(self.expect_clock(apart));
        apart.wrapping_add(event_ms).cast_unsigned()
    }

    fn expect_clock(&self, apart: i64) -> i64 {
        let apart_x4 = apart.wrapping_mul(4);
        match self.clock_x4 {
            Some(expected_x4) if self.is_smoothed => {
                let off_x4 = apart_x4.wrapping_sub(expected_x4);
                let is_uneven = off_x4.unsigned_abs() <= (4 * UNEVEN_MS_MAX).unsigned_abs();
                if is_uneven { expected_x4.wrapping_add(off_x4 / SMOOTHING) } else { apart_x4 }
            }
            _ => apart_x4,
        }
    }

    fn code_quality<C: Coder>(&mut self, coder: &mut C, quality: TimeQuality) -> Result<TimeQuality, ColumnsFault> {
        let last =
            TimeQuality { source: self.source.last(), error_ms: u32::try_from(self.error_ms).unwrap_or_default() };
        if coder.decide(&mut self.is_same_quality, quality == last) {
            return Ok(last);
        }
        let source = self.source.code(coder, quality.source)?;
        let off = i64::from(quality.error_ms).wrapping_sub(self.error_ms);
        self.error_ms = self.error_ms.wrapping_add(self.errors.code(coder, Miss::of(2).size(), off));
        let error_ms = u32::try_from(self.error_ms).map_err(|_| ColumnsFault::Value)?;
        Ok(TimeQuality { source, error_ms })
    }
}

impl TimeColumns {
    /// Columns that have seen nothing.
    pub(super) fn new() -> Self {
        Self { last_ms: None, fixes: Dated::new(true), others: Dated::new(false) }
    }

    /// Passes the times of the next record; `usual_ms` is the pause before the last one of its stream, and becomes this one.
    ///
    /// # Errors
    /// In decoding: a value that no record can have.
    pub(super) fn code<C: Coder>(
        &mut self,
        coder: &mut C,
        is_fix: bool,
        times: Times,
        usual_ms: &mut i64,
    ) -> Result<Times, ColumnsFault> {
        let hint = self.fixes.clock_x4.or(self.others.clock_x4);
        let dated = if is_fix { &mut self.fixes } else { &mut self.others };
        let event_ms = times.event_time.as_millis();
        let event_ms = match self.last_ms {
            None => unexpected(coder, event_ms),
            Some(last_ms) => {
                *usual_ms = dated.code_pause(coder, event_ms.wrapping_sub(last_ms), *usual_ms);
                last_ms.wrapping_add(*usual_ms)
            }
        };
        let event_time = Timestamp::from_millis(event_ms);
        if event_time.as_millis() != event_ms {
            return Err(ColumnsFault::Value);
        }
        self.last_ms = Some(event_ms);
        let monotonic_ms = dated.code_clock(coder, event_ms, times.monotonic_ms, hint);
        let time_quality = dated.code_quality(coder, times.time_quality)?;
        Ok(Times { event_time, monotonic_ms, time_quality })
    }
}
