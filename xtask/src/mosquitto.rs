//! A private mosquitto, the reference broker of the driver app: loopback only, anonymous, nothing kept on disk.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::apt::{self, Need};
use crate::clock::Stopwatch;
use crate::interrupt::Interrupt;
use crate::scratch::Scratch;
use crate::service::{Account, Service};
use crate::{port, program};

const NEED: Need = Need { packages: &["mosquitto", "mosquitto-clients"], autostarts: Some("mosquitto") };
const START_PATIENCE: Duration = Duration::from_secs(20);

/// The program, installed with its clients first if they are missing.
pub(crate) fn find_or_install(interrupt: &Interrupt, watch: Stopwatch) -> Result<PathBuf> {
    let clients = || ["mosquitto_pub", "mosquitto_sub"].iter().all(|name| program::find(name).is_some());
    apt::ensure(NEED, interrupt, watch, || program::find("mosquitto").filter(|_| clients()))
}

/// A running broker; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Mosquitto {
    _service: Service,
    port: u16,
}

impl Mosquitto {
    /// Starts a broker on a free port, installing mosquitto first if it is missing.
    pub(crate) fn start(scratch: &Scratch, interrupt: &Interrupt, watch: Stopwatch) -> Result<Self> {
        let program = apt::ensure(NEED, interrupt, watch, || program::find("mosquitto"))?;
        let [port] = port::free()?;
        let configuration = scratch.path().join("mosquitto.conf");
        // If it changed accounts, as it does by default, the kernel would no longer stop it when this chore is killed.
        let settings = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n");
        fs::write(&configuration, settings).with_context(|| format!("failed to write {}", configuration.display()))?;
        let log = scratch.path().join("mosquitto.log");
        let arguments = ["-c", &configuration.to_string_lossy()];
        let mut service = Service::start("mosquitto", &program, &arguments, Account::Own, &log, Signal::TERM)?;
        service.wait_until(interrupt, START_PATIENCE, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())?;
        watch.say(&format!("mosquitto answers on port {port} (pid {})", service.pid()));
        Ok(Self { _service: service, port })
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}
