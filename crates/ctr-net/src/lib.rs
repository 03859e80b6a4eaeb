//! Networks of containers.
//!
//! So far: the network namespace a container owns, held by a mount under the run root so that it exists before the
//! container's first process and after its last. Its path is a function of the container's run directory, so undoing
//! needs no record. Bridges and CNI build on this.
//!
//! ```no_run
//! use std::path::Path;
//! let namespace = ctr_net::NetworkNamespace::of(Path::new("/run/ctrs/boot-x/containers/y"));
//! namespace.create()?;
//! let names = namespace.interfaces()?;
//! assert_eq!(names, ["lo"]);
//! namespace.ensure_absent()?;
//! # Ok::<(), ctr_net::NetworkError>(())
//! ```
#![forbid(unsafe_code)]

mod namespace;

pub use namespace::{NetworkError, NetworkNamespace};
