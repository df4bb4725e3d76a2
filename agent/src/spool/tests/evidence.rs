//! Captures, their hash chain, and the photos that belong to them.

use super::*;

#[test]
fn a_capture_sent_twice_is_one_record_and_a_changed_one_is_a_conflict() {
    let mut bench = Bench::new();
    let first = bench.capture("c1", ActionKind::Arrived).expect("accepted");
    bench.reopen();
    let again = bench.capture("c1", ActionKind::Arrived).expect("accepted");
    assert_eq!(again, Accepted { sequence: first.sequence, duplicate: true });
    let changed = bench.capture("c1", ActionKind::Departed).expect_err("conflict");
    assert_eq!(changed.code, RejectionCode::ConflictingReference);
    assert_eq!(bench.offered(Lane::Evidence), [1]);
}

#[test]
fn evidence_is_chained_and_signed_across_restarts() {
    let mut bench = Bench::new();
    bench.capture("c1", ActionKind::Arrived).expect("accepted");
    bench.reopen();
    bench.capture("c2", ActionKind::Departed).expect("accepted");
    let mut expected = chain_start(SpoolId([1; 16]));
    for (sequence, chunk) in (1..).zip(&bench.offer(ALL).batches[0].chunks) {
        let Ok(ChunkBody::Records { records, .. }) = chunk.open() else { panic!("a gap") };
        let seal = records[0].seal.as_ref().expect("sealed");
        assert_eq!(seal.prev_hash, expected);
        expected = digest_of(&records[0], sequence).expect("sealed");
        assert_eq!(seal.signature, expected.0.iter().rev().copied().collect::<Vec<_>>());
    }
}

#[test]
fn a_blob_is_whole_whatever_order_its_parts_come_in() {
    let mut bench = Bench::new();
    let photo: Vec<u8> = (0..=255).collect();
    let sha256 = Sha256::of(&photo);
    let progress = |held, complete| Ok(BlobProgress { held, complete });
    assert_eq!(bench.part(sha256, 200, &photo[200..], None), progress(0, false));
    assert_eq!(bench.part(sha256, 0, &photo[..100], None), progress(100, false));
    bench.reopen();
    assert_eq!(bench.part(sha256, 50, &photo[50..200], None), progress(256, true));
    assert_eq!(bench.part(sha256, 0, &photo[..1], None), progress(256, true), "a late duplicate changes nothing");
    assert_eq!(bench.measure().blobs, [BlobOffer { sha256, size: 256 }]);
    let bytes = bench.runtime.block_on(bench.spool.blob_bytes(sha256, 250, 100)).expect("works");
    assert_eq!(bytes, &photo[250..]);
    let held = vec![BlobState { sha256, held: 256, complete: true }];
    bench.runtime.block_on(bench.spool.settle(Vec::new(), held)).expect("works");
    assert_eq!(bench.measure().blobs, []);
}

#[test]
fn a_blob_that_is_not_what_its_name_says_is_refused() {
    let bench = Bench::new();
    let wrong = bench.part(Sha256::of(b"other"), 0, b"photo", Some(5)).expect_err("mismatch");
    assert_eq!(wrong.code, RejectionCode::HashMismatch);
    let large = bench.part(Sha256::of(b"x"), u64::MAX, b"x", None).expect_err("too large");
    assert_eq!(large.code, RejectionCode::TooLarge);
}

#[test]
fn a_flood_of_blobs_that_never_become_whole_costs_no_record_and_is_bounded() {
    let bench = Bench::new();
    bench.append(Lane::Telemetry, signals(0, 100)).expect("kept");
    let part = vec![7; 256 * 1024];
    let names: Vec<Sha256> = (0_u8..200).map(|n| Sha256::of(&[n])).collect();
    for name in &names {
        let progress = bench.part(*name, 0, &part, Some(2 * part.len() as u64));
        assert_eq!(progress, Ok(BlobProgress { held: part.len() as u64, complete: false }));
    }
    assert!(bench.measure().disk_bytes < 40 * 1024 * 1024, "{}", bench.measure().disk_bytes);
    assert_eq!(bench.offered(Lane::Telemetry).len(), 100);
    assert_eq!(gaps(&bench.offer(ALL)), []);
    let held = |name| bench.part(name, 300_000, b"x", Some(600_000)).expect("taken").held;
    assert_eq!(held(names[199]), part.len() as u64, "the latest goes on");
    assert_eq!(held(names[0]), 0, "the oldest begins again");
}
