//! Messages compiled for decoding.
//!
//! Promise: decoding is pure, allocates nothing and gives every signal of the frame's page, or says why it has no value.
//! What cantools calls raw, physical and choice is here [`Raw`], `value` and `text`.

use super::layout::Field;
use crate::source::can::CanId;
use crate::source::fault::Fault;

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its name.
    pub name: Box<str>,
    /// Its identifier.
    pub id: CanId,
    /// Whether it stands for its J1939 parameter group, whoever sends it. Codes that the standard reserves are then no
    /// values.
    pub is_group: bool,
    pub(super) signals: Box<[Signal]>,
}

/// A signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Its name.
    pub name: Box<str>,
    /// Unit of its value.
    pub unit: Box<str>,
    /// The name a reading of it carries; none when it was not selected.
    pub reading_name: Option<Box<str>>,
    pub(super) field: Field,
    pub(super) kind: Kind,
    pub(super) factor: f64,
    pub(super) offset: f64,
    /// In the order of their values.
    pub(super) texts: Box<[(i128, Box<str>)]>,
    pub(super) page: Option<Page>,
    /// Whether others are on its pages.
    pub(super) is_switch: bool,
}

/// How a signal's bits are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Unsigned,
    Signed,
    Single,
    Double,
}

/// Where a signal of a multiplexed message is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    /// Place of the switch among the message's signals. Following switches ends: there is no circle.
    pub(super) switch: usize,
    /// First and last value of each run.
    pub(super) runs: Box<[(i128, i128)]>,
}

/// A signal's bits as a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Raw {
    /// Not signed.
    Unsigned(u64),
    /// Signed.
    Signed(i64),
    /// A floating-point number.
    Real(f64),
}

/// A signal in a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    /// As sent.
    pub raw: Raw,
    /// In the signal's unit.
    pub value: f64,
    /// What the value table calls it.
    pub text: Option<&'a str>,
}

impl Message {
    /// Each signal of the frame's page as it was sent, or why it has no value.
    pub fn samples<'a>(
        &'a self,
        data: &'a [u8],
    ) -> impl Iterator<Item = (&'a Signal, Result<Sample<'a>, Fault>)> + use<'a> {
        let sent = self.signals.iter().filter(move |signal| self.is_sent(signal, data));
        sent.map(move |signal| (signal, signal.sample(data).ok_or(Fault::ShortFrame)))
    }

    /// As [`samples`](Self::samples), without the codes that are no values.
    pub fn values<'a>(
        &'a self,
        data: &'a [u8],
    ) -> impl Iterator<Item = (&'a Signal, Result<Sample<'a>, Fault>)> + use<'a> {
        self.samples(data).map(move |(signal, sample)| (signal, sample.and_then(|sample| self.check(signal, sample))))
    }

    /// Whether a switch has a value that no signal is listed for.
    #[must_use]
    pub fn is_unknown_page(&self, data: &[u8]) -> bool {
        self.signals.iter().enumerate().any(|(switch, signal)| {
            let mut pages = self.signals.iter().filter_map(|signal| signal.page.as_ref());
            signal.is_switch
                && signal.raw(data).is_some()
                && self.is_sent(signal, data)
                && !pages.any(|page| page.switch == switch && signal.is_within(page, data))
        })
    }

    fn is_sent(&self, signal: &Signal, data: &[u8]) -> bool {
        signal.page.as_ref().is_none_or(|page| {
            let switch = &self.signals[page.switch];
            switch.is_within(page, data) && self.is_sent(switch, data)
        })
    }

    fn check<'a>(&self, signal: &Signal, sample: Sample<'a>) -> Result<Sample<'a>, Fault> {
        match sample.raw {
            Raw::Unsigned(raw) if self.is_group => check_range(signal.field.bits(), raw).map(|()| sample),
            _ if !sample.value.is_finite() => Err(Fault::NotAvailable),
            _ => Ok(sample),
        }
    }
}

/// J1939-71 table 1: of whole bytes the most significant one, of states the whole field says what kind of code it is.
/// For fields of other widths the standard reserves nothing.
const fn check_range(bits: u8, raw: u64) -> Result<(), Fault> {
    match bits {
        2 => match raw {
            0 | 1 => Ok(()),
            2 => Err(Fault::ErrorCode),
            _ => Err(Fault::NotAvailable),
        },
        8 | 16 | 32 => match raw >> (bits - 8) {
            0..=0xfa => Ok(()),
            0xff => Err(Fault::NotAvailable),
            _ => Err(Fault::ErrorCode),
        },
        _ => Ok(()),
    }
}

impl Signal {
    fn sample(&self, data: &[u8]) -> Option<Sample<'_>> {
        let raw = self.raw(data)?;
        let text = raw.whole().filter(|_| !self.texts.is_empty()).and_then(|whole| self.text(whole));
        Some(Sample { raw, value: raw.as_f64() * self.factor + self.offset, text })
    }

    fn text(&self, raw: i128) -> Option<&str> {
        let place = self.texts.binary_search_by_key(&raw, |(value, _)| *value).ok()?;
        Some(&self.texts[place].1)
    }

    fn raw(&self, data: &[u8]) -> Option<Raw> {
        let bits = self.field.read(data)?;
        Some(match self.kind {
            Kind::Unsigned => Raw::Unsigned(bits),
            Kind::Signed => {
                let spare = 64 - u32::from(self.field.bits());
                Raw::Signed((bits << spare).cast_signed() >> spare)
            }
            Kind::Single => Raw::Real(f32::from_bits(u32::try_from(bits).ok()?).into()),
            Kind::Double => Raw::Real(f64::from_bits(bits)),
        })
    }

    fn is_within(&self, page: &Page, data: &[u8]) -> bool {
        let raw = self.raw(data).and_then(Raw::whole);
        raw.is_some_and(|raw| page.runs.iter().any(|(first, last)| (*first..=*last).contains(&raw)))
    }
}

impl Raw {
    /// The number; beyond 53 bits the nearest there is.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "that is what a physical value is")]
    pub const fn as_f64(self) -> f64 {
        match self {
            Self::Unsigned(raw) => raw as f64,
            Self::Signed(raw) => raw as f64,
            Self::Real(raw) => raw,
        }
    }

    /// The number, where it is a whole one by its kind.
    #[must_use]
    pub fn whole(self) -> Option<i128> {
        match self {
            Self::Unsigned(raw) => Some(raw.into()),
            Self::Signed(raw) => Some(raw.into()),
            Self::Real(_) => None,
        }
    }
}
