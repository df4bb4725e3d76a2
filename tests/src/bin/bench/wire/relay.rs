//! A TCP relay that counts what passes: what a fleet is billed for, less the headers of IP and TCP.
//!
//! Promise: bytes pass unchanged and in order, and are counted before they are passed on; so when an answer has arrived,
//! all of it and of its request is counted.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passed {
    /// To the gateway.
    pub(crate) up: u64,
    /// To the agent.
    pub(crate) down: u64,
}

/// A relay to one address; its threads end with their connections.
pub(crate) struct Relay {
    /// Where it listens.
    pub(crate) port: u16,
    up: Arc<AtomicU64>,
    down: Arc<AtomicU64>,
}

impl Relay {
    /// A relay to `port` on this machine.
    pub(crate) fn start(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let relay = Self { port: listener.local_addr()?.port(), up: Arc::default(), down: Arc::default() };
        let (up, down) = (Arc::clone(&relay.up), Arc::clone(&relay.down));
        std::thread::spawn(move || {
            while let Ok((agent, _)) = listener.accept() {
                // A connection that breaks is the agent's to notice.
                join(agent, port, &up, &down).ok();
            }
        });
        Ok(relay)
    }

    /// What passed so far.
    pub(crate) fn passed(&self) -> Passed {
        Passed { up: self.up.load(Ordering::SeqCst), down: self.down.load(Ordering::SeqCst) }
    }
}

fn join(agent: TcpStream, port: u16, up: &Arc<AtomicU64>, down: &Arc<AtomicU64>) -> io::Result<()> {
    let gateway = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
    agent.set_nodelay(true)?;
    gateway.set_nodelay(true)?;
    let (agent_too, gateway_too) = (agent.try_clone()?, gateway.try_clone()?);
    let (up, down) = (Arc::clone(up), Arc::clone(down));
    std::thread::spawn(move || pass(agent, gateway, &up));
    std::thread::spawn(move || pass(gateway_too, agent_too, &down));
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        count.fetch_add(read as u64, Ordering::SeqCst);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Write).ok();
}
