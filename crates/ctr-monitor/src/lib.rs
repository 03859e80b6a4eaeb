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
//! | [`policy`] | whether and when it is started again |
//! | [`health`] | what its checks add up to |
//! | [`tidings`] | what happens while no engine looks |
//! | [`log`] | the k8s-file log, written and read |
//!
//! It knows no JSON and no database, so that the monitor stays some hundred kilobytes small.
#![forbid(unsafe_code)]

pub mod client;
mod codec;
pub mod config;
pub mod exit_record;
pub mod health;
mod keyvalue;
pub mod live;
pub mod log;
pub mod policy;
pub mod protocol;
pub mod tidings;

pub use codec::DecodeError;
