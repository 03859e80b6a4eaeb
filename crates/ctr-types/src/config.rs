//! What a container is: everything decided when it was created (semantics.md T7-T13).
//!
//! A [`ContainerConfig`] is immutable. `rename` and `update` replace it whole. It is stored as JSON with
//! a [`ContainerConfig::VERSION`]; unknown fields are ignored, missing ones take their default, so that a
//! neighbouring version reads it.

mod health;
mod namespaces;
mod network;
mod process;
mod resources;
mod restart;
mod storage;
mod validate;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use health::{HealthAction, HealthCheck};
pub use namespaces::{Namespace, Namespaces, Network};
pub use network::{Dns, HostAddress, HostEntry, PortMapping, Protocol};
pub use process::{ProcessConfig, RlimitKind, Seccomp, SelinuxLabels, Ulimit};
pub use resources::Resources;
pub use restart::{RestartPolicy, RestartPolicyError};
pub use storage::{ImageVolumes, Mount, MountKind, Propagation, Rootfs};
pub use validate::ConfigError;

use crate::{ContainerId, ContainerName, Signal};

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
    /// How often it has been replaced, by `rename` and `update`.
    #[serde(default)]
    pub generation: u32,
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
    /// Ports of the host that lead to it.
    #[serde(default)]
    pub ports: Vec<PortMapping>,
    /// What its resolv.conf says.
    #[serde(default)]
    pub dns: Dns,
    /// Lines added to its hosts file.
    #[serde(default)]
    pub hosts: Vec<HostEntry>,
    /// The image's own hosts file is left as it is.
    #[serde(default)]
    pub no_hosts: bool,
    /// Limits.
    #[serde(default)]
    pub resources: Resources,
    /// The cgroup that its own lies in; none means the engine's.
    #[serde(default)]
    pub cgroup_parent: Option<String>,
    /// Kernel parameters of its namespaces, such as `net.ipv4.ip_forward`.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
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
    /// When it is started again.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// Seconds that a run may take; 0 means any.
    #[serde(default)]
    pub timeout: u32,
    /// How its health is checked, if it is.
    #[serde(default)]
    pub health: Option<HealthCheck>,
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

    /// A container with nothing but a root file system and a program: everything else is the engine's default.
    pub fn new(
        id: ContainerId,
        name: ContainerName,
        rootfs: Rootfs,
        process: ProcessConfig,
    ) -> Self {
        Self {
            version: Self::VERSION,
            generation: 0,
            id,
            name,
            created: Timestamp::now(),
            create_command: Vec::new(),
            rootfs,
            process,
            mounts: Vec::new(),
            read_only: false,
            shm_size: Self::DEFAULT_SHM_SIZE,
            hostname: None,
            namespaces: Namespaces::default(),
            ports: Vec::new(),
            dns: Dns::default(),
            hosts: Vec::new(),
            no_hosts: false,
            resources: Resources::default(),
            cgroup_parent: None,
            sysctls: BTreeMap::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            stop_signal: Signal::TERM,
            stop_timeout: Self::DEFAULT_STOP_TIMEOUT,
            log: LogConfig::default(),
            runtime: None,
            restart: RestartPolicy::No,
            timeout: 0,
            health: None,
            auto_remove: false,
            strict: false,
        }
    }

    /// The containers that this one needs: none of them may be removed before it.
    pub fn dependencies(&self) -> BTreeSet<ContainerId> {
        self.namespaces.dependencies()
    }
}
