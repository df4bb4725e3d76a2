//! Store and forward.
