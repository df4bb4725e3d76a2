//! A vehicle that drives now: NMEA sentences of a small round, in real time, through a pseudo terminal.
//!
//! The round is scaled to minutes: stops [`LEG_M`] apart, [`STANDING`] at each, [`DRIVING`] between them.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use milepost_proto::Timestamp;

use crate::{pty, wait};

/// Metres between stops.
pub const LEG_M: f64 = 200.0;
/// How long the vehicle stands at a stop.
pub const STANDING: Duration = Duration::from_secs(5);
/// How long it drives to the next one.
pub const DRIVING: Duration = Duration::from_secs(8);
/// Where the round begins, degrees.
const ORIGIN: (f64, f64) = (52.1, 4.9);
const EPOCH_EVERY: Duration = Duration::from_millis(200);
const DEGREES_PER_M: f64 = 1.0 / 111_195.0;

/// Where stop `index` is (0 is where the round begins), degrees.
#[must_use]
pub fn stop_place(index: u32) -> (f64, f64) {
    (ORIGIN.0 + f64::from(index) * LEG_M * DEGREES_PER_M, ORIGIN.1)
}

/// How long after the beginning of the round the vehicle comes to stand at stop `index`.
#[must_use]
pub fn stands_at(index: u32) -> Duration {
    (STANDING + DRIVING) * index
}

/// A receiver that is plugged in and silent.
pub struct Prepared {
    device: PathBuf,
    master: OwnedFd,
    slave: File,
}

/// A vehicle on its round; stops when dropped.
pub struct LiveDrive {
    device: PathBuf,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LiveDrive {
    /// Plugs the receiver in as `device`.
    ///
    /// # Errors
    /// When no pseudo terminal can be had.
    pub fn prepare(device: &Path) -> anyhow::Result<Prepared> {
        let (master, slave) = pty::open(device)?;
        // A receiver talks whether anybody listens or not.
        rustix::io::ioctl_fionbio(&master, true)?;
        Ok(Prepared { device: device.to_owned(), master, slave })
    }

    /// Whether the vehicle has reached its last stop and stood there.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Prepared {
    /// Starts a round of `stops` stops after the first.
    #[must_use]
    pub fn start(self, stops: u32) -> LiveDrive {
        let stopping = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stopping = Arc::clone(&stopping);
            move || {
                // Held open, so that the receiver stays plugged in while the agent is restarted.
                let _slave = self.slave;
                drive(File::from(self.master), stops, &stopping);
            }
        });
        LiveDrive { device: self.device, stopping, thread: Some(thread) }
    }
}

impl Drop for LiveDrive {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
        std::fs::remove_file(&self.device).ok();
    }
}

fn drive(mut receiver: File, stops: u32, stopping: &AtomicBool) {
    let began = wait::now();
    let round = STANDING + (DRIVING + STANDING) * stops;
    while !stopping.load(Ordering::Relaxed) && began.elapsed() < round {
        let sentences = sentences_at(unix_now(), metres_after(began.elapsed()), is_driving(began.elapsed()));
        // While nobody reads the line is full, and a receiver's output is then lost.
        receiver.write_all(sentences.as_bytes()).ok();
        wait::pause(EPOCH_EVERY);
    }
}

fn is_driving(elapsed: Duration) -> bool {
    elapsed.as_secs_f64() % (STANDING + DRIVING).as_secs_f64() >= STANDING.as_secs_f64()
}

fn metres_after(elapsed: Duration) -> f64 {
    let period_s = (STANDING + DRIVING).as_secs_f64();
    let (legs, into_s) = (elapsed.as_secs_f64() / period_s, elapsed.as_secs_f64() % period_s);
    let driven = ((into_s - STANDING.as_secs_f64()) / DRIVING.as_secs_f64()).clamp(0.0, 1.0);
    (legs.floor() + driven) * LEG_M
}

#[expect(clippy::disallowed_methods, reason = "a vehicle that drives now needs to know when that is")]
pub(crate) fn unix_now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// RMC and GGA of one moment, `metres` north of where rounds begin.
#[must_use]
pub fn sentences_at(time: Timestamp, metres: f64, driving: bool) -> String {
    let time = time.to_string();
    let (date, of_day) = (&time[..10], &time[11..23]);
    let of_day = format!("{}{}{}", &of_day[..2], &of_day[3..5], &of_day[6..11]);
    let date = format!("{}{}{}", &date[8..], &date[5..7], &date[2..4]);
    let lat_deg = ORIGIN.0 + metres * DEGREES_PER_M;
    let lat = format!("{:02}{:010.7}", lat_deg.trunc(), lat_deg.fract() * 60.0);
    let lon = format!("{:03}{:010.7}", ORIGIN.1.trunc(), ORIGIN.1.fract() * 60.0);
    let knots = if driving { LEG_M / DRIVING.as_secs_f64() * 3_600.0 / 1_852.0 } else { 0.0 };
    let rmc = sentence(&format!("GPRMC,{of_day},A,{lat},N,{lon},E,{knots:.1},0.0,{date},,,A"));
    let gga = sentence(&format!("GPGGA,{of_day},{lat},N,{lon},E,1,09,0.9,3.0,M,46.0,M,,"));
    rmc + &gga
}

fn sentence(body: &str) -> String {
    format!("${body}*{:02X}\r\n", body.bytes().fold(0, |sum, byte| sum ^ byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_stands_and_drives_in_turn() {
        let metres = |seconds| metres_after(Duration::from_secs(seconds));
        assert_eq!([metres(0), metres(5), metres(9), metres(13), metres(18)], [0.0, 0.0, 100.0, 200.0, 200.0]);
        assert!(!is_driving(Duration::from_secs(4)) && is_driving(Duration::from_secs(6)));
    }

    #[test]
    fn sentences_are_well_formed() {
        let text = sentences_at(Timestamp::from_millis(1_622_548_800_250), 0.0, false);
        assert!(text.starts_with("$GPRMC,120000.25,A,5206.0000000,N,00454.0000000,E,0.0,0.0,010621,,,A*"), "{text}");
        assert_eq!(text.lines().count(), 2);
    }
}
