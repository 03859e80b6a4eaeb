//! Limits the cgroup enforces.

use serde::{Deserialize, Serialize};

/// Limits; none means the kernel's or the parent's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Memory in bytes (`-m`).
    pub memory: Option<u64>,
    /// Memory and swap together in bytes (`--memory-swap`); -1 is unlimited.
    pub memory_swap: Option<i64>,
    /// CPU time in billionths of a CPU (`--cpus 1.5` is 1 500 000 000).
    pub nano_cpus: Option<u64>,
    /// Relative weight, 2 to 262144 (`--cpu-shares`).
    pub cpu_shares: Option<u64>,
    /// CPUs it may run on, `0-2,4` (`--cpuset-cpus`).
    pub cpuset_cpus: Option<String>,
    /// Processes and threads at most (`--pids-limit`); -1 is unlimited.
    pub pids_limit: Option<i64>,
}
