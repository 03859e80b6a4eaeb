use std::collections::BTreeMap;
use std::path::Path;

use ctr_types::config::{
    Mount, MountKind, Namespace, Network, ProcessConfig, Rootfs, SelinuxLabels,
};
use ctr_types::{ContainerConfig, ContainerId};
use oci_spec::runtime::LinuxNamespaceType;

use super::*;
use crate::cgroup::CgroupMode;

fn host() -> HostFacts {
    HostFacts {
        bounding: u64::MAX,
        hard_limits: BTreeMap::new(),
        cgroup: CgroupMode::V2,
        swap_limit: true,
        selinux: false,
        apparmor: false,
    }
}

fn config() -> ContainerConfig {
    let rootfs = Rootfs::Directory {
        path: "/srv/root".into(),
        overlay: false,
    };
    let process = ProcessConfig {
        command: vec!["true".into()],
        ..ProcessConfig::default()
    };
    let id = "1".repeat(64).parse().unwrap();
    ContainerConfig::new(id, "web".parse().unwrap(), rootfs, process)
}

fn facts(host: &HostFacts) -> SpecFacts<'_> {
    SpecFacts {
        host,
        rootfs: "/merged".into(),
        user: ResolvedUser::default(),
        joined: Joined::default(),
        shm: None,
        volumes: "/durable/volumes".into(),
        cgroup: "/ctrs/1".into(),
        files: Vec::new(),
        seccomp: None,
    }
}

/// Kind and path of every namespace of the spec.
fn namespaces(spec: &Spec) -> Vec<(LinuxNamespaceType, Option<PathBuf>)> {
    let linux = spec.linux().as_ref().unwrap();
    let listed = linux.namespaces().as_ref().unwrap();
    listed
        .iter()
        .map(|one| (one.typ(), one.path().clone()))
        .collect()
}

fn source_of(spec: &Spec, destination: &str) -> Option<(String, PathBuf)> {
    let mounts = spec.mounts().as_ref().unwrap();
    mounts
        .iter()
        .find(|mount| mount.destination() == Path::new(destination))
        .map(|mount| {
            (
                mount.typ().clone().unwrap(),
                mount.source().clone().unwrap(),
            )
        })
}

#[test]
fn t11_own_shared_and_host_namespaces() {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network as Net, Pid, User, Uts};
    let host = host();
    let (plain, _) = build(&config(), &facts(&host)).unwrap();
    let own: Vec<_> = namespaces(&plain)
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    assert_eq!(own, [Mount, Pid, Ipc, Uts, Cgroup, Net]);
    let other: ContainerId = "2".repeat(64).parse().unwrap();
    let mut sharing = config();
    let all = &mut sharing.namespaces;
    all.network = Network::Container(other.clone());
    for one in [
        &mut all.pid,
        &mut all.ipc,
        &mut all.uts,
        &mut all.cgroup,
        &mut all.user,
        &mut all.mount,
    ] {
        *one = Namespace::Container(other.clone());
    }
    let mut facts = facts(&host);
    let path = |name: &str| Some(PathBuf::from(format!("/proc/7/ns/{name}")));
    facts.joined = Joined {
        network: path("net"),
        pid: path("pid"),
        ipc: path("ipc"),
        uts: path("uts"),
        cgroup: path("cgroup"),
        // The other one has the host's.
        user: None,
        mount: path("mnt"),
    };
    facts.shm = Some("/run/1/shm".into());
    let (spec, _) = build(&sharing, &facts).unwrap();
    assert_eq!(
        namespaces(&spec),
        [
            (Mount, path("mnt")),
            (Pid, path("pid")),
            (Ipc, path("ipc")),
            (Uts, path("uts")),
            (Cgroup, path("cgroup")),
            (Net, path("net"))
        ]
    );
    assert_eq!(spec.hostname(), &None, "the other one has named it");
    assert_eq!(
        source_of(&spec, "/dev/shm"),
        Some(("bind".into(), "/run/1/shm".into()))
    );
    sharing.namespaces = ctr_types::config::Namespaces {
        network: Network::Host,
        pid: Namespace::Host,
        ipc: Namespace::Path("/run/ns".into()),
        uts: Namespace::Host,
        cgroup: Namespace::Host,
        user: Namespace::Host,
        mount: Namespace::Private,
    };
    let (spec, _) = build(&sharing, &facts).unwrap();
    assert_eq!(
        namespaces(&spec),
        [(Mount, None), (Ipc, Some("/run/ns".into()))]
    );
    assert!(!namespaces(&spec).iter().any(|(kind, _)| *kind == User));
}

#[test]
fn t10_labels_are_applied_where_their_module_is_on() {
    let mut labelled = config();
    labelled.process.selinux = SelinuxLabels {
        process: Some("system_u:system_r:container_t:s0".into()),
        mount: Some("system_u:object_r:container_file_t:s0".into()),
    };
    labelled.process.apparmor = Some("mine".into());
    labelled.process.umask = Some(0o27);
    let labels = |host: &HostFacts, config: &ContainerConfig| {
        let (spec, _) = build(config, &facts(host)).unwrap();
        let process = spec.process().clone().unwrap();
        assert_eq!(process.user().umask(), Some(0o27));
        (
            process.selinux_label().clone(),
            process.apparmor_profile().clone(),
            spec.linux().clone().unwrap().mount_label().clone(),
        )
    };
    assert_eq!(labels(&host(), &labelled), (None, None, None));
    let on = HostFacts {
        selinux: true,
        apparmor: true,
        ..host()
    };
    let (process, apparmor, mount) = labels(&on, &labelled);
    assert_eq!(process, labelled.process.selinux.process);
    assert_eq!(mount, labelled.process.selinux.mount);
    assert_eq!(apparmor.as_deref(), Some("mine"));
    labelled.process.privileged = true;
    let (process, apparmor, _) = labels(&on, &labelled);
    assert_eq!(
        (process, apparmor),
        (None, None),
        "privileged is unconfined"
    );
}

#[test]
fn t09_t12_volumes_shm_and_kernel_parameters() {
    let host = host();
    let mut config = config();
    config.shm_size = 1 << 20;
    config.read_only = true;
    config
        .sysctls
        .insert("net/ipv4/ip_forward".into(), "1".into());
    config.mounts.push(Mount {
        destination: "/data".into(),
        kind: MountKind::Anonymous {
            volume: "v1".into(),
            copy_up: true,
        },
        read_only: false,
        options: Vec::new(),
    });
    let (spec, _) = build(&config, &facts(&host)).unwrap();
    assert_eq!(
        source_of(&spec, "/data"),
        Some(("bind".into(), "/durable/volumes/v1".into()))
    );
    let shm = spec
        .mounts()
        .as_ref()
        .unwrap()
        .iter()
        .find(|mount| mount.destination() == Path::new("/dev/shm"));
    let options = shm.unwrap().options().clone().unwrap();
    assert!(options.contains(&"size=1048576".into()), "{options:?}");
    for needed in ["nosuid", "noexec", "nodev", "mode=1777"] {
        assert!(options.contains(&needed.into()), "{needed}");
    }
    assert_eq!(spec.root().as_ref().unwrap().readonly(), Some(true));
    let sysctl = spec.linux().as_ref().unwrap().sysctl().clone().unwrap();
    assert_eq!(
        sysctl.get("net.ipv4.ip_forward").map(String::as_str),
        Some("1")
    );
}

#[test]
fn b04_a_spec_is_made_anew_each_time_and_changes_no_configuration() {
    let host = host();
    let config = config();
    let before = config.clone();
    let (first, _) = build(&config, &facts(&host)).unwrap();
    let (second, _) = build(&config, &facts(&host)).unwrap();
    assert_eq!(first, second);
    assert_eq!(config, before);
}
