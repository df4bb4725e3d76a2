//! Both programs killed at random while a vehicle delivers for a real Odoo: nothing lost, nothing doubled, and Odoo holds
//! each milestone once.
//!
//! Needs `MILEPOST_ODOO_URL`, `MILEPOST_ODOO_DB` and `MILEPOST_ODOO_KEY_FILE`; `cargo xtask test` sets them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use system_tests::house::House;
use system_tests::kill_run::{self, KillRun};
use system_tests::live_drive::stop_place;
use system_tests::wait;
use xtask::odoo_story::{ConfirmedOrder, Odoo, Order};

/// At least 50 kills within five runs.
const RUNS: u64 = 5;
const KILLS: u32 = 10;
const STOPS: u32 = 3;
/// Longest time the outbox may take, unknown outcomes included.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);

#[test]
fn odoo_holds_each_milestone_once_whatever_was_killed() {
    let Some(odoo) = Odoo::from_env().expect("the environment is complete") else {
        println!("skipped: no Odoo (set MILEPOST_ODOO_URL)");
        return;
    };
    let mqtt_port = std::env::var("MILEPOST_MQTT_PORT").ok().and_then(|port| port.parse().ok());
    for seed in 100..100 + RUNS {
        let orders: Vec<ConfirmedOrder> = (0..STOPS).map(|stop| confirm_order(&odoo, seed, stop)).collect();
        let shipments = orders.iter().map(|order| order.picking.clone()).collect();
        let gateway_toml = gateway_toml(&odoo);
        let plan = KillRun { seed, kills: KILLS, mqtt_port, shipments, gateway_toml: &gateway_toml };
        let house = kill_run::run(&plan).expect("the programs start");
        check_odoo(&odoo, &house, &orders, seed);
    }
}

fn confirm_order(odoo: &Odoo, seed: u64, stop: u32) -> ConfirmedOrder {
    let order = Order {
        customer: format!("Consignee {seed}/{stop}"),
        place: Some(stop_place(stop)),
        barcode: format!("KILL-{seed}-{stop}-{}", std::process::id()),
        quantity: 1,
    };
    odoo.confirm_order(&order).expect("Odoo confirms")
}

/// The story's Odoo answers within milliseconds, so a request that was lost is long over after two seconds.
fn gateway_toml(odoo: &Odoo) -> String {
    let key_file = std::env::var("MILEPOST_ODOO_KEY_FILE").expect("set");
    format!(
        "[odoo]\nurl = \"{}\"\ndatabase = \"{}\"\napi_key_file = \"{key_file}\"\nrequest_limit_s = 2\npoll_s = 3600\n",
        odoo.url(),
        odoo.database()
    )
}

fn check_odoo(odoo: &Odoo, house: &House, orders: &[ConfirmedOrder], seed: u64) {
    let key = house.api_key("read").expect("a key");
    wait::until_true("the outbox to settle", SETTLE_LIMIT, || {
        house.api(&key, "/api/v1/outbox").is_ok_and(|outbox| outbox["owed"].as_array().is_some_and(Vec::is_empty))
    });
    let page = house.api(&key, "/api/v1/milestones").expect("milestones");
    let milestones = page["milestones"].as_array().expect("a list");
    let arrived = milestones.iter().filter(|milestone| milestone["kind"] == "delivery.arrived").count();
    assert_eq!(arrived, orders.len(), "seed {seed}: every stop was reached: {milestones:#?}");
    for order in orders {
        let notes = odoo.notes(order.picking_id).expect("notes");
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for note in &notes {
            *counts.entry(&note.message_id).or_default() += 1;
        }
        assert!(counts.values().all(|count| *count == 1), "seed {seed}: doubled in Odoo: {counts:?}");
        for milestone in milestones.iter().filter(|milestone| milestone["shipment"] == order.picking.as_str()) {
            let told = announcements(&counts, milestone);
            assert_eq!(told, 1, "seed {seed}: {milestone} is announced {told} times in {counts:?}");
        }
    }
}

/// How many notes announce this milestone; corrections have keys of their own.
fn announcements(counts: &BTreeMap<&str, usize>, milestone: &Value) -> usize {
    let id = milestone["milestone_id"].as_str().unwrap_or("?");
    counts.iter().filter(|(key, _)| key.contains(id) && key.contains("stands")).map(|(_, count)| count).sum()
}
