//! `milepost-agent spool inspect / verify / export`: a look into a spool file, also of a vehicle that will never start again.
//!
//! Promise: the file is only read. What does not read is said and stepped over, so a damaged file still gives everything
//! else. A running agent holds its file; stop it first, or copy the file together with its `-wal`.

pub mod export;
pub mod inspect;
pub mod verify;

pub use export::export;
pub use inspect::{Inspection, inspect};
pub use verify::verify;
