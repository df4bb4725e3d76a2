//! What a chunk says in words: the names of its signals once each, and the records that have no columns.
//!
//! Promise: a list of names never makes more of a chunk than its own bytes: names are short, and no more of them are
//! taken than a chunk has records.

use std::collections::BTreeMap;

use super::signal::Scale;
use super::streams::Stream;
use super::{ColumnsFault, SIGNAL_WORDS_MAX};
use crate::chunk::CHUNK_RECORDS_MAX;
use crate::reading::{Reading, Signal};
use crate::record::Record;
use crate::seal::EvidenceSeal;

/// Words to be told.
pub(super) struct Words {
    /// All of them; empty when there are none.
    pub(super) bytes: Vec<u8>,
    /// The stream of each record.
    pub(super) streams: Vec<Stream>,
    /// The scale of each signal.
    pub(super) scales: Vec<Scale>,
}

impl Words {
    /// The words of `records`.
    ///
    /// # Errors
    /// None in practice: a reading always serialises.
    pub(super) fn of<'a>(records: impl Iterator<Item = &'a Record>) -> Result<Self, postcard::Error> {
        let mut list = SignalList::default();
        let (mut streams, mut others) = (Vec::new(), Vec::new());
        for record in records {
            let stream = match record {
                Record { reading: Reading::Position(_), seal: None, .. } => Stream::Fix,
                Record { reading: Reading::Signal(signal), seal: None, .. } if is_listed(signal) => list.stream(signal),
                Record { reading, seal, .. } => {
                    others = postcard::to_extend(&(reading, seal), others)?;
                    Stream::Other
                }
            };
            streams.push(stream);
        }
        let mut bytes = Vec::new();
        if !(list.words.is_empty() && others.is_empty()) {
            bytes = postcard::to_extend(&list.words, bytes)?;
            bytes.append(&mut others);
        }
        let scales = list.values.iter().map(|values| Scale::of(values)).collect();
        Ok(Self { bytes, streams, scales })
    }
}

const fn is_listed(signal: &Signal) -> bool {
    signal.name.len() + signal.unit.len() <= SIGNAL_WORDS_MAX
}

/// Signals in the order in which they appear, each with its values.
#[derive(Default)]
struct SignalList<'a> {
    words: Vec<(&'a str, &'a str)>,
    values: Vec<Vec<f64>>,
    places: BTreeMap<(&'a str, &'a str), usize>,
}

impl<'a> SignalList<'a> {
    fn stream(&mut self, signal: &'a Signal) -> Stream {
        let words = (signal.name.as_str(), signal.unit.as_str());
        let place = *self.places.entry(words).or_insert(self.words.len());
        if place == self.words.len() {
            self.words.push(words);
            self.values.push(Vec::new());
        }
        self.values[place].push(signal.value);
        Stream::Signal(place)
    }
}

/// Words that were told.
pub(super) struct WordsRead<'a> {
    signals: Vec<(&'a str, &'a str)>,
    others: &'a [u8],
}

impl<'a> WordsRead<'a> {
    /// Reads the names; the other records are read one by one.
    ///
    /// # Errors
    /// [`ColumnsFault::Words`] for names that are no text, too long or too many.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, ColumnsFault> {
        if bytes.is_empty() {
            return Ok(Self { signals: Vec::new(), others: bytes });
        }
        let (count, mut others) = postcard::take_from_bytes::<usize>(bytes).map_err(unreadable)?;
        if count > CHUNK_RECORDS_MAX {
            return Err(ColumnsFault::Words(format!("{count} signals in one chunk")));
        }
        let mut signals = Vec::with_capacity(count);
        for _ in 0..count {
            let (words, rest) = postcard::take_from_bytes::<(&str, &str)>(others).map_err(unreadable)?;
            if words.0.len() + words.1.len() > SIGNAL_WORDS_MAX {
                return Err(ColumnsFault::Words(format!("the signal {:.20}… has too long a name", words.0)));
            }
            signals.push(words);
            others = rest;
        }
        Ok(Self { signals, others })
    }

    /// How many signals there are.
    pub(super) const fn signals(&self) -> usize {
        self.signals.len()
    }

    /// Name and unit of a signal.
    pub(super) fn signal(&self, index: usize) -> Result<(String, String), ColumnsFault> {
        let (name, unit) = self.signals.get(index).ok_or(ColumnsFault::Value)?;
        Ok(((*name).to_owned(), (*unit).to_owned()))
    }

    /// The next other record's reading and seal.
    pub(super) fn other(&mut self) -> Result<(Reading, Option<EvidenceSeal>), ColumnsFault> {
        let (other, rest) = postcard::take_from_bytes(self.others).map_err(unreadable)?;
        self.others = rest;
        Ok(other)
    }

    /// Everything must have been read.
    pub(super) fn finish(self) -> Result<(), ColumnsFault> {
        match self.others.len() {
            0 => Ok(()),
            left => Err(ColumnsFault::LeftOver(left)),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err gives")]
fn unreadable(error: postcard::Error) -> ColumnsFault {
    ColumnsFault::Words(error.to_string())
}
