//! `POST /v1/batches` over mutual TLS.
