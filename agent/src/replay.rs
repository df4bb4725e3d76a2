//! `replay`: recorded inputs at ×N speed through the real sources.
