//! The milestone engine as its callers see it: drives made of facts in, standing milestones out.

#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the tests' own numbers are small")]

mod drive;
mod named;
mod properties;
mod recorded;
