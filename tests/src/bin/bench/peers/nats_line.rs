//! The little of the NATS client protocol that feeding and counting take (docs.nats.io, "Client Protocol").

use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of one message; the server's own limit.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Where answers go.
const INBOX: &str = "_INBOX.bench";
/// Where a consumer is to deliver: a subject without wildcards of its own, or the server sees no interest in it.
pub(crate) const DELIVERIES: &str = "deliveries.bench";

/// A connection that listens for answers and deliveries.
pub(crate) struct NatsLine {
    reader: BufReader<TcpStream>,
    writer: BufWriter<TcpStream>,
}

impl NatsLine {
    pub(crate) fn connect(port: u16) -> anyhow::Result<Self> {
        Self::connect_patiently(port, TIMEOUT)
    }

    /// A connection that waits no longer than `patience` for anything.
    pub(crate) fn connect_patiently(port: u16, patience: Duration) -> anyhow::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        let mut line = Self { reader: BufReader::new(stream.try_clone()?), writer: BufWriter::new(stream) };
        write!(
            line.writer,
            "CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\nSUB {INBOX} 1\r\nSUB {DELIVERIES} 2\r\n"
        )?;
        line.writer.flush()?;
        Ok(line)
    }

    /// Publishes and asks for an answer in the inbox: JetStream's acknowledgement, or what was asked for.
    pub(crate) fn publish(&mut self, subject: &str, payload: &[u8]) -> anyhow::Result<()> {
        write!(self.writer, "PUB {subject} {INBOX} {}\r\n", payload.len())?;
        self.writer.write_all(payload)?;
        Ok(self.writer.write_all(b"\r\n")?)
    }

    /// Sends what was published.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.writer.flush()?)
    }

    /// The next message of the inbox, and whether it was a delivery rather than an answer.
    pub(crate) fn message(&mut self) -> anyhow::Result<(bool, Vec<u8>)> {
        loop {
            let mut line = String::new();
            ensure!(self.reader.read_line(&mut line)? > 0, "the server closed the connection");
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.first().copied() {
                Some("MSG") => return self.payload(&words, 0),
                Some("HMSG") => {
                    let header = words.get(words.len().saturating_sub(2)).and_then(|word| word.parse().ok());
                    return self.payload(&words, header.context("a message without a length")?);
                }
                Some("PING") => {
                    self.writer.write_all(b"PONG\r\n")?;
                    self.writer.flush()?;
                }
                Some("-ERR") => anyhow::bail!("{}", line.trim()),
                _ => {}
            }
        }
    }

    fn payload(&mut self, words: &[&str], header: usize) -> anyhow::Result<(bool, Vec<u8>)> {
        let delivered = words.get(2) == Some(&"2");
        let length: usize = words.last().and_then(|word| word.parse().ok()).context("a message without a length")?;
        ensure!((header..=MESSAGE_BYTES_MAX).contains(&length), "a message of {length} bytes");
        let mut bytes = vec![0; length + 2];
        self.reader.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok((delivered, bytes.split_off(header)))
    }

    /// Asks and waits for the one answer.
    pub(crate) fn ask(&mut self, subject: &str, question: &Value) -> anyhow::Result<Value> {
        self.publish(subject, question.to_string().as_bytes())?;
        self.flush()?;
        let answer: Value =
            serde_json::from_slice(&self.message()?.1).with_context(|| format!("{subject}: no answer"))?;
        ensure!(answer["error"].is_null(), "{subject}: {}", answer["error"]);
        Ok(answer)
    }
}
