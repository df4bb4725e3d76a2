//! `check`: what is wrong with this configuration and with what it points at.
