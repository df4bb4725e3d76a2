//! Which trouble codes are active, without the flicker of a loose contact.
//!
//! Promise: a code is reported active once it stood in [`SIGHTINGS_MIN`] lists of its unit in a row, and inactive once
//! it was missing from [`ABSENCES_MIN`] in a row, or its unit sent no list for [`SILENCE_MS`] while the bus was awake:
//! units send theirs every second as long as a code is active. A bus that sleeps says nothing about codes, so the time
//! it sleeps does not count. At most [`CODES_MAX`] codes are followed; one beyond is counted, at nobody's expense.

use milepost_proto::reading::Diagnostic;

use crate::source::fault::{Fault, Faults};

use super::trouble_code::{CodeList, ListKind, TroubleCode};

/// Lists in a row that must hold a code.
pub const SIGHTINGS_MIN: u8 = 2;
/// Lists in a row that must lack a code.
pub const ABSENCES_MIN: u8 = 3;
/// Without a list of its unit for so long, milliseconds, a code is not active.
pub const SILENCE_MS: u64 = 10_000;
/// Most codes that are followed.
pub const CODES_MAX: usize = 256;

/// Follows the codes of one bus.
#[derive(Debug, Clone, Default)]
pub struct CodeWatch {
    codes: Vec<Watched>,
}

/// One code of one unit.
#[derive(Debug, Clone)]
struct Watched {
    unit: u8,
    code: TroubleCode,
    state: State,
    /// When the unit last sent a list, milliseconds of waking time.
    listed_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In so many lists in a row, too few yet.
    Suspected { sightings: u8 },
    /// Reported; missing from so many lists in a row.
    Active { absences: u8 },
}

impl CodeWatch {
    /// Takes a list that came at `now_ms` of the bus's waking time; calls `changed` with what it changes.
    pub fn push(&mut self, list: &CodeList<'_>, now_ms: u64, faults: &mut Faults, mut changed: impl FnMut(Diagnostic)) {
        match list.kind {
            ListKind::Active => self.active(list, now_ms, faults, &mut changed),
            // A unit may list a code under both for a moment; then it is active.
            ListKind::Previous => {
                for code in list.codes().filter(|code| !self.is_active(list.source, *code)) {
                    changed(diagnostic(list.source, code, false));
                }
            }
        }
    }

    /// Time passed, also without lists.
    pub fn pass_time(&mut self, now_ms: u64, mut changed: impl FnMut(Diagnostic)) {
        self.codes.retain(|watched| {
            let silent = now_ms.saturating_sub(watched.listed_ms) >= SILENCE_MS;
            if silent && matches!(watched.state, State::Active { .. }) {
                changed(diagnostic(watched.unit, watched.code, false));
            }
            !silent
        });
    }

    fn active(&mut self, list: &CodeList<'_>, now_ms: u64, faults: &mut Faults, changed: &mut impl FnMut(Diagnostic)) {
        let unit = list.source;
        self.codes.retain_mut(|watched| {
            if watched.unit != unit {
                return true;
            }
            watched.listed_ms = now_ms;
            let listed = list.codes().find(|code| watched.is(unit, *code));
            watched.advance(listed, changed)
        });
        for code in list.codes() {
            if self.codes.iter().any(|watched| watched.is(unit, code)) {
                continue;
            }
            if self.codes.len() >= CODES_MAX {
                faults.count(Fault::TooMany);
                continue;
            }
            self.codes.push(Watched { unit, code, state: State::Suspected { sightings: 1 }, listed_ms: now_ms });
        }
    }

    fn is_active(&self, unit: u8, code: TroubleCode) -> bool {
        self.codes.iter().any(|watched| watched.is(unit, code) && matches!(watched.state, State::Active { .. }))
    }
}

impl Watched {
    fn is(&self, unit: u8, code: TroubleCode) -> bool {
        self.unit == unit && (self.code.spn, self.code.fmi) == (code.spn, code.fmi)
    }

    /// Moves on by a list that holds it or not; whether it is still to be followed.
    fn advance(&mut self, listed: Option<TroubleCode>, changed: &mut impl FnMut(Diagnostic)) -> bool {
        match (self.state, listed) {
            (State::Suspected { sightings }, Some(code)) => {
                self.code = code;
                self.state = State::Suspected { sightings: sightings + 1 };
                if sightings + 1 >= SIGHTINGS_MIN {
                    self.state = State::Active { absences: 0 };
                    changed(diagnostic(self.unit, code, true));
                }
                true
            }
            (State::Suspected { .. }, None) => false,
            (State::Active { .. }, Some(code)) => {
                if code != self.code {
                    changed(diagnostic(self.unit, code, true));
                }
                (self.code, self.state) = (code, State::Active { absences: 0 });
                true
            }
            (State::Active { absences }, None) if absences + 1 >= ABSENCES_MIN => {
                changed(diagnostic(self.unit, self.code, false));
                false
            }
            (State::Active { absences }, None) => {
                self.state = State::Active { absences: absences + 1 };
                true
            }
        }
    }
}

const fn diagnostic(unit: u8, code: TroubleCode, active: bool) -> Diagnostic {
    Diagnostic { source_address: unit, spn: code.spn, fmi: code.fmi, occurrence: code.occurrence, active }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of one unit: these codes, all with failure mode 3, as `(parameter below 256, occurrence)`.
    fn list(codes: &[(u8, u8)]) -> Vec<u8> {
        let codes = codes.iter().flat_map(|(spn, occurrence)| [*spn, 0, 3, *occurrence]);
        [0, 0xff].into_iter().chain(codes).collect()
    }

    /// Gives lists a second apart; what changed, as `spn occurrence +/-`.
    fn check(lists: &[(ListKind, &[(u8, u8)])], expected: &[&str]) {
        let (mut watch, mut faults, mut found, mut now_ms) = (CodeWatch::default(), Faults::default(), Vec::new(), 0);
        for (kind, codes) in lists {
            let data = list(codes);
            let list = CodeList::new(*kind, 0, &data).expect("list");
            watch.push(&list, now_ms, &mut faults, |code| found.push(show(&code)));
            now_ms += 1_000;
        }
        assert_eq!(found, expected, "{lists:?}");
        assert_eq!(faults.total(), 0);
    }

    fn show(code: &Diagnostic) -> String {
        format!("{} {} {}", code.spn, code.occurrence, if code.active { '+' } else { '-' })
    }

    use ListKind::{Active as DM1, Previous as DM2};

    #[test]
    fn a_code_is_active_from_its_second_list_in_a_row() {
        check(&[(DM1, &[(91, 1)])], &[]);
        check(&[(DM1, &[(91, 1)]), (DM1, &[(91, 1)]), (DM1, &[(91, 1)])], &["91 1 +"]);
        check(&[(DM1, &[(91, 1)]), (DM1, &[]), (DM1, &[(91, 1)])], &[]);
    }

    #[test]
    fn a_code_is_inactive_from_its_third_absence_in_a_row() {
        let twice: [(ListKind, &[(u8, u8)]); 2] = [(DM1, &[(91, 1)]), (DM1, &[(91, 1)])];
        let then = |rest: &[(ListKind, &'static [(u8, u8)])]| [&twice[..], rest].concat();
        check(&then(&[(DM1, &[]), (DM1, &[])]), &["91 1 +"]);
        check(&then(&[(DM1, &[]), (DM1, &[]), (DM1, &[(91, 1)]), (DM1, &[])]), &["91 1 +"]);
        check(&then(&[(DM1, &[]), (DM1, &[]), (DM1, &[])]), &["91 1 +", "91 1 -"]);
    }

    #[test]
    fn a_new_occurrence_is_reported() {
        check(&[(DM1, &[(91, 1)]), (DM1, &[(91, 1)]), (DM1, &[(91, 2)])], &["91 1 +", "91 2 +"]);
    }

    #[test]
    fn a_previous_code_is_inactive_unless_it_is_active_too() {
        check(&[(DM2, &[(91, 1)])], &["91 1 -"]);
        check(&[(DM1, &[(91, 1)]), (DM1, &[(91, 1)]), (DM2, &[(91, 1), (92, 4)])], &["91 1 +", "92 4 -"]);
    }

    #[test]
    fn a_silent_units_codes_are_inactive_and_another_units_lists_do_not_keep_them() {
        let (mut watch, mut found) = (CodeWatch::default(), Vec::new());
        let data = list(&[(91, 1)]);
        for (unit, now_ms) in [(0, 0), (0, 1_000), (3, 2_000), (3, 3_000)] {
            let list = CodeList::new(DM1, unit, &data).expect("list");
            watch.push(&list, now_ms, &mut Faults::default(), |_| {});
        }
        watch.pass_time(10_999, |code| found.push(code.source_address));
        assert_eq!(found, [0; 0]);
        watch.pass_time(11_000, |code| found.push(code.source_address));
        assert_eq!(found, [0]);
    }

    #[test]
    fn codes_beyond_the_most_are_counted_and_displace_none() {
        let (mut watch, mut faults, mut active) = (CodeWatch::default(), Faults::default(), 0);
        let data: Vec<u8> = [0, 0xff]
            .into_iter()
            .chain((1..=257_u16).flat_map(|n| {
                let [low, high] = n.to_le_bytes();
                [low, high, 3, 1]
            }))
            .collect();
        for now_ms in [0, 1_000] {
            let list = CodeList::new(DM1, 0, &data).expect("list");
            watch.push(&list, now_ms, &mut faults, |_| active += 1);
        }
        assert_eq!((active, faults.total()), (CODES_MAX, 2));
    }
}
