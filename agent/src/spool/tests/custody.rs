//! What was answered stays, what a receipt covers goes, and what is offered when.

use super::*;

#[test]
fn what_was_answered_is_there_after_an_abrupt_end() {
    let mut bench = Bench::new();
    bench.append(Lane::Telemetry, signals(0, 3)).expect("kept");
    let accepted = bench.capture("c1", ActionKind::Arrived).expect("accepted");
    bench.reopen();
    assert_eq!(bench.opened, Opened { spool_id: SpoolId([1; 16]), quarantined: None, salvaged: Vec::new() });
    assert_eq!(bench.offered(Lane::Telemetry), [1, 2, 3]);
    assert_eq!(bench.offered(Lane::Evidence), [accepted.sequence]);
}

#[test]
fn sequences_survive_an_emptied_spool() {
    let mut bench = Bench::new();
    bench.append(Lane::Event, ignition(0)).expect("kept");
    assert_eq!(bench.settle(Lane::Event, 1, Vec::new(), Vec::new()).settled, 1);
    assert_eq!(bench.offer(ALL).batches, []);
    bench.reopen();
    bench.append(Lane::Event, ignition(1)).expect("kept");
    assert_eq!(bench.offered(Lane::Event), [2]);
}

#[test]
fn a_receipt_settles_by_range_and_only_for_its_own_spool() {
    let bench = Bench::new();
    for n in 0..4 {
        bench.chunk(Lane::Telemetry, signals(n * 100, 10));
    }
    let foreign = Receipt {
        spool_id: SpoolId([9; 16]),
        lane: Lane::Telemetry,
        through: 40,
        accepted: Vec::new(),
        refused: Vec::new(),
    };
    let settled = bench.runtime.block_on(bench.spool.settle(vec![foreign], Vec::new())).expect("works");
    assert_eq!(settled, Settled::default());
    assert_eq!(bench.settle(Lane::Telemetry, 10, vec![range(31, 40)], Vec::new()).settled, 20);
    assert_eq!(bench.offered(Lane::Telemetry), (11..=30).collect::<Vec<_>>());
    assert_eq!(bench.settle(Lane::Telemetry, 15, Vec::new(), Vec::new()).settled, 0, "half a chunk stays whole");
    assert_eq!(bench.measure().lanes[2].waiting, 20);
}

#[test]
fn evidence_first_and_the_present_before_the_past() {
    let bench = Bench::new();
    for n in 0..5 {
        bench.chunk(Lane::Telemetry, signals(n * 100, 10));
    }
    bench.chunk(Lane::Event, ignition(0));
    bench.capture("c1", ActionKind::Arrived).expect("accepted");
    let offer = bench.offer(OfferLimits { live_from: u64::MAX, ..ALL });
    let order: Vec<_> = offer.batches.iter().map(|batch| (batch.lane, batch.history)).collect();
    assert_eq!(
        order,
        [(Lane::Evidence, false), (Lane::Event, false), (Lane::Telemetry, false), (Lane::Telemetry, true)]
    );
    let telemetry = sequences(&offer, Lane::Telemetry);
    assert_eq!(telemetry[..11], [41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 1]);
    assert_eq!((offer.live_from, offer.more, offer.oldest_left), (41, false, None));
}

#[test]
fn what_is_left_out_bounds_the_low_water_mark() {
    let bench = Bench::new();
    bench.chunk(Lane::Telemetry, signals(1_000, 10));
    bench.chunk(Lane::Telemetry, signals(2_000, 10));
    let offer = bench.offer(OfferLimits { bytes_max: 1, live_from: u64::MAX });
    assert_eq!(sequences(&offer, Lane::Telemetry), (11..=20).collect::<Vec<_>>(), "one chunk always goes");
    assert!(offer.more);
    assert_eq!(offer.oldest_left, Some(Timestamp::from_millis(990)), "event time less its error bound");
}

#[test]
fn what_the_gateway_refuses_becomes_a_gap_once() {
    let bench = Bench::new();
    bench.chunk(Lane::Event, ignition(0));
    bench.chunk(Lane::Event, ignition(1));
    let refusal = || vec![Refusal { range: range(1, 1), reason: "does not decode".to_owned() }];
    assert_eq!(bench.settle(Lane::Event, 0, Vec::new(), refusal()), Settled { settled: 0, refused: 1 });
    let gap = Gap { reason: GapReason::Refused, detail: "does not decode".to_owned() };
    assert_eq!(gaps(&bench.offer(ALL)), [(range(1, 1), gap)]);
    assert_eq!(bench.offered(Lane::Event), [1, 2]);
    assert_eq!(bench.settle(Lane::Event, 0, Vec::new(), refusal()), Settled::default());
    assert_eq!(bench.offered(Lane::Event), [2], "a refused gap is not argued about");
}

#[test]
fn the_highest_version_sent_down_stays() {
    let bench = Bench::new();
    let item = |version, body: &[u8]| DownLinkItem {
        id: "trip".to_owned(),
        kind: DownLinkKind::Trip,
        version,
        sha256: Sha256::of(body),
        body: body.to_vec(),
    };
    for (version, body) in [(2, b"two"), (1, b"one")] {
        bench.runtime.block_on(bench.spool.keep_down_link(item(version, body))).expect("kept");
    }
    drop(bench.spool);
    let options = SpoolOptions {
        path: &bench.folder.path().join("spool.db"),
        quota_bytes: QUOTA,
        boot_id: BOOT,
        fresh_spool_id: SpoolId([4; 16]),
        signer: Box::new(|_| Ok(Vec::new())),
    };
    let (_, _, held) = Spool::open(options).expect("opens");
    assert_eq!(held, [item(2, b"two")]);
}
