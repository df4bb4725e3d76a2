//! Both programs killed again and again at random moments while a vehicle drives and a driver captures.
//!
//! What must hold afterwards, whatever the moments were: the gateway holds exactly the captures that were accepted, each
//! once; every lane of every spool is whole, without a hole and without a double; nothing is contested.

use std::time::Duration;

use crate::chance::Chance;
use crate::driver::{self, Phone};
use crate::house::{DEVICE, House, Plan};
use crate::journal::Journal;
use crate::live_drive::{LiveDrive, stop_place};
use crate::wait;

/// Stops of the round, after the first.
const STOPS: u32 = 2;
/// Shortest and longest time between two kills, milliseconds.
const BETWEEN_KILLS_MS: (u64, u64) = (900, 2_600);
/// How long draining may take once both programs are left alone.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);

/// What one run is made of.
pub struct KillRun<'a> {
    /// Gives the moments and the victims.
    pub seed: u64,
    /// How often something is killed.
    pub kills: u32,
    /// A broker on this port, if there is one.
    pub mqtt_port: Option<u16>,
    /// The shipment of each stop, the first stop's first.
    pub shipments: Vec<String>,
    /// More lines for `gateway.toml`.
    pub gateway_toml: &'a str,
}

/// Drives, captures, kills, drains and checks; gives the house for further questions.
///
/// # Errors
/// When the programs do not start.
///
/// # Panics
/// When a promise was broken; the message holds the seed.
pub fn run(plan: &KillRun<'_>) -> anyhow::Result<House> {
    let seed = plan.seed;
    let mut chance = Chance::new(seed);
    let mut house = furnish(plan)?;
    // Plugged in before the agent looks for it, but not moving before the vehicle knows its trip.
    let drive = LiveDrive::prepare(&house.path("gnss"))?;
    house.start_gateway()?;
    house.start_agent()?;
    wait_for_trip(&house);
    let drive = drive.start(STOPS);
    let deliveries = driver::deliver_all(&house.agent_url(), &plan.shipments);
    let mut phones = vec![Phone::over_http(&house.agent_url(), "http")];
    if let Some(port) = plan.mqtt_port {
        phones.push(Phone::over_mqtt(port, DEVICE, "mqtt"));
    }
    for _ in 0..plan.kills {
        wait::pause(chance.between_ms(BETWEEN_KILLS_MS.0, BETWEEN_KILLS_MS.1));
        kill_and_restart(&mut house, &mut chance)?;
    }
    wait::until_true("the round to end", Duration::from_secs(120), || drive.is_over());
    let mut accepted = deliveries.join().expect("the driver delivers");
    accepted.extend(phones.into_iter().flat_map(Phone::stop));
    accepted.sort();
    wait::until_true("every accepted capture at the gateway", DRAIN_LIMIT, || {
        Journal::read(&house.path("gateway.db")).is_ok_and(|journal| journal.client_refs().len() >= accepted.len())
    });
    house.wait_until_drained(DRAIN_LIMIT);
    let journal = Journal::read(&house.path("gateway.db"))?;
    assert_eq!(journal.client_refs(), accepted, "seed {seed}: captures lost or doubled");
    assert_eq!(journal.sequence_faults(), Vec::<String>::new(), "seed {seed}: holes or doubles");
    assert_eq!(journal.contested, 0, "seed {seed}: contested chunks");
    let count = journal.record_count();
    println!("seed {seed}: {} kills, {} captures, {count} records: 0 lost, 0 doubled", plan.kills, accepted.len());
    Ok(house)
}

fn furnish(plan: &KillRun<'_>) -> anyhow::Result<House> {
    let mqtt = plan.mqtt_port.map_or(String::new(), |port| format!("[mqtt]\nport = {port}\n\n"));
    House::new(&Plan {
        gateway_toml: format!("[rules]\ndwell_s_min = 2\n\n{}", plan.gateway_toml),
        agent_toml: format!(
            "{mqtt}[reporting]\ninterval_s = 1\ndistance_m = 10.0\n\n\
             [[source]]\nname = \"gnss\"\nkind = \"nmea_serial\"\npath = \"gnss\"\n"
        ),
        plan_json: Some(plan_json(&plan.shipments)),
    })
}

/// One trip with a delivery at each stop of the round.
fn plan_json(shipments: &[String]) -> String {
    let stops: Vec<_> = (0..)
        .zip(shipments)
        .map(|(index, shipment)| {
            let (lat, lon) = stop_place(index);
            serde_json::json!({
                "id": format!("S{}", index + 1), "shipment": shipment, "kind": "delivery",
                "lat": lat, "lon": lon, "radius_m": 40.0
            })
        })
        .collect();
    serde_json::json!({"trips": [{"id": "T1", "device": DEVICE, "stops": stops}]}).to_string()
}

fn wait_for_trip(house: &House) {
    wait::until_true("the trip in the vehicle", Duration::from_secs(20), || {
        house.agent_status().is_some_and(|status| status["trip"]["id"] == "T1")
    });
}

fn kill_and_restart(house: &mut House, chance: &mut Chance) -> anyhow::Result<()> {
    let victim = chance.below(5);
    if victim != 0 {
        house.kill_agent();
    }
    if victim <= 2 {
        house.kill_gateway();
    }
    wait::pause(chance.between_ms(0, 300));
    if house.gateway.is_none() {
        house.start_gateway()?;
    }
    if house.agent.is_none() {
        house.start_agent()?;
    }
    Ok(())
}
