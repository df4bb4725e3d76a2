//! The Milepost agent: records what happens to a vehicle, keeps it safe while offline, and hands it over without loss.
//!
//! Reading order: [`source`]s turn bytes into observations; [`reporting`] decides which are worth keeping; the
//! [`spool`] commits them; the [`uplink`] offers committed chunks to the gateway and settles what a receipt covers.
//! [`event_loop`] is the one place where these meet. [`intake`] is the driver app's way in, [`pages`] the technician's
//! way to look.

pub mod capture;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decode;
pub mod event;
pub mod event_loop;
pub mod examine;
pub mod identity;
pub mod intake;
pub mod pages;
pub mod replay;
pub mod reporting;
pub mod run;
pub mod source;
pub mod spool;
pub mod status;
pub mod uplink;
