//! The Odoo connector.
