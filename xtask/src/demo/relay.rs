//! The link between agent and gateway, to be cut and mended at will.
//!
//! Promise: while cut, connections that stood are dropped and new ones are refused, as when a vehicle leaves coverage and
//! its modem says so; while whole, bytes pass unchanged.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

/// A relay of TCP connections.
pub(super) struct Relay {
    address: SocketAddr,
    link: Arc<Link>,
}

#[derive(Default)]
struct Link {
    cut: AtomicBool,
    /// Both ends of every connection that passed since the last cut.
    streams: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// Starts relaying from a free port to `upstream`.
    pub(super) fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to set up the relay")?;
        let address = listener.local_addr().context("the relay has no address")?;
        let link = Arc::new(Link::default());
        let accepting = Arc::clone(&link);
        std::thread::spawn(move || {
            for down in listener.incoming().map_while(Result::ok) {
                // A connection that cannot be relayed is dropped, which its caller takes for a lost link.
                accepting.join(down, upstream).ok();
            }
        });
        Ok(Self { address, link })
    }

    /// Where the agent connects to.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the link is cut.
    pub(super) fn is_cut(&self) -> bool {
        self.link.cut.load(Ordering::SeqCst)
    }

    /// Cuts or mends the link; says whether that changed anything.
    pub(super) fn set_cut(&self, cut: bool) -> bool {
        let changed = self.link.cut.swap(cut, Ordering::SeqCst) != cut;
        if changed && cut {
            for stream in self.link.streams().drain(..) {
                // It may have ended by itself.
                stream.shutdown(Shutdown::Both).ok();
            }
        }
        changed
    }
}

impl Link {
    fn join(self: &Arc<Self>, down: TcpStream, upstream: SocketAddr) -> std::io::Result<()> {
        if self.cut.load(Ordering::SeqCst) {
            return down.shutdown(Shutdown::Both);
        }
        let up = TcpStream::connect(upstream)?;
        self.streams().extend([down.try_clone()?, up.try_clone()?]);
        let (down_reader, up_reader) = (down.try_clone()?, up.try_clone()?);
        std::thread::spawn(move || pass(down_reader, up));
        std::thread::spawn(move || pass(up_reader, down));
        Ok(())
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes bytes one way until either end is gone, then closes both.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An upstream that answers every byte with itself.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let writer = stream.try_clone().expect("cloned");
                std::thread::spawn(move || pass(stream, writer));
            }
        });
        address
    }

    fn echoes(relay: &Relay) -> bool {
        let Ok(mut stream) = TcpStream::connect(relay.address()) else { return false };
        let mut answer = [0];
        stream.write_all(b"x").is_ok() && stream.read_exact(&mut answer).is_ok() && answer == *b"x"
    }

    #[test]
    fn a_cut_link_carries_nothing_and_a_mended_one_does_again() {
        let relay = Relay::start(echo()).expect("starts");
        assert!(echoes(&relay));
        let mut standing = TcpStream::connect(relay.address()).expect("connects");
        standing.write_all(b"x").expect("written");
        standing.read_exact(&mut [0]).expect("answered");
        assert!(relay.set_cut(true));
        assert_eq!(standing.read(&mut [0]).unwrap_or(0), 0, "a standing connection ends");
        assert!(!echoes(&relay));
        assert!(!relay.set_cut(true));
        assert!(relay.set_cut(false));
        assert!(echoes(&relay));
    }
}
