//! What to send, when, and why not.

/// Why a request to the gateway brought no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendFailure;
