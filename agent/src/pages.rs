//! What a technician looks at.
