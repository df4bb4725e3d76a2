//! The agent before its spool can be opened: a disk that is full, read-only or not there yet.
//!
//! Promise: the agent starts all the same. The status page says what is in the way, the driver is told that nothing is
//! accepted and keeps it on the phone, the service manager sees a live program, and the spool is tried again every few
//! seconds. Nothing is recorded meanwhile, and once something is, the absence is told first.

use std::time::Duration;

use milepost_proto::driver_app::{Rejection, RejectionCode};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::clock::Clock;
use crate::event::Event;
use crate::spool::SpoolError;
use crate::status::Status;

/// How often the spool is tried in a vehicle.
pub const RETRY_EVERY: Duration = Duration::from_secs(5);

/// How long there was no spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absence {
    /// Seconds.
    pub seconds: u64,
    /// What was in the way last.
    pub why: String,
}

/// What is told while there is no spool, and how.
pub struct Waiting<'a> {
    /// What happens meanwhile.
    pub events: &'a mut mpsc::Receiver<Event>,
    /// Where the status goes.
    pub status: &'a watch::Sender<Status>,
    /// The clocks.
    pub clock: &'a Clock,
    /// Tells the service manager that the agent lives.
    pub alive: fn(),
    /// How often the spool is tried.
    pub retry_every: Duration,
}

impl Waiting<'_> {
    /// Opens the spool by `open`, however long that takes; absent when `shutdown` came first.
    ///
    /// # Errors
    /// When waiting cannot help: another agent has the spool, or no new one can be made of a damaged one.
    pub async fn open<T>(
        mut self,
        mut open: impl FnMut() -> Result<T, SpoolError>,
        shutdown: &CancellationToken,
    ) -> Result<Option<(T, Option<Absence>)>, SpoolError> {
        let began_ms = self.clock.monotonic_ms();
        let mut absence = None;
        loop {
            match open() {
                Ok(spool) => return Ok(Some((spool, absence))),
                Err(error @ (SpoolError::Full(_) | SpoolError::File(_))) => {
                    let seconds = self.clock.monotonic_ms().saturating_sub(began_ms) / 1_000;
                    if absence.is_none() {
                        error!("nothing is recorded until the spool can be opened: {error}");
                    }
                    self.tell(&error);
                    absence = Some(Absence { seconds, why: error.to_string() });
                }
                Err(error) => return Err(error),
            }
            if self.refuse_for(self.retry_every, absence.as_ref(), shutdown).await {
                info!("shutting down without ever having had a spool");
                return Ok(None);
            }
        }
    }

    fn tell(&self, error: &SpoolError) {
        self.status.send_modify(|status| {
            (status.now, status.time_quality) = self.clock.wall();
            status.spool.obstacle = Some(error.to_string());
        });
    }

    /// Refuses what comes for a while; says whether the shutdown came.
    async fn refuse_for(&mut self, pause: Duration, absence: Option<&Absence>, shutdown: &CancellationToken) -> bool {
        (self.alive)();
        let pause = tokio::time::sleep(pause);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return true,
                () = &mut pause => return false,
                Some(event) = self.events.recv() => refuse(event, absence),
            }
        }
    }
}

fn refuse(event: Event, absence: Option<&Absence>) {
    let why = absence.map_or("", |absence| &absence.why);
    let rejection = || {
        Rejection::new(
            RejectionCode::NotAccepted,
            format!("the vehicle has nowhere to keep it: {why}"),
            "keep it on the phone and send it again later",
        )
    };
    // Whoever asked may have gone.
    match event {
        Event::Captured { reply, .. } => drop(reply.send(Err(rejection()))),
        Event::BlobPart { reply, .. } => drop(reply.send(Err(rejection()))),
        Event::Source(_) | Event::Uplinked(..) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use milepost_proto::BootId;

    use super::*;
    use crate::config::Config;
    use crate::config::tests::GOOD;
    use crate::event::Intake;

    #[tokio::test]
    async fn a_driver_is_refused_and_the_page_says_why_until_the_disk_takes_it() {
        let config = Config::parse(GOOD, Path::new("/")).expect("no mistakes");
        let clock = Clock::system();
        let (events, mut inbox) = mpsc::channel(4);
        let (status, seen) = watch::channel(crate::event_loop::first_status(&config, &clock, BootId([1; 16])));
        let waiting = Waiting {
            events: &mut inbox,
            status: &status,
            clock: &clock,
            alive: || {},
            retry_every: Duration::from_millis(1),
        };
        let was_refused = std::cell::Cell::new(false);
        let open = || match was_refused.get() {
            true => Ok("a spool"),
            false => Err(SpoolError::File("read-only".to_owned())),
        };
        let part = crate::capture::BlobPart {
            sha256: milepost_proto::Sha256::of(b"photo"),
            offset: 0,
            bytes: b"photo".to_vec(),
            size: None,
        };
        let asked = async {
            let refused = Intake::new(events.clone()).blob_part(part).await;
            was_refused.set(true);
            refused
        };
        let shutdown = CancellationToken::new();
        let (opened, refused) = tokio::join!(waiting.open(open, &shutdown), asked);
        let (spool, absence) = opened.expect("opens at last").expect("no shutdown");
        assert_eq!((spool, absence.expect("there was none").why.contains("read-only")), ("a spool", true));
        let refused = refused.expect_err("refused");
        assert_eq!(refused.code, RejectionCode::NotAccepted);
        assert!(refused.message.contains("read-only"), "{refused:?}");
        assert!(seen.borrow().spool.obstacle.as_ref().is_some_and(|why| why.contains("read-only")));
    }

    #[tokio::test]
    async fn waiting_does_not_help_against_another_agent_and_ends_with_a_shutdown() {
        let config = Config::parse(GOOD, Path::new("/")).expect("no mistakes");
        let clock = Clock::system();
        let (status, _seen) = watch::channel(crate::event_loop::first_status(&config, &clock, BootId([1; 16])));
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        let check = async |fails: SpoolError, expected: Result<Option<()>, SpoolError>| {
            let (_events, mut inbox) = mpsc::channel(4);
            let waiting = Waiting {
                events: &mut inbox,
                status: &status,
                clock: &clock,
                alive: || {},
                retry_every: Duration::from_millis(1),
            };
            let opened = waiting.open::<()>(|| Err(fails.clone()), &shutdown).await;
            assert_eq!(opened.map(|opened| opened.map(|(spool, _)| spool)), expected);
        };
        check(SpoolError::InUse, Err(SpoolError::InUse)).await;
        check(SpoolError::Full("disk".to_owned()), Ok(None)).await;
    }
}
