//! A DBC file's statements.
//!
//! Promise: every statement is taken down or a mistake with its line; after a mistake reading goes on with the next
//! statement. Statements without a meaning for decoding (comments, attributes of other tools) are passed over.

use std::collections::{BTreeMap, BTreeSet};

use super::DbcFaults;
use super::draft::{DraftMessage, DraftPages, DraftSignal};
use super::layout::ByteOrder;
use super::scan::{Scanner, Unexpected, is_keyword};

/// The message that collects signals which belong to none.
const NO_MESSAGE: u64 = 0xc000_0000;
/// The attribute that says how a message's identifier is meant, its value for a parameter group, and that value's usual
/// place in the list of values.
const FRAME_FORMAT: &str = "VFrameFormat";
const PARAMETER_GROUP: &str = "J1939PG";
const PARAMETER_GROUP_PLACE: usize = 3;
/// The attributes that hold names too long for a statement.
const LONG_MESSAGE_NAME: &str = "SystemMessageLongSymbol";
const LONG_SIGNAL_NAME: &str = "SystemSignalLongSymbol";

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
        group_place: PARAMETER_GROUP_PLACE,
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

    /// `VAL_TABLE_ OnOff 0 "Off" 1 "On" ;`
    fn table(&mut self) -> Result<(), Unexpected> {
        let name = self.scanner.word()?;
        let texts = self.text_list()?;
        self.tables.insert(name, texts);
        Ok(())
    }

    /// `VAL_ 496 Lamp 0 "Off" 1 "On" ;`, or the name of a table in place of the list.
    fn texts(&mut self, line: usize) -> Result<(), Unexpected> {
        if !self.scanner.is_at_number() {
            // The texts of an environment variable.
            return self.scanner.skip_to_semicolon();
        }
        let (id, name) = self.target()?;
        let texts = if self.scanner.is_at_number() || self.scanner.is_at(';') {
            self.text_list()?
        } else {
            let table = self.scanner.word()?;
            self.scanner.expect(';')?;
            self.tables.get(table).cloned().ok_or_else(|| format!("there is no VAL_TABLE_ {table} before this line"))?
        };
        if let Some(signal) = self.find("VAL_", line, id, name) {
            signal.texts = texts;
        }
        Ok(())
    }

    fn text_list(&mut self) -> Result<Vec<(i128, String)>, Unexpected> {
        let mut texts = BTreeMap::new();
        while self.scanner.is_at_number() {
            let value = self.scanner.whole()?;
            texts.insert(value, unescape(self.scanner.quoted()?));
        }
        self.scanner.expect(';')?;
        Ok(texts.into_iter().collect())
    }

    /// `SIG_VALTYPE_ 496 Speed : 1;`
    fn precision(&mut self, line: usize) -> Result<(), Unexpected> {
        let (id, name) = self.target()?;
        self.scanner.take(':');
        let precision = self.scanner.whole()?;
        self.scanner.expect(';')?;
        if !matches!(precision, 0..=2) {
            return Err(format!("type {precision} must be 0 (whole), 1 (32-bit float) or 2 (64-bit float)"));
        }
        if let Some(signal) = self.find("SIG_VALTYPE_", line, id, name) {
            signal.precision = precision;
        }
        Ok(())
    }

    /// `SG_MUL_VAL_ 496 Speed Page 1-1, 4-7;`
    fn pages(&mut self, line: usize) -> Result<(), Unexpected> {
        let (id, name) = self.target()?;
        let switch = self.scanner.word()?.to_owned();
        let mut runs = Vec::new();
        loop {
            let first: i128 = self.scanner.whole()?;
            self.scanner.expect('-')?;
            let last = self.scanner.whole()?;
            runs.push((first, last));
            if !self.scanner.take(',') {
                break;
            }
        }
        self.scanner.expect(';')?;
        if let Some(signal) = self.find("SG_MUL_VAL_", line, id, name) {
            signal.pages = Some(DraftPages { switch, runs });
        }
        Ok(())
    }

    /// The message and the signal a statement is about.
    fn target(&mut self) -> Result<(u64, &'t str), Unexpected> {
        Ok((self.scanner.whole()?, self.scanner.word()?))
    }

    /// The signal a statement is about; a mistake where there is none.
    fn find(&mut self, word: &str, line: usize, id: u64, name: &str) -> Option<&mut DraftSignal> {
        let Some(place) = self.places.get(&id) else {
            if !self.left_out.contains(&id) {
                self.faults
                    .odd(line, format!("{word}: there is no message {id}; correct the number or remove the line"));
            }
            return None;
        };
        let message = &mut self.messages[*place];
        let signal = message.signals.iter_mut().find(|signal| signal.name == name);
        if signal.is_none() {
            let message = &message.name;
            let why = format!("{word}: message {message} has no signal {name}; correct the name or remove the line");
            self.faults.odd(line, why);
        }
        signal
    }

    /// `BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN";`
    fn attribute(&mut self) -> Result<(), Unexpected> {
        if !self.scanner.is_at('"') {
            self.scanner.word()?;
        }
        if self.scanner.quoted()? == FRAME_FORMAT && self.scanner.word()? == "ENUM" {
            let mut place = 0;
            while self.scanner.is_at('"') {
                if self.scanner.quoted()? == PARAMETER_GROUP {
                    self.group_place = place;
                }
                place += 1;
                self.scanner.take(',');
            }
        }
        self.scanner.skip_to_semicolon()
    }

    /// `BA_DEF_DEF_ "VFrameFormat" "StandardCAN";`
    fn attribute_default(&mut self) -> Result<(), Unexpected> {
        if self.scanner.quoted()? == FRAME_FORMAT {
            self.is_group_default = self.is_group()?;
        }
        self.scanner.skip_to_semicolon()
    }

    fn is_group(&mut self) -> Result<bool, Unexpected> {
        if self.scanner.is_at('"') {
            return Ok(self.scanner.quoted()? == PARAMETER_GROUP);
        }
        Ok(self.scanner.whole::<usize>()? == self.group_place)
    }

    /// `BA_ "VFrameFormat" BO_ 2566844926 3;`
    fn attribute_value(&mut self) -> Result<(), Unexpected> {
        match self.scanner.quoted()? {
            FRAME_FORMAT if self.scanner.word()? == "BO_" => {
                let id = self.scanner.whole()?;
                let is_group = self.is_group()?;
                if let Some(place) = self.places.get(&id) {
                    self.messages[*place].is_group = Some(is_group);
                }
            }
            LONG_MESSAGE_NAME if self.scanner.word()? == "BO_" => {
                let id = self.scanner.whole()?;
                self.long_names.push((id, None, self.scanner.quoted()?));
            }
            LONG_SIGNAL_NAME if self.scanner.word()? == "SG_" => {
                let (id, signal) = self.target()?;
                self.long_names.push((id, Some(signal), self.scanner.quoted()?));
            }
            _ => {}
        }
        self.scanner.skip_to_semicolon()
    }

    /// Long names come last: the statements use the short ones.
    fn finish(mut self) -> Vec<DraftMessage> {
        let mut renamed: Vec<(usize, Option<usize>, &str)> = Vec::new();
        for (id, signal, long) in &self.long_names {
            let Some(place) = self.places.get(id) else { continue };
            let message = &self.messages[*place];
            match signal {
                None => renamed.push((*place, None, long)),
                Some(signal) => {
                    let found = message.signals.iter().position(|other| other.name == *signal);
                    renamed.extend(found.map(|signal| (*place, Some(signal), *long)));
                }
            }
        }
        for (message, signal, long) in renamed {
            let message = &mut self.messages[message];
            match signal {
                None => long.clone_into(&mut message.name),
                Some(signal) => rename_signal(message, signal, long),
            }
        }
        for message in &mut self.messages {
            message.is_group = message.is_group.or(Some(self.is_group_default));
        }
        self.messages
    }
}

/// Renames a signal and what refers to it.
fn rename_signal(message: &mut DraftMessage, signal: usize, long: &str) {
    let short = std::mem::replace(&mut message.signals[signal].name, long.to_owned());
    for pages in message.signals.iter_mut().filter_map(|signal| signal.pages.as_mut()) {
        if pages.switch == short {
            long.clone_into(&mut pages.switch);
        }
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
