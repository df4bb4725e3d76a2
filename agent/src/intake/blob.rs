//! Parts of photos and signatures: checked against every bound before anyone stores a byte.
//!
//! Promise: a [`BlobPart`] from here is not empty, is at most [`BLOB_PART_BYTES_MAX`] long, lies inside a blob of at
//! most [`BLOB_BYTES_MAX`], and its name is safe in a path.
//!
//! A blob is whole once the SHA-256 of its contiguous bytes is its name, so a sender that does not know the size (MQTT's
//! `…/blob/<sha256>/<offset>`) need not say which part is the last.

use milepost_proto::driver_app::{Rejection, RejectionCode};
use milepost_proto::uplink::{BLOB_BYTES_MAX, BLOB_PART_BYTES_MAX};

use crate::capture::BlobPart;

/// Reads a part; `sha256`, `offset` and `size` are the texts of a topic or an address.
///
/// # Errors
/// `malformed` for a name or number that is none, `invalid_field` for a part that is empty or outside its blob,
/// `too_large` for a part or a blob above the bounds.
pub fn read_part(sha256: &str, offset: &str, size: Option<&str>, bytes: &[u8]) -> Result<BlobPart, Rejection> {
    let sha256 = sha256.parse().map_err(|error| malformed(&format!("the blob's name is unusable: {error}")))?;
    let offset = whole_number("offset", offset)?;
    let size = size.map(|size| whole_number("size", size)).transpose()?;
    if bytes.is_empty() {
        return Err(invalid("the part is empty", "send at least one byte"));
    }
    if bytes.len() > BLOB_PART_BYTES_MAX {
        let mend = format!("send parts of at most {BLOB_PART_BYTES_MAX} bytes, each with its offset");
        return Err(too_large("the part is too large", &mend));
    }
    let end = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    if end.max(size.unwrap_or(0)) > BLOB_BYTES_MAX {
        let mend = format!("make the picture smaller: at most {BLOB_BYTES_MAX} bytes");
        return Err(too_large("the photo or signature is too large", &mend));
    }
    if size.is_some_and(|size| end > size) {
        return Err(invalid("the part ends after the blob", "check offset and size"));
    }
    Ok(BlobPart { sha256, offset, bytes: bytes.to_vec(), size })
}

fn whole_number(name: &str, text: &str) -> Result<u64, Rejection> {
    // `parse` would also take a sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| malformed(&format!("{name} is not a number of bytes")))
}

fn malformed(message: &str) -> Rejection {
    Rejection::new(RejectionCode::Malformed, message, "send the part as blob/<sha256>/<offset>")
}

fn invalid(message: &str, mend: &str) -> Rejection {
    Rejection::new(RejectionCode::InvalidField, message, mend)
}

fn too_large(message: &str, mend: &str) -> Rejection {
    Rejection::new(RejectionCode::TooLarge, message, mend)
}

#[cfg(test)]
mod tests {
    use milepost_proto::Sha256;

    use super::*;

    fn check(offset: &str, size: Option<&str>, bytes_len: usize, expected: Result<u64, &str>) {
        let name = Sha256::of(b"photo").to_string();
        let read = read_part(&name, offset, size, &vec![7; bytes_len]).map(|part| part.offset);
        let shown = read.map_err(|rejection| format!("{}: {}", rejection.code.as_str(), rejection.message));
        assert_eq!(shown.as_ref().copied().map_err(String::as_str), expected, "{offset} {size:?} {bytes_len}");
    }

    #[test]
    fn parts_lie_inside_their_blob_and_within_the_bounds() {
        check("0", None, 1, Ok(0));
        check("0", Some("262144"), BLOB_PART_BYTES_MAX, Ok(0));
        check("8388607", Some("8388608"), 1, Ok(8_388_607));
        check("0", None, 0, Err("invalid_field: the part is empty"));
        check("0", None, BLOB_PART_BYTES_MAX + 1, Err("too_large: the part is too large"));
        check("8388608", None, 1, Err("too_large: the photo or signature is too large"));
        check("0", Some("8388609"), 1, Err("too_large: the photo or signature is too large"));
        check(&u64::MAX.to_string(), None, 1, Err("too_large: the photo or signature is too large"));
        check("5", Some("5"), 1, Err("invalid_field: the part ends after the blob"));
    }

    #[test]
    fn numbers_are_digits_only() {
        for offset in ["", "+1", "-1", "1.0", "0x1", "99999999999999999999"] {
            check(offset, None, 1, Err("malformed: offset is not a number of bytes"));
        }
        check("0", Some("many"), 1, Err("malformed: size is not a number of bytes"));
    }

    #[test]
    fn a_name_that_is_no_hash_is_refused() {
        let rejection = read_part("../../etc/passwd", "0", None, b"x").expect_err("not a hash");
        assert_eq!(rejection.code, RejectionCode::Malformed);
    }
}
