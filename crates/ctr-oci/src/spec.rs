//! From a container's configuration to a runtime spec (OCI runtime-spec, config.md and config-linux.md). Pure: all facts
//! come in as arguments.
//!
//! What this host cannot do is left out and reported as [`Degraded`], never silently.

mod capabilities;
mod linux;
mod mounts;
mod process;

use std::path::PathBuf;

use ctr_types::ContainerConfig;
use oci_spec::runtime::{LinuxResources, LinuxSeccomp, Process, Root, Spec};

pub use capabilities::{CapabilityError, capabilities};
pub use process::{Exec, exec_process};

#[cfg(test)]
mod tests;

use crate::host::HostFacts;
use crate::user::ResolvedUser;

/// Something asked for that this host cannot do in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// The setting, as the user writes it.
    pub what: String,
    /// What was asked for.
    pub asked: String,
    /// What is in force.
    pub got: String,
    /// Why.
    pub why: &'static str,
}

impl std::fmt::Display for Degraded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {} became {}: {}",
            self.what, self.asked, self.got, self.why
        )
    }
}

/// Why a configuration gives no spec.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// There is nothing to run.
    #[error("no command: the image has none, and none was given")]
    NoCommand,
    /// A capability is not known.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
}

/// What a spec depends on besides the configuration.
#[derive(Clone, Debug)]
pub struct SpecFacts<'a> {
    /// The host.
    pub host: &'a HostFacts,
    /// Where the root file system is mounted.
    pub rootfs: PathBuf,
    /// Who the process is.
    pub user: ResolvedUser,
    /// Namespaces to join: the engine's network namespace, and those of other containers.
    pub joined: Joined,
    /// What is bound at /dev/shm in place of a tmpfs of its own: another container's.
    pub shm: Option<PathBuf>,
    /// The directory below which anonymous volumes lie, by name.
    pub volumes: PathBuf,
    /// The cgroup.
    pub cgroup: String,
    /// Files of the engine bound into the container: absolute path there, path on the host.
    pub files: Vec<(&'static str, PathBuf)>,
    /// The system call filter; none for an unconfined or privileged container.
    pub seccomp: Option<LinuxSeccomp>,
}

/// Paths of namespaces to join; none for those that are new or the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the namespace of that name")]
pub struct Joined {
    pub network: Option<PathBuf>,
    pub pid: Option<PathBuf>,
    pub ipc: Option<PathBuf>,
    pub uts: Option<PathBuf>,
    pub cgroup: Option<PathBuf>,
    pub user: Option<PathBuf>,
    pub mount: Option<PathBuf>,
}

/// The version of the runtime spec that bundles are written for.
pub const OCI_VERSION: &str = "1.0.2";

/// Makes the spec.
///
/// # Errors
/// [`SpecError`].
pub fn build(
    config: &ContainerConfig,
    facts: &SpecFacts<'_>,
) -> Result<(Spec, Vec<Degraded>), SpecError> {
    let mut degraded = Vec::new();
    let process = process::process(config, facts, &mut degraded)?;
    let mut root = Root::default();
    root.set_path(facts.rootfs.clone())
        .set_readonly(Some(config.read_only));
    let mut spec = Spec::default();
    spec.set_version(OCI_VERSION.to_owned())
        .set_root(Some(root))
        .set_mounts(Some(mounts::mounts(config, facts)))
        .set_process(Some(process))
        .set_hostname(process::host_name(config))
        .set_domainname(None)
        .set_hooks(None)
        .set_annotations(Some(annotations(config)))
        .set_linux(Some(linux::linux(config, facts, &mut degraded)));
    Ok((spec, degraded))
}

/// The limits of a container's cgroup, for one that is there already (`update`).
pub fn resources(config: &ContainerConfig, host: &HostFacts) -> (LinuxResources, Vec<Degraded>) {
    let mut degraded = Vec::new();
    let resources = linux::resources(config, host, &mut degraded);
    (resources, degraded)
}

fn annotations(config: &ContainerConfig) -> std::collections::HashMap<String, String> {
    let mut annotations: std::collections::HashMap<String, String> =
        config.annotations.clone().into_iter().collect();
    annotations.insert("io.container.manager".into(), "ctrs".into());
    annotations.insert(
        "org.opencontainers.image.stopSignal".into(),
        config.stop_signal.number().to_string(),
    );
    annotations
}

/// A process without anything of the crate's sample default.
fn empty_process() -> Process {
    let mut process = Process::default();
    process
        .set_args(None)
        .set_env(None)
        .set_rlimits(None)
        .set_capabilities(None)
        .set_apparmor_profile(None)
        .set_selinux_label(None)
        .set_oom_score_adj(None);
    process
}
