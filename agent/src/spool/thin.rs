//! Telemetry worth less than its bytes, left out with a bound.
//!
//! Promise: what is kept is a part of what was given, in its order, and never nothing. A position left out lies within
//! [`Bounds::position_m`] of the straight line between the positions kept before and after it, which are at most
//! [`Bounds::interval_ms`] apart unless there was nothing between; where the vehicle came to a stand and where it set off is
//! kept. Of each signal the first and last values and its extremes are kept; to the first level also every value that
//! differs by more than a part of its span from the one kept before it. Whatever else there is, is kept.
//!
//! The line is an opening window: it is drawn on as long as everything under it is within the bound.

use std::collections::BTreeMap;

use milepost_proto::{Position, Reading, Record};

/// Most positions under one line, so that the work for each is bounded.
const WINDOW_MAX: usize = 64;
/// From this speed on a vehicle that stood is moving, cm/s.
const SET_OFF_CMPS: u32 = 100;
/// Up to this speed a vehicle that moved has come to a stand, cm/s.
const STAND_CMPS: u32 = 50;
/// Metres of 1e-7 degree of latitude.
const M_PER_E7: f64 = 0.011_119_493;
/// A full turn of longitude, 1e-7 degree.
const TURN_E7: i64 = 3_600_000_000;

/// How much may be lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    /// How far a position left out may lie from the line, metres.
    pub(super) position_m: f64,
    /// How long a line may be, milliseconds.
    pub(super) interval_ms: i64,
    /// The part of a signal's span (its largest value less its smallest) that makes a change; none for only its extremes.
    pub(super) signal_part: Option<f64>,
}

/// The levels, in order. What was thinned to the first level may be thinned to the second; errors then add up.
pub(super) const LEVELS: [Bounds; 2] = [
    Bounds { position_m: 10.0, interval_ms: 30_000, signal_part: Some(0.1) },
    Bounds { position_m: 50.0, interval_ms: 120_000, signal_part: None },
];

/// What is kept of a chunk's records.
pub(super) fn thin(records: Vec<(u64, Record)>, bounds: &Bounds) -> Vec<(u64, Record)> {
    let mut keep = vec![false; records.len()];
    let mut track = Vec::new();
    let mut signals: BTreeMap<(&str, &str), Vec<(usize, f64)>> = BTreeMap::new();
    for (place, (_, record)) in records.iter().enumerate() {
        match &record.reading {
            Reading::Position(position) => track.push((place, record.event_time.as_millis(), position)),
            Reading::Signal(signal) => {
                signals.entry((&signal.name, &signal.unit)).or_default().push((place, signal.value));
            }
            _ => keep[place] = true,
        }
    }
    keep_track(&track, bounds, &mut keep);
    signals.values().for_each(|values| keep_signal(values, bounds, &mut keep));
    records.into_iter().zip(keep).filter_map(|(record, keep)| keep.then_some(record)).collect()
}

/// A position's place among the records, its time, and itself.
type Fix<'r> = (usize, i64, &'r Position);

fn keep_track(track: &[Fix<'_>], bounds: &Bounds, keep: &mut [bool]) {
    let turning_points = turning_points(track);
    let mut begin = 0;
    for next in 0..track.len() {
        let is_end = next == 0 || turning_points[next] || next + 1 == track.len();
        if next > begin + 1 && !is_line(&track[begin..=next], bounds) {
            begin = next - 1;
            keep[track[begin].0] = true;
        }
        if is_end {
            begin = next;
            keep[track[begin].0] = true;
        }
    }
}

/// Whether one line may stand for all these positions.
fn is_line(run: &[Fix<'_>], bounds: &Bounds) -> bool {
    let [first, between @ .., last] = run else { return true };
    let elapsed_ms = last.1.saturating_sub(first.1);
    run.len() <= WINDOW_MAX
        && (0..=bounds.interval_ms).contains(&elapsed_ms)
        && between.iter().all(|(_, _, position)| off_line_m(first.2, last.2, position) <= bounds.position_m)
}

/// Which positions are the first or the last of a stand. Two speeds, so that a vehicle creeping at one does not flap.
fn turning_points(track: &[Fix<'_>]) -> Vec<bool> {
    let mut points = vec![false; track.len()];
    let mut moving = None;
    for (n, (_, _, position)) in track.iter().enumerate() {
        let Some(speed_cmps) = position.speed_cmps else { continue };
        let now = if moving == Some(false) { speed_cmps >= SET_OFF_CMPS } else { speed_cmps > STAND_CMPS };
        match moving.replace(now) {
            Some(true) if !now => points[n] = true,
            // The last one at the stand, and the first that moves.
            Some(false) if now => points[n - 1..=n].fill(true),
            _ => {}
        }
    }
    points
}

/// How far `position` lies from the line between two others, metres, on the plane that touches the earth there.
fn off_line_m(from: &Position, to: &Position, position: &Position) -> f64 {
    let (x, y) = offset_m(from, position);
    let (line_x, line_y) = offset_m(from, to);
    let square = line_x * line_x + line_y * line_y;
    let part = if square > 0.0 { ((x * line_x + y * line_y) / square).clamp(0.0, 1.0) } else { 0.0 };
    (x - part * line_x).hypot(y - part * line_y)
}

/// How far east and north, metres.
fn offset_m(from: &Position, to: &Position) -> (f64, f64) {
    let half = TURN_E7 / 2;
    let east_e7 = (i64::from(to.lon_e7) - i64::from(from.lon_e7) + half).rem_euclid(TURN_E7) - half;
    let north_e7 = i64::from(to.lat_e7) - i64::from(from.lat_e7);
    (east_e7 as f64 * M_PER_E7 * from.lat_deg().to_radians().cos(), north_e7 as f64 * M_PER_E7)
}

fn keep_signal(values: &[(usize, f64)], bounds: &Bounds, keep: &mut [bool]) {
    let by_value = |a: &&(usize, f64), b: &&(usize, f64)| a.1.total_cmp(&b.1);
    let extremes = [values.first(), values.last(), values.iter().min_by(by_value), values.iter().max_by(by_value)];
    extremes.into_iter().flatten().for_each(|(place, _)| keep[*place] = true);
    let [_, _, Some((_, smallest)), Some((_, largest))] = extremes else { return };
    let Some(part) = bounds.signal_part else { return };
    let band = (largest - smallest) * part;
    let mut last_kept = f64::NAN;
    for (place, value) in values {
        // Whatever cannot be compared is kept.
        let is_within = (value - last_kept).abs() <= band;
        if keep[*place] || !is_within {
            keep[*place] = true;
            last_kept = *value;
        }
    }
}

#[cfg(test)]
mod tests;
