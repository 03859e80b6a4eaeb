//! The engine: composes the other crates.
#![forbid(unsafe_code)]
