//! Prometheus figures.
