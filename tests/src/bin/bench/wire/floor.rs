//! The order-0 entropy of a track: what its differences would cost if their likelihoods were known beforehand.
//!
//! A floor for coders that tell each column's differences by themselves, the likelihoods not counted; a coder that sees
//! more than that can go below it, and one that must learn the likelihoods lies above.

use std::collections::HashMap;

use milepost_proto::{Position, Reading, Record};

/// Bytes for each fix of `records`.
pub(crate) fn bytes_per_fix(records: &[Record]) -> f64 {
    let fixes: Vec<(&Record, &Position)> = records
        .iter()
        .filter_map(|record| match &record.reading {
            Reading::Position(fix) => Some((record, fix)),
            _ => None,
        })
        .collect();
    let column = |of: &dyn Fn(&Record, &Position) -> i64| -> Vec<i64> {
        fixes.iter().map(|(record, fix)| of(record, fix)).collect()
    };
    let apart =
        |record: &Record, _: &Position| record.monotonic_ms.cast_signed().wrapping_sub(record.event_time.as_millis());
    let bits: f64 = [
        column(&|record, _| record.event_time.as_millis()),
        column(&apart),
        column(&|_, fix| fix.lat_e7.into()),
        column(&|_, fix| fix.lon_e7.into()),
        column(&|_, fix| fix.altitude_cm.unwrap_or_default().into()),
        column(&|_, fix| fix.speed_cmps.unwrap_or_default().into()),
        column(&|_, fix| fix.course_cdeg.unwrap_or_default().into()),
        column(&|_, fix| fix.satellites.unwrap_or_default().into()),
        column(&|_, fix| fix.hdop_centi.unwrap_or_default().into()),
        column(&|_, fix| fix.accuracy_cm.unwrap_or_default().into()),
        column(&|_, fix| fix.fix as i64),
    ]
    .iter()
    .map(|column| cheapest(column))
    .sum();
    bits / 8.0
}

/// Bits for each value of `column` by its first or its second differences, whichever are cheaper.
fn cheapest(column: &[i64]) -> f64 {
    let first = differences(column);
    let second = differences(&first);
    entropy(&first).min(entropy(&second))
}

fn differences(column: &[i64]) -> Vec<i64> {
    column.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect()
}

fn entropy(symbols: &[i64]) -> f64 {
    let mut counts: HashMap<i64, f64> = HashMap::new();
    symbols.iter().for_each(|symbol| *counts.entry(*symbol).or_default() += 1.0);
    let all = symbols.len() as f64;
    counts.values().map(|count| count / all * (all / count).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fair_coin_costs_one_bit_and_a_ramp_nothing() {
        assert!((entropy(&[0, 1, 1, 0]) - 1.0).abs() < 1e-9);
        assert_eq!(cheapest(&[3, 6, 9, 12]), 0.0);
    }
}
