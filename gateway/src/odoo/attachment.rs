//! A file on a picking: what it is called, what it is, and how to see whether it is already there.
//!
//! Promise: the bytes in Odoo are the bytes that were captured. Odoo shrinks large images on arrival unless told not to,
//! which would alter evidence and its checksum; every creation here says so (`image_no_postprocess`). A file is on a
//! picking once: it is looked for by Odoo's own checksum (SHA-1) first.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use milepost_proto::Pod;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::json;

use super::client::Call;

/// A file to attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its file name.
    pub name: String,
    /// Its media type.
    pub mimetype: &'static str,
    /// Its contents.
    pub bytes: Vec<u8>,
}

impl Attachment {
    /// A captured image, named `stem` with the ending of what the bytes are.
    #[must_use]
    pub fn image(stem: &str, bytes: Vec<u8>) -> Self {
        let (mimetype, ending) = kind_of(&bytes);
        Self { name: format!("{stem}.{ending}"), mimetype, bytes }
    }

    /// The proof itself as JSON, with the id of the record that carries it: what a person or an auditor can check.
    ///
    /// # Errors
    /// What the JSON writer says.
    pub fn summary(stem: &str, pod: &Pod, record: &str) -> Result<Self, serde_json::Error> {
        let bytes = serde_json::to_vec_pretty(&json!({"record": record, "pod": pod}))?;
        Ok(Self { name: format!("{stem}.json"), mimetype: "application/json", bytes })
    }

    /// The search that finds it when it is already on the picking.
    #[must_use]
    pub fn search(&self, picking: i64) -> Call {
        let domain = json!([
            ["res_model", "=", "stock.picking"],
            ["res_id", "=", picking],
            ["checksum", "=", sha1(&self.bytes)]
        ]);
        Call::search("ir.attachment", domain, &["id"], 1)
    }

    /// The call that attaches it.
    #[must_use]
    pub fn create(&self, picking: i64) -> Call {
        let values = json!({
            "name": self.name,
            "res_model": "stock.picking",
            "res_id": picking,
            "mimetype": self.mimetype,
            "datas": STANDARD.encode(&self.bytes),
        });
        let context = json!({"image_no_postprocess": true});
        Call::new("ir.attachment", "create", json!({"vals_list": [values], "context": context}))
    }
}

/// Start of the names of a proof's files: `pod-<client_ref>-r<revision>`, safe as a file name.
#[must_use]
pub fn stem(pod: &Pod) -> String {
    let reference: String =
        pod.client_ref.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    format!("pod-{reference}-r{}", pod.revision)
}

/// The checksum Odoo keeps of an attachment: SHA-1 in lower-case hex.
#[must_use]
pub fn sha1(bytes: &[u8]) -> String {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Media type and file ending by the first bytes; what is not recognised is left as bytes.
fn kind_of(bytes: &[u8]) -> (&'static str, &'static str) {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => ("image/png", "png"),
        [0xff, 0xd8, 0xff, ..] => ("image/jpeg", "jpg"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => ("image/webp", "webp"),
        _ => ("application/octet-stream", "bin"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_the_one_odoo_keeps() {
        // FIPS 180-4 example "abc".
        assert_eq!(sha1(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }

    #[test]
    fn images_are_named_by_their_bytes() {
        let check = |bytes: &[u8]| Attachment::image("x", bytes.to_vec()).name;
        assert_eq!(check(b"\x89PNG\r\n\x1a\n"), "x.png");
        assert_eq!(check(b"\xff\xd8\xff\xe0"), "x.jpg");
        assert_eq!(check(b"RIFF\0\0\0\0WEBPVP8 "), "x.webp");
        assert_eq!(check(b"<svg onload='x'>"), "x.bin");
        assert_eq!(check(b""), "x.bin");
    }

    #[test]
    fn a_stem_is_safe_as_a_file_name() {
        let pod = r#"{"client_ref":"../a b/é","stop":"S","shipment":"P","outcome":"completed","revision":2}"#;
        assert_eq!(stem(&serde_json::from_str(pod).expect("pod")), "pod-___a_b__-r2");
    }

    #[test]
    fn odoo_is_told_to_leave_the_bytes_alone() {
        let call = Attachment::image("x", b"abc".to_vec()).create(7);
        assert_eq!(call.body["context"]["image_no_postprocess"], true);
        assert_eq!(call.body["vals_list"][0]["datas"], "YWJj");
        assert_eq!(call.body["vals_list"][0]["res_id"], 7);
    }
}
