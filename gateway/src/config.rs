//! gateway.toml.
