//! The line between a vehicle and its centre: down until it is told otherwise, and it counts what crosses it.
//!
//! Counted are the bytes of the connection in both directions, handshakes included: what a fleet pays for, less the
//! headers of TCP and IP.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The line; it stays as long as the benchmark.
pub(crate) struct Relay {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    up: AtomicBool,
    bytes: AtomicU64,
}

impl Relay {
    /// A line to `centre` (a port of this machine), down.
    pub(crate) fn start(centre: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let relay = Self { port: listener.local_addr()?.port(), state: Arc::default() };
        let state = Arc::clone(&relay.state);
        std::thread::spawn(move || {
            for vehicle in listener.incoming().flatten() {
                // While the line is down the connection is closed again at once.
                if state.up.load(Ordering::Relaxed) {
                    join(vehicle, centre, &state).ok();
                }
            }
        });
        Ok(relay)
    }

    /// Where the vehicle connects to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Brings the line up.
    pub(crate) fn up(&self) {
        self.state.up.store(true, Ordering::Relaxed);
    }

    /// Bytes that crossed it, both ways.
    pub(crate) fn bytes(&self) -> u64 {
        self.state.bytes.load(Ordering::Relaxed)
    }
}

fn join(vehicle: TcpStream, centre: u16, state: &Arc<State>) -> std::io::Result<()> {
    let centre = TcpStream::connect((Ipv4Addr::LOCALHOST, centre))?;
    vehicle.set_nodelay(true)?;
    centre.set_nodelay(true)?;
    for (from, to) in [(vehicle.try_clone()?, centre.try_clone()?), (centre, vehicle)] {
        let state = Arc::clone(state);
        std::thread::spawn(move || carry(from, to, &state));
    }
    Ok(())
}

fn carry(mut from: TcpStream, mut to: TcpStream, state: &State) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        state.bytes.fetch_add(count as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // One end has gone: the other is told.
    to.shutdown(Shutdown::Both).ok();
    from.shutdown(Shutdown::Both).ok();
}
