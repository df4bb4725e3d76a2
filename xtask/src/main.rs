//! Chores as Rust.

fn main() {}
