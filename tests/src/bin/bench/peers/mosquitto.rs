//! A mosquitto in the vehicle with persistence, as its manual has it, bridged to a mosquitto at the centre at QoS 1.
//!
//! Fed by `mosquitto_pub -l -q 1`; a subscriber at the centre writes down what arrives. What the two clients use is not
//! counted.

use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use system_tests::wait;

use super::process::{Process, Usage};
use super::record::{json, number_of};
use super::relay::Relay;
use super::rival::Rival;

const TOPIC: &str = "records";
/// mosquitto 2.0.11 drops a publisher with more than 65,535 messages under way ("out of memory"), and `mosquitto_pub` does
/// not say so: it is given fewer at a time.
const PUBLISHED_AT_ONCE_MAX: u32 = 20_000;
const START_LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Mosquitto {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    relay: Relay,
    edge: Option<Process>,
    _subscriber: Process,
    _centre: Process,
    published: u32,
}

impl Mosquitto {
    pub(crate) fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let [centre_port, port] = xtask::port::free()?;
        let relay = Relay::start(centre_port)?;
        let centre_conf = format!(
            "listener {centre_port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\nmax_queued_messages 0\nmax_inflight_messages 0\n"
        );
        let edge_conf = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\npersistence_location {}/\n\
             max_queued_messages 0\nmax_inflight_messages 0\n\nconnection centre\naddress 127.0.0.1:{}\ntopic {TOPIC} out 1\n\
             cleansession false\nrestart_timeout 1\nnotifications false\n",
            folder.display(),
            relay.port()
        );
        std::fs::write(folder.join("centre.conf"), centre_conf)?;
        std::fs::write(folder.join("edge.conf"), edge_conf)?;
        let centre = broker(program, folder, "centre", centre_port)?;
        let arrived = File::create(folder.join("arrived"))?;
        let mut subscriber = Command::new("mosquitto_sub");
        subscriber.args(["-p", &centre_port.to_string(), "-q", "1", "-c", "-i", "sink", "-t", TOPIC]);
        subscriber.stdin(Stdio::null()).stdout(arrived);
        let subscriber = Process::spawn(&mut subscriber)?;
        let edge = Some(broker(program, folder, "edge", port)?);
        let (program, folder) = (program.to_owned(), folder.to_owned());
        Ok(Self { program, folder, port, relay, edge, _subscriber: subscriber, _centre: centre, published: 0 })
    }

    /// Publishes up to record `end`.
    fn publish(&mut self, end: u32) -> anyhow::Result<()> {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-p", &self.port.to_string(), "-q", "1", "-l", "-t", TOPIC]).stdin(Stdio::piped());
        let mut publisher = Process::spawn(&mut command)?;
        let mut lines = std::io::BufWriter::new(publisher.child().stdin.take().context("not piped")?);
        (self.published + 1..=end).try_for_each(|n| writeln!(lines, "{}", json(n)))?;
        drop(lines);
        // It ends once everything was acknowledged.
        let status = publisher.child().wait()?;
        ensure!(status.success(), "mosquitto_pub ended with {status}");
        self.published = end;
        Ok(())
    }
}

fn broker(program: &Path, folder: &Path, name: &str, port: u16) -> anyhow::Result<Process> {
    let mut command = Command::new(program);
    command.arg("-c").arg(folder.join(format!("{name}.conf")));
    let process = Process::start(&mut command, &folder.join(format!("{name}.log")))?;
    wait::until_true("mosquitto", START_LIMIT, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    Ok(process)
}

impl Rival for Mosquitto {
    fn fill(&mut self, accepted_min: u32, _all: u32) -> anyhow::Result<()> {
        while self.published < accepted_min {
            self.publish(accepted_min.min(self.published + PUBLISHED_AT_ONCE_MAX))?;
        }
        Ok(())
    }

    fn crash(&mut self) -> anyhow::Result<()> {
        self.edge = None;
        self.edge = Some(broker(&self.program, &self.folder, "edge", self.port)?);
        Ok(())
    }

    fn connect(&mut self) -> anyhow::Result<()> {
        self.relay.up();
        Ok(())
    }

    fn arrived(&mut self) -> anyhow::Result<u32> {
        Ok(u32::try_from(
            std::fs::metadata(self.folder.join("arrived"))?.len() / (super::record::JSON_BYTES as u64 + 1),
        )?)
    }

    fn numbers(&mut self) -> anyhow::Result<Vec<u32>> {
        std::fs::read_to_string(self.folder.join("arrived"))?.lines().map(number_of).collect()
    }

    fn usage(&self) -> Usage {
        self.edge.as_ref().map(Process::usage).unwrap_or_default()
    }

    fn wire_bytes(&self) -> u64 {
        self.relay.bytes()
    }
}
