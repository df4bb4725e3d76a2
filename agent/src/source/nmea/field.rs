//! The fields of a sentence: numbers, times, dates, coordinates.
//!
//! Promise: an empty field is absent, a field that cannot be read is a [`Fault`], and no field is read through a float:
//! decimals become integers of the wanted unit, rounded half away from zero once.

use crate::source::fault::Fault;

/// A field that may be empty.
pub(super) type Field<T> = Result<Option<T>, Fault>;

/// Most digits a number may have; more is damage, not precision.
const DIGITS_MAX: usize = 15;

/// The comma-separated fields of a sentence, in order. A field beyond the last is empty, as older receivers end early.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    pub(super) const fn new(body: &'a [u8]) -> Self {
        Self { rest: Some(body) }
    }

    /// The next field.
    pub(super) fn next(&mut self) -> &'a [u8] {
        let Some(rest) = self.rest else { return &[] };
        match rest.iter().position(|byte| *byte == b',') {
            Some(comma) => {
                self.rest = Some(&rest[comma + 1..]);
                &rest[..comma]
            }
            None => {
                self.rest = None;
                rest
            }
        }
    }

    /// Passes over `count` fields.
    pub(super) fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.next();
        }
    }

    /// Whether every field was taken.
    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_none()
    }

    /// The next field's only letter.
    pub(super) fn letter(&mut self) -> Field<u8> {
        match self.next() {
            [] => Ok(None),
            [letter] => Ok(Some(*letter)),
            _ => Err(Fault::Unparsed),
        }
    }

    /// The next field as a number in units of 10^-`decimals`, rounded.
    pub(super) fn decimal(&mut self, decimals: u32) -> Field<i64> {
        match self.next() {
            [] => Ok(None),
            field => decimal(field, decimals).map(Some).ok_or(Fault::Unparsed),
        }
    }

    /// The next field as a number that cannot be negative, in units of 10^-`decimals`.
    pub(super) fn unsigned<T: TryFrom<i64>>(&mut self, decimals: u32) -> Field<T> {
        let Some(value) = self.decimal(decimals)? else { return Ok(None) };
        T::try_from(value).map(Some).map_err(|_| Fault::OutOfRange)
    }

    /// The next field as a time of day `hhmmss[.s…]`, in milliseconds; second 60 is a leap second and follows 59.
    pub(super) fn time_of_day_ms(&mut self) -> Field<u32> {
        let field = self.next();
        if field.is_empty() {
            return Ok(None);
        }
        let (clock, _) = field.split_at_checked(6).ok_or(Fault::Unparsed)?;
        let hours = two_digits(&clock[..2]).ok_or(Fault::Unparsed)?;
        let minutes = two_digits(&clock[2..4]).ok_or(Fault::Unparsed)?;
        let seconds_ms = decimal(&field[4..], 3).and_then(|ms| u32::try_from(ms).ok()).ok_or(Fault::Unparsed)?;
        if hours > 23 || minutes > 59 || seconds_ms >= 61_000 {
            return Err(Fault::OutOfRange);
        }
        Ok(Some(hours * 3_600_000 + minutes * 60_000 + seconds_ms))
    }

    /// The next two fields as degrees and minutes with a hemisphere, in 1e-7 degree.
    pub(super) fn coordinate_e7(&mut self, axis: Axis) -> Field<i32> {
        let (field, hemisphere) = (self.next(), self.letter()?);
        if field.is_empty() {
            return Ok(None);
        }
        let sign = match hemisphere {
            Some(letter) if letter == axis.positive => 1,
            Some(letter) if letter == axis.negative => -1,
            _ => return Err(Fault::Unparsed),
        };
        // Minutes with nine decimals: 60 of them are 6e10, so one 1e-7 degree is 6,000.
        let value = decimal(field, 9).filter(|value| *value >= 0).ok_or(Fault::Unparsed)?;
        let (degrees, minutes_e9) = (value / 100_000_000_000, value % 100_000_000_000);
        let e7 = degrees * 10_000_000 + (minutes_e9 + 3_000) / 6_000;
        if minutes_e9 >= 60_000_000_000 || e7 > axis.max_e7 {
            return Err(Fault::OutOfRange);
        }
        i32::try_from(sign * e7).map(Some).map_err(|_| Fault::OutOfRange)
    }
}

/// Latitude or longitude.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    positive: u8,
    negative: u8,
    max_e7: i64,
}

/// North and south.
pub(super) const LATITUDE: Axis = Axis { positive: b'N', negative: b'S', max_e7: 900_000_000 };
/// East and west.
pub(super) const LONGITUDE: Axis = Axis { positive: b'E', negative: b'W', max_e7: 1_800_000_000 };

/// A run of digits as a small number.
pub(super) fn digits(field: &[u8]) -> Option<u32> {
    if field.is_empty() || field.len() > 9 {
        return None;
    }
    field.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))
}

fn two_digits(field: &[u8]) -> Option<u32> {
    (field.len() == 2).then(|| digits(field)).flatten()
}

/// A decimal number in units of 10^-`decimals`, rounded half away from zero.
fn decimal(field: &[u8], decimals: u32) -> Option<i64> {
    let (negative, unsigned) = match field {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let mut value = 0_i64;
    let mut places: Option<u32> = None;
    let mut seen = 0;
    for &byte in unsigned {
        match byte {
            b'.' if places.is_none() => places = Some(0),
            b'0'..=b'9' => {
                seen += 1;
                let digit = i64::from(byte - b'0');
                match places {
                    Some(at) if at == decimals => {
                        value += i64::from(digit >= 5);
                        places = Some(at + 1);
                    }
                    Some(at) if at > decimals => {}
                    _ => {
                        value = value.checked_mul(10)?.checked_add(digit)?;
                        places = places.map(|at| at + 1);
                    }
                }
            }
            _ => return None,
        }
    }
    if seen == 0 || seen > DIGITS_MAX {
        return None;
    }
    let missing = decimals.saturating_sub(places.unwrap_or(0));
    let value = value.checked_mul(10_i64.checked_pow(missing)?)?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields<'_> {
        Fields::new(text.as_bytes())
    }

    #[test]
    fn decimals_become_integers_rounded_once() {
        for (text, decimals, expected) in [
            ("12.34", 2, Some(1234)),
            ("12.345", 2, Some(1235)),
            ("12.3449999", 2, Some(1234)),
            ("12", 2, Some(1200)),
            ("-.5", 1, Some(-5)),
            ("-0.05", 1, Some(-1)),
            ("+7.", 0, Some(7)),
            ("", 0, None),
            (".", 0, None),
            ("1.2.3", 1, None),
            ("1e5", 1, None),
            ("9999999999999999", 0, None),
            ("99999999999", 9, None),
        ] {
            assert_eq!(decimal(text.as_bytes(), decimals), expected, "{text}");
        }
    }

    #[test]
    fn coordinates_are_rounded_to_1e7_and_bounded() {
        for (text, axis, expected) in [
            ("4916.45,N", LATITUDE, Ok(Some(492_741_667))),
            ("12311.12,W", LONGITUDE, Ok(Some(-1_231_853_333))),
            ("0000.0000002,S", LATITUDE, Ok(Some(0))),
            ("9000.0000,N", LATITUDE, Ok(Some(900_000_000))),
            ("9100.0000,N", LATITUDE, Err(Fault::OutOfRange)),
            ("18000.001,E", LONGITUDE, Err(Fault::OutOfRange)),
            ("4960.00,N", LATITUDE, Err(Fault::OutOfRange)),
            ("4916.45,", LATITUDE, Err(Fault::Unparsed)),
            ("4916.45,E", LATITUDE, Err(Fault::Unparsed)),
            ("-4916.45,N", LATITUDE, Err(Fault::Unparsed)),
            (",", LATITUDE, Ok(None)),
        ] {
            assert_eq!(fields(text).coordinate_e7(axis), expected, "{text}");
        }
    }

    #[test]
    fn a_time_of_day_may_be_a_leap_second() {
        for (text, expected) in [
            ("000000", Ok(Some(0))),
            ("123519.25", Ok(Some(45_319_250))),
            ("235960", Ok(Some(86_400_000))),
            ("235960.99", Ok(Some(86_400_990))),
            ("235961", Err(Fault::OutOfRange)),
            ("240000", Err(Fault::OutOfRange)),
            ("1235", Err(Fault::Unparsed)),
            ("12:35:", Err(Fault::Unparsed)),
            ("", Ok(None)),
        ] {
            assert_eq!(fields(text).time_of_day_ms(), expected, "{text}");
        }
    }

    #[test]
    fn fields_beyond_the_last_are_empty() {
        let mut fields = fields("a,,b");
        assert_eq!(
            (fields.next(), fields.next(), fields.next(), fields.next()),
            (&b"a"[..], &b""[..], &b"b"[..], &b""[..])
        );
        assert!(fields.is_empty());
    }
}
