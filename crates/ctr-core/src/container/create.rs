//! Making a container: the image's configuration and the user's wishes become an immutable configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ctr_state::record::{ContainerRecord, OpKind};
use ctr_state::{DurablePhase, Grade, StoreError};
use ctr_sys::fs::Durability;
use ctr_types::config::{
    Dns, HealthAction, HealthCheck, HostEntry, ImageVolumes, LogConfig, Mount, MountKind,
    Namespace, Namespaces, Network, PortMapping, ProcessConfig, Resources, RestartPolicy, Rootfs,
    Seccomp, SelinuxLabels, Ulimit,
};
use ctr_types::{ContainerConfig, ContainerId, ContainerName, Signal};

use super::{Container, default_name};
use crate::image::ImageDefaults;
use crate::plan;
use crate::steps::CreateStep;
use crate::{Engine, EngineError};

/// Where the root file system comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootSource {
    /// An image, by name or id.
    Image(String),
    /// A directory of the host.
    Directory {
        /// Its absolute path.
        path: PathBuf,
        /// Changes go into the container's own layer, and the directory stays as it is.
        overlay: bool,
    },
}

impl Default for RootSource {
    fn default() -> Self {
        Self::Image(String::new())
    }
}

impl From<&str> for RootSource {
    fn from(image: &str) -> Self {
        Self::Image(image.to_owned())
    }
}

/// How a container's health is to be checked: what is not said comes from the image, or is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthRequest {
    /// It is not checked, whatever the image says.
    pub disabled: bool,
    /// The argument vector.
    pub command: Option<Vec<String>>,
    /// Between two checks.
    pub interval: Option<Duration>,
    /// How long one may take.
    pub timeout: Option<Duration>,
    /// How long after the start failures do not count.
    pub start_period: Option<Duration>,
    /// How many failures in a row make it unhealthy.
    pub retries: Option<u32>,
    /// What is done then.
    pub action: HealthAction,
}

impl HealthRequest {
    fn check(&self, image: Option<&HealthCheck>) -> Option<HealthCheck> {
        if self.disabled {
            return None;
        }
        let mut check = match (&self.command, image) {
            (Some(command), _) => HealthCheck::new(command.clone()),
            (None, Some(image)) => image.clone(),
            (None, None) => return None,
        };
        check.interval = self.interval.unwrap_or(check.interval);
        check.timeout = self.timeout.unwrap_or(check.timeout);
        check.start_period = self.start_period.unwrap_or(check.start_period);
        check.retries = self.retries.unwrap_or(check.retries);
        check.action = self.action;
        Some(check)
    }
}

/// What a user asks for. Everything not said comes from the image, or is the engine's default.
#[derive(Clone, Debug, Default)]
pub struct CreateRequest {
    /// Where the root file system comes from.
    pub source: RootSource,
    /// The name; none means one is made up.
    pub name: Option<ContainerName>,
    /// A container that has the name is removed first.
    pub replace: bool,
    /// The command; replaces the image's.
    pub command: Vec<String>,
    /// The entrypoint; replaces the image's, and its command too.
    pub entrypoint: Option<Vec<String>>,
    /// Environment added to the image's, `NAME=value`.
    pub env: Vec<String>,
    /// Working directory.
    pub workdir: Option<String>,
    /// `user[:group]`.
    pub user: Option<String>,
    /// Groups besides those of the user, by name or id.
    pub groups: Vec<String>,
    /// File mode creation mask.
    pub umask: Option<u32>,
    /// Host name.
    pub hostname: Option<String>,
    /// Labels added to the image's.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// What becomes of the image's volumes.
    pub image_volumes: ImageVolumes,
    /// Ports of the host that lead to it.
    pub ports: Vec<PortMapping>,
    /// What its resolv.conf says.
    pub dns: Dns,
    /// Lines added to its hosts file.
    pub hosts: Vec<HostEntry>,
    /// The image's own hosts file is left as it is.
    pub no_hosts: bool,
    /// Kernel parameters of its namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// The cgroup that its own lies in.
    pub cgroup_parent: Option<String>,
    /// Namespaces.
    pub namespaces: Namespaces,
    /// A terminal is allocated.
    pub terminal: bool,
    /// Standard input stays open.
    pub stdin: bool,
    /// Capabilities added.
    pub cap_add: Vec<String>,
    /// Capabilities dropped.
    pub cap_drop: Vec<String>,
    /// All capabilities, nothing masked.
    pub privileged: bool,
    /// setuid gains nothing.
    pub no_new_privileges: bool,
    /// System call filter.
    pub seccomp: Seccomp,
    /// Changes to the SELinux labels, such as `type:spc_t`, or `disable`.
    pub label_options: Vec<String>,
    /// `AppArmor` profile.
    pub apparmor: Option<String>,
    /// Resource limits.
    pub ulimits: Vec<Ulimit>,
    /// The root file system is read-only.
    pub read_only: bool,
    /// Limits of the cgroup.
    pub resources: Resources,
    /// Bytes of /dev/shm.
    pub shm_size: Option<u64>,
    /// The signal `stop` sends first; none means the image's, or SIGTERM.
    pub stop_signal: Option<Signal>,
    /// Seconds until SIGKILL.
    pub stop_timeout: Option<u32>,
    /// Where output goes.
    pub log: LogConfig,
    /// The OCI runtime.
    pub runtime: Option<String>,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// Seconds that a run may take; 0 means any.
    pub timeout: u32,
    /// How its health is checked.
    pub health: HealthRequest,
    /// Removed as soon as it has exited.
    pub auto_remove: bool,
    /// What the host cannot do is an error.
    pub strict: bool,
    /// The command line, for `inspect`.
    pub create_command: Vec<String>,
}

/// Default limit of processes and threads, podman's.
const PIDS_LIMIT: i64 = 2048;

impl Engine {
    /// Makes a container. It exists when this returns, and not at all when it fails or dies.
    ///
    /// # Errors
    /// When the image is not there, the name is taken, or the request makes no sense; nothing has changed then.
    pub fn create(&self, request: &CreateRequest) -> Result<Container<'_>, EngineError> {
        let (rootfs, defaults) = self.root_source(&request.source)?;
        if let Some(name) = request.name.as_ref().filter(|_| request.replace) {
            match self.container(name.as_str()) {
                Ok(old) => old.remove(true)?,
                Err(EngineError::Store(StoreError::NotFound { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        let id = ContainerId::random()?;
        for salt in 0.. {
            let name = match &request.name {
                Some(name) => name.clone(),
                None => default_name(salt)?,
            };
            let config = self.merge(request, &rootfs, &defaults, &id, name)?;
            config.validate()?;
            match self.create_container(config) {
                Err(EngineError::Store(StoreError::NameInUse { .. })) if request.name.is_none() => {
                }
                other => return other,
            }
        }
        Err(EngineError::Invalid(
            "no free name was found: give one with --name".into(),
        ))
    }

    fn create_container(&self, config: ContainerConfig) -> Result<Container<'_>, EngineError> {
        if let Some(port) = config.ports.first() {
            let inside = port.container_port;
            return Err(EngineError::Invalid(format!(
                "--publish {inside}: this version makes no networks that ports could be published from: use --network host"
            )));
        }
        // The runtime is looked for before anything is taken (reliability.md F18).
        self.runtime(&config)?;
        let id = config.id.clone();
        let lock = self.locks.container(&id, crate::engine::LOCK_PATIENCE)?;
        let operation = self.begin(OpKind::Create, Some(&id))?;
        let record = ContainerRecord {
            config,
            phase: DurablePhase::Configured,
        };
        let durable = if record.config.auto_remove {
            Grade::Volatile
        } else {
            Grade::Durable
        };
        let outcome = self.options.hooks.run(CreateStep::ALL, |step| match step {
            CreateStep::Claim => self.transact(Grade::Volatile, |txn| {
                txn.insert_container(&record)?;
                txn.begin_op(&operation.record)
            }),
            CreateStep::MakeDirectories => {
                ctr_sys::fs::ensure_directory(&self.roots.container(&id), 0o711)?;
                Ok(self.container_fs(&id).prepare()?)
            }
            // Not synced: it is the copy of a durable row, and `system check` writes it anew.
            CreateStep::WriteRecord => self.write_record(&record.config, Durability::ProcessDeath),
            CreateStep::Finish => self.transact(durable, |txn| {
                txn.add_event(&Self::container_event(&record.config, "create"))?;
                txn.finish_op(&operation.record.id)
            }),
        });
        match outcome {
            Ok(()) => {
                operation.lock.remove()?;
                drop(lock);
                Ok(Container { engine: self, id })
            }
            Err(error) => {
                let steps = plan::create_rollback();
                let undone = self.carry_out(&lock, &operation.record.id, &steps);
                let undone = undone.and_then(|()| {
                    self.transact(Grade::Volatile, |txn| txn.finish_op(&operation.record.id))
                });
                if undone.is_ok() {
                    operation.lock.remove()?;
                    lock.remove()?;
                }
                Err(error)
            }
        }
    }
}

impl Engine {
    /// Where the root file system comes from, and what containers of it start with.
    fn root_source(&self, source: &RootSource) -> Result<(Rootfs, ImageDefaults), EngineError> {
        match source {
            RootSource::Image(name) => {
                let image = self.image_details(name)?;
                let rootfs = Rootfs::Image {
                    id: image.id,
                    name: image.name,
                    layers: image.layers,
                };
                Ok((rootfs, image.defaults))
            }
            RootSource::Directory { path, overlay } => {
                // A file there would be mounted as one.
                drop(ctr_sys::fs::open_directory(path)?);
                let rootfs = Rootfs::Directory {
                    path: path.clone(),
                    overlay: *overlay,
                };
                Ok((rootfs, ImageDefaults::default()))
            }
        }
    }

    /// The image's configuration under the user's wishes.
    fn merge(
        &self,
        request: &CreateRequest,
        rootfs: &Rootfs,
        image: &ImageDefaults,
        id: &ContainerId,
        name: ContainerName,
    ) -> Result<ContainerConfig, EngineError> {
        let process = self.merge_process(request, image, id)?;
        let mut labels = image.labels.clone();
        labels.extend(request.labels.clone());
        let mut resources = request.resources.clone();
        resources.pids_limit = resources
            .pids_limit
            .or(Some(PIDS_LIMIT))
            .filter(|limit| *limit != 0);
        let mut config = ContainerConfig::new(id.clone(), name, rootfs.clone(), process);
        config.create_command.clone_from(&request.create_command);
        config.mounts = mounts(request, image)?;
        config.read_only = request.read_only;
        config.shm_size = request.shm_size.unwrap_or(config.shm_size);
        config.hostname = request.hostname.clone().or_else(|| host_name(request));
        config.namespaces = request.namespaces.clone();
        config.ports.clone_from(&request.ports);
        config.dns = request.dns.clone();
        config.hosts.clone_from(&request.hosts);
        config.no_hosts = request.no_hosts;
        config.sysctls.clone_from(&request.sysctls);
        config.cgroup_parent.clone_from(&request.cgroup_parent);
        config.resources = resources;
        config.labels = labels;
        config.annotations.clone_from(&request.annotations);
        let asked = request.stop_signal.or(image.stop_signal);
        config.stop_signal = asked.unwrap_or(config.stop_signal);
        config.stop_timeout = request.stop_timeout.unwrap_or(config.stop_timeout);
        config.log = request.log.clone();
        config.runtime.clone_from(&request.runtime);
        config.restart = request.restart;
        config.timeout = request.timeout;
        config.health = request.health.check(image.health.as_ref());
        config.auto_remove = request.auto_remove;
        config.strict = request.strict;
        Ok(config)
    }

    fn merge_process(
        &self,
        request: &CreateRequest,
        image: &ImageDefaults,
        id: &ContainerId,
    ) -> Result<ProcessConfig, EngineError> {
        let (entrypoint, command) = match &request.entrypoint {
            // A new entrypoint makes the image's command senseless, as in docker and podman.
            Some(entrypoint) => (entrypoint.clone(), request.command.clone()),
            None if request.command.is_empty() => (image.entrypoint.clone(), image.command.clone()),
            None => (image.entrypoint.clone(), request.command.clone()),
        };
        let mut env = image.env.clone();
        for variable in &request.env {
            let name = variable.split('=').next().unwrap_or_default();
            env.retain(|known| known.split('=').next() != Some(name));
            env.push(variable.clone());
        }
        ctr_oci::spec::capabilities(&request.cap_add, &request.cap_drop)
            .map_err(ctr_oci::spec::SpecError::from)?;
        let labels = ctr_oci::selinux::labels(id, &request.label_options)?;
        Ok(ProcessConfig {
            entrypoint,
            command,
            env,
            workdir: request
                .workdir
                .clone()
                .unwrap_or_else(|| image.workdir.clone()),
            user: request.user.clone().unwrap_or_else(|| image.user.clone()),
            groups: request.groups.clone(),
            umask: request.umask,
            terminal: request.terminal,
            stdin: request.stdin,
            cap_add: request.cap_add.clone(),
            cap_drop: request.cap_drop.clone(),
            privileged: request.privileged,
            no_new_privileges: request.no_new_privileges,
            seccomp: request.seccomp.clone(),
            // Labels nobody applies say nothing about the container.
            selinux: if self.host()?.selinux {
                labels
            } else {
                SelinuxLabels::default()
            },
            apparmor: request.apparmor.clone(),
            ulimits: request.ulimits.clone(),
        })
    }
}

/// The user's mounts, and the image's volumes where the user mounts nothing.
fn mounts(request: &CreateRequest, image: &ImageDefaults) -> Result<Vec<Mount>, EngineError> {
    let mut mounts = request.mounts.clone();
    for mount in &mounts {
        if let MountKind::Bind { source, .. } = &mount.kind
            && !source.exists()
        {
            let source = source.display();
            return Err(EngineError::Invalid(format!(
                "the source {source} of a mount does not exist: make it first"
            )));
        }
    }
    let parts = |path: &str| -> Vec<String> {
        let words = path
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".");
        words.map(str::to_owned).collect()
    };
    for path in &image.volumes {
        if mounts
            .iter()
            .any(|mount| parts(&mount.destination) == parts(path))
        {
            continue;
        }
        let kind = match request.image_volumes {
            ImageVolumes::Ignore => break,
            ImageVolumes::Anonymous => MountKind::Anonymous {
                volume: String::new(),
                copy_up: true,
            },
            ImageVolumes::Tmpfs => MountKind::Tmpfs {
                size: None,
                mode: None,
            },
        };
        mounts.push(Mount {
            destination: path.clone(),
            kind,
            read_only: false,
            options: Vec::new(),
        });
    }
    for mount in &mut mounts {
        if let MountKind::Anonymous { volume, .. } = &mut mount.kind
            && volume.is_empty()
        {
            // An id like a container's: 64 random hex digits.
            *volume = ContainerId::random()?.to_string();
        }
    }
    Ok(mounts)
}

/// With the host's network a container has the host's name too, as docker and podman do it.
fn host_name(request: &CreateRequest) -> Option<String> {
    let own = request.namespaces.uts == Namespace::Private;
    (own && request.namespaces.network == Network::Host).then(|| {
        rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned()
    })
}
