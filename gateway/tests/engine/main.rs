//! The milestone engine as its callers see it: drives made of facts in, standing milestones out.

mod drive;
mod named;
mod properties;
mod recorded;
