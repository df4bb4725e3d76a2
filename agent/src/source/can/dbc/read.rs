//! A DBC file's statements.
//!
//! Promise: every statement is taken down or a mistake with its line; after a mistake reading goes on with the next
//! statement. Statements without a meaning for decoding (comments, attributes of other tools) are passed over.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{DraftMessage, DraftSignal};
use super::fault::DbcFaults;
use super::layout::ByteOrder;
use super::scan::{Scanner, Unexpected, is_keyword};

mod about_signal;
mod attribute;

/// The message that collects signals which belong to none.
const NO_MESSAGE: u64 = 0xc000_0000;
/// Most signals of a message; more are left out, with a fault.
const SIGNALS_MAX: usize = 4_096;

/// Reads a file's text.
pub(super) fn read(text: &str, faults: &mut DbcFaults) -> Vec<DraftMessage> {
    let mut reader = Reader {
        scanner: Scanner::new(text),
        faults,
        messages: Vec::new(),
        places: BTreeMap::new(),
        left_out: BTreeSet::from([NO_MESSAGE]),
        current: None,
        tables: BTreeMap::new(),
        group_place: attribute::PARAMETER_GROUP_PLACE,
        is_group_default: false,
        long_names: Vec::new(),
    };
    loop {
        reader.scanner.skip_space();
        let before = reader.scanner.clone();
        let Some(word) = reader.scanner.statement() else { break };
        let line = reader.scanner.line();
        if let Err(why) = reader.statement(word, line) {
            reader.faults.refused(line, format!("{word}: {why}; until then it is left out"));
            reader.scanner = before;
            reader.scanner.skip_statement();
        }
    }
    reader.finish()
}

struct Reader<'t, 'f> {
    scanner: Scanner<'t>,
    faults: &'f mut DbcFaults,
    messages: Vec<DraftMessage>,
    /// Identifier → place in `messages`.
    places: BTreeMap<u64, usize>,
    /// Identifiers of messages that are not used; what is said about them is passed over.
    left_out: BTreeSet<u64>,
    /// The identifier of the message whose signals follow.
    current: Option<u64>,
    tables: BTreeMap<&'t str, Vec<(i128, String)>>,
    group_place: usize,
    is_group_default: bool,
    /// Of a message, or of a signal of it.
    long_names: Vec<(u64, Option<&'t str>, &'t str)>,
}

impl<'t> Reader<'t, '_> {
    fn statement(&mut self, word: &str, line: usize) -> Result<(), Unexpected> {
        match word {
            "VERSION" => self.scanner.quoted().map(drop),
            "NS_" | "BU_" => {
                self.scanner.skip_name_lines();
                Ok(())
            }
            "BS_" => {
                self.scanner.skip_line();
                Ok(())
            }
            "BO_" => self.message(line),
            "SG_" => self.signal(line),
            "VAL_TABLE_" => self.table(),
            "VAL_" => self.texts(line),
            "SIG_VALTYPE_" => self.precision(line),
            "SG_MUL_VAL_" => self.pages(line),
            "BA_DEF_" => self.attribute(),
            "BA_DEF_DEF_" => self.attribute_default(),
            "BA_" => self.attribute_value(),
            ";" => Ok(()),
            "/" if self.scanner.take('/') => {
                self.scanner.skip_line();
                Ok(())
            }
            other if is_keyword(other) => self.scanner.skip_to_semicolon(),
            other => Err(format!("{other:?} begins no statement of a DBC file; correct or remove the line")),
        }
    }

    /// `BO_ 496 EEC1: 8 Engine`
    fn message(&mut self, line: usize) -> Result<(), Unexpected> {
        self.current = Some(NO_MESSAGE);
        let raw_id = self.scanner.whole()?;
        let (name, length) = self.message_head().inspect_err(|_| {
            self.left_out.insert(raw_id);
        })?;
        self.current = Some(raw_id);
        if self.left_out.contains(&raw_id) {
            return Ok(());
        }
        if let Some(first) = self.places.get(&raw_id).map(|place| &self.messages[*place]) {
            let message = format!(
                "message {name} has the identifier {raw_id} of {} in line {}; give it its own, until then it is left out",
                first.name, first.line
            );
            self.faults.refused(line, message);
            self.current = Some(NO_MESSAGE);
            return Ok(());
        }
        self.places.insert(raw_id, self.messages.len());
        self.messages.push(DraftMessage { line, raw_id, name, length, signals: Vec::new(), is_group: None });
        Ok(())
    }

    fn message_head(&mut self) -> Result<(String, u64), Unexpected> {
        let name = self.scanner.word()?.to_owned();
        self.scanner.expect(':')?;
        let length = self.scanner.whole()?;
        self.scanner.skip_line();
        Ok((name, length))
    }

    /// `SG_ Speed m1 : 8|16@1+ (0.01,0) [0|250] "km/h" Dashboard`
    fn signal(&mut self, line: usize) -> Result<(), Unexpected> {
        let id = self.current.ok_or("a signal stands after its message (BO_); move it there")?;
        let name = self.scanner.word()?.to_owned();
        let (page, is_switch) = if self.scanner.take(':') {
            (None, false)
        } else {
            let mark = self.scanner.word()?;
            self.scanner.expect(':')?;
            if mark == "m" {
                let why = format!("signal {name}: \"m\" names no page; write M for the switch, or m and a number");
                self.faults.odd(line, why);
            }
            page_mark(mark).ok_or_else(|| format!("{mark:?} must be M, or m and a number; correct it"))?
        };
        let start = self.scanner.whole()?;
        self.scanner.expect('|')?;
        let bits = self.scanner.whole()?;
        self.scanner.expect('@')?;
        let order = match self.scanner.whole::<u8>()? {
            0 => ByteOrder::Motorola,
            1 => ByteOrder::Intel,
            other => return Err(format!("byte order {other} must be 0 (Motorola) or 1 (Intel)")),
        };
        let signed = self.scanner.take('-');
        if !signed {
            self.scanner.expect('+')?;
        }
        self.scanner.expect('(')?;
        let factor = self.scanner.real()?;
        self.scanner.expect(',')?;
        let offset = self.scanner.real()?;
        self.scanner.expect(')')?;
        self.range()?;
        let unit = unescape(self.scanner.quoted()?);
        self.scanner.skip_line();
        let signal = DraftSignal {
            line,
            name,
            is_switch,
            page,
            pages: None,
            start,
            bits,
            order,
            signed,
            precision: 0,
            factor,
            offset,
            unit,
            texts: Vec::new(),
        };
        let Some(message) = self.places.get(&id).and_then(|place| self.messages.get_mut(*place)) else {
            return Ok(());
        };
        if let Some(first) = message.signals.iter().find(|other| other.name == signal.name) {
            return Err(format!("signal {} is already there in line {}; rename one", first.name, first.line));
        }
        if message.signals.len() >= SIGNALS_MAX {
            return Err(format!("a message has at most {SIGNALS_MAX} signals; remove some"));
        }
        message.signals.push(signal);
        Ok(())
    }

    /// The range a signal should keep to. Files are careless with it, and no value depends on it.
    fn range(&mut self) -> Result<(), Unexpected> {
        self.scanner.expect('[')?;
        self.scanner.number()?;
        self.scanner.expect('|')?;
        self.scanner.number()?;
        self.scanner.expect(']')
    }
}

/// The page, and whether the signal is a switch: `M`, `m5`, `m5M`. `m` alone says neither.
fn page_mark(mark: &str) -> Option<(Option<i128>, bool)> {
    match mark {
        "M" => return Some((None, true)),
        "m" => return Some((None, false)),
        _ => {}
    }
    let page = mark.strip_prefix('m')?;
    let (page, is_switch) = page.strip_suffix('M').map_or((page, false), |page| (page, true));
    Some((Some(page.parse().ok()?), is_switch))
}

fn unescape(text: &str) -> String {
    text.replace("\\\"", "\"")
}
