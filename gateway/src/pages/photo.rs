//! `/blobs/{sha256}`: photos and signatures.
//!
//! Promise: bytes that a vehicle sent are shown only if they begin like a PNG or a JPEG; anything else is a download
//! that no browser will run. A name is a content hash or nothing, and a fleet sees its own blobs only.

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use milepost_proto::Sha256;

use super::PageState;
use super::refusal::{PageRefusal, Refusal};
use crate::auth::SignedIn;
use crate::store::blob;

/// Answers with the blob.
///
/// # Errors
/// Not found, or the store's.
pub async fn photo(
    State(state): State<PageState>,
    who: SignedIn,
    Path(name): Path<String>,
) -> Result<Response, PageRefusal> {
    let sha256: Sha256 = name.parse().map_err(|_| Refusal::not_found())?;
    let held = state.store.read(move |connection| blob::bytes(connection, &who.fleet, sha256)).await?;
    let bytes = held.ok_or_else(Refusal::not_found)?;
    let (media_type, disposition) = match image_type(&bytes) {
        Some(image) => (image, "inline"),
        None => ("application/octet-stream", "attachment"),
    };
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_DISPOSITION, disposition),
        (header::CACHE_CONTROL, "private, max-age=86400, immutable"),
    ];
    Ok((headers, bytes).into_response())
}

/// The media type, by the first bytes, of the two kinds of image that are shown.
fn image_type(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some("image/png")
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        Some("image/jpeg")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_png_and_jpeg_are_shown() {
        assert_eq!(image_type(b"\x89PNG\r\n\x1a\n...."), Some("image/png"));
        assert_eq!(image_type(b"\xff\xd8\xff\xe0"), Some("image/jpeg"));
        for other in [b"<svg onload=alert(1)>".as_slice(), b"<!doctype html>", b"GIF89a", b"\x89PN", b""] {
            assert_eq!(image_type(other), None);
        }
    }
}
