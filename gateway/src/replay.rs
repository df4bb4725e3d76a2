//! `replay`: the engine alone, offline.
