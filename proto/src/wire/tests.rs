//! Envelopes of both versions: what comes through, and what is refused by its name.

use proptest::prelude::*;

use super::*;
use crate::chunk::checksum;
use crate::uplink::{BlobOffer, BlobState, DownLinkItem, DownLinkKind, Refusal};
use crate::{
    Batch, BootId, Chunk, Lane, Reading, Receipt, Record, SequenceRange, Sha256, SpoolId, TimeQuality, Timestamp,
};

const SPOOL: SpoolId = SpoolId([1; 16]);
const BOOT: BootId = BootId([2; 16]);
const VERSIONS: [WireVersion; 2] = [WireVersion::V0, WireVersion::V1];

fn chunk(first: u64, boot_id: BootId) -> Chunk {
    let record = Record {
        event_time: Timestamp::from_millis(1_622_548_800_000),
        monotonic_ms: 12,
        time_quality: TimeQuality::UNKNOWN,
        reading: Reading::Switch(crate::reading::Switch { name: "ignition".to_owned(), on: true }),
        seal: None,
    };
    Chunk::seal(first, boot_id, vec![record]).expect("sealed")
}

fn request() -> UplinkRequest {
    UplinkRequest {
        agent_version: "0.1.0".to_owned(),
        spool_id: SPOOL,
        boot_id: BOOT,
        monotonic_ms: 99,
        low_water_mark: Some(Timestamp::EPOCH),
        batches: vec![Batch { lane: Lane::Event, history: false, chunks: vec![chunk(1, BOOT)] }],
        down_link_held: Vec::new(),
        blob_offers: Vec::new(),
    }
}

fn answer() -> UplinkAnswer {
    let receipt = Receipt {
        spool_id: SPOOL,
        lane: Lane::Event,
        through: 0,
        accepted: vec![SequenceRange::single(5); RECEIPT_RANGES_MAX],
        refused: Vec::new(),
    };
    let blob = BlobState { sha256: Sha256::of(b""), held: 0, complete: false };
    UplinkAnswer { receipts: vec![receipt; RECEIPTS_MAX], down_link: Vec::new(), blobs: vec![blob; BLOB_OFFERS_MAX] }
}

fn damaged(version: WireVersion, change: impl FnOnce(&mut Vec<u8>)) -> Result<(WireVersion, UplinkRequest), WireFault> {
    let mut bytes = encode_request_in(version, &request()).expect("encodes");
    change(&mut bytes);
    decode_request(&bytes)
}

#[test]
fn what_was_wrapped_unwraps_and_says_its_version() {
    for version in VERSIONS {
        assert_eq!(damaged(version, |_| ()), Ok((version, request())));
        for asked in [SPOOL, SpoolId([9; 16])] {
            let bytes = encode_answer(version, asked, &answer()).expect("encodes");
            assert_eq!(decode_answer(&bytes, asked), Ok(answer()));
        }
    }
}

#[test]
fn each_kind_of_damage_has_its_name() {
    for version in VERSIONS {
        assert_eq!(damaged(version, |bytes| bytes.truncate(5)), Err(WireFault::Truncated(5)));
        assert!(matches!(damaged(version, |bytes| bytes.truncate(9)), Err(WireFault::Truncated(_))));
        assert_eq!(damaged(version, |bytes| bytes[0] = b'X'), Err(WireFault::Magic));
        assert_eq!(damaged(version, |bytes| bytes[4] = 9), Err(WireFault::Version(9)));
        assert_eq!(damaged(version, |bytes| bytes[5] = 2), Err(WireFault::Kind(2)));
        assert_eq!(damaged(version, |bytes| bytes[20] ^= 0x10), Err(WireFault::Checksum));
        assert!(matches!(
            damaged(version, |bytes| bytes.resize(ENVELOPE_BYTES_MAX + 1, 0)),
            Err(WireFault::TooLarge(_))
        ));
    }
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    for version in VERSIONS {
        let good = encode_request_in(version, &request()).expect("encodes");
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_request(&bytes).is_err(), "bit {bit}");
        }
    }
}

/// An end that speaks a later version is told so by its number, whatever that version puts after it.
#[test]
fn a_version_from_the_future_is_refused_by_its_number() {
    let refused = decode_request(b"MPST\x02\x01 and whatever comes then").expect_err("refused");
    assert_eq!(refused, WireFault::Version(2));
    let said = refused.to_string();
    assert!(said.contains("wire version 2") && said.contains("speaks 0 to 1") && said.contains("update"), "{said}");
}

/// What a request leaves out comes back: another boot's chunk, a hole between chunks, a checksum that does not hold.
#[test]
fn what_is_left_out_comes_back() {
    let mut broken = chunk(900, BOOT);
    broken.checksum ^= 1;
    let gap = crate::Gap { reason: crate::reading::GapReason::Evicted, detail: String::new() };
    let gap = Chunk::gap(SequenceRange::new(10, u64::MAX).expect("a range"), gap).expect("a gap");
    let chunks = vec![chunk(7, BOOT), chunk(8, BootId([3; 16])), broken, chunk(1, BOOT), gap];
    let batch = |history| Batch { lane: Lane::Telemetry, history, chunks: chunks.clone() };
    let odd = UplinkRequest {
        agent_version: "01.2.3-rc".to_owned(),
        low_water_mark: None,
        batches: vec![batch(true), batch(false)],
        down_link_held: vec![("trip".to_owned(), u64::MAX)],
        blob_offers: vec![BlobOffer { sha256: Sha256([4; 32]), size: 5 }],
        ..request()
    };
    for version in VERSIONS {
        let bytes = encode_request_in(version, &odd).expect("encodes");
        assert_eq!(decode_request(&bytes), Ok((version, odd.clone())));
    }
    for text in ["0.1.0", "10.20.30", "1.2", "1.2.3.4", "+1.2.3", "", "01.2.3", "1.2.99999999999"] {
        let named = UplinkRequest { agent_version: text.to_owned(), ..request() };
        let bytes = encode_request(&named).expect("encodes");
        assert_eq!(decode_request(&bytes), Ok((WireVersion::V1, named)));
    }
}

#[test]
fn answers_of_every_part_come_back() {
    let receipt = Receipt {
        spool_id: SPOOL,
        lane: Lane::Evidence,
        through: u64::MAX,
        accepted: vec![SequenceRange::new(5, u64::MAX).expect("a range")],
        refused: vec![Refusal { range: SequenceRange::single(3), reason: "because".to_owned() }],
    };
    let item = DownLinkItem {
        id: "trip".to_owned(),
        kind: DownLinkKind::Trip,
        version: 3,
        sha256: Sha256::of(b"{}"),
        body: b"{}".to_vec(),
    };
    let full = UplinkAnswer { receipts: vec![receipt], down_link: vec![item], blobs: Vec::new() };
    for version in VERSIONS {
        let bytes = encode_answer(version, SPOOL, &full).expect("encodes");
        assert_eq!(decode_answer(&bytes, SPOOL), Ok(full.clone()));
    }
}

/// Little stands around the chunks: a request is its ids, an answer its numbers.
#[test]
fn envelopes_are_small() {
    let bare = UplinkRequest { batches: Vec::new(), ..request() };
    let bytes = encode_request(&bare).expect("encodes").len();
    assert!(bytes <= 55, "{bytes} bytes for a heartbeat");
    let receipt = Receipt { accepted: Vec::new(), through: 500_000, ..answer().receipts[0].clone() };
    let small = UplinkAnswer { receipts: vec![receipt], down_link: Vec::new(), blobs: Vec::new() };
    let bytes = encode_answer(WireVersion::V1, SPOOL, &small).expect("encodes").len();
    assert!(bytes <= 21, "{bytes} bytes for a receipt");
}

/// A frame of zeros, honest or lying about its size, never costs more than the bound.
#[test]
fn a_decompression_bomb_is_refused() {
    let compressed = zstd::bulk::compress(&vec![0; 64 * 1024 * 1024], 19).expect("compresses");
    for declared in [64 * 1024 * 1024_u32, 1000] {
        let mut bytes = b"MPST\x00\x01".to_vec();
        bytes.extend_from_slice(&declared.to_le_bytes());
        bytes.extend_from_slice(&checksum(&compressed).to_le_bytes());
        bytes.extend_from_slice(&compressed);
        assert!(matches!(decode_request(&bytes), Err(WireFault::Bomb(_))), "declared {declared}");
        let tail = [postcard::to_stdvec(&declared).expect("a varint"), compressed.clone()].concat();
        let mut bytes = b"MPST\x01\x11".to_vec();
        bytes.extend_from_slice(&checksum(&tail).to_le_bytes());
        bytes.extend_from_slice(&tail);
        assert!(matches!(decode_request(&bytes), Err(WireFault::Bomb(_))), "declared {declared}");
    }
}

#[test]
fn too_many_batches_are_refused_on_both_ends() {
    let mut crowded = request();
    crowded.batches = vec![crowded.batches[0].clone(); BATCHES_MAX + 1];
    for version in VERSIONS {
        let refused = encode_request_in(version, &crowded);
        assert!(matches!(refused, Err(WireFault::Bound { what: "batches", .. })));
    }
    let bytes = v0::encode_request(&crowded).expect("encodes");
    assert!(matches!(decode_request(&bytes), Err(WireFault::Bound { what: "batches", .. })));
    let bytes = v1::encode_request(&crowded).expect("encodes");
    assert!(matches!(decode_request(&bytes), Err(WireFault::Payload(_))));
}

#[test]
fn an_answer_with_too_much_of_anything_is_refused_on_both_ends() {
    let full = answer();
    let check = |answer: UplinkAnswer, expected: &str| {
        for version in VERSIONS {
            let refused = encode_answer(version, SPOOL, &answer);
            assert!(matches!(refused, Err(WireFault::Bound { what, .. }) if what == expected), "{refused:?}");
        }
        let refused = decode_answer(&v0::encode_answer(&answer).expect("encodes"), SPOOL);
        assert!(matches!(refused, Err(WireFault::Bound { what, .. }) if what == expected), "{refused:?}");
        let refused = decode_answer(&v1::encode_answer(&answer, SPOOL).expect("encodes"), SPOOL);
        assert!(matches!(refused, Err(WireFault::Payload(_))), "{refused:?}");
    };
    let (receipt, blob) = (full.receipts[0].clone(), full.blobs[0]);
    check(UplinkAnswer { receipts: vec![receipt.clone(); RECEIPTS_MAX + 1], ..full.clone() }, "receipts");
    check(UplinkAnswer { blobs: vec![blob; BLOB_OFFERS_MAX + 1], ..full.clone() }, "blob states");
    let ranges = vec![SequenceRange::single(5); RECEIPT_RANGES_MAX + 1];
    check(UplinkAnswer { receipts: vec![Receipt { accepted: ranges, ..receipt }], ..full }, "ranges in a receipt");
}

proptest! {
    #[test]
    fn noise_is_refused_or_read(version in 0..3_u8, kind in 0..32_u8, noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = b"MPST".to_vec();
        bytes.extend_from_slice(&[version, kind]);
        if version == 1 {
            bytes.extend_from_slice(&checksum(&noise).to_le_bytes());
        } else {
            bytes.extend_from_slice(&50_u32.to_le_bytes());
            bytes.extend_from_slice(&checksum(&noise).to_le_bytes());
        }
        bytes.extend_from_slice(&noise);
        decode_request(&bytes).ok();
        decode_answer(&bytes, SPOOL).ok();
    }
}
