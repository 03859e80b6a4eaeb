//! A daemonless container engine.
//!
//! [`Engine`] is the entry: images come in, containers are made of them, and a [`Container`] is a name by which one is
//! started, attached to, waited for and removed. Every method may be called from several processes at once; whatever a dead
//! one has left is finished or undone by the next. Nothing here prints, reads the environment or installs signal handlers.
//!
//! ```no_run
//! use std::path::Path;
//! use ctr_core::{CreateRequest, Engine, EngineOptions, StepHooks};
//!
//! # fn main() -> Result<(), ctr_core::EngineError> {
//! let engine = Engine::open(EngineOptions {
//!     root: "/var/lib/ctrs".into(),
//!     runroot: "/run/ctrs".into(),
//!     monitor: "/usr/libexec/ctrs/ctrs-monitor".into(),
//!     cleanup: vec!["/usr/bin/ctrs".into(), "container".into(), "cleanup".into()],
//!     runtime: None,
//!     hooks: StepHooks::default(),
//! })?;
//! let request = CreateRequest {
//!     source: "busybox".into(),
//!     command: vec!["echo".into(), "hello".into()],
//!     ..CreateRequest::default()
//! };
//! let container = engine.create(&request)?;
//! container.lock()?.start()?;
//! assert_eq!(container.wait()?, 0);
//! container.remove(false)?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod container;
mod engine;
mod error;
mod etc;
mod events;
pub mod image;
mod plan;
mod recover;
mod steps;
pub mod system;
mod undo;
mod watch;

pub use container::human_duration;
pub use container::{
    ARTIFACT_MAX, AttachEnd, AttachOptions, Attachment, CheckResult, CommitRequest, Container,
    ContainerSummary, CopyOptions, CreateRequest, DetachKeys, DetachKeysError, Endpoint,
    ExecRequest, ExecSession, HealthRequest, Inspection, LockedContainer, LogOptions, Process,
    RootSource, Sizes, Snapshot, Started, Stats, Update, default_name,
};
pub use engine::{Engine, EngineOptions};
pub use error::{EngineError, ErrorKind};
pub use events::{EventFilter, EventOptions};
pub use steps::{Observer, StepHooks, all_points};

pub use ctr_monitor::health::{Check as HealthRecord, Health, Status as HealthStatus};
pub use ctr_monitor::log::{LogEntry, Stream};
pub use ctr_monitor::protocol::Session as ExecRecord;
pub use ctr_oci::spec::{Degraded, OCI_VERSION};
pub use ctr_state::record::EventRecord;
pub use ctr_state::{Denied, EndReason, Ended, Op, Phase, PhaseName, StoreError};
pub use ctr_storage::diff::{Change, ChangeKind};
pub use ctr_sys::error::error_chain;
pub use ctr_types as types;
pub use nix::sys::signal::{SigSet, Signal as NixSignal};
pub use nix::sys::signalfd::{SfdFlags, SignalFd};
