//! One loop, one event enum: the place where sources, spool and uplink meet.
