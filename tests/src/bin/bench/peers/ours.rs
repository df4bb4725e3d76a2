//! Our own agent: its spool, filled by its own code in a small process, then handed over by the real `milepost-agent` to
//! the real `milepost-gateway`. The records do not pass through a receiver and the reporting policy, as no rival has either.

use system_tests::house::{House, Plan};
use system_tests::journal::Journal;

use super::filler::Filler;
use super::process::Usage;
use super::record::number_at;
use super::relay::Relay;
use super::rival::Rival;

pub(crate) struct Ours {
    house: House,
    relay: Relay,
    filler: Option<Filler>,
    filled: Usage,
    accepted: u32,
    forgotten: u32,
}

impl Ours {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let mut house = House::new(&Plan::default())?;
        house.start_gateway()?;
        let relay = Relay::start(house.ingest_port())?;
        house.route_agent_to(relay.port())?;
        Ok(Self { house, relay, filler: None, filled: Usage::default(), accepted: 0, forgotten: 0 })
    }
}

impl Rival for Ours {
    fn fill(&mut self, accepted_min: u32, all: u32) -> anyhow::Result<()> {
        let filler = match &mut self.filler {
            Some(filler) => filler,
            none => {
                let path = self.house.path("spool.db");
                none.insert(Filler::start(&["spool", &path.to_string_lossy(), &all.to_string()])?)
            }
        };
        self.forgotten += self.accepted.saturating_sub(filler.from);
        filler.wait_for(accepted_min)?;
        self.accepted = filler.accepted;
        Ok(())
    }

    fn crash(&mut self) -> anyhow::Result<()> {
        if self.filler.take().is_none() {
            self.house.kill_agent();
            self.house.start_agent()?;
        }
        Ok(())
    }

    fn connect(&mut self) -> anyhow::Result<()> {
        if let Some(filler) = self.filler.take() {
            self.filled = filler.finish()?;
        }
        self.relay.up();
        self.house.start_agent()
    }

    fn arrived(&mut self) -> anyhow::Result<u32> {
        let Some(status) = self.house.agent_status() else { return Ok(0) };
        let lane = &status["spool"]["lanes"][2];
        let left =
            lane["last_sequence"].as_u64().zip(lane["waiting"].as_u64()).map_or(0, |(last, waiting)| last - waiting);
        Ok(u32::try_from(left)?)
    }

    fn numbers(&mut self) -> anyhow::Result<Vec<u32>> {
        let journal = Journal::read(&self.house.path("gateway.db"))?;
        let telemetry = journal.lanes.iter().filter(|((_, _, lane), _)| lane == "telemetry");
        Ok(telemetry.flat_map(|(_, records)| records).filter_map(|(_, record)| number_at(record)).collect())
    }

    fn forgotten(&self) -> u32 {
        self.forgotten
    }

    fn usage(&self) -> Usage {
        let agent = self.house.agent.as_ref().and_then(|agent| Usage::of(agent.id())).unwrap_or_default();
        let filler = self.filler.as_ref().map_or(self.filled, Filler::usage);
        filler.and_then(agent)
    }

    fn wire_bytes(&self) -> u64 {
        self.relay.bytes()
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // The agent goes before the line and the gateway do.
        self.house.kill_agent();
    }
}
