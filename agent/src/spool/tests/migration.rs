//! Files of earlier versions.

use milepost_proto::Chunk;
use rusqlite::{Connection, params};

use super::*;

const V1: &str = include_str!("schema_v1.sql");
const V1_SPOOL: SpoolId = SpoolId([0x51; 16]);

/// A file as version 1 wrote it: two chunks of telemetry and a gap, an event, evidence, a capture, a photo, a trip.
fn v1_file(folder: &Path) {
    let file = Connection::open(folder.join("spool.db")).expect("opens");
    file.pragma_update(None, "journal_mode", "WAL").expect("set");
    file.execute_batch(V1).expect("created");
    file.pragma_update(None, "user_version", 1).expect("set");
    file.execute("INSERT INTO fact VALUES ('spool_id', ?1), ('chain_head', ?2)", params![V1_SPOOL.0, [9_u8; 32]])
        .expect("written");
    let lanes = [(1, 1), (2, 4), (3, 40)];
    for (lane, last_sequence) in lanes {
        file.execute("INSERT INTO lane VALUES (?1, ?2, 0, 0)", [lane, last_sequence]).expect("written");
    }
    let gap = Gap { reason: GapReason::Evicted, detail: "full".to_owned() };
    let (_, evidence) = did("c1", ActionKind::Arrived);
    let chunks = [
        (1, Chunk::seal(1, BOOT, vec![evidence]), 4_990),
        (2, Chunk::seal(4, BOOT, ignition(900)), 890),
        (3, Chunk::gap(range(11, 20), gap), i64::MAX),
        (3, Chunk::seal(21, BOOT, signals(5_000, 10)), 4_990),
        (3, Chunk::seal(31, BOOT, signals(1_000, 10)), 990),
    ];
    for (lane, chunk, oldest_ms) in chunks {
        let chunk = chunk.expect("sealed");
        let id = lane << 56 | chunk.range.first();
        let row = params![id, chunk.range.last(), chunk.checksum, oldest_ms, chunk.body];
        file.execute("INSERT INTO chunk VALUES (?1, ?2, ?3, ?4, ?5)", row).expect("written");
        file.execute(
            "UPDATE lane SET waiting_records = waiting_records + ?2, waiting_bytes = waiting_bytes + ?3 WHERE lane = ?1",
            params![lane, chunk.range.count(), chunk.body.len()],
        )
        .expect("written");
    }
    file.execute("INSERT INTO blob_part VALUES (?1, 0, ?2)", params![Sha256::of(b"photo").0, b"photo"])
        .expect("written");
    file.execute("INSERT INTO blob VALUES (?1, 5, 1)", [Sha256::of(b"photo").0]).expect("written");
    file.execute("INSERT INTO down_link VALUES ('trip', 3, ?1)", [b"{}"]).expect("written");
}

#[test]
fn a_file_of_version_1_keeps_everything_and_goes_on() {
    let folder = tempfile::tempdir().expect("folder");
    v1_file(folder.path());
    let mut bench = Bench::new();
    bench.folder = folder;
    bench.reopen();
    assert_eq!(bench.opened, Opened { spool_id: V1_SPOOL, quarantined: None, salvaged: Vec::new() });
    let first = bench.offer(OfferLimits { bytes_max: 1, live_from: 21 });
    assert_eq!(first.oldest_left, Some(Timestamp::from_millis(890)), "evidence goes first, all else is left");
    assert_eq!(bench.offered(Lane::Evidence), [1]);
    assert_eq!(bench.offered(Lane::Event), [4]);
    assert_eq!(bench.offered(Lane::Telemetry), (11..=40).collect::<Vec<_>>());
    bench.append(Lane::Telemetry, signals(3_000, 2)).expect("kept");
    bench.append(Lane::Telemetry, signals(6_000, 1)).expect("kept");
    assert_eq!(bench.offered(Lane::Telemetry), (11..=43).collect::<Vec<_>>());
    let measure = bench.measure();
    assert_eq!(measure.lanes.iter().map(|lane| lane.waiting).collect::<Vec<_>>(), [1, 1, 33]);
    assert_eq!(measure.blobs, [BlobOffer { sha256: Sha256::of(b"photo"), size: 5 }]);
    let accepted = bench.capture("c2", ActionKind::Arrived).expect("accepted");
    let chunk = bench.offer(EVERYTHING).batches[0].chunks[1].clone();
    let ChunkBody::Records { records, .. } = chunk.open().expect("opens") else { panic!("a gap") };
    assert_eq!((accepted.sequence, records[0].seal.as_ref().expect("sealed").prev_hash), (2, Sha256([9; 32])));
    bench.settle(Lane::Telemetry, 43, Vec::new(), Vec::new());
    bench.reopen();
    assert_eq!(bench.opened.spool_id, V1_SPOOL);
    bench.append(Lane::Telemetry, signals(0, 1)).expect("kept");
    assert_eq!(bench.offered(Lane::Telemetry), [44]);
}

#[test]
fn late_chunks_are_found_whatever_wrote_them() {
    let folder = tempfile::tempdir().expect("folder");
    v1_file(folder.path());
    let mut bench = Bench::new();
    bench.folder = folder;
    bench.reopen();
    bench.append(Lane::Telemetry, signals(500, 1)).expect("kept");
    let offer = |live_from| bench.offer(OfferLimits { bytes_max: 1, live_from }).oldest_left;
    assert_eq!(offer(41), Some(Timestamp::from_millis(490)));
    bench.settle(Lane::Telemetry, 0, vec![range(41, 41)], Vec::new());
    assert_eq!(offer(21), Some(Timestamp::from_millis(890)));
    bench.settle(Lane::Event, 4, Vec::new(), Vec::new());
    assert_eq!(offer(21), Some(Timestamp::from_millis(990)));
}
