//! The forwarder of [`super::forwarder`] as a rival, with a durable sink at its centre.

use std::path::Path;

use super::filler::Filler;
use super::process::Usage;
use super::relay::Relay;
use super::rival::Rival;
use super::sink::Sink;

pub(crate) struct Naive {
    sink: Sink,
    relay: Relay,
    words: Vec<String>,
    filler: Option<Filler>,
    accepted: u32,
    forgotten: u32,
}

impl Naive {
    pub(crate) fn start(folder: &Path, records: u32) -> anyhow::Result<Self> {
        let sink = Sink::start(folder)?;
        let relay = Relay::start(sink.port())?;
        let file = folder.join("forwarder.db").to_string_lossy().into_owned();
        let url = format!("http://127.0.0.1:{}/v1/records", relay.port());
        let words = vec!["forwarder".to_owned(), file, url, records.to_string()];
        Ok(Self { sink, relay, words, filler: None, accepted: 0, forgotten: 0 })
    }

    fn run(&mut self) -> anyhow::Result<&mut Filler> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match &mut self.filler {
            Some(filler) => Ok(filler),
            none => Ok(none.insert(Filler::start(&words)?)),
        }
    }
}

impl Rival for Naive {
    fn fill(&mut self, accepted_min: u32, _all: u32) -> anyhow::Result<()> {
        let accepted = self.accepted;
        let filler = self.run()?;
        let forgotten = accepted.saturating_sub(filler.from);
        filler.wait_for(accepted_min)?;
        self.accepted = filler.accepted;
        self.forgotten += forgotten;
        Ok(())
    }

    fn crash(&mut self) -> anyhow::Result<()> {
        self.filler = None;
        self.run().map(drop)
    }

    fn connect(&mut self) -> anyhow::Result<()> {
        self.relay.up();
        Ok(())
    }

    fn arrived(&mut self) -> anyhow::Result<u32> {
        Ok(self.sink.arrived())
    }

    fn numbers(&mut self) -> anyhow::Result<Vec<u32>> {
        self.sink.numbers()
    }

    fn forgotten(&self) -> u32 {
        self.forgotten
    }

    fn usage(&self) -> Usage {
        self.filler.as_ref().map(Filler::usage).unwrap_or_default()
    }

    fn wire_bytes(&self) -> u64 {
        self.relay.bytes()
    }
}
