//! Opening the spool's file, and what happens when it cannot be used.
//!
//! Promise: a file that is not a spool, is damaged, or was written by a newer version is renamed to `<name>.bad-<boot>`
//! beside the new one, never overwritten, and the reason is told. A good file is never set aside because something else is
//! in the way for now: a full disk, a missing right, or another agent, of which a file has at most one at a time.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use milepost_proto::{BootId, DownLinkItem, SpoolId};
use rusqlite::{Connection, OptionalExtension as _};

use super::{Opened, SpoolError, down_link, lanes, migrations, quarantine, salvage};

/// How long an agent that is ending may take to let go of the file.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// With which every SQLite file begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Ends the name of the note that a running agent leaves when it finds its spool damaged.
pub(super) const DAMAGED: &str = ".damaged";

/// A spool's file in use.
pub(super) struct SpoolFile {
    pub(super) connection: Connection,
    pub(super) spool_id: SpoolId,
    pub(super) down_link: Vec<DownLinkItem>,
    pub(super) place: Place,
}

/// Opens the file at `path`, or sets it aside and creates another.
pub(super) fn open(
    path: &Path,
    boot_id: BootId,
    fresh: SpoolId,
    quota_bytes: u64,
) -> Result<(SpoolFile, Opened), SpoolError> {
    let attempt = match suspicion(path)? {
        Some(why) => Err(SpoolError::Damaged(why)),
        None => open_or_create(path, fresh),
    };
    let (mut file, quarantined) = match attempt {
        Err(SpoolError::Damaged(why)) => {
            quarantine::set_aside(path, boot_id)
                .map_err(|error| SpoolError::File(format!("{why}; setting it aside: {error}")))?;
            (open_or_create(path, fresh)?, Some(why))
        }
        other => (other?, None),
    };
    let mut salvaged = Vec::new();
    for aside in quarantine::not_taken_over(path) {
        salvaged.push(salvage::take_over(&mut file.connection, &aside, quota_bytes)?);
    }
    quarantine::forget_oldest(path);
    if !salvaged.is_empty() {
        file.down_link = down_link::held(&file.connection)?;
    }
    let opened = Opened { spool_id: file.spool_id, quarantined, salvaged };
    Ok((file, opened))
}

/// What can be told from outside about a file that SQLite would take for an empty one, as it does with zeros.
fn suspicion(path: &Path) -> Result<Option<String>, SpoolError> {
    let unreadable = |error: io::Error| SpoolError::File(error.to_string());
    if let Ok(why) = fs::read_to_string(with_suffix(path, DAMAGED)) {
        return Ok(Some(why));
    }
    let mut start = Vec::new();
    match fs::File::open(path) {
        Ok(file) => file.take(MAGIC.len() as u64).read_to_end(&mut start).map_err(unreadable)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let log = fs::metadata(with_suffix(path, "-wal")).map_or(0, |log| log.len());
            return Ok((log > 0).then(|| "the file is gone, only its write-ahead log was left".to_owned()));
        }
        Err(error) => return Err(unreadable(error)),
    };
    Ok((start != MAGIC).then(|| "the file does not begin as a spool does".to_owned()))
}

fn open_or_create(path: &Path, fresh: SpoolId) -> Result<SpoolFile, SpoolError> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(LOCK_WAIT)?;
    migrations::choose_page_size(&connection)?;
    // Before the first read: the lock then lasts as long as the connection, and a second agent is told so.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -512)?;
    let place = Place::of(path).map_err(|error| SpoolError::File(error.to_string()))?;
    let (spool_id, down_link) = read(&mut connection, fresh).map_err(|error| match error {
        SpoolError::File(why) => SpoolError::Damaged(why),
        other => other,
    })?;
    Ok(SpoolFile { connection, spool_id, down_link, place })
}

/// Reads whatever every later step needs, so that damage shows here and not there.
fn read(connection: &mut Connection, fresh: SpoolId) -> Result<(SpoolId, Vec<DownLinkItem>), SpoolError> {
    migrations::bring_up_to_date(connection, fresh)?;
    let spool_id = spool_id(connection)?;
    lanes::all(connection)?;
    Ok((spool_id, down_link::held(connection)?))
}

/// Makes an empty spool at `path`, of which only the layout matters.
pub(super) fn create_template(path: &Path) -> Result<(), SpoolError> {
    open_or_create(path, SpoolId([0; 16]))?.connection.close().map_err(|(_, error)| SpoolError::from(error))
}

fn spool_id(connection: &Connection) -> Result<SpoolId, SpoolError> {
    connection
        .query_row("SELECT value FROM fact WHERE name = 'spool_id'", [], |row| row.get::<_, [u8; 16]>(0))
        .optional()?
        .map(SpoolId)
        .ok_or_else(|| SpoolError::File("it has no spool_id".to_owned()))
}

/// Where an open file is, and which one it is.
pub(super) struct Place {
    path: PathBuf,
    identity: (u64, u64),
    /// It never shrinks.
    bytes: u64,
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        Ok(Self { path: path.to_owned(), identity: identity(&found), bytes: found.len() })
    }

    /// Whether the open file is still the one that the next start will find, uncut.
    pub(super) fn is_held(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity && found.len() >= self.bytes)
    }

    /// Leaves a note by which the next start sets the file aside.
    pub(super) fn note_damage(&self, why: &str) -> io::Result<()> {
        fs::write(with_suffix(&self.path, DAMAGED), why)
    }
}

fn identity(found: &fs::Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// The path with something added to its file's name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
