//! The driver app's way in, whichever way it comes.
