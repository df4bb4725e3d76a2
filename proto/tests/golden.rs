//! Golden bytes: what every released end of the wire wrote is read for ever, and what version 1 wrote is written again.
//!
//! Promise: a change that would strand an agent in a vehicle, a chunk in a journal or a record in a spool fails here. The
//! files of version 0 were written by the code that was version 0, before there was another. `MILEPOST_GOLDEN=write`
//! writes files that are missing, for a new version; a file that is there is never written again, because then it would
//! prove nothing.

use std::path::PathBuf;

use milepost_proto::chunk::checksum;
use milepost_proto::wire::{WireVersion, decode_answer, decode_request, encode_answer, encode_request_in};
use milepost_proto::{Chunk, ChunkBody, Record, SequenceRange};

#[path = "golden/values.rs"]
mod values;
use values::{BOOT, SPOOL};

/// A file's bytes; for a new version `written` becomes the file.
fn golden(name: &str, written: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if !path.exists() && std::env::var_os("MILEPOST_GOLDEN").is_some() {
        std::fs::write(&path, written).expect("written");
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn requests_of_version_0_are_read() {
    let request = values::old_request();
    let bytes = golden("v0-request.bin", &encode_request_in(WireVersion::V0, &request).expect("encodes"));
    assert_eq!(decode_request(&bytes), Ok((WireVersion::V0, request)));
}

#[test]
fn answers_of_version_0_are_read() {
    let bytes = golden("v0-answer.bin", &encode_answer(WireVersion::V0, SPOOL, &values::answer()).expect("encodes"));
    assert_eq!(decode_answer(&bytes, SPOOL), Ok(values::answer()));
}

#[test]
fn requests_of_version_1_are_read_and_written() {
    let request = values::new_request();
    let written = encode_request_in(WireVersion::V1, &request).expect("encodes");
    let bytes = golden("v1-request.bin", &written);
    assert_eq!(decode_request(&bytes), Ok((WireVersion::V1, request)));
    assert_eq!(written, bytes);
}

/// Compressed: read for ever, but another release of zstd may write it otherwise.
#[test]
fn compressed_requests_of_version_1_are_read() {
    let chunks = (1..=4).map(|first| Chunk::seal(first, BOOT, vec![values::proof()]).expect("sealed")).collect();
    let request = values::request(Vec::new(), chunks);
    let bytes = golden("v1-request-compressed.bin", &encode_request_in(WireVersion::V1, &request).expect("encodes"));
    assert_eq!(bytes[5], 1 + 16, "the file is not compressed");
    assert_eq!(decode_request(&bytes), Ok((WireVersion::V1, request)));
}

#[test]
fn answers_of_version_1_are_read_and_written() {
    let written = encode_answer(WireVersion::V1, SPOOL, &values::answer()).expect("encodes");
    let bytes = golden("v1-answer.bin", &written);
    assert_eq!(decode_answer(&bytes, SPOOL), Ok(values::answer()));
    assert_eq!(written, bytes);
}

/// The records of a body as bytes, because what is not a number is not equal to itself.
fn records(body: &[u8], range: SequenceRange) -> Vec<u8> {
    let chunk = Chunk { range, checksum: checksum(body), body: body.to_vec() };
    numbered(&chunk.open().expect("opens").into_numbered(range))
}

fn numbered(records: &[(u64, Record)]) -> Vec<u8> {
    postcard::to_stdvec(records).expect("serialises")
}

#[test]
fn bodies_of_every_form_are_read() {
    let count = values::mixed().len() as u64;
    let (all, thinned) = (values::range(1, count), values::range(100, 159));
    let mixed: Vec<_> = (1..).zip(values::mixed()).collect();
    let old_records = ChunkBody::Records { boot_id: BOOT, records: values::mixed() };
    let old_thinned = ChunkBody::Thinned { boot_id: BOOT, kept: values::kept() };

    let check = |name: &str, written: Chunk, expected: &[(u64, Record)], is_written_again: bool| {
        let bytes = golden(name, &written.body);
        assert_eq!(records(&bytes, written.range), numbered(expected), "{name}");
        if is_written_again {
            assert_eq!(written.body, bytes, "{name}");
        }
    };
    check("body-0-records.bin", values::old_chunk(all, &old_records), &mixed, false);
    check("body-2-thinned.bin", values::old_chunk(thinned, &old_thinned), &values::kept(), false);
    check("body-3-columns.bin", Chunk::seal(1, BOOT, values::mixed()).expect("sealed"), &mixed, true);
    let fixes: Vec<_> = (160..).zip(values::fixes()).collect();
    check("body-3-fixes.bin", Chunk::seal(160, BOOT, values::fixes()).expect("sealed"), &fixes, true);
    let thinned = Chunk::seal_thinned(thinned, BOOT, values::kept()).expect("sealed");
    check("body-4-thinned.bin", thinned, &values::kept(), true);

    let gap = Chunk::gap(values::range(1, 9), values::gap()).expect("a gap");
    let bytes = golden("body-1-gap.bin", &gap.body);
    assert_eq!(bytes, gap.body);
    assert_eq!(gap.open(), Ok(ChunkBody::Gap(values::gap())));
}

/// The files are what an old end sends and what an old end is sent: the same place says the version in all of them.
#[test]
fn the_version_is_in_its_place() {
    for (name, version) in [("v0-request.bin", 0), ("v0-answer.bin", 0), ("v1-request.bin", 1), ("v1-answer.bin", 1)] {
        assert_eq!(golden(name, &[])[..5], [b'M', b'P', b'S', b'T', version], "{name}");
    }
    assert_eq!(WireVersion::CURRENT as u8, 1, "a new version needs golden files of its own");
}
