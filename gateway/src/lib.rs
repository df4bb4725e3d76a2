//! The Milepost gateway: takes batches from agents, keeps them durably, folds them into milestones, and keeps Odoo and
//! people aligned with what really happened.
//!
//! Reading order: [`ingest`] puts batches into the [`store`]'s journal and answers receipts; [`projector`] folds the
//! journal through the pure engine in [`milestone`] and commits state, milestones, outbox and cursor in one
//! transaction; [`outbox`] hands effects to [`odoo`]; [`pages`] shows it all to people that [`auth`] knows.

pub mod auth;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod effect;
pub mod ingest;
pub mod metrics;
pub mod milestone;
pub mod odoo;
pub mod outbox;
pub mod pages;
pub mod projector;
pub mod replay;
pub mod serve;
pub mod store;
