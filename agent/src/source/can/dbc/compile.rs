//! From what a file says to what decodes.
//!
//! Promise: a message that comes out can be decoded whatever the frame holds; what makes no sense is a mistake with its
//! line and mend, and costs only the message or signal it is in. What is merely strange (bits used twice, or behind the
//! message's end) is said and used: such files are in service.

use super::draft::{DraftMessage, DraftSignal};
use super::fault::DbcFaults;
use super::layout::{BITS_MAX, Field};
use super::message::{Kind, Message, Page, Signal};
use crate::source::can::CanId;

/// Bit 31 of a file's identifier: the frame is extended.
const EXTENDED: u64 = 0x8000_0000;
const STANDARD_MAX: u64 = 0x7ff;
const EXTENDED_MAX: u64 = 0x1fff_ffff;

/// The message, unless it is left out.
pub(super) fn message(draft: DraftMessage, faults: &mut DbcFaults) -> Option<Message> {
    let id = match identifier(draft.raw_id) {
        Ok(id) => id,
        Err(why) => {
            faults.refused(draft.line, format!("message {}: {why}; until then it is left out", draft.name));
            return None;
        }
    };
    let (name, length) = (&draft.name, draft.length);
    let mut fields = Vec::new();
    for signal in draft.signals {
        match field(&signal) {
            Ok(field) => fields.push((signal, field)),
            Err(why) => {
                faults.refused(signal.line, format!("signal {name}.{}: {why}; until then it is left out", signal.name));
            }
        }
    }
    let pages = pages(name, &mut fields, faults);
    for (signal, field) in fields.iter().filter(|(_, field)| field.end() > length) {
        let (name, end) = (format!("{name}.{}", signal.name), field.end());
        let why = format!("signal {name} ends in byte {end} of a message of {length}; correct the length or the start");
        faults.odd(signal.line, why);
    }
    overlaps(name, &fields, &pages, faults);
    let signals = fields.into_iter().zip(pages).map(|((signal, field), page)| compiled(name, signal, field, page));
    let is_group = draft.is_group == Some(true) && matches!(id, CanId::Extended(_));
    Some(Message { id, is_group, signals: signals.collect(), name: draft.name.into() })
}

fn identifier(raw_id: u64) -> Result<CanId, String> {
    let id = raw_id & !EXTENDED;
    let fault = if raw_id & EXTENDED == 0 {
        if let Some(id) = u16::try_from(id).ok().filter(|id| u64::from(*id) <= STANDARD_MAX) {
            return Ok(CanId::Standard(id));
        }
        let mend = if id <= EXTENDED_MAX { "for an extended frame add 2147483648 (bit 31)" } else { "correct it" };
        format!("identifier {raw_id} has more than 11 bits; {mend}")
    } else {
        if let Some(id) = u32::try_from(id).ok().filter(|id| u64::from(*id) <= EXTENDED_MAX) {
            return Ok(CanId::Extended(id));
        }
        format!("identifier {raw_id} has more than 29 bits (bit 31 not counted); correct it")
    };
    Err(fault)
}

fn field(signal: &DraftSignal) -> Result<Field, String> {
    let DraftSignal { start, bits, .. } = *signal;
    let wanted = [0, 32, 64][usize::from(signal.precision.min(2))];
    if signal.precision > 0 && bits != wanted {
        return Err(format!("is a {wanted}-bit float of {bits} bits; correct its width or SIG_VALTYPE_"));
    }
    if !(1..=BITS_MAX).contains(&bits) {
        return Err(format!("is {bits} bits wide; 1 to {BITS_MAX} can be read"));
    }
    Field::new(start, bits, signal.order)
        .ok_or_else(|| format!("begins at bit {start}, where no data can be; correct it"))
}

type Fields = [(DraftSignal, Field)];

/// The page of each signal. A signal whose page cannot be found out is removed.
fn pages(name: &str, fields: &mut Vec<(DraftSignal, Field)>, faults: &mut DbcFaults) -> Vec<Option<Page>> {
    // Removing some may take the switch from others, so this is repeated until all is well.
    loop {
        let pages: Vec<_> = fields.iter().map(|(signal, _)| page(signal, fields)).collect();
        let why_not = |place: usize| pages[place].as_ref().err().cloned().or_else(|| circle(place, &pages));
        let bad: Vec<_> = (0..pages.len()).filter_map(|place| Some((place, why_not(place)?))).collect();
        if bad.is_empty() {
            return pages.into_iter().map(Result::unwrap_or_default).collect();
        }
        for (place, why) in bad.into_iter().rev() {
            let (signal, _) = fields.remove(place);
            faults.refused(signal.line, format!("signal {name}.{}: {why}; until then it is left out", signal.name));
        }
    }
}

fn page(signal: &DraftSignal, fields: &Fields) -> Result<Option<Page>, String> {
    if let Some(pages) = &signal.pages {
        let switch = fields.iter().position(|(other, _)| other.name == pages.switch && other.is_switch);
        let switch = switch.ok_or_else(|| format!("its switch {} is no switch (M) of this message", pages.switch))?;
        return Ok(Some(Page { switch, runs: pages.runs.as_slice().into() }));
    }
    let Some(page) = signal.page else { return Ok(None) };
    let mut switches = fields.iter().enumerate().filter(|(_, (other, _))| other.is_switch && other.name != signal.name);
    let runs = Box::new([(page, page)]);
    match (switches.next(), switches.find(|(_, (other, _))| other.page.is_none())) {
        (None, _) => Err("is on a page, but the message has no switch (M); mark it, or remove the m".to_owned()),
        (Some((switch, _)), None) => Ok(Some(Page { switch, runs })),
        (Some((_, (first, _))), Some((_, (second, _)))) => {
            Err(format!("is on a page of {} or of {}; say which with SG_MUL_VAL_", first.name, second.name))
        }
    }
}

/// Whether following this signal's switch leads back to it.
fn circle(place: usize, pages: &[Result<Option<Page>, String>]) -> Option<String> {
    let switch_of = |place: usize| pages[place].as_ref().ok()?.as_ref().map(|page| page.switch);
    let mut at = place;
    for _ in 0..pages.len() {
        at = switch_of(at)?;
        if at == place {
            return Some("is on a page of itself; correct its SG_MUL_VAL_".to_owned());
        }
    }
    None
}

/// Says which signals share bits on a page they share.
fn overlaps(name: &str, fields: &Fields, pages: &[Option<Page>], faults: &mut DbcFaults) {
    for (second, (later, field)) in fields.iter().enumerate() {
        let earlier = fields[..second].iter().enumerate();
        let shared = earlier.filter(|(first, (_, other))| field.overlaps(other) && !are_apart(*first, second, pages));
        for (_, (earlier, _)) in shared {
            let why = format!(
                "signals {name}.{} and {name}.{} (line {}) use the same bits; correct one",
                later.name, earlier.name, earlier.line
            );
            faults.odd(later.line, why);
        }
    }
}

/// Whether no frame can hold both: somewhere up their switches they need different values of the same one.
fn are_apart(first: usize, second: usize, pages: &[Option<Page>]) -> bool {
    let up = |from: usize| std::iter::successors(pages[from].as_ref(), |page| pages[page.switch].as_ref());
    up(first).any(|one| {
        up(second).any(|other| {
            let meet = |(first, last): &(i128, i128)| other.runs.iter().any(|run| run.0 <= *last && *first <= run.1);
            one.switch == other.switch && !one.runs.iter().any(meet)
        })
    })
}

fn compiled(message: &str, signal: DraftSignal, field: Field, page: Option<Page>) -> Signal {
    let kind = match (signal.precision, signal.signed) {
        (1, _) => Kind::Single,
        (2, _) => Kind::Double,
        (_, true) => Kind::Signed,
        (_, false) => Kind::Unsigned,
    };
    Signal {
        reading_name: Some(format!("{message}.{}", signal.name).into()),
        name: signal.name.into(),
        unit: signal.unit.into(),
        field,
        kind,
        factor: signal.factor,
        offset: signal.offset,
        texts: signal.texts.into_iter().map(|(value, text)| (value, text.into())).collect(),
        page,
        is_switch: signal.is_switch,
    }
}
