//! The one thread that writes.
//!
//! Promise: changes are applied one after the other, in the order they were queued, and answered only after the commit
//! that holds them; all that wait when a commit begins share it. A change that fails or panics is undone alone. At most
//! [`CHANGES_WAITING_MAX`] wait; what happens beyond is the caller's choice (wait, or be told it is busy).

use std::panic::AssertUnwindSafe;

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

/// A handle to the writing thread; it ends when the last one is dropped.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Change>,
    commits: watch::Receiver<u64>,
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
        Ok(Self { queue, commits })
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
        self.queue.send(boxed).await.map_err(|_| StoreFault::Closed)?;
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
        self.queue.try_send(boxed).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => StoreFault::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreFault::Closed,
        })?;
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
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Whether the thread has stopped.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.queue.is_closed()
    }

    /// Completes when the thread has stopped.
    pub async fn stopped(&self) {
        self.queue.closed().await;
    }
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
        let (answers, outcome) = commit_together(connection, group.drain(..));
        if outcome.is_ok() {
            committed.send_modify(|commits| *commits += 1);
        }
        answers.into_iter().for_each(|answer| answer(outcome.clone()));
    }
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
