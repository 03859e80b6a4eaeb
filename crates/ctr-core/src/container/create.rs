//! Making a container: the image's configuration and the user's wishes become an immutable configuration.

use std::collections::BTreeMap;

use ctr_state::record::{ContainerRecord, OpKind};
use ctr_state::{DurablePhase, Grade, StoreError};
use ctr_sys::fs::Durability;
use ctr_types::config::{
    LogConfig, Mount, MountKind, Namespaces, Network, ProcessConfig, Resources, Rootfs, Seccomp,
    Ulimit,
};
use ctr_types::{ContainerConfig, ContainerId, ContainerName, Signal, Timestamp};

use super::Container;
use crate::image::ImageDetails;
use crate::plan;
use crate::steps::CreateStep;
use crate::{Engine, EngineError};

/// What a user asks for. Everything not said comes from the image, or is the engine's default.
#[derive(Clone, Debug, Default)]
pub struct CreateRequest {
    /// The image, by name or id.
    pub image: String,
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
    /// Host name.
    pub hostname: Option<String>,
    /// Labels added to the image's.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Mounts.
    pub mounts: Vec<Mount>,
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
    /// Removed as soon as it has exited.
    pub auto_remove: bool,
    /// What the host cannot do is an error.
    pub strict: bool,
    /// The command line, for `inspect`.
    pub create_command: Vec<String>,
}

/// Default limit of processes and threads, podman's.
const PIDS_LIMIT: i64 = 2048;

const ADJECTIVES: [&str; 32] = [
    "amber", "brave", "brisk", "calm", "clever", "cosy", "crisp", "daring", "eager", "fair",
    "fleet", "gentle", "glad", "golden", "hardy", "honest", "jolly", "keen", "lively", "lucid",
    "mellow", "nimble", "noble", "placid", "quick", "quiet", "serene", "sharp", "silver", "steady",
    "sunny", "wise",
];
const NOUNS: [&str; 32] = [
    "acorn", "anchor", "badger", "beacon", "birch", "brook", "cedar", "comet", "dune", "ember",
    "falcon", "fern", "finch", "harbor", "heron", "island", "juniper", "lantern", "maple",
    "marten", "meadow", "otter", "pebble", "pine", "raven", "reef", "river", "sparrow", "spruce",
    "summit", "tide", "willow",
];

/// A made-up name, `adjective_noun` with two digits when `salt` is not 0.
pub fn default_name(salt: u32) -> Result<ContainerName, EngineError> {
    let mut bytes = [0_u8; 4];
    getrandom::fill(&mut bytes).map_err(ctr_types::IdError::Random)?;
    let pick = |list: &[&'static str; 32], byte: u8| {
        list.get(usize::from(byte) % 32).copied().unwrap_or("x")
    };
    let [a, b, c, _] = bytes;
    let mut text = format!("{}_{}", pick(&ADJECTIVES, a), pick(&NOUNS, b));
    if salt > 0 {
        text.push_str(&(u32::from(c) + salt).to_string());
    }
    text.parse()
        .map_err(|error: ctr_types::NameError| EngineError::Invalid(error.to_string()))
}

impl Engine {
    /// Makes a container. It exists when this returns, and not at all when it fails or dies.
    ///
    /// # Errors
    /// When the image is not there, the name is taken, or the request makes no sense; nothing has changed then.
    pub fn create(&self, request: &CreateRequest) -> Result<Container<'_>, EngineError> {
        let image = self.image_details(&request.image)?;
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
            let config = merge(request, &image, &id, name)?;
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
            CreateStep::WriteRecord => {
                let json = serde_json::to_vec(&record.config).map_err(|error| {
                    EngineError::Invalid(format!(
                        "the configuration cannot be written down: {error}"
                    ))
                })?;
                let path = self.roots.container(&id).join("record.json");
                // Not synced: it is the copy of a durable row, and `system check` writes it anew.
                Ok(ctr_sys::fs::write_atomic(
                    &path,
                    &json,
                    0o600,
                    Durability::ProcessDeath,
                )?)
            }
            CreateStep::Finish => self.transact(durable, |txn| {
                txn.add_event(&Self::event(
                    "container",
                    "create",
                    id.as_str(),
                    record.config.name.as_str(),
                ))?;
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

/// The image's configuration under the user's wishes.
fn merge(
    request: &CreateRequest,
    image: &ImageDetails,
    id: &ContainerId,
    name: ContainerName,
) -> Result<ContainerConfig, EngineError> {
    let (entrypoint, command) = match &request.entrypoint {
        // A new entrypoint makes the image's command senseless, as in docker and podman.
        Some(entrypoint) => (entrypoint.clone(), request.command.clone()),
        None if request.command.is_empty() => (image.entrypoint.clone(), image.command.clone()),
        None => (image.entrypoint.clone(), request.command.clone()),
    };
    if entrypoint.is_empty() && command.is_empty() {
        return Err(ctr_oci::spec::SpecError::NoCommand.into());
    }
    let mut env = image.env.clone();
    for variable in &request.env {
        let name = variable.split('=').next().unwrap_or_default();
        env.retain(|known| known.split('=').next() != Some(name));
        env.push(variable.clone());
    }
    ctr_oci::spec::capabilities(&request.cap_add, &request.cap_drop)
        .map_err(ctr_oci::spec::SpecError::from)?;
    let mut labels = image.labels.clone();
    labels.extend(request.labels.clone());
    let mut resources = request.resources.clone();
    resources.pids_limit = resources
        .pids_limit
        .or(Some(PIDS_LIMIT))
        .filter(|limit| *limit != 0);
    let workdir = request
        .workdir
        .clone()
        .unwrap_or_else(|| image.workdir.clone());
    if !workdir.is_empty() && !workdir.starts_with('/') {
        return Err(EngineError::Invalid(format!(
            "working directory {workdir:?} must be an absolute path"
        )));
    }
    for mount in &request.mounts {
        if let MountKind::Bind { source, .. } = &mount.kind
            && !source.exists()
        {
            let source = source.display();
            return Err(EngineError::Invalid(format!(
                "the source {source} of a mount does not exist: make it first"
            )));
        }
    }
    Ok(ContainerConfig {
        version: ContainerConfig::VERSION,
        id: id.clone(),
        name,
        created: Timestamp::now(),
        create_command: request.create_command.clone(),
        rootfs: Rootfs::Image {
            id: image.id.clone(),
            name: image.name.clone(),
            layers: image.layers.clone(),
        },
        process: ProcessConfig {
            entrypoint,
            command,
            env,
            workdir,
            user: request.user.clone().unwrap_or_else(|| image.user.clone()),
            terminal: request.terminal,
            stdin: request.stdin,
            cap_add: request.cap_add.clone(),
            cap_drop: request.cap_drop.clone(),
            privileged: request.privileged,
            no_new_privileges: request.no_new_privileges,
            seccomp: request.seccomp.clone(),
            ulimits: request.ulimits.clone(),
        },
        mounts: request.mounts.clone(),
        read_only: request.read_only,
        shm_size: request
            .shm_size
            .unwrap_or(ContainerConfig::DEFAULT_SHM_SIZE),
        hostname: request.hostname.clone().or_else(|| host_name(request)),
        namespaces: request.namespaces.clone(),
        resources,
        labels,
        annotations: request.annotations.clone(),
        stop_signal: request
            .stop_signal
            .or(image.stop_signal)
            .unwrap_or(Signal::TERM),
        stop_timeout: request
            .stop_timeout
            .unwrap_or(ContainerConfig::DEFAULT_STOP_TIMEOUT),
        log: request.log.clone(),
        runtime: request.runtime.clone(),
        auto_remove: request.auto_remove,
        strict: request.strict,
    })
}

/// With the host's network a container has the host's name too, as docker and podman do it.
fn host_name(request: &CreateRequest) -> Option<String> {
    (request.namespaces.network == Network::Host).then(|| {
        rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_names_are_names() {
        for salt in 0..50 {
            let name = default_name(salt).unwrap();
            assert_eq!(
                name.as_str().chars().any(|c| c.is_ascii_digit()),
                salt > 0,
                "{name}"
            );
        }
    }
}
