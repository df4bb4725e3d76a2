//! Chunk bodies of every form, and the envelopes that carry them.
//!
//! Promise tested: nothing panics, a chunk holds no more records than its range has sequences or than a chunk may, and what
//! opened is sealed and opened again as the same records, to the last bit.

#![no_main]

use libfuzzer_sys::fuzz_target;
use milepost_proto::chunk::{CHUNK_RECORDS_MAX, checksum};
use milepost_proto::wire::{decode_answer, decode_request};
use milepost_proto::{Chunk, ChunkBody, Record, SequenceRange, SpoolId};

fuzz_target!(|bytes: &[u8]| {
    envelope(bytes);
    let Some(([low, high], body)) = bytes.split_first_chunk() else { return };
    let range = SequenceRange::new(1, 1 + u64::from(u16::from_le_bytes([*low, *high]))).expect("a range");
    let chunk = Chunk { range, checksum: checksum(body), body: body.to_vec() };
    match chunk.open() {
        Ok(ChunkBody::Records { boot_id, records }) => {
            assert_eq!(records.len() as u64, range.count());
            assert!(records.len() <= CHUNK_RECORDS_MAX);
            let again = Chunk::seal(1, boot_id, records.clone()).expect("seals");
            same(&again, (1..).zip(records).collect());
        }
        Ok(ChunkBody::Thinned { boot_id, kept }) => {
            assert!(kept.len() as u64 <= range.count() && kept.len() <= CHUNK_RECORDS_MAX);
            same(&Chunk::seal_thinned(range, boot_id, kept.clone()).expect("seals"), kept);
        }
        Ok(ChunkBody::Gap(_)) | Err(_) => {}
    }
});

fn same(chunk: &Chunk, expected: Vec<(u64, Record)>) {
    let found = chunk.open().expect("opens").into_numbered(chunk.range);
    let bytes = |records: &[(u64, Record)]| postcard::to_stdvec(records).expect("serialises");
    assert_eq!(bytes(&found), bytes(&expected));
}

/// The bytes as what follows the head of an envelope of version 1, with the checksum that belongs to them.
fn envelope(bytes: &[u8]) {
    let Some((kind, tail)) = bytes.split_first() else { return };
    let mut envelope = b"MPST\x01".to_vec();
    envelope.push(kind & 0x13);
    envelope.extend_from_slice(&checksum(tail).to_le_bytes());
    envelope.extend_from_slice(tail);
    let _ = (decode_request(&envelope), decode_answer(&envelope, SpoolId([1; 16])));
}
