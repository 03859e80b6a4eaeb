//! The rules a configuration keeps, whoever made it: one variant of [`ConfigError`] for each (semantics.md T7-T13, M9).

use std::collections::BTreeSet;
use std::time::Duration;

use super::{
    ContainerConfig, Dns, MountKind, Namespace, Network, ProcessConfig, Resources, RestartPolicy,
    Rootfs, Seccomp, SelinuxLabels,
};

/// Longest host name in bytes (`HOST_NAME_MAX`, sethostname(2)).
const HOST_NAME_MAX: usize = 64;
/// Longest user, group or label text.
const TEXT_MAX: usize = 4096;
/// Smallest memory limit in bytes that a process can start in (docker's).
const MEMORY_MIN: u64 = 6 << 20;

/// Which rule a configuration breaks.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Nothing to run.
    #[error("no command: the image has none, and none was given")]
    NoCommand,
    /// A NUL byte, which no system call can pass on.
    #[error("{0} holds a NUL byte: remove it")]
    Nul(&'static str),
    /// An environment variable without a name.
    #[error("environment variable {0:?} has no name: use NAME=VALUE")]
    EnvName(String),
    /// A working directory that is not absolute.
    #[error("working directory {0:?} must be an absolute path")]
    Workdir(String),
    /// A user or group that is no name.
    #[error("{what} {text:?} is no name and no id")]
    UserText {
        /// `user` or `group`.
        what: &'static str,
        /// What was given.
        text: String,
    },
    /// A file mode creation mask beyond 0777.
    #[error("umask {0:o} must be between 0000 and 0777")]
    Umask(u32),
    /// One limit given twice.
    #[error("ulimit {0} is given twice")]
    UlimitTwice(super::RlimitKind),
    /// A soft limit beyond the hard one.
    #[error("ulimit {0}: the soft limit is above the hard limit")]
    UlimitOrder(super::RlimitKind),
    /// A seccomp profile by a relative path.
    #[error("seccomp profile {0:?} must be an absolute path")]
    SeccompPath(String),
    /// An SELinux label that is none.
    #[error("SELinux label {0:?} must be USER:ROLE:TYPE[:LEVEL]")]
    Selinux(String),
    /// A root directory that is not absolute.
    #[error("root file system {0:?} must be an absolute path")]
    RootfsPath(String),
    /// A mount point that is not absolute.
    #[error("mount target {0:?} must be an absolute path")]
    MountTarget(String),
    /// A mount over the root.
    #[error("mount target {0:?} must not be the root")]
    MountRoot(String),
    /// A mount point with `..`.
    #[error("mount target {0:?} must not hold '..'")]
    MountParent(String),
    /// Two mounts at one place.
    #[error("two mounts have the target {0:?}: remove one of them")]
    MountTwice(String),
    /// A bind mount of a relative path.
    #[error("mount source {0:?} must be an absolute path")]
    MountSource(String),
    /// A tmpfs mode beyond 07777.
    #[error("tmpfs at {target:?}: mode {mode:o} must be between 0000 and 7777")]
    TmpfsMode {
        /// Where.
        target: String,
        /// What was given.
        mode: u32,
    },
    /// A /dev/shm of no size.
    #[error("the size of /dev/shm must not be 0: it would mean no limit")]
    ShmSize,
    /// A host name beyond 64 bytes.
    #[error("host name {0:?} is longer than 64 bytes, the kernel's limit")]
    HostnameLength(String),
    /// A host name that a file or the kernel could misunderstand.
    #[error("host name {0:?} may hold letters, digits, '-', '_' and '.' only")]
    Hostname(String),
    /// A host name for a namespace that is not the container's own.
    #[error(
        "a host name cannot be set when the UTS namespace is not the container's own: drop --hostname or --uts"
    )]
    HostnameShared,
    /// A namespace shared with itself.
    #[error("{0}: a container cannot share a namespace with itself")]
    NamespaceSelf(&'static str),
    /// A namespace by a relative path.
    #[error("{option}: namespace {path:?} must be an absolute path")]
    NamespacePath {
        /// The option.
        option: &'static str,
        /// What was given.
        path: String,
    },
    /// Ports of a network that is not the container's own.
    #[error(
        "ports can be published only for a network of the container's own: drop --publish or --network"
    )]
    PortsNetwork,
    /// Port 0 in the container, or a range that leaves the port numbers.
    #[error("port mapping {0}: container ports and ranges must lie between 1 and 65535")]
    PortRange(String),
    /// A port of the host given twice.
    #[error("host port {0} is published twice")]
    PortTwice(String),
    /// Name servers for a network that is not the container's own.
    #[error("name servers cannot be set when the network is another container's: set them there")]
    DnsNetwork,
    /// Name servers for a container without a network.
    #[error(
        "name servers cannot be set for a container without a network: drop --dns or --network none"
    )]
    DnsNone,
    /// Name servers and `--dns none`.
    #[error("name servers cannot be set when resolv.conf is left to the image (--dns none)")]
    DnsUnmanaged,
    /// A search domain or an option that would break the file.
    #[error("{what} {text:?} must be one word without white space")]
    DnsWord {
        /// `search domain` or `DNS option`.
        what: &'static str,
        /// What was given.
        text: String,
    },
    /// Added hosts although the file is the image's own or another container's.
    #[error(
        "hosts cannot be added to a hosts file that is not the container's own: drop --add-host or --no-hosts"
    )]
    HostsShared,
    /// An added host whose name would break the file.
    #[error("host {0:?} must be one word without white space and '#'")]
    HostWord(String),
    /// A cgroup parent that leaves the tree.
    #[error("cgroup parent {0:?} must be a path without '.' and '..'")]
    CgroupParent(String),
    /// A kernel parameter that is none.
    #[error("sysctl {0:?} must be a name of letters, digits, '_', '-', '.' and '/'")]
    SysctlName(String),
    /// A kernel parameter of a namespace that is not the container's own: it would change the host.
    #[error(
        "sysctl {name} belongs to a namespace that is not the container's own: drop it, or {option}"
    )]
    SysctlHost {
        /// The parameter.
        name: String,
        /// The option that shares the namespace.
        option: &'static str,
    },
    /// A kernel parameter that no namespace has.
    #[error(
        "sysctl {0} is the whole host's: only kernel.shm*, kernel.msg*, kernel.sem, kernel.domainname, fs.mqueue.* and net.* are a container's"
    )]
    SysctlUnknown(String),
    /// Too little memory for any process.
    #[error("memory limit of {0} bytes is too small: use 6m or more")]
    Memory(u64),
    /// Less memory and swap together than memory.
    #[error(
        "memory and swap together ({swap} bytes) must not be less than memory ({memory} bytes)"
    )]
    Swap {
        /// Together.
        swap: i64,
        /// Memory.
        memory: u64,
    },
    /// A limit of swap without one of memory.
    #[error("a limit of swap needs one of memory: add --memory")]
    SwapAlone,
    /// A share of processor time out of range.
    #[error("cpu shares {0} must lie between 2 and 262144")]
    CpuShares(u64),
    /// A list of processors that is none.
    #[error("processor list {0:?} must be numbers and ranges, such as 0-2,4")]
    Cpuset(String),
    /// A limit of processes below -1.
    #[error("process limit {0} must be -1 or more")]
    Pids(i64),
    /// A label or annotation without a name.
    #[error("a {0} has no name: use NAME=VALUE")]
    LabelName(&'static str),
    /// A restart policy for a container that goes with its run.
    #[error("the --rm option conflicts with --restart, when the restart policy is not \"no\"")]
    RestartRemoved,
    /// A health check that would never end, or be judged by nothing.
    #[error("health check: {0}")]
    Health(&'static str),
    /// Limits of a log that is not kept.
    #[error("a log that is not kept has no size: drop --log-opt or --log-driver none")]
    LogLimits,
}

/// One word: nothing that would begin a new field or line of a file.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#')
}

fn no_nul(what: &'static str, texts: &[String]) -> Result<(), ConfigError> {
    if texts.iter().any(|text| text.contains('\0')) {
        return Err(ConfigError::Nul(what));
    }
    Ok(())
}

impl ContainerConfig {
    /// Checks every rule.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.process.validate()?;
        self.validate_storage()?;
        self.validate_hostname()?;
        self.validate_namespaces()?;
        self.validate_ports()?;
        self.validate_names_of_hosts()?;
        self.validate_sysctls()?;
        self.resources.validate()?;
        if let Some(parent) = &self.cgroup_parent {
            let is_odd = |part: &str| part == "." || part == "..";
            if parent.split('/').any(is_odd)
                || parent.contains('\0')
                || !parent.contains(|c| c != '/')
            {
                return Err(ConfigError::CgroupParent(parent.clone()));
            }
        }
        for (what, map) in [("label", &self.labels), ("annotation", &self.annotations)] {
            if map.contains_key("") {
                return Err(ConfigError::LabelName(what));
            }
        }
        if self.auto_remove && self.restart != RestartPolicy::No {
            return Err(ConfigError::RestartRemoved);
        }
        self.validate_health()?;
        let log = &self.log;
        if log.driver == super::LogDriver::None && (log.max_size.is_some() || log.max_files > 0) {
            return Err(ConfigError::LogLimits);
        }
        Ok(())
    }

    fn validate_storage(&self) -> Result<(), ConfigError> {
        if let Rootfs::Directory { path, .. } = &self.rootfs
            && !path.is_absolute()
        {
            return Err(ConfigError::RootfsPath(path.display().to_string()));
        }
        let mut targets = BTreeSet::new();
        for mount in &self.mounts {
            let target = &mount.destination;
            if target.contains('\0') {
                return Err(ConfigError::Nul("a mount target"));
            }
            if !target.starts_with('/') {
                return Err(ConfigError::MountTarget(target.clone()));
            }
            let parts: Vec<&str> = target
                .split('/')
                .filter(|part| !part.is_empty() && *part != ".")
                .collect();
            if parts.is_empty() {
                return Err(ConfigError::MountRoot(target.clone()));
            }
            if parts.contains(&"..") {
                return Err(ConfigError::MountParent(target.clone()));
            }
            if !targets.insert(parts) {
                return Err(ConfigError::MountTwice(target.clone()));
            }
            match &mount.kind {
                MountKind::Bind { source, .. } if !source.is_absolute() => {
                    return Err(ConfigError::MountSource(source.display().to_string()));
                }
                MountKind::Tmpfs {
                    mode: Some(mode), ..
                } if *mode > 0o7777 => {
                    let target = target.clone();
                    return Err(ConfigError::TmpfsMode {
                        target,
                        mode: *mode,
                    });
                }
                MountKind::Bind { .. } | MountKind::Anonymous { .. } | MountKind::Tmpfs { .. } => {}
            }
        }
        if self.shm_size == 0 {
            return Err(ConfigError::ShmSize);
        }
        Ok(())
    }

    fn validate_hostname(&self) -> Result<(), ConfigError> {
        let Some(name) = &self.hostname else {
            return Ok(());
        };
        if name.len() > HOST_NAME_MAX {
            return Err(ConfigError::HostnameLength(name.clone()));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || !name.chars().all(allowed) {
            return Err(ConfigError::Hostname(name.clone()));
        }
        if self.namespaces.uts != Namespace::Private {
            return Err(ConfigError::HostnameShared);
        }
        Ok(())
    }

    fn validate_namespaces(&self) -> Result<(), ConfigError> {
        let check = |option, path: &std::path::Path| {
            if path.is_absolute() {
                return Ok(());
            }
            let path = path.display().to_string();
            Err(ConfigError::NamespacePath { option, path })
        };
        for (option, namespace) in self.namespaces.named() {
            match namespace {
                Namespace::Container(id) if *id == self.id => {
                    return Err(ConfigError::NamespaceSelf(option));
                }
                Namespace::Path(path) => check(option, path)?,
                Namespace::Container(_) | Namespace::Private | Namespace::Host => {}
            }
        }
        match &self.namespaces.network {
            Network::Container(id) if *id == self.id => {
                Err(ConfigError::NamespaceSelf("--network"))
            }
            Network::Path(path) => check("--network", path),
            Network::Container(_) | Network::None | Network::Host | Network::Private => Ok(()),
        }
    }

    fn validate_ports(&self) -> Result<(), ConfigError> {
        if !self.ports.is_empty() && self.namespaces.network != Network::Private {
            return Err(ConfigError::PortsNetwork);
        }
        let mut taken = BTreeSet::new();
        for port in &self.ports {
            let count = u32::from(port.range);
            let last = |first: u16| u32::from(first) + count.saturating_sub(1);
            let fits = |first: u16| u16::try_from(last(first)).is_ok();
            if count == 0
                || port.container_port == 0
                || !fits(port.container_port)
                || !fits(port.host_port)
            {
                let shown = format!(
                    "{}:{}/{}",
                    port.host_port, port.container_port, port.protocol
                );
                return Err(ConfigError::PortRange(shown));
            }
            if port.host_port == 0 {
                continue;
            }
            for number in u32::from(port.host_port)..=last(port.host_port) {
                if !taken.insert((port.host_ip, number, port.protocol)) {
                    return Err(ConfigError::PortTwice(format!(
                        "{number}/{}",
                        port.protocol
                    )));
                }
            }
        }
        Ok(())
    }

    fn validate_names_of_hosts(&self) -> Result<(), ConfigError> {
        let shared = matches!(self.namespaces.network, Network::Container(_));
        let Dns {
            servers,
            search,
            options,
            unmanaged,
        } = &self.dns;
        let is_set = !(servers.is_empty() && search.is_empty() && options.is_empty());
        if shared && !self.dns.is_default() {
            return Err(ConfigError::DnsNetwork);
        }
        if is_set && self.namespaces.network == Network::None {
            return Err(ConfigError::DnsNone);
        }
        if *unmanaged && is_set {
            return Err(ConfigError::DnsUnmanaged);
        }
        for (what, words) in [("search domain", search), ("DNS option", options)] {
            if let Some(text) = words.iter().find(|word| !is_word(word)) {
                let text = text.clone();
                return Err(ConfigError::DnsWord { what, text });
            }
        }
        if !self.hosts.is_empty() && (shared || self.no_hosts) {
            return Err(ConfigError::HostsShared);
        }
        match self.hosts.iter().find(|host| !is_word(&host.name)) {
            Some(host) => Err(ConfigError::HostWord(host.name.clone())),
            None => Ok(()),
        }
    }

    fn validate_health(&self) -> Result<(), ConfigError> {
        let Some(health) = &self.health else {
            return Ok(());
        };
        let wrong = |rule| Err(ConfigError::Health(rule));
        if health.command.first().is_none_or(String::is_empty) {
            return wrong("it has no command: use --health-cmd");
        }
        no_nul("the health check", &health.command)?;
        if health.timeout < Duration::from_secs(1) {
            return wrong("its timeout must be 1s or more");
        }
        if health.retries == 0 {
            return wrong("its retries must be 1 or more");
        }
        Ok(())
    }

    fn validate_sysctls(&self) -> Result<(), ConfigError> {
        for name in self.sysctls.keys() {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
            if name.is_empty()
                || name.contains("..")
                || name.starts_with('/')
                || !name.chars().all(allowed)
            {
                return Err(ConfigError::SysctlName(name.clone()));
            }
            let shared = |option| {
                let name = name.clone();
                Err(ConfigError::SysctlHost { name, option })
            };
            let dotted = name.replace('/', ".");
            let of_ipc = ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."];
            if of_ipc.iter().any(|prefix| dotted.starts_with(prefix)) {
                if self.namespaces.ipc != Namespace::Private {
                    return shared("--ipc");
                }
            } else if dotted.starts_with("net.") {
                if matches!(
                    self.namespaces.network,
                    Network::Host | Network::Container(_) | Network::Path(_)
                ) {
                    return shared("--network");
                }
            } else if dotted == "kernel.domainname" {
                if self.namespaces.uts != Namespace::Private {
                    return shared("--uts");
                }
            } else {
                return Err(ConfigError::SysctlUnknown(name.clone()));
            }
        }
        Ok(())
    }
}

impl ProcessConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let args = self.args();
        if args.first().is_none_or(String::is_empty) {
            return Err(ConfigError::NoCommand);
        }
        no_nul("the command", &args)?;
        no_nul("the environment", &self.env)?;
        if let Some(variable) = self
            .env
            .iter()
            .find(|variable| variable.is_empty() || variable.starts_with('='))
        {
            return Err(ConfigError::EnvName(variable.clone()));
        }
        if !self.workdir.is_empty() && !self.workdir.starts_with('/') {
            return Err(ConfigError::Workdir(self.workdir.clone()));
        }
        let users = (!self.user.is_empty()).then_some(("user", &self.user));
        let groups = self.groups.iter().map(|group| ("group", group));
        for (what, text) in users.into_iter().chain(groups) {
            if !is_word(text) || text.len() > TEXT_MAX {
                let text = text.chars().take(80).collect();
                return Err(ConfigError::UserText { what, text });
            }
        }
        if let Some(mask) = self.umask.filter(|mask| *mask > 0o777) {
            return Err(ConfigError::Umask(mask));
        }
        let mut kinds = BTreeSet::new();
        for ulimit in &self.ulimits {
            if !kinds.insert(ulimit.kind) {
                return Err(ConfigError::UlimitTwice(ulimit.kind));
            }
            if ulimit.soft > ulimit.hard {
                return Err(ConfigError::UlimitOrder(ulimit.kind));
            }
        }
        if let Seccomp::File(path) = &self.seccomp
            && !path.is_absolute()
        {
            return Err(ConfigError::SeccompPath(path.display().to_string()));
        }
        let SelinuxLabels { process, mount } = &self.selinux;
        for label in [process, mount].into_iter().flatten() {
            if label.split(':').count() < 3 || !is_word(label) {
                return Err(ConfigError::Selinux(label.clone()));
            }
        }
        Ok(())
    }
}

impl Resources {
    fn validate(&self) -> Result<(), ConfigError> {
        if let Some(memory) = self.memory.filter(|memory| *memory < MEMORY_MIN) {
            return Err(ConfigError::Memory(memory));
        }
        if let Some(swap) = self.memory_swap.filter(|swap| *swap != -1) {
            let memory = self.memory.ok_or(ConfigError::SwapAlone)?;
            if u64::try_from(swap).is_ok_and(|together| together < memory) || swap < 0 {
                return Err(ConfigError::Swap { swap, memory });
            }
        }
        if let Some(shares) = self
            .cpu_shares
            .filter(|shares| !(2..=262_144).contains(shares))
        {
            return Err(ConfigError::CpuShares(shares));
        }
        if let Some(list) = &self.cpuset_cpus {
            let is_number =
                |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let is_part = |part: &str| match part.split_once('-') {
                Some((first, last)) => is_number(first) && is_number(last),
                None => is_number(part),
            };
            if !list.split(',').all(is_part) {
                return Err(ConfigError::Cpuset(list.clone()));
            }
        }
        match self.pids_limit {
            Some(limit) if limit < -1 => Err(ConfigError::Pids(limit)),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
