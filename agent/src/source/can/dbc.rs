//! The vehicle bus by a DBC file.
//!
//! Promise: a file is compiled once to a table by identifier, and frames then decode without allocation. Every mistake
//! in a file is said with its line and its mend; what is good in the file is used all the same, because a file of a
//! thousand messages is not useless for one of them.
//!
//! `text` makes characters of the bytes, `scan` words, `read` statements, `compile` messages; `message` decodes,
//! `layout` finds the bits.

use std::collections::BTreeSet;
use std::path::PathBuf;

use milepost_proto::Reading;
use milepost_proto::reading::Signal as SignalReading;

use super::transport::Group;
use super::{CanId, Frame, FrameBody, j1939};
use crate::source::fault::{Fault, Faults};

mod compile;
mod draft;
mod fault;
mod layout;
mod message;
mod read;
mod scan;
#[cfg(test)]
mod tests;
mod text;

pub use fault::{DbcFault, FAULTS_MAX, FileFault, Severity};
pub use message::{Message, Raw, Sample, Signal};

/// Most messages of all files of a source; more are left out, with a fault.
pub const MESSAGES_MAX: usize = 20_000;

/// The address that no unit has (SAE J1939-81); files write it where any sender is meant.
const NOBODY: u8 = 254;

/// The messages of some files, by identifier.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Database {
    messages: Vec<Message>,
    /// Identifier → place, in order.
    standard: Vec<(u16, usize)>,
    extended: Vec<(u32, usize)>,
    /// Parameter group → place, in order, of the messages that stand for their group.
    groups: Vec<(u32, usize)>,
    /// Parameter group and sender → place, in order: groups of several frames come without their identifier.
    senders: Vec<((u32, u8), usize)>,
    /// Parameter group → place, in order, of the messages that any sender's group of several frames is read by.
    any_sender: Vec<(u32, usize)>,
    /// What readings are called.
    reading_names: BTreeSet<Box<str>>,
}

impl Database {
    /// What is good in a file's content, and every mistake in it, in the order of their lines.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> (Self, Vec<DbcFault>) {
        let mut faults = fault::DbcFaults::default();
        let drafts = read::read(&text::decode(bytes), &mut faults);
        let mut database = Self::default();
        for draft in drafts {
            let line = draft.line;
            if let Some(message) = compile::message(draft, &mut faults)
                && let Err(why) = database.add(message)
            {
                faults.refused(line, why);
            }
        }
        database.list_reading_names();
        (database, faults.into_list())
    }

    /// The messages of all files, each given with its bytes or with why it cannot be read. A message of a later file with
    /// the identifier of an earlier one is left out.
    #[must_use]
    pub fn combine(files: impl IntoIterator<Item = (PathBuf, Result<Vec<u8>, String>)>) -> (Self, Vec<FileFault>) {
        let (mut database, mut faults) = (Self::default(), Vec::new());
        for (file, content) in files {
            let mut add = |fault| faults.push(FileFault { file: file.clone(), fault });
            let of_file = |message| DbcFault { line: 0, severity: Severity::Refused, message };
            match content {
                Ok(bytes) => {
                    let (more, found) = Self::parse(&bytes);
                    found.into_iter().for_each(&mut add);
                    let refused = more.messages.into_iter().filter_map(|message| database.add(message).err());
                    refused.map(of_file).for_each(add);
                }
                Err(error) => add(of_file(format!("cannot be read: {error}; correct the path or the file"))),
            }
        }
        database.list_reading_names();
        (database, faults)
    }

    /// Whether there is no message.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Calls `observed` with the readings of a frame and counts what has no value; false for a frame that no message is.
    pub fn observe(&self, frame: &Frame, faults: &mut Faults, observed: &mut impl FnMut(Reading)) -> bool {
        let FrameBody::Data(data) = &frame.body else { return false };
        let Some(message) = self.find(frame.id) else { return false };
        observe(message, data.as_bytes(), faults, observed);
        true
    }

    /// As [`Self::observe`], for a parameter group that was put together of several frames.
    pub fn observe_group(&self, group: &Group<'_>, faults: &mut Faults, observed: &mut impl FnMut(Reading)) -> bool {
        let Some(message) = self.find_group(group) else { return false };
        observe(message, group.data, faults, observed);
        true
    }

    /// Whether a reading has the name of one of the files' signals.
    #[must_use]
    pub fn has_named(&self, reading: &Reading) -> bool {
        matches!(reading, Reading::Signal(signal) if self.reading_names.contains(signal.name.as_str()))
    }

    fn list_reading_names(&mut self) {
        let signals = self.messages.iter().flat_map(|message| &message.signals);
        self.reading_names = signals.filter_map(|signal| signal.reading_name.clone()).collect();
    }

    fn add(&mut self, message: Message) -> Result<(), String> {
        let place = self.messages.len();
        if place >= MESSAGES_MAX {
            return Err(format!("message {}: there are more than {MESSAGES_MAX}; use fewer files", message.name));
        }
        let first = match message.id {
            CanId::Standard(id) => insert(&mut self.standard, id, place),
            CanId::Extended(id) => insert(&mut self.extended, id, place),
        };
        if let Some(first) = first {
            let first = &self.messages[first].name;
            return Err(format!(
                "message {} has the identifier {} of {first}; give it its own, until then it is left out",
                message.name, message.id
            ));
        }
        if let CanId::Extended(id) = message.id {
            let address = j1939::Address::from_id(id);
            insert(&mut self.senders, (address.pgn, address.source), place);
            // Of two senders of a group the first stands for all others.
            if message.is_group {
                insert(&mut self.groups, address.pgn, place);
            }
            if message.is_group || address.source == NOBODY {
                insert(&mut self.any_sender, address.pgn, place);
            }
        }
        self.messages.push(message);
        Ok(())
    }

    /// The message with this identifier, otherwise the one that stands for its parameter group.
    #[must_use]
    pub fn find(&self, id: CanId) -> Option<&Message> {
        let place = match id {
            CanId::Standard(id) => look_up(&self.standard, id),
            CanId::Extended(id) => look_up(&self.extended, id).or_else(|| {
                let group = || look_up(&self.groups, j1939::Address::from_id(id).pgn);
                if self.groups.is_empty() { None } else { group() }
            }),
        };
        place.map(|place| &self.messages[place])
    }

    /// The message for a parameter group of several frames: that of its sender, whatever the priority, otherwise the one
    /// that stands for the group or names no sender.
    #[must_use]
    pub fn find_group(&self, group: &Group<'_>) -> Option<&Message> {
        let of_sender = look_up(&self.senders, (group.pgn, group.source));
        of_sender.or_else(|| look_up(&self.any_sender, group.pgn)).map(|place| &self.messages[place])
    }

    /// All messages, in the order of the files.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Gives each selected signal (`MESSAGE.SIGNAL`, name) its name and silences all others.
    ///
    /// # Errors
    /// The selected signals that no message has, each with its mend.
    pub fn select<'s>(&mut self, selected: impl IntoIterator<Item = (&'s str, &'s str)>) -> Result<(), Vec<String>> {
        let signals = |message: &mut Message| std::mem::take(&mut message.signals).into_vec();
        for message in &mut self.messages {
            let silent = signals(message).into_iter().map(|signal| Signal { reading_name: None, ..signal });
            message.signals = silent.collect();
        }
        let faults: Vec<_> = selected.into_iter().filter_map(|(from, name)| self.rename(from, name).err()).collect();
        self.list_reading_names();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn rename(&mut self, from: &str, name: &str) -> Result<(), String> {
        let unknown = || format!("{from} is no MESSAGE.SIGNAL");
        let (message, signal) = from.split_once('.').ok_or_else(unknown)?;
        let mut found = self.messages.iter_mut().filter(|other| *other.name == *message).peekable();
        if found.peek().is_none() {
            return Err(format!("no DBC file has a message {message}; correct from = {from:?}"));
        }
        let mut renamed = false;
        for signal in found.flat_map(|message| &mut message.signals).filter(|other| *other.name == *signal) {
            signal.reading_name = Some(name.into());
            renamed = true;
        }
        let known = || self.messages.iter().filter(|other| *other.name == *message).flat_map(|other| &other.signals);
        let names = || known().map(|signal| &*signal.name).collect::<Vec<_>>().join(", ");
        renamed.then_some(()).ok_or_else(|| format!("message {message} has no signal {signal}; it has {}", names()))
    }
}

/// Calls `observed` with the readings of a message's data and counts what has no value.
fn observe(message: &Message, data: &[u8], faults: &mut Faults, observed: &mut impl FnMut(Reading)) {
    for (signal, sample) in message.values(data) {
        let Some(name) = &signal.reading_name else { continue };
        match sample {
            Ok(sample) => observed(Reading::Signal(SignalReading {
                name: (**name).to_owned(),
                value: sample.value,
                unit: (*signal.unit).to_owned(),
            })),
            Err(fault) => faults.count(fault),
        }
    }
    if message.is_unknown_page(data) {
        faults.count(Fault::UnknownPage);
    }
}

/// Puts a key in its order; gives the place it already has otherwise.
fn insert<K: Ord + Copy>(table: &mut Vec<(K, usize)>, key: K, place: usize) -> Option<usize> {
    match table.binary_search_by_key(&key, |(key, _)| *key) {
        Ok(at) => Some(table[at].1),
        Err(at) => {
            table.insert(at, (key, place));
            None
        }
    }
}

fn look_up<K: Ord + Copy>(table: &[(K, usize)], key: K) -> Option<usize> {
    table.binary_search_by_key(&key, |(key, _)| *key).ok().map(|at| table[at].1)
}
