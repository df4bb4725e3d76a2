//! Statements about signals that are already there: texts, floats, pages.
//!
//! Promise: what names no signal of the file is a mistake, unless the message it names was left out.

use std::collections::BTreeMap;

use super::{Reader, unescape};
use crate::source::can::dbc::draft::{DraftPages, DraftSignal};
use crate::source::can::dbc::scan::Unexpected;

impl<'t> Reader<'t, '_> {
    /// `VAL_TABLE_ OnOff 0 "Off" 1 "On" ;`
    pub(super) fn table(&mut self) -> Result<(), Unexpected> {
        let name = self.scanner.word()?;
        let texts = self.text_list()?;
        self.tables.insert(name, texts);
        Ok(())
    }

    /// `VAL_ 496 Lamp 0 "Off" 1 "On" ;`, or the name of a table in place of the list.
    pub(super) fn texts(&mut self, line: usize) -> Result<(), Unexpected> {
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
    pub(super) fn precision(&mut self, line: usize) -> Result<(), Unexpected> {
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
    pub(super) fn pages(&mut self, line: usize) -> Result<(), Unexpected> {
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
    pub(super) fn target(&mut self) -> Result<(u64, &'t str), Unexpected> {
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
}
