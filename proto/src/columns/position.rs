//! Fixes by column: what changes little is told by its change, and a place by how far it lies from where it had to be.
//!
//! Promise: a fix comes back as it was, absent fields absent. Columns are told on the grid of the receiver that gave
//! them, which the chunk names once; a chunk whose values lie on none is told in the units of [`Position`].

use super::ColumnsFault;
use super::enumeration::Enumeration;
use super::grid::{self, Grid};
use super::integer::{Integers, Miss, unexpected};
use super::motion::Motion;
use super::range_coder::{Coder, Likelihood};
use super::series::{Column, Series, likeliest};
use crate::reading::{FixType, Position};

/// One turn, in hundredths of a degree.
const TURN_CDEG: i64 = 36_000;
/// Fields of a fix that may be absent.
const OPTIONAL_FIELDS: u32 = 6;

/// The grids of a chunk's fixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grids {
    coordinate: Grid,
    altitude: Grid,
    speed: Grid,
    course: Grid,
    hdop: Grid,
    accuracy: Grid,
    /// Every course is below one turn.
    courses_are_angles: bool,
}

impl Grids {
    /// The coarsest on which all of `fixes` lie.
    pub(super) fn of<'a>(fixes: impl Iterator<Item = &'a Position> + Clone) -> Self {
        let coordinates = fixes.clone().flat_map(|fix| [fix.lat_e7, fix.lon_e7]).map(i64::from);
        let altitudes = fixes.clone().filter_map(|fix| fix.altitude_cm).map(i64::from);
        let speeds = fixes.clone().filter_map(|fix| fix.speed_cmps).map(i64::from);
        let courses = fixes.clone().filter_map(|fix| fix.course_cdeg).map(i64::from);
        let hdops = fixes.clone().filter_map(|fix| fix.hdop_centi).map(i64::from);
        let accuracies = fixes.filter_map(|fix| fix.accuracy_cm).map(i64::from);
        Self {
            coordinate: Grid::of(&grid::COORDINATE, &coordinates),
            altitude: Grid::of(&grid::HUNDREDTHS, &altitudes),
            speed: Grid::of(&grid::SPEED, &speeds),
            course: Grid::of(&grid::HUNDREDTHS, &courses),
            hdop: Grid::of(&grid::HUNDREDTHS, &hdops),
            accuracy: Grid::of(&grid::HUNDREDTHS, &accuracies),
            courses_are_angles: courses.clone().all(|course| course < TURN_CDEG),
        }
    }

    /// Passes them.
    pub(super) fn code<C: Coder>(self, coder: &mut C) -> Self {
        Self {
            coordinate: self.coordinate.code(coder, &grid::COORDINATE),
            altitude: self.altitude.code(coder, &grid::HUNDREDTHS),
            speed: self.speed.code(coder, &grid::SPEED),
            course: self.course.code(coder, &grid::HUNDREDTHS),
            hdop: self.hdop.code(coder, &grid::HUNDREDTHS),
            accuracy: self.accuracy.code(coder, &grid::HUNDREDTHS),
            courses_are_angles: coder.plain(1, u64::from(self.courses_are_angles)) == 1,
        }
    }
}

/// The columns of a chunk's fixes.
pub(super) struct Positions {
    grids: Grids,
    is_alike: Likelihood,
    presence: u64,
    fix: Enumeration<FixType>,
    altitude: Column,
    speed: Column,
    course: Column,
    satellites: Column,
    hdop: Column,
    accuracy: Column,
    place: Place,
}

impl Positions {
    /// Columns that have seen nothing.
    pub(super) fn new(grids: Grids) -> Self {
        let turn = if grids.courses_are_angles { grids.course.place(TURN_CDEG) } else { 0 };
        Self {
            grids,
            is_alike: Likelihood::of(15, 16),
            presence: (1 << OPTIONAL_FIELDS) - 1,
            fix: Enumeration::new(FixType::Fix3d),
            altitude: Column::new(Series::new(12, 2)),
            speed: Column::new(Series::new(6, 2)),
            course: Column::new(Series::new(13, 2).of_angles(turn)),
            satellites: Column::new(Series::new(4, 0)),
            hdop: Column::new(Series::new(5, 0)),
            accuracy: Column::new(Series::new(8, 2)),
            place: Place::new(),
        }
    }

    /// Passes the next fix, which comes `elapsed_ms` after the one before.
    ///
    /// # Errors
    /// In decoding: a value that no fix can have.
    pub(super) fn code<C: Coder>(
        &mut self,
        coder: &mut C,
        fix: &Position,
        elapsed_ms: i64,
    ) -> Result<Position, ColumnsFault> {
        let [altitude, speed, course, satellites, hdop, accuracy] = self.code_presence(coder, fix);
        let Self { grids, .. } = self;
        let kind = self.fix.code(coder, fix.fix)?;
        let satellites = optional(satellites, coder, &mut self.satellites, Grid::UNIT, fix.satellites)?;
        let hdop_centi = optional(hdop, coder, &mut self.hdop, grids.hdop, fix.hdop_centi)?;
        let accuracy_cm = optional(accuracy, coder, &mut self.accuracy, grids.accuracy, fix.accuracy_cm)?;
        let speed_cmps = optional(speed, coder, &mut self.speed, grids.speed, fix.speed_cmps)?;
        let course_cdeg = optional(course, coder, &mut self.course, grids.course, fix.course_cdeg)?;
        let altitude_cm = optional(altitude, coder, &mut self.altitude, grids.altitude, fix.altitude_cm)?;
        let motion = speed_cmps
            .map(|speed_cmps| Motion { speed_cmps, course_cdeg: course_cdeg.unwrap_or_default() })
            .filter(|motion| course_cdeg.is_some() || motion.speed_cmps == 0);
        let [lat_e7, lon_e7] =
            self.place.code(coder, grids.coordinate, [fix.lat_e7, fix.lon_e7], motion, elapsed_ms)?;
        Ok(Position {
            lat_e7,
            lon_e7,
            altitude_cm,
            speed_cmps,
            course_cdeg,
            fix: kind,
            satellites,
            hdop_centi,
            accuracy_cm,
        })
    }

    /// Passes which fields are there.
    fn code_presence<C: Coder>(&mut self, coder: &mut C, fix: &Position) -> [bool; OPTIONAL_FIELDS as usize] {
        let there = [
            fix.altitude_cm.is_some(),
            fix.speed_cmps.is_some(),
            fix.course_cdeg.is_some(),
            fix.satellites.is_some(),
            fix.hdop_centi.is_some(),
            fix.accuracy_cm.is_some(),
        ];
        let presence = there.iter().fold(0, |bits, there| (bits << 1) | u64::from(*there));
        if !coder.decide(&mut self.is_alike, presence == self.presence) {
            self.presence = coder.plain(OPTIONAL_FIELDS, presence);
        }
        [5, 4, 3, 2, 1, 0].map(|bit| (self.presence >> bit) & 1 == 1)
    }
}

/// Passes a field that may be absent, on its grid.
fn optional<C: Coder, T: Copy + Into<i64> + TryFrom<i64>>(
    is_there: bool,
    coder: &mut C,
    column: &mut Column,
    grid: Grid,
    value: Option<T>,
) -> Result<Option<T>, ColumnsFault> {
    if !is_there {
        return Ok(None);
    }
    let place = value.map_or(0, |value| grid.place(value.into()));
    T::try_from(grid.number(column.code(coder, place))).map(Some).map_err(|_| ColumnsFault::Value)
}

/// The columns of latitude and longitude.
struct Place {
    axes: [Axis; 2],
    lat_e7: i64,
    before: Option<Before>,
}

/// What led to the fix before.
#[derive(Clone, Copy)]
struct Before {
    motion: Option<Motion>,
    elapsed_ms: i64,
}

struct Axis {
    integers: Integers,
    at: i64,
    step: i64,
    /// How far each prediction was off: standing, half on, straight on, by speed and course, and that halfway to straight on.
    misses: [Miss; 5],
}

impl Place {
    fn new() -> Self {
        let axis = || Axis { integers: Integers::new(), at: 0, step: 0, misses: [4, 6, 6, 3, 5].map(Miss::of) };
        Self { axes: [axis(), axis()], lat_e7: 0, before: None }
    }

    fn code<C: Coder>(
        &mut self,
        coder: &mut C,
        grid: Grid,
        place_e7: [i32; 2],
        motion: Option<Motion>,
        elapsed_ms: i64,
    ) -> Result<[i32; 2], ColumnsFault> {
        let way = self.way(grid, motion, elapsed_ms);
        let before_ms = self.before.map(|before| before.elapsed_ms);
        let mut passed = [0; 2];
        for (((axis, way), e7), passed) in self.axes.iter_mut().zip(way).zip(place_e7).zip(&mut passed) {
            let place = grid.place(i64::from(e7));
            let place = match before_ms {
                None => axis.begin(coder, place),
                Some(before_ms) => axis.go_on(coder, place, way, scale(axis.step, elapsed_ms, before_ms)),
            };
            *passed = i32::try_from(grid.number(place)).map_err(|_| ColumnsFault::Value)?;
        }
        self.lat_e7 = i64::from(passed[0]);
        self.before = Some(Before { motion, elapsed_ms });
        Ok(passed)
    }

    /// The way since the fix before by speed and course, mean of both ends, in steps of `grid`; nothing when they are not known.
    fn way(&self, grid: Grid, motion: Option<Motion>, elapsed_ms: i64) -> [Option<i64>; 2] {
        let Some(motion) = motion else { return [None, None] };
        let now = motion.way_e7(elapsed_ms, self.lat_e7);
        let then =
            self.before.and_then(|before| before.motion).map_or(now, |motion| motion.way_e7(elapsed_ms, self.lat_e7));
        [0, 1].map(|axis| Some(grid.place((now[axis] + then[axis]) / 2)))
    }
}

/// A step of `before_ms` for `elapsed_ms`, where both are sensible.
fn scale(step: i64, elapsed_ms: i64, before_ms: i64) -> i64 {
    let sensible = 1..=3_600_000;
    if elapsed_ms == before_ms || !sensible.contains(&elapsed_ms) || !sensible.contains(&before_ms) {
        return step;
    }
    step.saturating_mul(elapsed_ms) / before_ms
}

impl Axis {
    fn begin<C: Coder>(&mut self, coder: &mut C, place: i64) -> i64 {
        self.at = unexpected(coder, place);
        self.at
    }

    fn go_on<C: Coder>(&mut self, coder: &mut C, place: i64, way: Option<i64>, step: i64) -> i64 {
        let way = way.unwrap_or(step);
        let predictions = [0, step / 2, step, way, step.midpoint(way)].map(|step| self.at.wrapping_add(step));
        let (miss, predicted) = likeliest(self.misses, predictions);
        let place = predicted.wrapping_add(self.integers.code(coder, miss.size(), place.wrapping_sub(predicted)));
        for (miss, predicted) in self.misses.iter_mut().zip(predictions) {
            miss.learn(place.wrapping_sub(predicted));
        }
        self.step = place.wrapping_sub(self.at);
        self.at = place;
        place
    }
}
