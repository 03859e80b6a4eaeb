//! The words every ctrs crate shares: ids, names, digests, where things live, and what a container *is*.
//!
//! Nothing here does I/O. A value of one of these types has been checked when it was made, so the
//! crates that receive one need not check it again.
//!
//! ```
//! use ctr_types::{ContainerId, ContainerName};
//! let name: ContainerName = "web-1".parse()?;
//! assert_eq!(name.as_str(), "web-1");
//! assert!("../etc".parse::<ContainerName>().is_err());
//! assert!("0123abcd".parse::<ContainerId>().is_err(), "an id is 64 hex digits");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod config;
mod digest;
mod id;
mod name;
mod roots;
mod signal;

pub use config::ContainerConfig;
pub use digest::{Digest, DigestError, Hasher};
pub use id::{ContainerId, IdError, OpId};
pub use name::{ContainerName, NameError};
pub use roots::{BootId, BootIdError, Roots};
pub use signal::{Signal, SignalError};

/// A point in time, in UTC with nanoseconds; written as RFC 3339.
pub use jiff::Timestamp;
