//! Attributes that say how a message is meant, and names too long for a statement.
//!
//! Promise: other attributes are passed over. Long names come last, because the statements use the short ones.

use super::Reader;
use crate::source::can::dbc::draft::DraftMessage;
use crate::source::can::dbc::scan::Unexpected;

/// The attribute that says how a message's identifier is meant, its value for a parameter group, and that value's usual
/// place in the list of values.
const FRAME_FORMAT: &str = "VFrameFormat";
const PARAMETER_GROUP: &str = "J1939PG";
pub(super) const PARAMETER_GROUP_PLACE: usize = 3;
/// The attributes that hold names too long for a statement.
const LONG_MESSAGE_NAME: &str = "SystemMessageLongSymbol";
const LONG_SIGNAL_NAME: &str = "SystemSignalLongSymbol";

impl Reader<'_, '_> {
    /// `BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN";`
    pub(super) fn attribute(&mut self) -> Result<(), Unexpected> {
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
    pub(super) fn attribute_default(&mut self) -> Result<(), Unexpected> {
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
    pub(super) fn attribute_value(&mut self) -> Result<(), Unexpected> {
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
    pub(super) fn finish(mut self) -> Vec<DraftMessage> {
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
