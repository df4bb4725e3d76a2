//! What the golden files say, as values. Nothing here changes once a file of it is committed: other values make other files.

use milepost_proto::chunk::checksum;
use milepost_proto::reading::{Diagnostic, FixType, GapReason, Health, Signal, Switch};
use milepost_proto::seal::EvidenceSeal;
use milepost_proto::uplink::{BlobOffer, BlobState, DownLinkKind, Refusal};
use milepost_proto::{
    Batch, BootId, Chunk, ChunkBody, DownLinkItem, Gap, Lane, Position, Reading, Receipt, Record, SequenceRange,
    Sha256, SpoolId, TimeQuality, TimeSource, Timestamp, UplinkAnswer, UplinkRequest,
};

pub(crate) const SPOOL: SpoolId = SpoolId([0x51; 16]);
pub(crate) const BOOT: BootId = BootId([0xB0; 16]);
/// 2024-05-06 07:00:00 UTC.
const BEGAN_MS: i64 = 1_714_978_800_000;

fn record(at_ms: u32, reading: Reading) -> Record {
    Record {
        event_time: Timestamp::from_millis(BEGAN_MS + i64::from(at_ms)),
        monotonic_ms: 600_000 + u64::from(at_ms),
        time_quality: TimeQuality { source: TimeSource::Gnss, error_ms: 1_000 },
        reading,
        seal: None,
    }
}

/// A fix of a receiver that writes four decimals of a minute, on a slow curve, with fields that come and go.
fn fix(at: u32) -> Record {
    let minute_places = |degrees: i32, places: i32| degrees * 10_000_000 + (places * 50 + 1) / 3;
    let (lat, lon) = (i32::try_from(at * 54).expect("small"), i32::try_from(at * at / 2).expect("small"));
    let mut record = record(
        at * 1_000,
        Reading::Position(Position {
            lat_e7: minute_places(47, 123_456 + lat),
            lon_e7: minute_places(8, 234_567 + lon),
            altitude_cm: Some(42_000 + 10 * (i32::try_from(at % 7).expect("small") - 3)),
            speed_cmps: Some(1_000 + at % 5),
            course_cdeg: (at % 16 != 9).then(|| u16::try_from((35_800 + at * 37) % 36_000).expect("an angle")),
            fix: if at < 20 { FixType::Fix3d } else { FixType::Dgps },
            satellites: Some(u8::try_from(9 + at / 16).expect("small")),
            hdop_centi: Some(90),
            accuracy_cm: None,
        }),
    );
    record.monotonic_ms += u64::from(at * 5 % 7);
    record
}

/// Fixes once a second, and nothing else.
pub(crate) fn fixes() -> Vec<Record> {
    (0..60).map(fix).collect()
}

fn signal(at_ms: u32, name: &str, value: f64, unit: &str) -> Record {
    record(at_ms, Reading::Signal(Signal { name: name.to_owned(), value, unit: unit.to_owned() }))
}

/// Everything at once: fixes between signals of every scale, and what has no columns.
pub(crate) fn mixed() -> Vec<Record> {
    let mut records = Vec::new();
    for at in 0..12 {
        records.push(fix(at));
        let ms = at * 1_000 + 300;
        records.push(signal(ms, "EEC1.EngSpeed", 600.0 + f64::from(at) * 0.125, "rpm"));
        records.push(signal(ms, "CCVS.Speed", f64::from(30 + at) * 0.1, "km/h"));
        records.push(signal(ms, "Odd", std::f64::consts::PI * f64::from(at), ""));
    }
    records.push(signal(12_000, "Odd", f64::from_bits(0x7FF8_0000_0000_BEEF), ""));
    records.push(signal(12_000, "Whole", -40.0, "degC"));
    records.push(record(12_001, Reading::Switch(Switch { name: "ignition".to_owned(), on: false })));
    let diagnostic = Diagnostic { source_address: 0, spn: 520_192, fmi: 31, occurrence: 126, active: true };
    records.push(record(12_002, Reading::Diagnostic(diagnostic)));
    records.push(record(12_003, Reading::Health(Health::Started { version: "0.1.0".to_owned() })));
    let mut far = fix(13);
    far.event_time = Timestamp::from_millis(-1);
    far.monotonic_ms = u64::MAX;
    far.time_quality = TimeQuality::UNKNOWN;
    if let Reading::Position(position) = &mut far.reading {
        (position.lat_e7, position.lon_e7, position.course_cdeg) = (i32::MIN, i32::MAX, Some(u16::MAX));
    }
    records.push(far);
    records
}

/// A proof of delivery, sealed.
pub(crate) fn proof() -> Record {
    let json = r#"{"client_ref":"c-1","stop":"S1","shipment":"WH/OUT/00042","outcome":"partial","revision":1,
        "reason":"one box was crushed","recipient":{"name":"A. Müller","role":"warehouse"},
        "items":[{"ref":"line-1","planned":4.0,"delivered":3.0,"damaged":1.0,"reason":"crushed"}],
        "remarks":"left the crushed box with the driver; the crushed box goes back with the driver"}"#;
    let pod = serde_json::from_str(json).expect("a proof");
    let seal = EvidenceSeal { prev_hash: Sha256::of(b"before"), signature: (0..70).collect() };
    Record { seal: Some(seal), ..record(20_000, Reading::Pod(Box::new(pod))) }
}

pub(crate) fn range(first: u64, last: u64) -> SequenceRange {
    SequenceRange::new(first, last).expect("a range")
}

/// What thinning left of the fixes.
pub(crate) fn kept() -> Vec<(u64, Record)> {
    (100..).zip(fixes()).filter(|(sequence, _)| sequence % 7 == 2).collect()
}

pub(crate) fn gap() -> Gap {
    Gap { reason: GapReason::Evicted, detail: "the spool was full".to_owned() }
}

/// A chunk in postcard, as the first agents sealed it.
pub(crate) fn old_chunk(range: SequenceRange, body: &ChunkBody) -> Chunk {
    let body = postcard::to_stdvec(body).expect("serialises");
    Chunk { range, checksum: checksum(&body), body }
}

/// A request that carries `telemetry` and `evidence` and says everything else that a request can say.
pub(crate) fn request(telemetry: Vec<Chunk>, evidence: Vec<Chunk>) -> UplinkRequest {
    UplinkRequest {
        agent_version: "0.1.0".to_owned(),
        spool_id: SPOOL,
        boot_id: BOOT,
        monotonic_ms: 700_000,
        low_water_mark: Some(Timestamp::from_millis(BEGAN_MS - 3_000)),
        batches: vec![
            Batch { lane: Lane::Evidence, history: false, chunks: evidence },
            Batch { lane: Lane::Telemetry, history: true, chunks: telemetry },
        ],
        down_link_held: vec![("trip".to_owned(), 7)],
        blob_offers: vec![BlobOffer { sha256: Sha256::of(b"photo"), size: 123_456 }],
    }
}

/// An answer that says everything an answer can say.
pub(crate) fn answer() -> UplinkAnswer {
    let body = br#"{"id":"T1","stops":[]}"#.to_vec();
    UplinkAnswer {
        receipts: vec![
            Receipt {
                spool_id: SPOOL,
                lane: Lane::Telemetry,
                through: 99,
                accepted: vec![range(160, 299), range(1_000, 1_000)],
                refused: vec![Refusal { range: range(100, 159), reason: "it does not open".to_owned() }],
            },
            Receipt {
                spool_id: SpoolId([9; 16]),
                lane: Lane::Evidence,
                through: 0,
                accepted: Vec::new(),
                refused: Vec::new(),
            },
        ],
        down_link: vec![DownLinkItem {
            id: "trip".to_owned(),
            kind: DownLinkKind::Trip,
            version: 8,
            sha256: Sha256::of(&body),
            body,
        }],
        blobs: vec![BlobState { sha256: Sha256::of(b"photo"), held: 65_536, complete: false }],
    }
}

/// What the first agents sent.
pub(crate) fn old_request() -> UplinkRequest {
    let records = ChunkBody::Records { boot_id: BOOT, records: mixed() };
    let telemetry = vec![
        old_chunk(range(1, mixed().len() as u64), &records),
        old_chunk(range(mixed().len() as u64 + 1, 99), &ChunkBody::Gap(gap())),
        old_chunk(range(100, 159), &ChunkBody::Thinned { boot_id: BOOT, kept: kept() }),
    ];
    let evidence = ChunkBody::Records { boot_id: BootId([1; 16]), records: vec![proof()] };
    request(telemetry, vec![old_chunk(range(1, 1), &evidence)])
}

/// What agents of wire version 1 send.
pub(crate) fn new_request() -> UplinkRequest {
    let next = mixed().len() as u64 + 1;
    let telemetry = vec![
        Chunk::seal(1, BOOT, mixed()).expect("sealed"),
        Chunk::gap(range(next, 99), gap()).expect("a gap"),
        Chunk::seal_thinned(range(100, 159), BOOT, kept()).expect("sealed"),
        Chunk::seal(160, BOOT, fixes()).expect("sealed"),
    ];
    request(telemetry, vec![Chunk::seal(1, BootId([1; 16]), vec![proof()]).expect("sealed")])
}
