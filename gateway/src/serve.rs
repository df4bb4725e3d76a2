//! `serve`: the gateway as a whole.
