//! Two vehicles for tests and screenshots: one healthy, one that needs its technician.

use std::collections::BTreeMap;

use milepost_proto::{Lane, TimeQuality, TimeSource, Timestamp};

use crate::source::can::bus_state::{BusState, ErrorCounters};
use crate::status::{
    BudgetStatus, BusStatus, ClockStatus, ControllerStatus, DbcStatus, GatewayStatus, LaneStatus, LastPosition,
    PoisonStatus, PollingStatus, SourceHealth, SourceStatus, SpentStatus, SpoolStatus, Status, UplinkHealth,
    UplinkStatus, WrongVehicle,
};
use crate::uplink::budget::LinkClass;

/// Everything works.
pub(crate) fn healthy() -> Status {
    Status {
        version: "0.1.0".to_owned(),
        device: "truck-7".to_owned(),
        now: now(),
        time_quality: TimeQuality { source: TimeSource::Gnss, error_ms: 1_012 },
        clock: ClockStatus { last_set_age_s: Some(15_090), steps: 0, battery_suspect: false },
        uptime_s: 15_132,
        boot_id: "6f1d5bd0a7c24fbf9f3e2f8f1d0c9a55".to_owned(),
        sources: vec![gnss(), can(), mqtt()],
        position: Some(LastPosition {
            time: now().plus_millis(-1_000),
            lat: 52.379_189,
            lon: 4.899_431,
            satellites: Some(11),
            hdop: Some(0.8),
        }),
        spool: spool(),
        uplink: UplinkStatus {
            gateway: "https://gateway.example:8443".to_owned(),
            gateways: vec![GatewayStatus { url: "https://gateway.example:8443".to_owned(), trouble: None }],
            state: UplinkHealth::Idle,
            why: None,
            last_receipt_age_s: Some(12),
            next_attempt_s: Some(18),
            failures: 0,
            settled: 48_211,
            refused: 0,
            poison: PoisonStatus::default(),
            budget: BudgetStatus {
                link: LinkClass::Metered,
                urgent: SpentStatus { bytes: 81_220, bytes_max: None },
                telemetry: SpentStatus { bytes: 402_118, bytes_max: Some(20 << 20) },
                blobs: SpentStatus { bytes: 0, bytes_max: None },
            },
            held: Vec::new(),
            sent_bytes: 402_118,
            requests: 611,
        },
        trip: serde_json::from_str(TRIP).ok(),
        captures_accepted: 9,
        captures_rejected: BTreeMap::from([("unknown_stop".to_owned(), 1)]),
    }
}

/// The receiver is unplugged, the certificate expired, and a hostile device writes markup on the CAN line.
pub(crate) fn broken() -> Status {
    let mut status = healthy();
    status.sources[0].state = SourceHealth::Lost;
    status.sources[0].why = Some("/dev/serial/by-id/usb-u-blox_GNSS_receiver-if00 is gone".to_owned());
    status.sources[0].last_reading_age_s = Some(4_210);
    status.sources[1].raw_tail = vec!["<script>alert(1)</script>\u{1b}[2J".to_owned(), "x".repeat(200)];
    status.sources[1].bus = troubled_bus();
    status.time_quality = TimeQuality::UNKNOWN;
    status.uplink.state = UplinkHealth::Stopped;
    status.uplink.why = Some("the gateway refused this device's certificate; enroll it again".to_owned());
    status.uplink.last_receipt_age_s = Some(187_000);
    status.uplink.next_attempt_s = None;
    status.uplink.failures = 4;
    status.uplink.poison =
        PoisonStatus { set_aside: 1, records: 1, evidence: 1, bytes: 412, why: Some("422 <no such stop>".to_owned()) };
    status.uplink.held = vec!["3 photos wait for Wi-Fi, at most 24 h; the link is metered".to_owned()];
    status.uplink.gateways.push(GatewayStatus {
        url: "https://second.example:8443".to_owned(),
        trouble: Some("the gateway cannot be reached: no route".to_owned()),
    });
    status.spool.disk_bytes = 221 << 20;
    status.spool.lanes[2].waiting = 1_204_334;
    status.spool.lanes[2].waiting_bytes = 190 << 20;
    status.trip = None;
    status
}

/// A bus with everything to say.
pub(crate) fn troubled_bus() -> BusStatus {
    BusStatus {
        controller: Some(ControllerStatus {
            state: BusState::Passive,
            errors: Some(ErrorCounters { transmit: 128, receive: 3 }),
        }),
        polling: Some(PollingStatus {
            requests: 40,
            answers: 28,
            timeouts: 12,
            asleep: true,
            unsupported: vec!["odometer".to_owned()],
        }),
        dbc: Some(DbcStatus {
            messages: 61,
            mistakes: 1,
            oddities: 0,
            first: vec!["/etc/milepost/body.dbc:4: message B: identifier 4096 has more than 11 bits".to_owned()],
        }),
        wrong_vehicle: Some(WrongVehicle {
            configured: "1XPBD49X1MD000002".to_owned(),
            heard: "1XPBD49X1MD000001".to_owned(),
        }),
    }
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_795_514_400_000)
}

fn gnss() -> SourceStatus {
    SourceStatus {
        name: "gnss".to_owned(),
        kind: "nmea_serial".to_owned(),
        state: SourceHealth::Heard,
        why: None,
        last_reading_age_s: Some(1),
        observed: 15_090,
        kept: 1_877,
        faults: BTreeMap::from([("bad_checksum".to_owned(), 3)]),
        raw_tail: vec![
            "$GPRMC,100000.00,A,5222.75134,N,00453.96586,E,12.4,271.0,241126,,,A*5B".to_owned(),
            "$GPGGA,100000.00,5222.75134,N,00453.96586,E,1,11,0.8,3.1,M,46.0,M,,*6D".to_owned(),
        ],
        bus: BusStatus::default(),
    }
}

fn can() -> SourceStatus {
    SourceStatus {
        name: "can0".to_owned(),
        kind: "candump".to_owned(),
        raw_tail: vec!["(1795514399.120000) can0 0CF00400#F07D7D8025000F7D".to_owned()],
        observed: 120_431,
        kept: 3_020,
        faults: BTreeMap::from([("not_available".to_owned(), 812), ("unknown_frame".to_owned(), 4_411)]),
        ..gnss()
    }
}

fn mqtt() -> SourceStatus {
    SourceStatus {
        name: "mqtt".to_owned(),
        kind: "mqtt".to_owned(),
        raw_tail: vec!["milepost/truck-7/pod (412 bytes)".to_owned()],
        last_reading_age_s: Some(1_800),
        observed: 0,
        kept: 0,
        faults: BTreeMap::new(),
        ..gnss()
    }
}

fn spool() -> SpoolStatus {
    let lane = |lane, waiting, waiting_bytes, last_sequence| LaneStatus {
        lane,
        waiting,
        waiting_bytes,
        oldest: (waiting > 0).then(|| now().plus_millis(-20_000)),
        last_sequence,
    };
    SpoolStatus {
        spool_id: "0123456789abcdef0123456789abcdef".to_owned(),
        obstacle: None,
        lanes: vec![
            lane(Lane::Evidence, 0, 0, 10),
            lane(Lane::Event, 2, 64, 402),
            lane(Lane::Telemetry, 20, 160, 47_999),
        ],
        disk_bytes: 1 << 20,
        quota_bytes: 256 << 20,
        free_bytes: Some(12 << 30),
        free_bytes_min: 64 << 20,
        blobs_waiting: 1,
    }
}

const TRIP: &str = r#"{"id":"T-2026-1124","stops":[
    {"id":"D","kind":"depot","lat":52.3,"lon":4.9,"name":"Depot West"},
    {"id":"S1","kind":"delivery","shipment":"P1","lat":52.3,"lon":4.9,"name":"Bakker & Zonen","address":"Keizersgracht 1"},
    {"id":"S2","kind":"delivery","shipment":"P2","lat":52.4,"lon":4.8}]}"#;
