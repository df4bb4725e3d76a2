//! The driver app's ways in, each with a real client against a stand-in for the event loop.

mod fake_loop;
mod http;
mod mqtt;
