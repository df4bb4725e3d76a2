//! What the programs say of input that is wrong: the place, the mend, and what came after it still works.

use std::time::Duration;

use serde_json::{Value, json};
use system_tests::house::{House, Plan};
use system_tests::program::{self, Ended};
use system_tests::{driver, wait};

const LIMIT: Duration = Duration::from_secs(20);

/// The output of a command on a configuration file with this content.
fn complaints(binary: &str, config: &str) -> Ended {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.toml");
    std::fs::write(&path, config).expect("written");
    program::run(binary, &["check", "--config", &path.to_string_lossy()]).expect("runs")
}

#[test]
fn three_mistakes_in_the_agents_configuration_are_reported_with_their_lines() {
    let ended = complaints(
        "milepost-agent",
        "device = \"truck 7\"\n[spool]\npath = \"s.db\"\nquota = 5\n[gateway]\nurl = \"http://x\"\nca = \"a\"\n\
         certificate = \"b\"\nkey = \"c\"\n",
    );
    assert_eq!(ended.code, Some(2), "{ended:?}");
    for place in ["line 1: device", "line 4: spool.quota", "line 6: gateway.url"] {
        assert!(ended.err.contains(place), "{place} is not in {ended:?}");
    }
}

#[test]
fn three_mistakes_in_the_gateways_configuration_are_reported_with_their_lines() {
    let ended = complaints(
        "milepost-gateway",
        "fleet = \"acme\"\n[store]\npath = 7\n[ingest]\nlisten = \"everywhere\"\ncertificate = \"a\"\nkey = \"b\"\n\
         client_ca = \"c\"\n[pages]\nlisten = \"127.0.0.1:0\"\nport = 1\n",
    );
    assert_eq!(ended.code, Some(2), "{ended:?}");
    for place in ["line 3: store.path", "line 5: ingest.listen", "line 11: pages.port"] {
        assert!(ended.err.contains(place), "{place} is not in {ended:?}");
    }
}

#[test]
fn torn_sentences_and_unknown_frames_are_counted_and_the_rest_is_decoded() {
    let folder = tempfile::tempdir().expect("a folder");
    let decode = |kind: &str, content: &str| {
        let path = folder.path().join(kind);
        std::fs::write(&path, content).expect("written");
        let ended = program::run("milepost-agent", &["decode", kind, &path.to_string_lossy()]).expect("runs");
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let first = ended.out.lines().next().expect("a line");
        (serde_json::from_str::<Value>(first).expect("JSON"), ended.err)
    };
    let fix = "$GPRMC,120000.00,A,5206.0000,N,00454.0000,E,0.0,0.0,010621,,,A*";
    let good = format!("{fix}{:02X}\r\n", fix[1..fix.len() - 1].bytes().fold(0, |sum, byte| sum ^ byte));
    let (first, faults) = decode("nmea", &format!("$GPRMC,1200{good}{fix}00\r\n{good}"));
    assert!(faults.contains("bad_checksum"), "{faults}");
    assert_eq!(first["time"], "2021-06-01T12:00:00.000Z", "{first}");

    let (first, faults) = decode("can", "(1.0) can0 123#00\nnonsense\n(2.0) can0 0CF00400#F0FF7D2025FFFFFF\n");
    assert_eq!(first["name"], "EEC1", "{first}");
    assert!(faults.contains("unknown_id"), "{faults}");
}

/// A certificate that the fleet's authority signed, of a device that nobody registered.
#[test]
fn a_device_that_is_not_registered_is_refused_with_a_reason_on_both_sides() {
    let mut house = House::new(&Plan::default()).expect("furnished");
    house.start_gateway().expect("starts");
    let config = house.path("agent.toml");
    let text = std::fs::read_to_string(&config).expect("read");
    let stranger = text.replace("\"truck-7.pem\"", "\"stranger.pem\"").replace("\"truck-7.key\"", "\"stranger.key\"");
    std::fs::write(&config, stranger).expect("written");
    house.start_agent().expect("starts, for an agent always does");
    let why = wait::until("the refusal", LIMIT, || {
        let status = house.agent_status()?;
        (status["uplink"]["state"] == "stopped").then(|| status["uplink"]["why"].to_string())
    });
    assert!(why.contains("stranger"), "{why}");
    let log = house.gateway.as_ref().expect("runs").output();
    assert!(log.contains("stranger"), "{log}");

    house.kill_agent();
    std::fs::write(&config, text).expect("written");
    house.start_agent().expect("starts");
    house.wait_until_drained(LIMIT);
}

/// A certificate of somebody else's authority.
#[test]
fn a_certificate_of_another_authority_is_refused() {
    let mut house = House::new(&Plan::default()).expect("furnished");
    house.start_gateway().expect("starts");
    let elsewhere = house.path("elsewhere");
    xtask::certs::issue(&elsewhere, "acme", &["truck-7"]).expect("issued");
    for file in ["truck-7.pem", "truck-7.key"] {
        std::fs::copy(elsewhere.join(file), house.path(file)).expect("copied");
    }
    house.start_agent().expect("starts");
    let why = wait::until("the refusal", LIMIT, || {
        let status = house.agent_status()?;
        (status["uplink"]["state"] == "stopped").then(|| status["uplink"]["why"].to_string())
    });
    assert!(why.contains("certificate"), "{why}");
}

#[test]
fn a_capture_for_an_unknown_stop_is_refused_and_the_next_one_is_accepted() {
    let plan = json!({"trips": [{"id": "T1", "device": "truck-7", "stops": [
        {"id": "S1", "shipment": "A", "kind": "delivery", "lat": 52.1, "lon": 4.9}
    ]}]});
    let mut house = House::new(&Plan { plan_json: Some(plan.to_string()), ..Plan::default() }).expect("furnished");
    house.start_gateway().expect("starts");
    house.start_agent().expect("starts");
    wait::until_true("the trip in the vehicle", LIMIT, || {
        house.agent_status().is_some_and(|status| status["trip"]["id"] == "T1")
    });
    let post = |stop: &str| {
        let pod = json!({"client_ref": stop, "stop": stop, "shipment": "A", "outcome": "completed"});
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let mut response = agent.post(format!("{}/v1/pods", house.agent_url())).send_json(pod).expect("answers");
        (response.status().as_u16(), response.body_mut().read_json::<Value>().expect("JSON"))
    };
    let (status, answer) = post("S9");
    assert_eq!((status, &answer["code"]), (422, &json!("unknown_stop")), "{answer}");
    assert!(answer["mend"].as_str().is_some_and(|mend| !mend.is_empty()), "{answer}");
    assert_eq!(post("S1").0, 201);
    house.wait_until_drained(LIMIT);
    let agent = driver::http();
    let metrics = agent.get(format!("{}/metrics", house.agent_url())).call().expect("metrics");
    let metrics = metrics.into_body().read_to_string().expect("text");
    assert!(metrics.contains("unknown_stop"), "{metrics}");
}

/// A disk that is not there yet, as after a fault in the vehicle's wiring.
#[test]
fn an_agent_without_a_disk_starts_says_so_refuses_captures_and_works_once_it_is_there() {
    let mut house = House::new(&Plan::default()).expect("furnished");
    house.start_gateway().expect("starts");
    let config = house.path("agent.toml");
    let text = std::fs::read_to_string(&config).expect("read");
    std::fs::write(&config, text.replace("\"spool.db\"", "\"disk/spool.db\"")).expect("written");
    house.start_agent().expect("starts, for an agent always does");
    let post = |client_ref: &str| {
        let action = json!({"client_ref": client_ref, "action": "arrived", "stop": "S1"});
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let mut response = agent.post(format!("{}/v1/driver", house.agent_url())).send_json(action).expect("answers");
        (response.status().as_u16(), response.body_mut().read_json::<Value>().expect("JSON"))
    };
    let (status, answer) = post("a");
    assert_eq!((status, &answer["code"]), (503, &json!("not_accepted")), "{answer}");
    let obstacle = house.agent_status().expect("a status")["spool"]["obstacle"].to_string();
    assert!(obstacle.contains("unable to open"), "{obstacle}");

    std::fs::create_dir(house.path("disk")).expect("the disk appears");
    wait::until_true("a capture to be accepted", LIMIT, || post("a").0 == 201);
    house.wait_until_drained(LIMIT);
}
