//! The run that is cut afterwards: a driver captures, a receiver talks, the gateway comes and goes, the agent is killed.
//!
//! Promise: a mark follows the answer it speaks of, so whatever was marked had been answered; without syncs the run is the
//! same.

use std::path::Path;
use std::time::Duration;

use milepost_proto::Sha256;

use super::account::{capture, photo};
use super::mark::{Mark, What};
use super::{DISK, HELD, SPOOL};
use crate::driver;
use crate::house::{House, Plan};
use crate::live_drive::{LiveDrive, unix_now};

/// Captures in all.
const CAPTURES: u64 = 140;
/// A photo follows every so many captures.
const CAPTURES_PER_PHOTO: u64 = 10;
/// What happens before the capture of a number.
const GATEWAY_STARTS: [u64; 2] = [40, 105];
const GATEWAY_IS_KILLED: u64 = 80;
const AGENT_IS_KILLED: u64 = 95;
/// Stops of the round: more than the captures take.
const STOPS: u32 = 60;
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// Runs it, in the guest.
///
/// # Errors
/// When a program does not start, or the agent does not take a capture.
pub fn run() -> anyhow::Result<()> {
    let mut house = House::new(&Plan {
        agent_toml: "[reporting]\ninterval_s = 1\ndistance_m = 1.0\n\n\
                     [[source]]\nname = \"gnss\"\nkind = \"nmea_serial\"\npath = \"gnss\"\n"
            .to_owned(),
        ..Plan::default()
    })?;
    house.move_spool(&Path::new(DISK).join(SPOOL))?;
    let drive = LiveDrive::prepare(&house.path("gnss"))?.start(STOPS);
    house.start_agent()?;
    put(What::Started)?;
    for n in 1..=CAPTURES {
        if GATEWAY_STARTS.contains(&n) {
            house.start_gateway()?;
        }
        if n == GATEWAY_IS_KILLED {
            // What was captured so far is let go of first, so that cuts meet a settled spool too.
            house.wait_until_evidence_is_gone(DRAIN_LIMIT);
            house.kill_gateway();
        }
        if n == AGENT_IS_KILLED {
            house.kill_agent();
            house.start_agent()?;
        }
        capture_one(&house, n)?;
    }
    house.wait_until_evidence_is_gone(DRAIN_LIMIT);
    put(What::Ended)?;
    drop(drive);
    house.kill_agent();
    house.kill_gateway();
    for suffix in ["", "-wal", "-shm"] {
        let store = house.path(&format!("gateway.db{suffix}"));
        if store.exists() {
            std::fs::copy(store, format!("{HELD}{suffix}"))?;
        }
    }
    Ok(())
}

fn capture_one(house: &House, n: u64) -> anyhow::Result<()> {
    let http = driver::http();
    if n.is_multiple_of(CAPTURES_PER_PHOTO) {
        let photo_n = n / CAPTURES_PER_PHOTO;
        let bytes = photo(photo_n);
        let url = format!("{}/v1/blobs/{}?offset=0&size={}", house.agent_url(), Sha256::of(&bytes), bytes.len());
        http.put(&url).send(&bytes[..])?;
        put(What::Photo(photo_n))?;
    }
    http.post(&format!("{}/v1/driver", house.agent_url())).send_json(capture(n))?;
    put(What::Capture(n))
}

fn put(what: What) -> anyhow::Result<()> {
    Mark { what, at: unix_now() }.put()
}
