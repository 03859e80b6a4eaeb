//! What runs in the container and with which rights.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A resource limit's kind, by the kernel's name without `RLIMIT_` in lower case, e.g. `nofile` (getrlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is the kernel's own name")]
pub enum RlimitKind {
    As,
    Core,
    Cpu,
    Data,
    Fsize,
    Locks,
    Memlock,
    Msgqueue,
    Nice,
    Nofile,
    Nproc,
    Rss,
    Rtprio,
    Rttime,
    Sigpending,
    Stack,
}

impl RlimitKind {
    /// All kinds.
    pub const ALL: [Self; 16] = [
        Self::As,
        Self::Core,
        Self::Cpu,
        Self::Data,
        Self::Fsize,
        Self::Locks,
        Self::Memlock,
        Self::Msgqueue,
        Self::Nice,
        Self::Nofile,
        Self::Nproc,
        Self::Rss,
        Self::Rtprio,
        Self::Rttime,
        Self::Sigpending,
        Self::Stack,
    ];

    /// The lower-case name, `nofile` and the like.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::As => "as",
            Self::Core => "core",
            Self::Cpu => "cpu",
            Self::Data => "data",
            Self::Fsize => "fsize",
            Self::Locks => "locks",
            Self::Memlock => "memlock",
            Self::Msgqueue => "msgqueue",
            Self::Nice => "nice",
            Self::Nofile => "nofile",
            Self::Nproc => "nproc",
            Self::Rss => "rss",
            Self::Rtprio => "rtprio",
            Self::Rttime => "rttime",
            Self::Sigpending => "sigpending",
            Self::Stack => "stack",
        }
    }
}

impl fmt::Display for RlimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RlimitKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(())
    }
}

/// One `--ulimit`. The kernel's "unlimited" is [`u64::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Which limit.
    pub kind: RlimitKind,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// Which system calls are allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seccomp {
    /// The default profile.
    #[default]
    Default,
    /// No filter.
    Unconfined,
    /// The profile in this file (docker's JSON format).
    File(PathBuf),
}

/// SELinux labels (`user:role:type:level`); none means unlabelled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SelinuxLabels {
    /// Of its processes.
    pub process: Option<String>,
    /// Of its files.
    pub mount: Option<String>,
}

/// What runs in the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessConfig {
    /// The entrypoint in force, the image's or the user's.
    pub entrypoint: Vec<String>,
    /// The command in force: appended to the entrypoint.
    pub command: Vec<String>,
    /// Environment, `NAME=value` each, in order; a later one wins.
    pub env: Vec<String>,
    /// Working directory; empty means `/`.
    pub workdir: String,
    /// `user[:group]` by name or id; empty means root.
    pub user: String,
    /// Groups besides those of the user, by name or id.
    pub groups: Vec<String>,
    /// File mode creation mask; none means the runtime's.
    pub umask: Option<u32>,
    /// A terminal is allocated.
    pub terminal: bool,
    /// Standard input stays open.
    pub stdin: bool,
    /// Capabilities added to the default set, `CAP_…` or `ALL`.
    pub cap_add: Vec<String>,
    /// Capabilities dropped from it, `CAP_…` or `ALL`.
    pub cap_drop: Vec<String>,
    /// All capabilities, all devices, nothing masked.
    pub privileged: bool,
    /// setuid and file capabilities gain nothing.
    pub no_new_privileges: bool,
    /// System call filter.
    pub seccomp: Seccomp,
    /// SELinux labels, applied where SELinux is on.
    pub selinux: SelinuxLabels,
    /// AppArmor profile, applied where AppArmor is on; none means the runtime's.
    pub apparmor: Option<String>,
    /// Resource limits asked for.
    pub ulimits: Vec<Ulimit>,
}

impl ProcessConfig {
    /// The argument vector: entrypoint, then command.
    pub fn args(&self) -> Vec<String> {
        self.entrypoint
            .iter()
            .chain(&self.command)
            .cloned()
            .collect()
    }
}
