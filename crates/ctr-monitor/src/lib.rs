//! The monitor of one container, and how to talk to it.
//!
//! `ctrs-monitor` (the binary of this crate) stays with a container for its life. It alone writes the container's live
//! file. This library is what both sides share:
//!
//! | module | what |
//! |---|---|
//! | [`config`] | what the engine tells the monitor once |
//! | [`protocol`] | the messages afterwards |
//! | [`client`] | the engine's side of them |
//! | [`live`] | the live file: what is true now, per boot |
//! | [`exit_record`] | how a run ended, durable |
//! | [`log`] | the k8s-file log, written and read |
//!
//! It knows no JSON and no database, so that the monitor stays some hundred kilobytes small.
#![forbid(unsafe_code)]

pub mod client;
mod codec;
pub mod config;
pub mod exit_record;
mod keyvalue;
pub mod live;
pub mod log;
pub mod protocol;

pub use codec::DecodeError;
