//! A proxy that loses requests or replies, to prove that what a client cannot see is neither doubled nor missing.
//!
//! Promise: a request that is forwarded is forwarded whole, and its reply is read whole before it is passed on, cut or
//! dropped; so a lost reply means that the server committed. One request per connection, HTTP/1.1, loopback.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A running proxy; it stops when dropped.
pub struct LossyProxy {
    address: SocketAddr,
    loss: Arc<Loss>,
    task: JoinHandle<()>,
}

/// What is lost of an exchange; the client sees a closed connection each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request, before the server saw it.
    Request,
    /// The reply, after the server committed.
    Reply,
    /// The second half of the reply, after the server committed.
    HalfTheReply,
}

struct Loss {
    path: String,
    upstream: String,
    next: Mutex<Option<Fault>>,
    lost: AtomicUsize,
}

impl LossyProxy {
    /// Forwards to `upstream` (`host:port`) and, when told so, loses one whose path contains `path`.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(upstream: &str, path: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("failed to listen")?;
        let address = listener.local_addr()?;
        let loss = Arc::new(Loss {
            path: path.to_owned(),
            upstream: upstream.to_owned(),
            next: Mutex::default(),
            lost: AtomicUsize::new(0),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&loss)));
        Ok(Self { address, loss, task })
    }

    /// The proxy's address as a base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Does this to the next matching exchange, and to that one only.
    pub fn lose_next(&self, fault: Fault) {
        *self.loss.next() = Some(fault);
    }

    /// How many exchanges were spoilt so far.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.loss.lost.load(Ordering::SeqCst)
    }
}

impl Drop for LossyProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, loss: Arc<Loss>) {
    while let Ok((client, _)) = listener.accept().await {
        let loss = Arc::clone(&loss);
        // A broken connection is the client's to notice; the proxy goes on.
        tokio::spawn(async move { forward(client, &loss).await.ok() });
    }
}

async fn forward(mut client: TcpStream, loss: &Loss) -> anyhow::Result<()> {
    let (head, body) = read_request(&mut client).await?;
    let fault = loss.take(&head);
    if fault == Some(Fault::Request) {
        return Ok(());
    }
    let mut server = TcpStream::connect(&loss.upstream).await?;
    server.write_all(closing(&head).as_bytes()).await?;
    server.write_all(&body).await?;
    let mut reply = Vec::new();
    server.read_to_end(&mut reply).await?;
    let end = head_end(&reply).context("the reply has no head")?;
    let head = closing(std::str::from_utf8(&reply[..end])?);
    let body = match fault {
        Some(Fault::Reply | Fault::Request) => return Ok(()),
        Some(Fault::HalfTheReply) => &reply[end..end + (reply.len() - end) / 2],
        None => &reply[end..],
    };
    client.write_all(head.as_bytes()).await?;
    client.write_all(body).await?;
    Ok(())
}

impl Loss {
    /// The fault that is due for a request with this head.
    fn take(&self, head: &str) -> Option<Fault> {
        let matches = head.lines().next().is_some_and(|line| line.contains(&self.path));
        let fault = if matches { self.next().take() } else { None };
        self.lost.fetch_add(usize::from(fault.is_some()), Ordering::SeqCst);
        fault
    }

    fn next(&self) -> std::sync::MutexGuard<'_, Option<Fault>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read_request(client: &mut TcpStream) -> anyhow::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        anyhow::ensure!(client.read_buf(&mut bytes).await? > 0, "the request ended early");
        if let Some(end) = head_end(&bytes) {
            break end;
        }
    };
    let mut body = bytes.split_off(end);
    let head = String::from_utf8(bytes)?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Ok(0), |(_, length)| length.trim().parse::<usize>())?;
    while body.len() < length {
        anyhow::ensure!(client.read_buf(&mut body).await? > 0, "the request ended early");
    }
    Ok((head, body))
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|start| start + 4)
}

/// The head with `Connection: close`, so that neither side waits for another request.
fn closing(head: &str) -> String {
    let lines = head.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut closing: String = lines.flat_map(|line| [line, "\r\n"]).collect();
    closing.push_str("Connection: close\r\n\r\n");
    closing
}
