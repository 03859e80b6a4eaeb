//! The monitor of one container and its protocol.
#![forbid(unsafe_code)]
