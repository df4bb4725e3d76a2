//! The device's certificate and key.
