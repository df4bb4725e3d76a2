//! What a start costs.

use rusqlite::Connection;

use super::*;

/// Bytes that this thread has read from files so far.
fn read_bytes() -> u64 {
    let counters = std::fs::read_to_string("/proc/thread-self/io").expect("the kernel counts");
    let bytes = counters.lines().find_map(|line| line.strip_prefix("rchar: ")).expect("a counter");
    bytes.parse().expect("a number")
}

/// Bytes read by opening a spool in which so many chunks wait, and by the first append, offer and measure.
fn start_costs(chunks: u64) -> u64 {
    let folder = tempfile::tempdir().expect("folder");
    let (spool, _) = open(folder.path(), QUOTA, 1);
    close(spool, folder.path());
    let file = Connection::open(folder.path().join("spool.db")).expect("opens");
    let chunk = milepost_proto::Chunk::seal(1, BOOT, ignition(0)).expect("sealed");
    file.execute(
        "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO chunk (id, last_sequence, checksum, oldest_event_ms, late, thinned, body)
         SELECT (3 << 56) | i, i, ?2, i, 0, 0, ?3 FROM n",
        rusqlite::params![chunks, chunk.checksum, chunk.body],
    )
    .expect("written");
    file.execute("UPDATE lane SET last_sequence = ?1, waiting_records = ?1 WHERE lane = 3", [chunks]).expect("written");
    drop(file);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let options = SpoolOptions {
        path: &folder.path().join("spool.db"),
        quota_bytes: QUOTA,
        boot_id: BOOT,
        fresh_spool_id: SpoolId([2; 16]),
        signer: Box::new(|_| Ok(Vec::new())),
    };
    let before = read_bytes();
    let (spool, opened, _) = Spool::open_without_thread(options).expect("opens");
    runtime.block_on(spool.append(Lane::Telemetry, BOOT, signals(0, 3))).expect("kept");
    let offer = runtime.block_on(spool.offer(OfferLimits { bytes_max: 4_096, live_from: u64::MAX })).expect("offered");
    let measure = runtime.block_on(spool.measure()).expect("measured");
    let cost = read_bytes() - before;
    assert_eq!((opened.spool_id, opened.quarantined), (SpoolId([1; 16]), None));
    assert_eq!(measure.lanes[2].waiting, chunks + 3);
    assert!(offer.more && offer.oldest_left.is_some());
    cost
}

#[test]
fn a_start_reads_as_little_with_a_long_backlog_as_with_a_short_one() {
    let (short, long) = (start_costs(2_000), start_costs(200_000));
    assert!(short > 1_024, "{short} bytes read: the counter does not count");
    assert!(long < short + 32 * 1_024, "{long} bytes against {short}");
}
