//! A receiver that gpsd owns.
//!
//! Promise: gpsd may come, go and be restarted; the agent connects again with growing patience and reports each loss
//! once. A connection on which nothing comes is asked whether it lives, so that a vanished host is noticed. Fixes pass
//! the same judgement as those of a serial line. Decoding is `decoder`'s and `report`'s.
//!
//! gpsd does not say how certain its error estimates are; they are taken as they come, which errs on the large side.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::gnss::{FixJudge, FixPolicy};
use super::reopening::{Patience, Reopening};
use super::{ShuttingDown, SourceLink, SourceNews};

mod decoder;
mod report;

pub use decoder::{Decoder, Epoch, LINE_BYTES_MAX};

/// Most bytes taken at once.
const READ_BYTES_MAX: usize = 8_192;
/// A silence this long ends an epoch.
const SILENCE: Duration = Duration::from_millis(200);
/// After so many silences in a row gpsd is asked whether it is there; after twice as many it is not.
const SILENCES_MAX: u32 = 75;
/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Where gpsd is, and what of it to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpsdServer {
    /// Its host.
    pub host: String,
    /// Its port, usually 2947.
    pub port: u16,
    /// The only device to listen to, by the name gpsd knows it under; all when absent.
    pub device: Option<String>,
    /// Which fixes to use.
    pub fixes: FixPolicy,
}

impl GpsdServer {
    /// The request for reports.
    fn watch(&self) -> String {
        let mut watch = serde_json::json!({"enable": true, "json": true});
        if let Some(device) = &self.device {
            watch["device"] = device.as_str().into();
        }
        format!("?WATCH={watch};\n")
    }
}

/// Listens to gpsd until shutdown.
pub async fn run(server: GpsdServer, link: SourceLink, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        Err(ShuttingDown) = keep_connected(&server, &link) => {}
    }
}

async fn keep_connected(server: &GpsdServer, link: &SourceLink) -> Result<(), ShuttingDown> {
    let mut reopening = Reopening::new(Patience::default());
    loop {
        let why = match connect(server).await {
            Ok(stream) => {
                reopening.opened(link).await?;
                let (why, heard) = listen(stream, server, link).await?;
                if heard {
                    reopening.heard();
                }
                why
            }
            Err(error) => format!(
                "gpsd at {}:{} cannot be reached ({error}); start it, or mend host and port",
                server.host, server.port
            ),
        };
        reopening.lost(why, link).await?;
    }
}

async fn connect(server: &GpsdServer) -> std::io::Result<TcpStream> {
    let connecting = async {
        let mut stream = TcpStream::connect((server.host.as_str(), server.port)).await?;
        stream.write_all(server.watch().as_bytes()).await?;
        Ok(stream)
    };
    timeout(CONNECT_MAX, connecting).await.unwrap_or_else(|_late| Err(std::io::ErrorKind::TimedOut.into()))
}

/// Reads until the connection is lost; says why, and whether a fix was heard before.
async fn listen(mut stream: TcpStream, server: &GpsdServer, link: &SourceLink) -> Result<(String, bool), ShuttingDown> {
    let mut receiver = Receiver::new(server, link);
    let mut buffer = [0; READ_BYTES_MAX];
    let mut silences = 0;
    let why = loop {
        match timeout(SILENCE, stream.read(&mut buffer)).await {
            Err(_silent) => {
                silences += 1;
                receiver.silent().await?;
                if silences == SILENCES_MAX && stream.write_all(b"?VERSION;\n").await.is_err()
                    || silences > 2 * SILENCES_MAX
                {
                    break "gpsd no longer answers".to_owned();
                }
            }
            Ok(Ok(0)) => break "gpsd closed the connection".to_owned(),
            Ok(Ok(length)) => {
                silences = 0;
                receiver.take(&buffer[..length]).await?;
            }
            Ok(Err(error)) => break format!("the connection to gpsd was lost: {error}"),
        }
    };
    receiver.silent().await?;
    Ok((why, receiver.heard))
}

/// The decoder of one connection, and what it has to tell.
struct Receiver<'a> {
    link: &'a SourceLink,
    decoder: Decoder,
    judge: FixJudge,
    heard: bool,
}

impl<'a> Receiver<'a> {
    fn new(server: &GpsdServer, link: &'a SourceLink) -> Self {
        Self { link, decoder: Decoder::new(server.device.clone()), judge: FixJudge::new(server.fixes), heard: false }
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), ShuttingDown> {
        let mut epochs = Vec::new();
        self.decoder.push(bytes, |epoch| epochs.push(epoch));
        self.tell(epochs).await
    }

    async fn silent(&mut self) -> Result<(), ShuttingDown> {
        let epochs = self.decoder.flush().into_iter().collect();
        self.tell(epochs).await
    }

    async fn tell(&mut self, epochs: Vec<Epoch>) -> Result<(), ShuttingDown> {
        if let Some(last) = epochs.last() {
            let raw = Some(shown(last));
            let mut observations = Vec::with_capacity(epochs.len());
            for epoch in epochs {
                let Some(position) = epoch.position else { continue };
                let clock = self.link.clock();
                let judged = self.judge.judge(position, epoch.event_time, clock.wall(), self.decoder.faults());
                if let Some(now) = judged.as_ref().and_then(|judged| judged.sets_clock) {
                    clock.discipline(now);
                }
                observations.extend(judged.map(|judged| judged.observation));
            }
            self.heard |= !observations.is_empty();
            self.link.tell(SourceNews::Observed { observations, raw }).await?;
        }
        let faults = self.decoder.faults().take();
        if faults.is_empty() { Ok(()) } else { self.link.tell(SourceNews::Faults(faults)).await }
    }
}

/// An epoch for the status page's raw tail: gpsd's own lines are too long to be read there.
fn shown(epoch: &Epoch) -> String {
    let time = epoch.event_time.map_or_else(|| "no time".to_owned(), |time| time.to_string());
    match &epoch.position {
        Some(position) => format!("TPV {time} {:.6} {:.6}", position.lat_deg(), position.lon_deg()),
        None => format!("TPV {time} no fix"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_names_the_device_where_there_is_one() {
        let mut server = GpsdServer { host: "x".to_owned(), port: 2947, device: None, fixes: FixPolicy::default() };
        assert_eq!(server.watch(), "?WATCH={\"enable\":true,\"json\":true};\n");
        server.device = Some("/dev/\"x".to_owned());
        assert_eq!(server.watch(), "?WATCH={\"device\":\"/dev/\\\"x\",\"enable\":true,\"json\":true};\n");
    }
}
