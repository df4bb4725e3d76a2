//! The gateway's durable store.
