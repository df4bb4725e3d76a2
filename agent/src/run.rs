//! `run`: the agent as a whole.
