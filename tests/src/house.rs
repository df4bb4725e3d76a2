//! A gateway and an agent in one scratch folder, joined by mutual TLS, to be started, killed and started again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{self, Ended, Program};
use crate::{driver, wait};

/// The fleet of every test.
pub const FLEET: &str = "acme";
/// The device of every test.
pub const DEVICE: &str = "truck-7";
/// Longest time anything here may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);

/// What a house is furnished with.
#[derive(Debug, Default)]
pub struct Plan {
    /// More lines for `gateway.toml`: `[odoo]`, `[rules]`, …
    pub gateway_toml: String,
    /// More lines for `agent.toml`: `[[source]]`, `[mqtt]`, …
    pub agent_toml: String,
    /// The plan file, as JSON.
    pub plan_json: Option<String>,
}

/// The two programs and where they live.
pub struct House {
    folder: TempDir,
    ports: Ports,
    /// The gateway, while it runs.
    pub gateway: Option<Program>,
    /// The agent, while it runs.
    pub agent: Option<Program>,
    /// Variables that the next agent is started with.
    pub agent_environment: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    ingest: u16,
    pages: u16,
    agent: u16,
}

impl House {
    /// A house in which nothing runs yet.
    ///
    /// # Errors
    /// When its folder cannot be furnished.
    pub fn new(plan: &Plan) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let [ingest, pages, agent] = xtask::port::free()?;
        let house = Self {
            folder,
            ports: Ports { ingest, pages, agent },
            gateway: None,
            agent: None,
            agent_environment: Vec::new(),
        };
        xtask::certs::issue(house.folder.path(), FLEET, &[DEVICE, "stranger"])?;
        std::fs::write(house.path("gateway.toml"), house.gateway_toml(plan))?;
        std::fs::write(house.path("agent.toml"), house.agent_toml(&plan.agent_toml))?;
        if let Some(json) = &plan.plan_json {
            std::fs::write(house.path("plan.json"), json)?;
        }
        Ok(house)
    }

    fn gateway_toml(&self, plan: &Plan) -> String {
        let Ports { ingest, pages, .. } = self.ports;
        let plan_line = plan.plan_json.as_ref().map_or("", |_| "plan = \"plan.json\"\n");
        let mut text = format!(
            "fleet = \"{FLEET}\"\n{plan_line}\n[store]\npath = \"gateway.db\"\n\n\
             [ingest]\nlisten = \"127.0.0.1:{ingest}\"\ncertificate = \"gateway.pem\"\nkey = \"gateway.key\"\n\
             client_ca = \"ca.pem\"\n\n[pages]\nlisten = \"127.0.0.1:{pages}\"\n\n"
        );
        write!(
            text,
            "[[vehicle]]\nid = \"van-1\"\nlicense_plate = \"MP-001\"\n\n[[device]]\nid = \"{DEVICE}\"\nvehicle = \"van-1\"\n\n{}",
            plan.gateway_toml
        )
        .ok();
        text
    }

    fn agent_toml(&self, more: &str) -> String {
        let Ports { ingest, agent, .. } = self.ports;
        format!(
            "device = \"{DEVICE}\"\n\n[spool]\npath = \"spool.db\"\ngroup_ms = 200\nfree_mib_min = 0\n\n\
             [gateway]\nurl = \"https://127.0.0.1:{ingest}\"\nca = \"ca.pem\"\ncertificate = \"{DEVICE}.pem\"\n\
             key = \"{DEVICE}.key\"\ngather_ms = 300\nheartbeat_s = 1\nretry_s_max = 1\n\n\
             [http]\nlisten = \"127.0.0.1:{agent}\"\n\n{more}"
        )
    }

    /// Lets the agent keep its spool at `place` instead of in the house.
    ///
    /// # Errors
    /// When the agent's configuration cannot be changed.
    pub fn move_spool(&self, place: &Path) -> anyhow::Result<()> {
        let toml = std::fs::read_to_string(self.path("agent.toml"))?;
        let moved = toml.replace("path = \"spool.db\"", &format!("path = \"{}\"", text(place)?));
        anyhow::ensure!(moved != toml, "agent.toml names no spool.db");
        Ok(std::fs::write(self.path("agent.toml"), moved)?)
    }

    /// A file in the house.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Lets the agent reach the gateway by another port of this machine, where something stands between them.
    ///
    /// # Errors
    /// When the agent's configuration cannot be changed.
    pub fn route_agent_to(&self, port: u16) -> anyhow::Result<()> {
        let toml = std::fs::read_to_string(self.path("agent.toml"))?;
        let routed = toml.replace(&self.ingest_url(), &format!("https://127.0.0.1:{port}"));
        anyhow::ensure!(routed != toml, "agent.toml does not name the gateway");
        Ok(std::fs::write(self.path("agent.toml"), routed)?)
    }

    /// The port at which the gateway takes batches.
    #[must_use]
    pub const fn ingest_port(&self) -> u16 {
        self.ports.ingest
    }

    /// Where the agent's local pages are.
    #[must_use]
    pub fn agent_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.agent)
    }

    /// Where the gateway's pages are.
    #[must_use]
    pub fn pages_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.pages)
    }

    /// Where the gateway takes batches.
    #[must_use]
    pub fn ingest_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.ingest)
    }

    /// Starts the gateway and waits until it serves.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_gateway(&mut self) -> anyhow::Result<()> {
        let config = self.path("gateway.toml");
        let arguments = ["serve", "--config", text(&config)?];
        self.gateway = Some(Program::start("milepost-gateway", &arguments, &self.path("gateway.log"))?);
        let url = format!("{}/healthz", self.pages_url());
        self.wait_for(&url, |house| house.gateway.as_mut())
    }

    /// Starts the agent and waits until its pages answer.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_agent(&mut self) -> anyhow::Result<()> {
        let config = self.path("agent.toml");
        let arguments = ["run", "--config", text(&config)?];
        self.agent =
            Some(Program::start_in(&self.agent_environment, "milepost-agent", &arguments, &self.path("agent.log"))?);
        let url = format!("{}/status", self.agent_url());
        self.wait_for(&url, |house| house.agent.as_mut())
    }

    fn wait_for(&mut self, url: &str, program: impl Fn(&mut Self) -> Option<&mut Program>) -> anyhow::Result<()> {
        let http = driver::http();
        let outcome = wait::until(url, START_LIMIT, || {
            if http.get(url).call().is_ok() {
                return Some(Ok(()));
            }
            let program = program(self)?;
            (!program.is_running()).then(|| Err(anyhow::anyhow!("it ended at once:\n{}", program.output())))
        });
        outcome.with_context(|| format!("waiting for {url}"))
    }

    /// Kills the gateway.
    pub fn kill_gateway(&mut self) {
        self.gateway = None;
    }

    /// Kills the agent.
    pub fn kill_agent(&mut self) {
        self.agent = None;
    }

    /// The agent's status.
    #[must_use]
    pub fn agent_status(&self) -> Option<Value> {
        let url = format!("{}/status", self.agent_url());
        driver::http().get(&url).call().ok()?.body_mut().read_json().ok()
    }

    /// Waits until nothing waits in the agent's spool.
    ///
    /// # Panics
    /// When something still waits after `limit`.
    pub fn wait_until_drained(&self, limit: Duration) {
        wait::until_true("the spool to drain", limit, || {
            self.agent_status().is_some_and(|status| {
                let lanes = status["spool"]["lanes"].as_array().cloned().unwrap_or_default();
                !lanes.is_empty()
                    && lanes.iter().all(|lane| lane["waiting"] == 0)
                    && status["spool"]["blobs_waiting"] == 0
            })
        });
    }

    /// Waits until nothing waits in the evidence lane of the agent's spool.
    ///
    /// # Panics
    /// When something still waits after `limit`.
    pub fn wait_until_evidence_is_gone(&self, limit: Duration) {
        wait::until_true("the evidence to be handed over", limit, || {
            self.agent_status().is_some_and(|status| status["spool"]["lanes"][0]["waiting"] == 0)
        });
    }

    /// Runs the gateway's command line on this house's configuration.
    ///
    /// # Errors
    /// When the binary does not run.
    pub fn gateway_command(&self, words: &[&str]) -> anyhow::Result<Ended> {
        let config = self.path("gateway.toml");
        program::run("milepost-gateway", &[words, &["--config", text(&config)?]].concat())
    }

    /// An API key with this scope.
    ///
    /// # Errors
    /// When the gateway's command line does not give one.
    pub fn api_key(&self, scope: &str) -> anyhow::Result<String> {
        let ended = self.gateway_command(&["key", "create", "test", "--scope", scope])?;
        let key = ended.out.split_whitespace().find(|word| word.starts_with("mpk_"));
        key.map(str::to_owned).with_context(|| format!("no key in: {ended:?}"))
    }

    /// What the gateway's API answers to a GET of `path`.
    ///
    /// # Errors
    /// When it does not answer 200 with JSON.
    pub fn api(&self, key: &str, path: &str) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.pages_url());
        let request = driver::http().get(&url).header("Authorization", format!("Bearer {key}"));
        Ok(request.call()?.body_mut().read_json()?)
    }

    /// What both programs printed, for a failing test.
    #[must_use]
    pub fn logs(&self) -> String {
        let log = |name: &str| std::fs::read_to_string(self.path(name)).unwrap_or_default();
        format!("--- gateway\n{}\n--- agent\n{}", log("gateway.log"), log("agent.log"))
    }
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("the scratch folder's path is not text")
}
