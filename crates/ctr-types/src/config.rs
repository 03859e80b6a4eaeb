//! What a container is: everything decided when it was created (semantics.md T7-T13).
//!
//! A [`ContainerConfig`] is immutable. `rename` and `update` replace it whole. It is stored as JSON with
//! a [`ContainerConfig::VERSION`]; unknown fields are ignored, missing ones take their default, so that a
//! neighbouring version reads it.

mod process;
mod resources;
mod storage;

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use process::{ProcessConfig, RlimitKind, Seccomp, Ulimit};
pub use resources::Resources;
pub use storage::{Mount, MountKind, Propagation, Rootfs};

use crate::{ContainerId, ContainerName, Signal};

/// A namespace of the container: an own one, the host's, another container's or one at a path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Namespace {
    /// An own, new namespace.
    #[default]
    Private,
    /// The host's.
    Host,
    /// Another container's, which becomes a dependency.
    Container(ContainerId),
    /// The one at this path.
    Path(PathBuf),
}

/// How the container is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// An own network namespace with nothing but loopback, made by the runtime.
    None,
    /// The host's network namespace.
    Host,
    /// An own network namespace held by the engine under the run root.
    #[default]
    Private,
}

/// The namespaces of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    /// Network.
    pub network: Network,
    /// Process ids.
    pub pid: Namespace,
    /// System V IPC and POSIX message queues.
    pub ipc: Namespace,
    /// Host name.
    pub uts: Namespace,
    /// View of the cgroup tree.
    pub cgroup: Namespace,
}

/// Where the container's output goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// The driver.
    pub driver: LogDriver,
    /// Bytes after which the file is rotated; none means no limit.
    pub max_size: Option<u64>,
    /// How many files are kept, the current one included; 0 counts as 1.
    pub max_files: u32,
}

/// A log driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// Kubernetes' text format, one line per line of output.
    #[default]
    K8sFile,
    /// No log is kept.
    None,
}

/// What a container is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerConfig {
    /// Version of this structure, [`ContainerConfig::VERSION`].
    pub version: u32,
    /// The id.
    pub id: ContainerId,
    /// The name, unique among containers and pods.
    pub name: ContainerName,
    /// When it was created.
    pub created: Timestamp,
    /// The command line that created it.
    #[serde(default)]
    pub create_command: Vec<String>,
    /// Where the root file system comes from.
    pub rootfs: Rootfs,
    /// What runs in it.
    pub process: ProcessConfig,
    /// Mounts the user asked for.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// The root file system is mounted read-only.
    #[serde(default)]
    pub read_only: bool,
    /// Size of /dev/shm in bytes.
    pub shm_size: u64,
    /// Host name; none means the short id (or the host's own with a host UTS namespace).
    #[serde(default)]
    pub hostname: Option<String>,
    /// Namespaces.
    #[serde(default)]
    pub namespaces: Namespaces,
    /// Limits.
    #[serde(default)]
    pub resources: Resources,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// OCI annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// The signal `stop` sends first.
    pub stop_signal: Signal,
    /// Seconds `stop` waits before SIGKILL.
    pub stop_timeout: u32,
    /// Where output goes.
    #[serde(default)]
    pub log: LogConfig,
    /// The OCI runtime asked for, by name or path; none means the host is probed.
    #[serde(default)]
    pub runtime: Option<String>,
    /// Removed as soon as it has exited (`--rm`).
    #[serde(default)]
    pub auto_remove: bool,
    /// What cannot be applied on this host is an error instead of a remark.
    #[serde(default)]
    pub strict: bool,
}

impl ContainerConfig {
    /// The version written.
    pub const VERSION: u32 = 1;
    /// Docker's default size of /dev/shm in bytes (semantics.md T9).
    pub const DEFAULT_SHM_SIZE: u64 = 64 << 20;
    /// Default seconds between the stop signal and SIGKILL (semantics.md T13).
    pub const DEFAULT_STOP_TIMEOUT: u32 = 10;
}
