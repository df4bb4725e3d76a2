//! The whole Milepost system under test.

pub mod lossy_proxy;
pub mod odoo_story;
