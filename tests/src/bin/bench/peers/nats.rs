//! A NATS leaf node with JetStream in the vehicle, whose stream a stream at the centre sources; as the manual has it, so
//! synced every two minutes.
//!
//! Fed with acknowledged publishes, up to [`UNACKNOWLEDGED_MAX`] under way; what the feeder uses is not counted.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json as value;
use system_tests::wait;

use super::nats_line::{DELIVERIES, NatsLine};
use super::process::{Process, Usage};
use super::record::{json, number_of};
use super::relay::Relay;
use super::rival::Rival;

const UNACKNOWLEDGED_MAX: u32 = 4_000;
const RECOVERY_LOOK: Duration = Duration::from_millis(300);
const START_LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Nats {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    centre_port: u16,
    relay: Relay,
    edge: Option<Process>,
    _centre: Process,
    published: u32,
}

impl Nats {
    pub(crate) fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let [centre_port, leaf_port, port] = xtask::port::free()?;
        let relay = Relay::start(leaf_port)?;
        let place = folder.display();
        let centre_conf = format!(
            "listen: \"127.0.0.1:{centre_port}\"\nserver_name: centre\n\
             jetstream {{ store_dir: \"{place}/centre\", domain: centre }}\nleafnodes {{ listen: \"127.0.0.1:{leaf_port}\" }}\n"
        );
        let edge_conf = format!(
            "listen: \"127.0.0.1:{port}\"\nserver_name: edge\njetstream {{ store_dir: \"{place}/edge\", domain: edge }}\n\
             leafnodes {{ reconnect: 1, remotes: [ {{ url: \"nats://127.0.0.1:{}\" }} ] }}\n",
            relay.port()
        );
        std::fs::write(folder.join("centre.conf"), centre_conf)?;
        std::fs::write(folder.join("edge.conf"), edge_conf)?;
        let centre = server(program, folder, "centre", centre_port)?;
        let edge = Some(server(program, folder, "edge", port)?);
        let stream = value!({"name": "RECORDS", "subjects": ["records"], "storage": "file"});
        NatsLine::connect(port)?.ask("$JS.API.STREAM.CREATE.RECORDS", &stream)?;
        let source = value!({"name": "RECORDS", "external": {"api": "$JS.edge.API", "deliver": ""}});
        let all = value!({"name": "ALL", "storage": "file", "sources": [source]});
        NatsLine::connect(centre_port)?.ask("$JS.API.STREAM.CREATE.ALL", &all)?;
        let (program, folder) = (program.to_owned(), folder.to_owned());
        Ok(Self { program, folder, port, centre_port, relay, edge, _centre: centre, published: 0 })
    }
}

fn server(program: &Path, folder: &Path, name: &str, port: u16) -> anyhow::Result<Process> {
    let mut command = Command::new(program);
    command.arg("-c").arg(folder.join(format!("{name}.conf")));
    let process = Process::start(&mut command, &folder.join(format!("{name}.log")))?;
    wait::until_true("nats-server", START_LIMIT, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    Ok(process)
}

impl Rival for Nats {
    fn fill(&mut self, accepted_min: u32, _all: u32) -> anyhow::Result<()> {
        let mut line = NatsLine::connect(self.port)?;
        let (mut sent, mut acknowledged) = (self.published, self.published);
        while acknowledged < accepted_min {
            while sent < accepted_min && sent - acknowledged < UNACKNOWLEDGED_MAX {
                sent += 1;
                line.publish("records", json(sent).as_bytes())?;
            }
            line.flush()?;
            for _ in 0..(sent - acknowledged).div_ceil(2) {
                let answer: serde_json::Value = serde_json::from_slice(&line.message()?.1)?;
                ensure!(answer["error"].is_null(), "not acknowledged: {answer}");
                acknowledged += 1;
            }
        }
        self.published = accepted_min;
        Ok(())
    }

    fn crash(&mut self) -> anyhow::Result<()> {
        self.edge = None;
        self.edge = Some(server(&self.program, &self.folder, "edge", self.port)?);
        // It listens before it has its streams again, and what is published until then is not even refused.
        wait::until_true("the stream", START_LIMIT, || {
            let line = NatsLine::connect_patiently(self.port, RECOVERY_LOOK);
            line.and_then(|mut line| line.ask("$JS.API.STREAM.INFO.RECORDS", &value!({}))).is_ok()
        });
        Ok(())
    }

    fn connect(&mut self) -> anyhow::Result<()> {
        self.relay.up();
        Ok(())
    }

    fn arrived(&mut self) -> anyhow::Result<u32> {
        let info = NatsLine::connect(self.centre_port)?.ask("$JS.API.STREAM.INFO.ALL", &value!({}))?;
        Ok(u32::try_from(info["state"]["messages"].as_u64().unwrap_or(0))?)
    }

    fn numbers(&mut self) -> anyhow::Result<Vec<u32>> {
        let count = self.arrived()?;
        let mut line = NatsLine::connect(self.centre_port)?;
        let config = value!({
            "deliver_subject": DELIVERIES, "deliver_policy": "all", "ack_policy": "none",
            "replay_policy": "instant",
        });
        let consumer = value!({"stream_name": "ALL", "config": config});
        line.publish("$JS.API.CONSUMER.CREATE.ALL", consumer.to_string().as_bytes())?;
        line.flush()?;
        let mut numbers = Vec::new();
        while numbers.len() < count as usize {
            let (delivered, message) =
                line.message().with_context(|| format!("{} of {count} delivered", numbers.len()))?;
            let text = String::from_utf8(message)?;
            if delivered {
                numbers.push(number_of(&text)?);
            } else {
                ensure!(!text.contains("\"error\""), "no consumer: {text}");
            }
        }
        Ok(numbers)
    }

    fn usage(&self) -> Usage {
        self.edge.as_ref().map(Process::usage).unwrap_or_default()
    }

    fn wire_bytes(&self) -> u64 {
        self.relay.bytes()
    }
}
