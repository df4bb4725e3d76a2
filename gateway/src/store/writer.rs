//! The one hand that writes: a thread, or in a simulated world whoever asks.
//!
//! Promise: changes are applied one after the other, in the order they were queued, and answered only after the commit
//! that holds them; all that wait when a commit begins share it. A change that fails or panics is undone alone. At most
//! [`CHANGES_WAITING_MAX`] wait; what happens beyond is the caller's choice (wait, or be told it is busy).

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::{StoreFault, StoreResult};

/// Most changes that may wait for the writer.
pub const CHANGES_WAITING_MAX: usize = 64;
/// Most changes that share one commit, so that the first of them does not wait for ever.
const CHANGES_PER_COMMIT_MAX: usize = 64;

/// Applies a change inside the open transaction; the result is what to do once the commit's outcome is known.
/// Without a transaction nothing is applied.
type Change = Box<dyn FnOnce(Result<&Connection, String>) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Result<(), String>)>;

/// A handle to whoever writes; a writing thread ends when the last one is dropped.
#[derive(Clone)]
pub struct Writer {
    hand: Hand,
    commits: watch::Receiver<u64>,
}

/// Who applies changes.
#[derive(Clone)]
enum Hand {
    /// The writing thread.
    Thread(mpsc::Sender<Change>),
    /// Whoever asks: nothing happens but what is asked, so a simulated world repeats exactly.
    Caller(Arc<Mutex<Desk>>),
}

/// What a caller writes with.
struct Desk {
    connection: Connection,
    committed: watch::Sender<u64>,
}

impl Desk {
    fn commit(&self, changes: impl Iterator<Item = Change>) {
        commit_and_answer(&self.connection, changes, &self.committed);
    }
}

impl Writer {
    /// Starts the thread on `connection`.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(connection: Connection) -> StoreResult<Self> {
        let (queue, waiting) = mpsc::channel(CHANGES_WAITING_MAX);
        let (committed, commits) = watch::channel(0);
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(&connection, waiting, &committed))
            .map_err(|_| StoreFault::Closed)?;
        Ok(Self { hand: Hand::Thread(queue), commits })
    }

    /// A writer whose callers write on `connection` themselves.
    #[must_use]
    pub fn without_thread(connection: Connection) -> Self {
        let (committed, commits) = watch::channel(0);
        Self { hand: Hand::Caller(Arc::new(Mutex::new(Desk { connection, committed }))), commits }
    }

    /// Whether a thread of its own writes.
    #[must_use]
    pub const fn has_thread(&self) -> bool {
        matches!(self.hand, Hand::Thread(_))
    }

    /// Queues `change`, waiting for room, and answers once it is durable.
    ///
    /// # Errors
    /// What `change` returned, a failed commit, or [`StoreFault::Closed`].
    pub async fn write<T, F>(&self, change: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    {
        let (boxed, answer) = package(change);
        match &self.hand {
            Hand::Thread(queue) => queue.send(boxed).await.map_err(|_| StoreFault::Closed)?,
            Hand::Caller(desk) => at(desk).commit(std::iter::once(boxed)),
        }
        answer.await.map_err(|_| StoreFault::Closed)?
    }

    /// Queues `change` only if there is room.
    ///
    /// # Errors
    /// As [`write`](Self::write), and [`StoreFault::Busy`] when there is no room.
    pub async fn try_write<T, F>(&self, change: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    {
        let (boxed, answer) = package(change);
        match &self.hand {
            Hand::Thread(queue) => queue.try_send(boxed).map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => StoreFault::Busy,
                mpsc::error::TrySendError::Closed(_) => StoreFault::Closed,
            })?,
            Hand::Caller(desk) => at(desk).commit(std::iter::once(boxed)),
        }
        answer.await.map_err(|_| StoreFault::Closed)?
    }

    /// Rises with every commit.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.clone()
    }

    /// How many changes wait in the queue now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        match &self.hand {
            Hand::Thread(queue) => queue.max_capacity() - queue.capacity(),
            Hand::Caller(_) => 0,
        }
    }

    /// Whether the thread has stopped.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        match &self.hand {
            Hand::Thread(queue) => queue.is_closed(),
            Hand::Caller(_) => false,
        }
    }

    /// Completes when the thread has stopped; never without one.
    pub async fn stopped(&self) {
        match &self.hand {
            Hand::Thread(queue) => queue.closed().await,
            Hand::Caller(_) => std::future::pending().await,
        }
    }
}

fn at(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Boxes `change` with the way back to whoever asked for it.
fn package<T, F>(change: F) -> (Change, oneshot::Receiver<StoreResult<T>>)
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let boxed: Change = Box::new(move |transaction| {
        let outcome = transaction.map_err(StoreFault::Commit).and_then(|connection| in_savepoint(connection, change));
        Box::new(move |committed| {
            let answer = outcome.and_then(|value| committed.map_err(StoreFault::Commit).map(|()| value));
            // Whoever asked may have gone away; the change stands all the same.
            drop(reply.send(answer));
        })
    });
    (boxed, answer)
}

fn in_savepoint<T>(connection: &Connection, change: impl FnOnce(&Connection) -> StoreResult<T>) -> StoreResult<T> {
    connection.execute_batch("SAVEPOINT change")?;
    // Whatever the change had begun is rolled back, so nothing half-done is seen after a panic.
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| change(connection))).unwrap_or(Err(StoreFault::Defect));
    let end = if outcome.is_ok() { "RELEASE change" } else { "ROLLBACK TO change; RELEASE change" };
    connection.execute_batch(end)?;
    outcome
}

fn run(connection: &Connection, mut waiting: mpsc::Receiver<Change>, committed: &watch::Sender<u64>) {
    let mut group = Vec::with_capacity(CHANGES_PER_COMMIT_MAX);
    while waiting.blocking_recv_many(&mut group, CHANGES_PER_COMMIT_MAX) > 0 {
        commit_and_answer(connection, group.drain(..), committed);
    }
}

fn commit_and_answer(connection: &Connection, changes: impl Iterator<Item = Change>, committed: &watch::Sender<u64>) {
    let (answers, outcome) = commit_together(connection, changes);
    if outcome.is_ok() {
        committed.send_modify(|commits| *commits += 1);
    }
    answers.into_iter().for_each(|answer| answer(outcome.clone()));
}

fn commit_together(
    connection: &Connection,
    changes: impl Iterator<Item = Change>,
) -> (Vec<Answer>, Result<(), String>) {
    let begun = connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| error.to_string());
    let answers = changes.map(|change| change(begun.clone().map(|()| connection))).collect();
    let ended = begun.and_then(|()| connection.execute_batch("COMMIT").map_err(|error| error.to_string()));
    if ended.is_err() && !connection.is_autocommit() {
        // Nothing of this group may linger in the transaction of the next one.
        drop(connection.execute_batch("ROLLBACK"));
    }
    (answers, ended)
}
