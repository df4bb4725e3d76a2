//! A proxy that loses replies after the server has acted, to prove that a lost reply never doubles anything.
//!
//! Promise: a request that is forwarded is forwarded whole, and its reply is read whole before it is passed on or
//! dropped; so a dropped reply means that the server committed. One request per connection, HTTP/1.1, loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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

struct Loss {
    path: String,
    upstream: String,
    armed: AtomicUsize,
    lost: AtomicUsize,
}

impl LossyProxy {
    /// Forwards to `upstream` (`host:port`) and, when armed, loses replies to requests whose path contains `path`.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(upstream: &str, path: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("failed to listen")?;
        let address = listener.local_addr()?;
        let loss = Arc::new(Loss {
            path: path.to_owned(),
            upstream: upstream.to_owned(),
            armed: AtomicUsize::new(0),
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

    /// Loses the replies to the next `count` matching requests.
    pub fn lose_next(&self, count: usize) {
        self.loss.armed.store(count, Ordering::SeqCst);
    }

    /// How many replies were lost so far.
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
    let mut server = TcpStream::connect(&loss.upstream).await?;
    server.write_all(closing(&head).as_bytes()).await?;
    server.write_all(&body).await?;
    let mut reply = Vec::new();
    server.read_to_end(&mut reply).await?;
    if head.lines().next().is_some_and(|line| line.contains(&loss.path)) && loss.take() {
        loss.lost.fetch_add(1, Ordering::SeqCst);
        return Ok(());
    }
    let end = head_end(&reply).context("the reply has no head")?;
    client.write_all(closing(std::str::from_utf8(&reply[..end])?).as_bytes()).await?;
    client.write_all(&reply[end..]).await?;
    Ok(())
}

impl Loss {
    fn take(&self) -> bool {
        self.armed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |armed| armed.checked_sub(1)).is_ok()
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
