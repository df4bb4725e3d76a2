//! A disk whose power may go: what was flushed stays, of what was not each sector may or may not be there.

use crate::chance::Chance;

/// What a disk writes as a whole or not at all, bytes.
const SECTOR_BYTES: usize = 512;

/// The disk; see the file's promise.
#[derive(Debug, Clone)]
pub struct Disk {
    durable: Vec<u8>,
    unflushed: Vec<Write>,
}

/// Bytes and where they go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Bytes from the start of the disk.
    pub at: usize,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Disk {
    /// A disk that holds these bytes.
    #[must_use]
    pub const fn new(durable: Vec<u8>) -> Self {
        Self { durable, unflushed: Vec::new() }
    }

    /// Writes without making it durable.
    pub fn write(&mut self, write: Write) {
        self.unflushed.push(write);
    }

    /// Makes everything written so far durable.
    pub fn flush(&mut self) {
        for write in std::mem::take(&mut self.unflushed) {
            apply(&mut self.durable, &write, |_| true);
        }
    }

    /// Writes durably, whatever else is still on its way.
    pub fn write_durably(&mut self, write: &Write) {
        apply(&mut self.durable, write, |_| true);
    }

    /// Whether something would be lost by a cut.
    #[must_use]
    pub const fn is_dirty(&self) -> bool {
        !self.unflushed.is_empty()
    }

    /// What is surely there after a cut.
    #[must_use]
    pub fn flushed(&self) -> &[u8] {
        &self.durable
    }

    /// What may be there after a cut: of each write nothing, everything, or some of its sectors.
    #[must_use]
    pub fn torn(&self, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for write in &self.unflushed {
            match chance.below(3) {
                0 => {}
                1 => apply(&mut bytes, write, |_| true),
                _ => apply(&mut bytes, write, |_| chance.below(2) == 0),
            }
        }
        bytes
    }
}

/// Writes those sectors for which `is_kept` says so; what lies beyond the disk's end is left out.
fn apply(bytes: &mut [u8], write: &Write, mut is_kept: impl FnMut(usize) -> bool) {
    let room = bytes.get_mut(write.at..).unwrap_or_default();
    for (n, (to, from)) in room.chunks_mut(SECTOR_BYTES).zip(write.bytes.chunks(SECTOR_BYTES)).enumerate() {
        if is_kept(n) {
            to[..from.len()].copy_from_slice(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sectors(fill: u8, count: usize) -> Vec<u8> {
        vec![fill; count * SECTOR_BYTES]
    }

    #[test]
    fn only_what_was_flushed_is_surely_there() {
        let mut disk = Disk::new(sectors(0, 4));
        disk.write(Write { at: SECTOR_BYTES, bytes: sectors(1, 2) });
        assert_eq!((disk.flushed(), disk.is_dirty()), (&sectors(0, 4)[..], true));
        disk.write_durably(&Write { at: 0, bytes: sectors(2, 1) });
        assert_eq!(disk.flushed()[..=SECTOR_BYTES], [sectors(2, 1), vec![0]].concat());
        disk.flush();
        assert_eq!((disk.flushed()[SECTOR_BYTES], disk.is_dirty()), (1, false));
    }

    #[test]
    fn an_unflushed_write_may_be_absent_whole_or_torn_between_sectors() {
        let mut disk = Disk::new(sectors(0, 2));
        disk.write(Write { at: 0, bytes: sectors(1, 2) });
        let mut chance = Chance::new(1);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let bytes = disk.torn(&mut chance);
            let halves = bytes.chunks(SECTOR_BYTES).map(|sector| {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "no sector is torn");
                sector[0]
            });
            seen.insert(halves.collect::<Vec<u8>>());
        }
        assert_eq!(seen.len(), 4, "{seen:?}");
    }

    #[test]
    fn what_lies_beyond_the_end_is_left_out() {
        let mut disk = Disk::new(sectors(0, 1));
        disk.write_durably(&Write { at: 0, bytes: sectors(1, 3) });
        disk.write_durably(&Write { at: 10 * SECTOR_BYTES, bytes: sectors(1, 1) });
        assert_eq!(disk.flushed(), sectors(1, 1));
    }
}
