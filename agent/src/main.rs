//! Parses, runs, exits: see the library for what happens in between.

fn main() {}
