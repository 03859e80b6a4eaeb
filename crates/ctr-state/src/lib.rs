//! The container state machine and its store.
#![forbid(unsafe_code)]
