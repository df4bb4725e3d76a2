//! The two files that pages load: one style sheet, one icon. Both are part of the program.

use axum::http::header;
use axum::response::IntoResponse;

const CACHED: &str = "public, max-age=300";

/// The style sheet.
pub async fn stylesheet() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, CACHED)];
    (headers, include_str!("../../templates/milepost.css"))
}

/// The icon: a milestone.
pub async fn icon() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, CACHED)];
    (headers, include_str!("../../templates/milepost.svg"))
}
