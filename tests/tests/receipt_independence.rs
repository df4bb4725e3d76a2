//! Receipts depend on the gateway's own disk and on nothing else: an Odoo that never answers delays none.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;
use system_tests::house::{House, Plan};
use system_tests::{driver, wait};

const LIMIT: Duration = Duration::from_secs(20);
const CAPTURES: usize = 40;

#[test]
fn an_odoo_that_never_answers_delays_no_receipt() {
    // Takes connections into its backlog and never says a word: worse than a refusal.
    let black_hole = TcpListener::bind("127.0.0.1:0").expect("a port");
    let odoo = black_hole.local_addr().expect("an address");
    let plan = json!({"trips": [{"id": "T1", "device": "truck-7", "stops": [
        {"id": "S1", "shipment": "A", "kind": "delivery", "lat": 52.1, "lon": 4.9}
    ]}]});
    let mut house = House::new(&Plan {
        gateway_toml: format!("[odoo]\nurl = \"http://{odoo}\"\ndatabase = \"x\"\napi_key_file = \"odoo.key\"\n"),
        plan_json: Some(plan.to_string()),
        ..Plan::default()
    })
    .expect("furnished");
    std::fs::write(house.path("odoo.key"), "secret").expect("written");
    house.start_gateway().expect("starts although Odoo does not");
    house.start_agent().expect("starts");
    let key = house.api_key("read").expect("a key");
    let http = driver::http();
    for n in 0..CAPTURES {
        let pod = json!({
            "client_ref": format!("p{n}"), "stop": "S1", "shipment": "A", "outcome": "completed", "revision": n + 1,
        });
        http.post(format!("{}/v1/pods", house.agent_url())).send_json(pod).expect("accepted");
        // Far below any timeout towards Odoo: a receipt that waited for it would be missed here.
        house.wait_until_drained(Duration::from_secs(5));
    }
    let owed = wait::until("effects that Odoo is owed", LIMIT, || {
        let outbox = house.api(&key, "/api/v1/outbox").ok()?;
        let owed = outbox["owed"].as_array()?.len();
        (owed > 0).then_some(owed)
    });
    println!("{CAPTURES} captures received while {owed} effects wait for Odoo");
}
