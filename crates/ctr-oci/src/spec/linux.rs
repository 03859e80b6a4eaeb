//! The Linux part: namespaces, limits, devices, masked paths.

use std::collections::HashMap;
use std::path::PathBuf;

use ctr_types::ContainerConfig;
use ctr_types::config::{Namespace, Network};
use oci_spec::runtime::{
    Linux, LinuxCpu, LinuxDeviceCgroup, LinuxMemory, LinuxNamespace, LinuxNamespaceType, LinuxPids,
    LinuxResources,
};

use super::{Degraded, SpecFacts};
use crate::cgroup::CgroupMode;
use crate::host::HostFacts;

/// Hidden, since they tell of or act on the host (containers/common and moby's defaults).
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const MASKED_MORE: [&str; 2] = ["/sys/dev/block", "/sys/fs/selinux"];
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];
/// Length of a CPU period in microseconds (the kernel's default).
const CPU_PERIOD: u64 = 100_000;

pub(super) fn linux(
    config: &ContainerConfig,
    facts: &SpecFacts<'_>,
    degraded: &mut Vec<Degraded>,
) -> Linux {
    let own = |paths: &[&str]| {
        paths
            .iter()
            .map(|path| (*path).to_owned())
            .collect::<Vec<_>>()
    };
    let confined = !config.process.privileged;
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces(config, facts)))
        .set_cgroups_path(Some(PathBuf::from(&facts.cgroup)))
        .set_resources(Some(resources(config, facts.host, degraded)))
        .set_masked_paths(confined.then(|| [own(&MASKED), own(&MASKED_MORE)].concat()))
        .set_readonly_paths(confined.then(|| own(&READ_ONLY)))
        .set_seccomp(facts.seccomp.clone())
        .set_devices(None)
        .set_uid_mappings(None)
        .set_gid_mappings(None)
        .set_sysctl(Some(sysctls(config)).filter(|sysctls| !sysctls.is_empty()))
        .set_mount_label(
            facts
                .host
                .selinux
                .then(|| config.process.selinux.mount.clone())
                .flatten(),
        )
        .set_rootfs_propagation(None)
        .set_intel_rdt(None);
    linux
}

fn namespaces(config: &ContainerConfig, facts: &SpecFacts<'_>) -> Vec<LinuxNamespace> {
    let (wanted, joined) = (&config.namespaces, &facts.joined);
    let kinds = [
        (LinuxNamespaceType::Mount, &wanted.mount, &joined.mount),
        (LinuxNamespaceType::Pid, &wanted.pid, &joined.pid),
        (LinuxNamespaceType::Ipc, &wanted.ipc, &joined.ipc),
        (LinuxNamespaceType::Uts, &wanted.uts, &joined.uts),
        (LinuxNamespaceType::Cgroup, &wanted.cgroup, &joined.cgroup),
        (LinuxNamespaceType::User, &wanted.user, &joined.user),
    ];
    let mut all = Vec::new();
    for (kind, asked, joined) in kinds {
        match asked {
            // As podman: only where the view of one hierarchy can be complete.
            Namespace::Private
                if kind == LinuxNamespaceType::Cgroup && facts.host.cgroup != CgroupMode::V2 => {}
            Namespace::Private => all.push(namespace(kind, None)),
            Namespace::Path(path) => all.push(namespace(kind, Some(path.clone()))),
            // None when the other container has the host's, as then this one has it too.
            Namespace::Container(_) => {
                all.extend(joined.clone().map(|path| namespace(kind, Some(path))));
            }
            Namespace::Host => {}
        }
    }
    match &wanted.network {
        Network::Host => {}
        Network::None => all.push(namespace(LinuxNamespaceType::Network, None)),
        Network::Path(path) => {
            all.push(namespace(LinuxNamespaceType::Network, Some(path.clone())));
        }
        Network::Private => {
            all.push(namespace(
                LinuxNamespaceType::Network,
                joined.network.clone(),
            ));
        }
        Network::Container(_) => {
            let path = joined.network.clone();
            all.extend(path.map(|path| namespace(LinuxNamespaceType::Network, Some(path))));
        }
    }
    all
}

fn namespace(kind: LinuxNamespaceType, path: Option<PathBuf>) -> LinuxNamespace {
    let mut namespace = LinuxNamespace::default();
    namespace.set_typ(kind).set_path(path);
    namespace
}

/// Kernel parameters, in the spelling with dots.
fn sysctls(config: &ContainerConfig) -> HashMap<String, String> {
    let dotted = |name: &String| name.replace('/', ".");
    config
        .sysctls
        .iter()
        .map(|(name, value)| (dotted(name), value.clone()))
        .collect()
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The limits of a container's cgroup.
pub(super) fn resources(
    config: &ContainerConfig,
    facts: &HostFacts,
    degraded: &mut Vec<Degraded>,
) -> LinuxResources {
    let asked = &config.resources;
    let mut resources = LinuxResources::default();
    let mut everything = LinuxDeviceCgroup::default();
    everything
        .set_allow(config.process.privileged)
        .set_access(Some("rwm".to_owned()));
    resources.set_devices(Some(vec![everything]));
    if asked.memory.is_some() || asked.memory_swap.is_some() {
        let mut memory = LinuxMemory::default();
        memory.set_limit(asked.memory.map(signed));
        // Docker's and podman's default: as much swap again as memory.
        let swap = asked
            .memory_swap
            .or(asked.memory.map(|bytes| signed(bytes.saturating_mul(2))));
        if facts.swap_limit {
            memory.set_swap(swap);
        } else if let Some(asked) = asked.memory_swap {
            degraded.push(Degraded {
                what: "--memory-swap".into(),
                asked: asked.to_string(),
                got: "no limit of swap".into(),
                why: "the kernel does not count swap per cgroup (swapaccount=1 is missing)",
            });
        }
        resources.set_memory(Some(memory));
    }
    if asked.nano_cpus.is_some() || asked.cpu_shares.is_some() || asked.cpuset_cpus.is_some() {
        let mut cpu = LinuxCpu::default();
        if let Some(nano) = asked.nano_cpus {
            // The kernel refuses quotas below 1 ms.
            let quota = signed(nano.saturating_mul(CPU_PERIOD) / 1_000_000_000).max(1000);
            cpu.set_quota(Some(quota)).set_period(Some(CPU_PERIOD));
        }
        cpu.set_shares(asked.cpu_shares)
            .set_cpus(asked.cpuset_cpus.clone());
        resources.set_cpu(Some(cpu));
    }
    if let Some(limit) = asked.pids_limit {
        let mut pids = LinuxPids::default();
        pids.set_limit(limit);
        resources.set_pids(Some(pids));
    }
    resources
}
