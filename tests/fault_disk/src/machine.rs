//! What a machine's disk remembers, and what a power cut leaves of it.
//!
//! Promise: for every file it knows what was written since its last sync, with what was there before, so that the file as
//! it was synced can be had back and any part of the rest put on it again. Once down, nothing more is done until
//! [`Machine::start`], and files that were open before stay closed for ever.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes that a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// How a machine comes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fall {
    /// The program dies; the operating system still writes everything.
    Kill,
    /// The power goes; what was not synced may be lost.
    PowerCut,
}

/// What can happen to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The machine comes down.
    Fall(Fall),
    /// No space is left for this many steps.
    Full {
        /// Steps that are refused.
        steps: u64,
    },
    /// Reading works and writing fails for this many steps.
    Broken {
        /// Steps that are refused.
        steps: u64,
    },
}

/// Why a step is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The power goes at this very step.
    PowerGoes,
    /// The machine is down.
    Down,
    /// No space is left.
    Full,
    /// The disk fails.
    Broken,
}

/// Something written since the last sync.
#[derive(Debug)]
enum Unsynced {
    Write { offset: u64, before: Vec<u8>, length_before: u64, written: Vec<u8> },
    Cut { before: Vec<u8>, length: u64 },
}

/// One machine's disk.
#[derive(Debug)]
pub(crate) struct Machine {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Rises with every start; files opened before are dead.
    start: u64,
    fallen: Option<Fall>,
    armed: Option<(u64, Fault)>,
    lies: bool,
    steps: u64,
    refusals: u64,
    unsynced: BTreeMap<PathBuf, Vec<Unsynced>>,
}

static MACHINES: Mutex<Vec<Arc<Machine>>> = Mutex::new(Vec::new());

fn machines() -> MutexGuard<'static, Vec<Arc<Machine>>> {
    MACHINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes `folder` the disk of a machine.
pub(crate) fn add(folder: &Path) -> Arc<Machine> {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let machine = Arc::new(Machine { folder, state: Mutex::default() });
    machines().push(Arc::clone(&machine));
    machine
}

/// Forgets a machine.
pub(crate) fn remove(machine: &Arc<Machine>) {
    machines().retain(|other| !Arc::ptr_eq(other, machine));
}

/// The machine on whose disk the file at `path` is.
pub(crate) fn find(path: &Path) -> Option<Arc<Machine>> {
    let folder = path.parent()?;
    machines().iter().find(|machine| machine.folder == folder).cloned()
}

impl Machine {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn arm(&self, steps: u64, fault: Fault) {
        self.state().armed = Some((steps, fault));
    }

    pub(crate) fn mend(&self) {
        self.state().armed = None;
    }

    pub(crate) fn lie(&self, lies: bool) {
        self.state().lies = lies;
    }

    pub(crate) fn fall(&self, fall: Fall) {
        self.state().fallen = Some(fall);
    }

    pub(crate) fn fallen(&self) -> Option<Fall> {
        self.state().fallen
    }

    pub(crate) fn steps(&self) -> u64 {
        self.state().steps
    }

    pub(crate) fn refusals(&self) -> u64 {
        self.state().refusals
    }

    /// Which start of the machine this is; refused while it is down.
    pub(crate) fn open(&self) -> Result<u64, Refusal> {
        let state = self.state();
        if state.fallen.is_some() { Err(Refusal::Down) } else { Ok(state.start) }
    }

    /// Whether a file opened at `start` can still be used.
    pub(crate) fn is_alive(&self, start: u64) -> bool {
        let state = self.state();
        state.fallen.is_none() && state.start == start
    }

    /// A write, sync, cut or deletion by a file opened at `start` is about to be done.
    pub(crate) fn step(&self, start: u64) -> Result<(), Refusal> {
        let mut state = self.state();
        if state.fallen.is_some() || state.start != start {
            return Err(Refusal::Down);
        }
        state.steps += 1;
        let refused = match state.armed {
            Some((0, Fault::Fall(fall))) => {
                state.armed = None;
                state.fallen = Some(fall);
                return Err(if fall == Fall::PowerCut { Refusal::PowerGoes } else { Refusal::Down });
            }
            Some((0, Fault::Full { steps })) => {
                state.armed = steps.checked_sub(2).map(|left| (0, Fault::Full { steps: left + 1 }));
                Some(Refusal::Full)
            }
            Some((0, Fault::Broken { steps })) => {
                state.armed = steps.checked_sub(2).map(|left| (0, Fault::Broken { steps: left + 1 }));
                Some(Refusal::Broken)
            }
            Some((left, fault)) => {
                state.armed = Some((left - 1, fault));
                None
            }
            None => None,
        };
        match refused {
            Some(refusal) => {
                state.refusals += 1;
                Err(refusal)
            }
            None => Ok(()),
        }
    }

    /// Notes a write of `written` where `before` was, in a file that had `length_before` bytes.
    pub(crate) fn note_write(&self, path: &Path, offset: u64, before: Vec<u8>, length_before: u64, written: Vec<u8>) {
        let write = Unsynced::Write { offset, before, length_before, written };
        self.note(path, write);
    }

    /// Notes that a file was cut to `length`, losing `before`.
    pub(crate) fn note_cut(&self, path: &Path, before: Vec<u8>, length: u64) {
        self.note(path, Unsynced::Cut { before, length });
    }

    fn note(&self, path: &Path, unsynced: Unsynced) {
        let mut state = self.state();
        match state.unsynced.get_mut(path) {
            Some(list) => list.push(unsynced),
            None => drop(state.unsynced.insert(path.to_owned(), vec![unsynced])),
        }
    }

    /// Notes that a file was synced.
    pub(crate) fn note_sync(&self, path: &Path) {
        let mut state = self.state();
        if !state.lies
            && let Some(list) = state.unsynced.get_mut(path)
        {
            list.clear();
        }
    }

    /// Notes that a file is gone.
    pub(crate) fn note_deletion(&self, path: &Path) {
        self.state().unsynced.remove(path);
    }

    pub(crate) fn start(&self, number: &mut dyn FnMut() -> u64) -> io::Result<()> {
        let mut state = self.state();
        if state.fallen == Some(Fall::PowerCut) {
            for (path, unsynced) in std::mem::take(&mut state.unsynced) {
                lose(&path, &unsynced, number)?;
            }
        }
        state.fallen = None;
        state.armed = None;
        state.start += 1;
        Ok(())
    }
}

/// Makes the file what a power cut leaves of it.
fn lose(path: &Path, unsynced: &[Unsynced], number: &mut dyn FnMut() -> u64) -> io::Result<()> {
    if unsynced.is_empty() || !path.exists() {
        return Ok(());
    }
    let mut bytes = fs::read(path)?;
    for one in unsynced.iter().rev() {
        undo(&mut bytes, one);
    }
    let survival = Survival::draw(unsynced.len(), number);
    for (index, one) in unsynced.iter().enumerate() {
        redo(&mut bytes, one, survival.of(index), number);
    }
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(bytes.len() as u64)?;
    file.write_all_at(&bytes, 0)
}

/// Which of the unsynced writes a power cut leaves.
enum Survival {
    /// The first ones, the next in part.
    First(usize),
    /// Each sector by chance.
    Scattered,
}

/// How much of one write is left.
#[derive(Clone, Copy)]
enum Left {
    All,
    Some,
    None,
}

impl Survival {
    fn draw(writes: usize, number: &mut dyn FnMut() -> u64) -> Self {
        if number().is_multiple_of(2) {
            let first = number() % (writes as u64 + 1);
            Self::First(usize::try_from(first).unwrap_or(usize::MAX))
        } else {
            Self::Scattered
        }
    }

    fn of(&self, index: usize) -> Left {
        match self {
            Self::First(first) if index < *first => Left::All,
            Self::First(first) if index > *first => Left::None,
            Self::First(_) | Self::Scattered => Left::Some,
        }
    }
}

fn undo(bytes: &mut Vec<u8>, one: &Unsynced) {
    match one {
        Unsynced::Write { offset, before, length_before, .. } => {
            put(bytes, *offset, before);
            bytes.truncate(size(*length_before));
        }
        Unsynced::Cut { before, length } => {
            bytes.truncate(size(*length));
            bytes.extend_from_slice(before);
        }
    }
}

fn redo(bytes: &mut Vec<u8>, one: &Unsynced, left: Left, number: &mut dyn FnMut() -> u64) {
    let mut survives = || match left {
        Left::All => true,
        Left::None => false,
        Left::Some => number().is_multiple_of(2),
    };
    match one {
        Unsynced::Write { offset, written, .. } => {
            let mut at = *offset;
            let mut rest = written.as_slice();
            while !rest.is_empty() {
                // Sectors lie where the disk has them, not where the write begins.
                let room = SECTOR_BYTES - size(at) % SECTOR_BYTES;
                let (sector, further) = rest.split_at(room.min(rest.len()));
                if survives() {
                    put(bytes, at, sector);
                }
                at += sector.len() as u64;
                rest = further;
            }
        }
        Unsynced::Cut { length, .. } => {
            if survives() {
                bytes.truncate(size(*length));
            }
        }
    }
}

/// Puts `part` at `offset`; what lies between is zeros, as in a file with a hole.
fn put(bytes: &mut Vec<u8>, offset: u64, part: &[u8]) {
    if part.is_empty() {
        return;
    }
    let start = size(offset);
    let end = start + part.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[start..end].copy_from_slice(part);
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(offset: u64, before: &[u8], length_before: u64, written: &[u8]) -> Unsynced {
        Unsynced::Write { offset, before: before.to_vec(), length_before, written: written.to_vec() }
    }

    #[test]
    fn what_was_written_is_undone_and_done_again_in_order() {
        let mut bytes = b"abXY!".to_vec();
        let unsynced =
            [write(2, b"cd", 4, b"XY"), write(4, b"", 4, b"!"), Unsynced::Cut { before: b"??".to_vec(), length: 5 }];
        for one in unsynced.iter().rev() {
            undo(&mut bytes, one);
        }
        assert_eq!(bytes, b"abcd");
        for one in &unsynced {
            redo(&mut bytes, one, Left::All, &mut || 1);
        }
        assert_eq!(bytes, b"abXY!");
    }

    #[test]
    fn a_torn_write_is_torn_where_the_disk_has_its_sectors() {
        let mut bytes = vec![0; 2_048];
        let mut turns = 0;
        let mut every_other = || {
            turns += 1;
            turns
        };
        redo(&mut bytes, &write(500, &[0; 1_024], 2_048, &[7; 1_024]), Left::Some, &mut every_other);
        let sevens: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == 7).collect();
        assert_eq!((sevens.first(), sevens.last(), sevens.len()), (Some(&512), Some(&1_023), 512));
    }
}
