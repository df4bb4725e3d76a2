//! Nothing is lost and nothing doubled when either program is killed at any moment.

use system_tests::kill_run::{KillRun, run};

/// Two short runs without Odoo; the runs with it are in `odoo_kill.rs`.
#[test]
fn accepted_captures_survive_kills_of_agent_and_gateway() {
    let mqtt_port = std::env::var("MILEPOST_MQTT_PORT").ok().and_then(|port| port.parse().ok());
    if mqtt_port.is_none() {
        println!("without MQTT: no broker (set MILEPOST_MQTT_PORT)");
    }
    for seed in [1, 2] {
        let shipments = ["A", "B", "C"].map(str::to_owned).to_vec();
        run(&KillRun { seed, kills: 10, mqtt_port, shipments, gateway_toml: "" }).expect("the programs start");
    }
}
