//! The gateway's durable store: one SQLite file.
//!
//! Promise: when a write is answered with `Ok`, it is on the disk (write-ahead log, full sync) and survives a power
//! cut; a write answered with an error changed nothing. Writes go through one thread that commits all that are waiting
//! together, so a hundred vehicles reporting at once cost one sync. Readers never wait for the writer and see one
//! consistent state. What a write promises is split by use: [`accept`] takes custody of chunks, [`commit`] moves
//! what follows from them, and the other files each own one subject.

pub mod accept;
pub mod backup;
pub mod blob;
pub mod board;
pub mod case;
pub mod chain;
pub mod column;
pub mod commit;
pub mod custody;
pub mod device_key;
pub mod down_link;
pub mod fold_floor;
pub mod journal;
pub mod lane;
pub mod lane_range;
pub mod loss;
pub mod mark;
pub mod migration;
pub mod outbox;
pub mod people;
pub mod plan;
pub mod refold;
pub mod retention;
pub mod roster;
pub mod spool;
pub mod verify;
pub mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Semaphore, watch};

use self::writer::Writer;

/// Most read-only connections open at once; further readers wait for one.
pub const READERS_MAX: usize = 4;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// SQLite refused or failed.
    #[error("the store failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file was written by a newer gateway.
    #[error("the store is at schema {found}, this gateway knows {known}: start the newer gateway that wrote it")]
    Newer {
        /// The file's schema.
        found: i64,
        /// The newest this build knows.
        known: i64,
    },
    /// More writes are waiting than may wait.
    #[error("the store has as many writes waiting as it allows; try again shortly")]
    Busy,
    /// The change was fine but could not be made durable.
    #[error("the store could not commit: {0}; look at the disk's free space and health")]
    Commit(String),
    /// The writer has stopped.
    #[error("the store's writer has stopped; restart the gateway")]
    Closed,
    /// What was asked of the store panicked: a defect of this program.
    #[error("a defect of the gateway: what was asked of the store panicked, see the lines before; please report them")]
    Defect,
    /// A row does not read as what it should be.
    #[error("the store holds something unreadable: {0}")]
    Damaged(String),
}

/// What a closure over the store returns.
pub type StoreResult<T> = Result<T, StoreFault>;

/// A handle to the store; clones share it. The file closes when the last one is dropped.
#[derive(Clone)]
pub struct Store {
    writer: Writer,
    readers: Arc<Readers>,
}

struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Store {
    /// Opens the file at `path`, creating or migrating it as needed, and starts the writer.
    ///
    /// # Errors
    /// [`StoreFault::Newer`] for a file of a newer gateway, [`StoreFault::Sqlite`] when it cannot be opened or written.
    pub fn open(path: &Path) -> StoreResult<Self> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        migration::migrate(&mut connection)?;
        let readers = Readers { path: path.to_owned(), idle: Mutex::default(), permits: Semaphore::new(READERS_MAX) };
        Ok(Self { writer: Writer::start(connection)?, readers: Arc::new(readers) })
    }

    /// Runs `change` in a transaction and answers once it is durable; waits while the queue is full.
    ///
    /// # Errors
    /// What `change` returned (nothing is then changed), or that the commit failed or the writer stopped.
    pub async fn write<T, F>(&self, change: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    {
        self.writer.write(change).await
    }

    /// As [`write`](Self::write), but answers [`StoreFault::Busy`] at once when the queue is full.
    ///
    /// # Errors
    /// As [`write`](Self::write), and [`StoreFault::Busy`].
    pub async fn try_write<T, F>(&self, change: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    {
        self.writer.try_write(change).await
    }

    /// Runs `question` on a read-only connection, in one snapshot.
    ///
    /// # Errors
    /// What `question` returned, or that no connection could be opened.
    pub async fn read<T, F>(&self, question: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    {
        let readers = Arc::clone(&self.readers);
        let _permit = self.readers.permits.acquire().await.map_err(|_| StoreFault::Closed)?;
        let asked = tokio::task::spawn_blocking(move || readers.ask(question)).await;
        asked.map_err(|ended| if ended.is_panic() { StoreFault::Defect } else { StoreFault::Closed })?
    }

    /// As [`read`](Self::read), on the calling thread: for callers that are not async and ask little.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_here<T>(&self, question: impl FnOnce(&Connection) -> StoreResult<T>) -> StoreResult<T> {
        self.readers.ask(question)
    }

    /// Rises with every durable commit: wait on it to learn that something changed.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.writer.commits()
    }

    /// How many writes wait to be applied now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.writer.waiting()
    }

    /// Whether the writer has stopped.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.writer.has_stopped()
    }

    /// Completes when the writer has stopped, which it does by itself only when something is badly wrong.
    pub async fn stopped(&self) {
        self.writer.stopped().await;
    }
}

impl Readers {
    fn ask<T>(&self, question: impl FnOnce(&Connection) -> StoreResult<T>) -> StoreResult<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = idle.map_or_else(|| self.open(), Ok)?;
        let snapshot = connection.unchecked_transaction()?;
        let answer = question(&snapshot);
        drop(snapshot);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        answer
    }

    fn open(&self) -> StoreResult<Connection> {
        let connection = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(connection: &Connection) -> StoreResult<i64> {
        Ok(connection.query_row("SELECT count(*) FROM vehicle", [], |row| row.get(0))?)
    }

    fn add(id: &'static str) -> impl FnOnce(&Connection) -> StoreResult<()> + Send + 'static {
        move |connection| {
            connection.execute("INSERT INTO vehicle (fleet_id, vehicle_id) VALUES ('north', ?1)", [id])?;
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_failed_write_changes_nothing_and_spares_its_neighbours() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(&folder.path().join("gateway.sqlite")).expect("opens");
        let half = store.write(|connection| -> StoreResult<()> {
            add("half")(connection)?;
            Err(StoreFault::Damaged("on purpose".to_owned()))
        });
        let (first, half, second) = tokio::join!(store.write(add("a")), half, store.write(add("b")));
        assert!(first.is_ok() && second.is_ok() && matches!(half, Err(StoreFault::Damaged(_))));
        assert_eq!(store.read(count).await.expect("reads"), 2);
    }

    /// A record that makes some line of ours panic must not take the gateway down again and again.
    #[tokio::test]
    async fn a_change_that_panics_changes_nothing_and_spares_its_neighbours() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(&folder.path().join("gateway.sqlite")).expect("opens");
        let half = store.write(|connection| -> StoreResult<()> {
            add("half")(connection)?;
            panic!("on purpose")
        });
        let (first, half, second) = tokio::join!(store.write(add("a")), half, store.write(add("b")));
        assert!(first.is_ok() && second.is_ok() && matches!(half, Err(StoreFault::Defect)), "{half:?}");
        assert_eq!(store.read(count).await.expect("reads"), 2);
    }

    #[tokio::test]
    async fn readers_cannot_write() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(&folder.path().join("gateway.sqlite")).expect("opens");
        assert!(store.read(add("a")).await.is_err());
    }

    #[tokio::test]
    async fn a_full_queue_says_busy_instead_of_growing() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(&folder.path().join("gateway.sqlite")).expect("opens");
        let (go_on, told) = std::sync::mpsc::channel::<()>();
        let (started, at_work) = tokio::sync::oneshot::channel();
        let slow = store.clone();
        let blocked = tokio::spawn(async move {
            let wait = move |_: &Connection| {
                started.send(()).expect("the test waits");
                told.recv().map_err(|_| StoreFault::Closed)
            };
            slow.write(wait).await
        });
        at_work.await.expect("the writer is at work");
        let mut waiting = tokio::task::JoinSet::new();
        let (answers, mut refusals) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..=writer::CHANGES_WAITING_MAX {
            let (store, answers) = (store.clone(), answers.clone());
            waiting.spawn(async move {
                if let Err(fault) = store.try_write(|_| Ok(())).await {
                    answers.send(fault).expect("the test waits");
                }
            });
        }
        assert!(matches!(refusals.recv().await, Some(StoreFault::Busy)), "one more than may wait");
        go_on.send(()).expect("the writer waits");
        assert!(blocked.await.expect("ends").is_ok());
        while let Some(ended) = waiting.join_next().await {
            ended.expect("ends");
        }
        assert!(refusals.try_recv().is_err(), "all that could wait were written");
        assert_eq!(*store.commits().borrow(), 2, "and they shared one commit");
    }

    /// The state that a kill leaves behind: the file and its log as they are on the disk, never closed.
    #[tokio::test]
    async fn what_was_answered_is_on_the_disk_without_any_shutdown() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(&folder.path().join("gateway.sqlite")).expect("opens");
        store.write(add("a")).await.expect("durable");
        let copy = tempfile::tempdir().expect("folder");
        for name in ["gateway.sqlite", "gateway.sqlite-wal"] {
            std::fs::copy(folder.path().join(name), copy.path().join(name)).expect("copied");
        }
        let reopened = Store::open(&copy.path().join("gateway.sqlite")).expect("reopens");
        assert_eq!(reopened.read(count).await.expect("reads"), 1);
    }
}
