//! Where the demo plays: certificates, configurations, the gateway, the agent, and how to ask both.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use milepost_proto::{Sha256, Timestamp, Trip};
use rustix::process::Signal;
use serde_json::Value;

use super::relay::Relay;
use crate::clock::Stopwatch;
use crate::interrupt::Interrupt;
use crate::odoo::Odoo;
use crate::odoo_story::{self, ConfirmedOrder, Order};
use crate::service::{Account, Service};
use crate::{certs, port, program, workspace};

const FLEET: &str = "demo";
const DEVICE: &str = "truck-7";
const LICENSE_PLATE: &str = "MP-DEMO-7";
/// When Odoo's deliveries are due: the day of the recorded drive.
const SCHEDULED: &str = "2019-10-31 23:20:00";
const USER: &str = "demo";
const START_PATIENCE: Duration = Duration::from_secs(30);
/// Longest time either program may take to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);
/// Longest time an imported order may take to reach the vehicle.
const ORDER_PATIENCE: Duration = Duration::from_secs(60);

/// Where the planned work comes from.
pub(super) enum Orders {
    /// The plan file beside the recording; Odoo calls are only written down.
    InPlanFile,
    /// Confirmed sale orders in a real Odoo.
    InOdoo {
        /// The story's own way to Odoo.
        odoo: odoo_story::Odoo,
        /// The orders, in stop order.
        orders: Vec<ConfirmedOrder>,
    },
}

/// The running programs and where they are.
pub(super) struct Stage {
    folder: PathBuf,
    relay: Relay,
    pages: SocketAddr,
    agent_pages: SocketAddr,
    api_key: String,
    password: String,
    agent: Option<Service>,
    // Last, so that it stops after the agent.
    _gateway: Service,
}

/// The gateway's API as the demo's audience may read it.
#[derive(Clone)]
pub(super) struct Api {
    pages: SocketAddr,
    key: String,
}

/// What the agent says of itself.
pub(super) struct AgentStatus(pub(super) Value);

impl Orders {
    /// Confirms an order for each delivery of the plan file, and plans them on the demo's truck.
    pub(super) fn in_odoo(service: &Odoo, watch: Stopwatch) -> Result<Self> {
        let key = fs::read_to_string(service.key_file()).context("failed to read Odoo's API key")?;
        let odoo = odoo_story::Odoo::new(service.url(), service.database(), key.trim());
        let plan: milepost_proto::Plan =
            serde_json::from_str(&fs::read_to_string(recording("seattle-bus.plan.json"))?)?;
        let mut orders = Vec::new();
        for stop in plan.trips.iter().flat_map(|trip| &trip.stops).filter(|stop| stop.shipment.is_some()) {
            let order = odoo.confirm_order(&Order {
                customer: stop.name.clone().unwrap_or_else(|| stop.id.clone()),
                place: Some((stop.lat, stop.lon)),
                barcode: format!("DEMO-{}", stop.id),
                quantity: 2,
            })?;
            odoo.schedule(order.picking_id, SCHEDULED)?;
            watch.say(&format!("Odoo: {} is confirmed, its delivery is {}", order.sale_order, order.picking));
            orders.push(order);
        }
        let pickings: Vec<i64> = orders.iter().map(|order| order.picking_id).collect();
        let batch = odoo.plan_batch(&pickings, LICENSE_PLATE)?;
        watch.say(&format!("Odoo: {batch} puts them on the truck {LICENSE_PLATE}"));
        Ok(Self::InOdoo { odoo, orders })
    }
}

impl Stage {
    /// Writes certificates and configurations into `folder` and starts the gateway.
    pub(super) fn set(folder: &Path, orders: &Orders, interrupt: &Interrupt, watch: Stopwatch) -> Result<Self> {
        let folder = folder.join("stage");
        certs::issue(&folder, FLEET, &[DEVICE])?;
        let [ingest, pages, agent_pages] = port::free()?.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let relay = Relay::start(ingest)?;
        fs::write(folder.join("gateway.toml"), gateway_toml(&folder, orders, ingest, pages)?)?;
        fs::write(folder.join("agent.toml"), agent_toml(relay.address(), agent_pages))?;
        if matches!(orders, Orders::InPlanFile) {
            fs::copy(recording("seattle-bus.plan.json"), folder.join("plan.json"))?;
        }
        let config = folder.join("gateway.toml").display().to_string();
        let gateway = start("milepost-gateway", &["serve", "--config", &config], &folder.join("gateway.log"))?;
        let mut stage = Self {
            relay,
            pages,
            agent_pages,
            api_key: String::new(),
            password: String::new(),
            agent: None,
            _gateway: gateway,
            folder,
        };
        let health = format!("http://{pages}/healthz");
        stage._gateway.wait_until(interrupt, START_PATIENCE, || http().get(&health).call().is_ok())?;
        stage.let_audience_in(&config)?;
        watch.say(&format!("the gateway takes batches at https://{ingest} and shows its board at http://{pages}/"));
        Ok(stage)
    }

    /// Creates an API key and a user by the gateway's own command line.
    fn let_audience_in(&mut self, config: &str) -> Result<()> {
        let gateway = workspace::binaries()?.join("milepost-gateway");
        let command = |words: &[&str]| {
            let mut command = Command::new(&gateway);
            command.args(words).args(["--config", config]);
            command
        };
        let printed =
            program::output(&mut command(&["key", "create", "demo", "--scope", "read", "--scope", "metrics"]))?;
        let key = printed.split_whitespace().find(|word| word.starts_with("mpk_"));
        key.context("the gateway gave no API key")?.clone_into(&mut self.api_key);
        // As unguessable as the key, and gone with the demo.
        self.password = Sha256::of(self.api_key.as_bytes()).to_string()[..12].to_owned();
        let password = self.folder.join("password");
        fs::write(&password, &self.password)?;
        let mut add = command(&["user", "add", USER, "--role", "operator"]);
        let added = add.stdin(fs::File::open(&password)?).output().context("failed to start the gateway")?;
        ensure!(added.status.success(), "no user was added: {}", String::from_utf8_lossy(&added.stderr));
        Ok(())
    }

    /// Waits until every order is a shipment at the gateway.
    pub(super) fn wait_for_orders(&self, orders: &Orders, interrupt: &Interrupt) -> Result<()> {
        let Orders::InOdoo { orders, .. } = orders else { return Ok(()) };
        let watch = Stopwatch::start();
        loop {
            let shipments = self.api().get("/api/v1/shipments")?.to_string();
            if orders.iter().all(|order| shipments.contains(&order.picking)) {
                return Ok(());
            }
            ensure!(watch.elapsed() < ORDER_PATIENCE, "the orders did not become shipments: {shipments}");
            interrupt.wait(Duration::from_millis(200))?;
        }
    }

    /// Starts the agent on the recorded drive.
    pub(super) fn start_drive(&mut self, speed: f64, interrupt: &Interrupt, watch: Stopwatch) -> Result<()> {
        let config = self.folder.join("agent.toml").display().to_string();
        let nmea = recording("seattle-bus.nmea").display().to_string();
        let arguments = ["replay", "--config", &config, "--speed", &speed.to_string(), "--nmea", &nmea];
        let mut agent = start("milepost-agent", &arguments, &self.folder.join("agent.log"))?;
        agent.wait_until(interrupt, START_PATIENCE, || self.agent_status().is_ok())?;
        self.agent = Some(agent);
        watch.say(&format!("the agent replays 27 minutes at ×{speed}; status page http://{}/", self.agent_pages));
        Ok(())
    }

    /// The gateway's API.
    pub(super) fn api(&self) -> Api {
        Api { pages: self.pages, key: self.api_key.clone() }
    }

    /// The link to cut.
    pub(super) const fn relay(&self) -> &Relay {
        &self.relay
    }

    /// What the agent says of itself.
    pub(super) fn agent_status(&self) -> Result<AgentStatus> {
        Ok(AgentStatus(http().get(self.agent_url("/status")).call()?.body_mut().read_json()?))
    }

    /// The trip as the vehicle knows it.
    pub(super) fn trip(&self) -> Result<Trip> {
        Ok(http().get(self.agent_url("/v1/trip")).call()?.body_mut().read_json()?)
    }

    /// An address of the agent's local pages.
    pub(super) fn agent_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.agent_pages)
    }

    /// The calls that would have gone to Odoo, a JSON object a line.
    pub(super) fn ledger(&self) -> String {
        fs::read_to_string(self.folder.join("odoo-calls.jsonl")).unwrap_or_default()
    }

    /// Says where to look at everything.
    pub(super) fn print_where_to_click(&self, odoo: Option<&Odoo>) {
        println!("\nWhere to click");
        println!("  vehicle status page  {}", self.agent_url("/"));
        println!("  gateway board        http://{}/   (user {USER}, password {})", self.pages, self.password);
        if let Some(odoo) = odoo {
            println!("  Odoo                 {}/odoo   (user admin, password admin)", odoo.url());
        }
        println!("  logs and stores      {}", self.folder.display());
    }
}

impl Api {
    /// What a GET of `path` answers.
    pub(super) fn get(&self, path: &str) -> Result<Value> {
        let request = http().get(format!("http://{}{path}", self.pages));
        let mut response = request.header("Authorization", format!("Bearer {}", self.key)).call()?;
        Ok(response.body_mut().read_json()?)
    }
}

impl AgentStatus {
    /// The recording's time now.
    pub(super) fn now(&self) -> Result<Timestamp> {
        Ok(self.0["now"].as_str().context("the status has no time")?.parse()?)
    }

    /// Whether nothing waits for the gateway.
    pub(super) fn is_drained(&self) -> bool {
        self.waiting() == 0 && self.0["spool"]["blobs_waiting"] == 0
    }

    fn waiting(&self) -> u64 {
        let lanes = self.0["spool"]["lanes"].as_array();
        lanes.into_iter().flatten().filter_map(|lane| lane["waiting"].as_u64()).sum()
    }

    /// A line about the link, for people.
    pub(super) fn describe_link(&self, cut: bool) -> String {
        if cut {
            "the uplink is cut; the agent keeps recording".to_owned()
        } else {
            format!("the uplink is back; {} records wait in the vehicle and drain", self.waiting())
        }
    }
}

/// A client that takes an answer that does not come for a failure.
pub(super) fn http() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(ANSWER_PATIENCE)).build().new_agent()
}

/// A file of the project's recordings.
pub(super) fn recording(name: &str) -> PathBuf {
    workspace::root().join("recordings").join(name)
}

fn start(binary: &'static str, arguments: &[&str], log: &Path) -> Result<Service> {
    Service::start(binary, &workspace::binaries()?.join(binary), arguments, Account::Own, log, Signal::TERM)
}

fn gateway_toml(folder: &Path, orders: &Orders, ingest: SocketAddr, pages: SocketAddr) -> Result<String> {
    let (plan, odoo) = match orders {
        Orders::InPlanFile => {
            fs::write(folder.join("odoo.key"), "not-used-in-a-dry-run")?;
            let odoo = "url = \"https://odoo.example\"\ndatabase = \"demo\"\nmode = \"dry_run\"\nledger = \"odoo-calls.jsonl\"\n";
            ("plan = \"plan.json\"\n", odoo.to_owned())
        }
        Orders::InOdoo { odoo, .. } => {
            fs::write(folder.join("odoo.key"), odoo.key())?;
            ("", format!("url = \"{}\"\ndatabase = \"{}\"\nmode = \"live\"\npoll_s = 1\n", odoo.url(), odoo.database()))
        }
    };
    Ok(format!(
        "fleet = \"{FLEET}\"\n{plan}\n[store]\npath = \"gateway.db\"\n\n\
         [ingest]\nlisten = \"{ingest}\"\ncertificate = \"gateway.pem\"\nkey = \"gateway.key\"\nclient_ca = \"ca.pem\"\n\n\
         [pages]\nlisten = \"{pages}\"\n\n[odoo]\napi_key_file = \"odoo.key\"\n{odoo}\n\
         [[vehicle]]\nid = \"van-7\"\nlicense_plate = \"{LICENSE_PLATE}\"\n\n\
         [[device]]\nid = \"{DEVICE}\"\nvehicle = \"van-7\"\n\n\
         # The last stand of the recorded drive is 50 s long.\n[rules]\ndwell_s_min = 30\n"
    ))
}

fn agent_toml(gateway: SocketAddr, pages: SocketAddr) -> String {
    format!(
        "device = \"{DEVICE}\"\n\n[spool]\npath = \"spool.db\"\n\n\
         [gateway]\nurl = \"https://{gateway}\"\nca = \"ca.pem\"\ncertificate = \"{DEVICE}.pem\"\nkey = \"{DEVICE}.key\"\n\
         gather_ms = 500\nheartbeat_s = 1\nretry_s_max = 1\n\n[http]\nlisten = \"{pages}\"\n\n\
         [[source]]\nname = \"gnss\"\nkind = \"nmea_serial\"\npath = \"gnss\"\n\n\
         [[source]]\nname = \"can\"\nkind = \"candump\"\npath = \"{}\"\n",
        recording("j1939.log").display()
    )
}
