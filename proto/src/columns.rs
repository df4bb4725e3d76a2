//! Chunk bodies by column, version 1: what changes little from record to record takes next to nothing.
//!
//! ```text
//! form      u8           3 = every sequence of the range, 4 = what thinning left
//! boot      16 bytes
//! records   varint
//! words     varint       bytes of the next part; 0 when it is not there
//!           signals      varint, then name and unit of each, in the order in which they first appear
//!           others       the reading and the seal of each other record, postcard, in order
//! coded     to the end   every number, one decision after the other (`range_coder`), record by record:
//!                        sequence (form 4), stream, times, then the fields of a fix or the value of a signal
//! ```
//!
//! Promise: what is opened is what was sealed, to the last bit, for every record there can be; the same records give the
//! same bytes on every machine; and whatever the bytes, decoding ends, panics never, and holds no more than
//! [`CHUNK_RECORDS_MAX`] records with names of at most [`SIGNAL_WORDS_MAX`] bytes.
//!
//! This form is frozen: the files in `proto/tests/golden` hold chunks of it. A change to anything under `columns`, to the
//! likelihoods as much as to the order of fields, makes another form with another first byte, beside this one.

mod enumeration;
mod grid;
mod integer;
mod motion;
mod position;
mod range_coder;
mod series;
mod signal;
mod streams;
mod times;
mod words;

use crate::chunk::CHUNK_RECORDS_MAX;
use crate::id::BootId;
use crate::ranges::SequenceRange;
use crate::reading::{FixType, Position, Reading, Signal};
use crate::record::Record;
use crate::time::{TimeQuality, Timestamp};
use integer::Integers;
use position::{Grids, Positions};
use range_coder::{Coder, Decoder, Encoder};
use series::{Column, Series};
use signal::{Scale, SignalSeries};
use streams::{Stream, Streams};
use times::{TimeColumns, Times};
use words::{Words, WordsRead};

/// First byte of a body that has a record for every sequence of its range.
pub(crate) const FORM_RECORDS: u8 = 3;
/// First byte of a body that holds what thinning left.
pub(crate) const FORM_THINNED: u8 = 4;
/// Most bytes of a signal's name and unit together that are told once per chunk; a longer one travels with its value.
pub(crate) const SIGNAL_WORDS_MAX: usize = 256;

/// Why bytes are no columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ColumnsFault {
    /// It ends before its columns begin.
    #[error("the columns are cut off")]
    CutOff,
    /// It says that it has more records than a chunk may.
    #[error("{0} records, at most {CHUNK_RECORDS_MAX} are allowed")]
    TooMany(u64),
    /// Names or other records do not read.
    #[error("its words do not read: {0}")]
    Words(String),
    /// A number that the field cannot hold.
    #[error("a value is outside its field")]
    Value,
    /// A variant of an enum that this build does not know.
    #[error("a variant that this build does not know; update the older end")]
    Variant,
    /// More bytes than the records need.
    #[error("{0} bytes are left over")]
    LeftOver(usize),
}

/// Records to be told, with or without sequences of their own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// One for every sequence.
    All(&'a [Record]),
    /// Those that thinning left of a range that begins at this sequence.
    Kept(u64, &'a [(u64, Record)]),
}

impl<'a> Rows<'a> {
    const fn len(self) -> usize {
        match self {
            Self::All(records) => records.len(),
            Self::Kept(_, kept) => kept.len(),
        }
    }

    fn record(self, at: usize) -> &'a Record {
        match self {
            Self::All(records) => &records[at],
            Self::Kept(_, kept) => &kept[at].1,
        }
    }

    fn records(self) -> impl Iterator<Item = &'a Record> + Clone {
        (0..self.len()).map(move |at| self.record(at))
    }
}

/// The body of a chunk that holds `rows`.
///
/// # Errors
/// None in practice: a reading always serialises.
pub(crate) fn encode(boot_id: BootId, rows: Rows<'_>) -> Result<Vec<u8>, postcard::Error> {
    let words = Words::of(rows.records())?;
    let form = match rows {
        Rows::All(_) => FORM_RECORDS,
        Rows::Kept(..) => FORM_THINNED,
    };
    let mut bytes = Vec::with_capacity(64 + words.bytes.len() + 8 * rows.len());
    bytes.push(form);
    bytes.extend_from_slice(&boot_id.0);
    let mut bytes = postcard::to_extend(&rows.len(), bytes)?;
    bytes = postcard::to_extend(&words.bytes.len(), bytes)?;
    bytes.extend_from_slice(&words.bytes);
    let coded_from = bytes.len();
    let mut encoder = Encoder::new(bytes);
    let mut table = Table::new(&mut encoder, words.scales, rows.records().filter_map(fix_of));
    let mut sequences = Sequences::new();
    for at in 0..rows.len() {
        if let Rows::Kept(first, kept) = rows {
            sequences.code(&mut encoder, first, kept[at].0);
        }
        table.tell(&mut encoder, words.streams[at], rows.record(at));
    }
    Ok(encoder.finish(coded_from))
}

/// The boot and the records of a body, with sequences within `range` for [`FORM_THINNED`] and places from 0 otherwise.
///
/// # Errors
/// The [`ColumnsFault`] that says what is wrong with the bytes.
pub(crate) fn decode(body: &[u8], range: SequenceRange) -> Result<(BootId, Vec<(u64, Record)>), ColumnsFault> {
    let (&form, rest) = body.split_first().ok_or(ColumnsFault::CutOff)?;
    let (boot, rest) = rest.split_first_chunk::<16>().ok_or(ColumnsFault::CutOff)?;
    let cut_off = |_| ColumnsFault::CutOff;
    let (records, rest) = postcard::take_from_bytes::<u64>(rest).map_err(cut_off)?;
    let (words, rest) = postcard::take_from_bytes::<u64>(rest).map_err(cut_off)?;
    let count = usize::try_from(records).ok().filter(|count| *count <= CHUNK_RECORDS_MAX);
    let count = count.ok_or(ColumnsFault::TooMany(records))?;
    let words = usize::try_from(words).ok().and_then(|words| rest.split_at_checked(words));
    let (words, coded) = words.ok_or(ColumnsFault::CutOff)?;
    let mut words = WordsRead::new(words)?;
    let mut decoder = Decoder::new(coded);
    let mut table = Table::new(&mut decoder, vec![Scale::Bits; words.signals()], std::iter::empty());
    let mut sequences = Sequences::new();
    let mut kept = Vec::with_capacity(count);
    for at in 0..count {
        let sequence = match form {
            FORM_THINNED => sequences.code(&mut decoder, range.first(), 0),
            _ => at as u64,
        };
        kept.push((sequence, table.hear(&mut decoder, &mut words)?));
    }
    words.finish()?;
    match decoder.unread() {
        0 => Ok((BootId(*boot), kept)),
        left => Err(ColumnsFault::LeftOver(left)),
    }
}

/// The fix of a record whose fix is told by column.
const fn fix_of(record: &Record) -> Option<&Position> {
    match record {
        Record { reading: Reading::Position(fix), seal: None, .. } => Some(fix),
        _ => None,
    }
}

/// The sequences of what thinning left.
struct Sequences {
    next: Option<u64>,
    skipped: Column,
}

impl Sequences {
    fn new() -> Self {
        Self { next: None, skipped: Column::new(Series::new(2, 0)) }
    }

    fn code<C: Coder>(&mut self, coder: &mut C, first: u64, sequence: u64) -> u64 {
        let next = self.next.unwrap_or(first);
        let sequence =
            next.wrapping_add(self.skipped.code(coder, sequence.wrapping_sub(next).cast_signed()).cast_unsigned());
        self.next = Some(sequence.wrapping_add(1));
        sequence
    }
}

/// All columns of a chunk.
struct Table {
    streams: Streams,
    times: TimeColumns,
    positions: Positions,
    signals: Vec<SignalSeries>,
    values: Integers,
    /// When the fix before happened, milliseconds.
    last_fix_ms: Option<i64>,
}

/// What is told where there is nothing to tell: in decoding, and for records without a fix.
const NO_FIX: Position = Position {
    lat_e7: 0,
    lon_e7: 0,
    altitude_cm: None,
    speed_cmps: None,
    course_cdeg: None,
    fix: FixType::Fix3d,
    satellites: None,
    hdop_centi: None,
    accuracy_cm: None,
};
const NO_TIMES: Times = Times { event_time: Timestamp::EPOCH, monotonic_ms: 0, time_quality: TimeQuality::UNKNOWN };

impl Table {
    fn new<'a, C: Coder>(coder: &mut C, scales: Vec<Scale>, fixes: impl Iterator<Item = &'a Position> + Clone) -> Self {
        let grids = Grids::of(fixes).code(coder);
        Self {
            streams: Streams::new(scales.len()),
            times: TimeColumns::new(),
            positions: Positions::new(grids),
            signals: scales.into_iter().map(SignalSeries::new).collect(),
            values: Integers::new(),
            last_fix_ms: None,
        }
    }

    fn tell(&mut self, encoder: &mut Encoder, stream: Stream, record: &Record) {
        let fix = fix_of(record).unwrap_or(&NO_FIX);
        let value = if let Reading::Signal(signal) = &record.reading { signal.value } else { 0.0 };
        // Nothing that is told lies outside its field.
        self.code(encoder, Told { stream, times: Times::of(record), fix, value }).ok();
    }

    fn hear(&mut self, decoder: &mut Decoder<'_>, words: &mut WordsRead<'_>) -> Result<Record, ColumnsFault> {
        let nothing = Told { stream: Stream::Fix, times: NO_TIMES, fix: &NO_FIX, value: 0.0 };
        let (times, heard) = self.code(decoder, nothing)?;
        let (reading, seal) = match heard {
            Heard::Fix(fix) => (Reading::Position(fix), None),
            Heard::Signal(signal, value) => {
                let (name, unit) = words.signal(signal)?;
                (Reading::Signal(Signal { name, value, unit }), None)
            }
            Heard::Other => words.other()?,
        };
        let Times { event_time, monotonic_ms, time_quality } = times;
        Ok(Record { event_time, monotonic_ms, time_quality, reading, seal })
    }

    fn code<C: Coder>(&mut self, coder: &mut C, told: Told<'_>) -> Result<(Times, Heard), ColumnsFault> {
        let stream = self.streams.code(coder, told.stream)?;
        let is_fix = stream == Stream::Fix;
        let times = self.times.code(coder, is_fix, told.times, self.streams.usual_ms(stream))?;
        let heard = match stream {
            Stream::Fix => {
                let at_ms = times.event_time.as_millis();
                let elapsed_ms = self.last_fix_ms.map_or(0, |last_ms| at_ms - last_ms);
                self.last_fix_ms = Some(at_ms);
                Heard::Fix(self.positions.code(coder, told.fix, elapsed_ms)?)
            }
            Stream::Signal(index) => {
                let series = self.signals.get_mut(index).ok_or(ColumnsFault::Value)?;
                Heard::Signal(index, series.code(coder, &mut self.values, told.value))
            }
            Stream::Other => Heard::Other,
        };
        Ok((times, heard))
    }
}

/// What is told of one record.
#[derive(Clone, Copy)]
struct Told<'a> {
    stream: Stream,
    times: Times,
    fix: &'a Position,
    value: f64,
}

/// What was heard of one record besides its times.
enum Heard {
    Fix(Position),
    Signal(usize, f64),
    Other,
}

#[cfg(test)]
mod tests;
