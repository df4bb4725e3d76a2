//! Links to pages.
//!
//! Promise: whatever is in an id, it is one segment of a path and comes back as it was: `WH/OUT/00001` is a shipment's
//! name, not three folders.

use std::fmt::Write;

/// `text` as one path segment: everything but `A-Z a-z 0-9 - _ ~` and inner dots is percent-encoded.
#[must_use]
pub fn segment(text: &str) -> String {
    let only_dots = text.bytes().all(|byte| byte == b'.');
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) || (byte == b'.' && !only_dots) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _always_ok = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The page of a shipment.
#[must_use]
pub fn to_shipment(shipment_id: &str) -> String {
    format!("/shipments/{}", segment(shipment_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stays_one_segment() {
        assert_eq!(to_shipment("WH/OUT/00001"), "/shipments/WH%2FOUT%2F00001");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("a.b"), "a.b");
        assert_eq!(segment("ü?#%\""), "%C3%BC%3F%23%25%22");
    }
}
