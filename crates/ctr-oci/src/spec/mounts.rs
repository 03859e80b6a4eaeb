//! Mounts: what every container has, files of `/etc`, and the user's.

use std::path::PathBuf;

use ctr_types::ContainerConfig;
use ctr_types::config::{MountKind, Namespace};
use oci_spec::runtime::Mount;

use super::SpecFacts;

fn mount(kind: &str, source: impl Into<PathBuf>, destination: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(source.into()))
        .set_destination(PathBuf::from(destination))
        .set_options(Some(
            options.iter().map(|option| (*option).to_owned()).collect(),
        ));
    mount
}

/// All of them, in the order they are to be made.
pub(super) fn mounts(config: &ContainerConfig, facts: &SpecFacts<'_>) -> Vec<Mount> {
    let mut all = defaults(config, facts);
    for (destination, path) in &facts.files {
        all.push(mount("bind", path, destination, &["bind", "rprivate"]));
    }
    let mut users: Vec<Mount> = config
        .mounts
        .iter()
        .map(|mount| user_mount(mount, facts))
        .collect();
    // The user's take the place of ours.
    all.retain(|ours| {
        users
            .iter()
            .all(|user| user.destination() != ours.destination())
    });
    // What lies above has to be there before what lies below; the order is otherwise the user's.
    users.sort_by_key(|user| user.destination().components().count());
    all.extend(users);
    all
}

fn defaults(config: &ContainerConfig, facts: &SpecFacts<'_>) -> Vec<Mount> {
    let privileged = config.process.privileged;
    let shm = format!("size={}", config.shm_size);
    let mut all = vec![
        mount("proc", "proc", "/proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "tmpfs",
            "tmpfs",
            "/dev",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "devpts",
            "devpts",
            "/dev/pts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount(
            "sysfs",
            "sysfs",
            "/sys",
            &[
                "nosuid",
                "noexec",
                "nodev",
                if privileged { "rw" } else { "ro" },
            ],
        ),
    ];
    if let Some(shm) = &facts.shm {
        let options = ["bind", "nosuid", "noexec", "nodev"];
        all.push(mount("bind", shm, "/dev/shm", &options));
        all.push(mount(
            "mqueue",
            "mqueue",
            "/dev/mqueue",
            &["nosuid", "noexec", "nodev"],
        ));
    } else if config.namespaces.ipc == Namespace::Host {
        all.push(mount(
            "bind",
            "/dev/shm",
            "/dev/shm",
            &["bind", "nosuid", "noexec", "nodev"],
        ));
        all.push(mount(
            "bind",
            "/dev/mqueue",
            "/dev/mqueue",
            &["bind", "nosuid", "noexec", "nodev"],
        ));
    } else {
        let options = ["nosuid", "noexec", "nodev", "mode=1777", &shm];
        all.push(mount("tmpfs", "shm", "/dev/shm", &options));
        all.push(mount(
            "mqueue",
            "mqueue",
            "/dev/mqueue",
            &["nosuid", "noexec", "nodev"],
        ));
    }
    let writable = privileged && facts.host.cgroup == crate::cgroup::CgroupMode::V2;
    all.push(mount(
        "cgroup",
        "cgroup",
        "/sys/fs/cgroup",
        &[
            "rprivate",
            "nosuid",
            "noexec",
            "nodev",
            "relatime",
            if writable { "rw" } else { "ro" },
        ],
    ));
    all
}

fn user_mount(asked: &ctr_types::config::Mount, facts: &SpecFacts<'_>) -> Mount {
    let access = if asked.read_only { "ro" } else { "rw" };
    let mut options: Vec<String>;
    let (kind, source) = match &asked.kind {
        MountKind::Bind {
            source,
            recursive,
            propagation,
        } => {
            let bind = if *recursive { "rbind" } else { "bind" };
            options = vec![bind.into(), access.into(), propagation.as_str().into()];
            ("bind", source.clone())
        }
        MountKind::Anonymous { volume, .. } => {
            options = vec!["rbind".into(), access.into(), "rprivate".into()];
            ("bind", facts.volumes.join(volume))
        }
        MountKind::Tmpfs { size, mode } => {
            options = vec!["nosuid".into(), "nodev".into(), access.into()];
            options.extend(size.map(|size| format!("size={size}")));
            options.push(format!("mode={:o}", mode.unwrap_or(0o1777)));
            ("tmpfs", PathBuf::from("tmpfs"))
        }
    };
    options.extend(asked.options.iter().cloned());
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    mount(kind, source, &asked.destination, &options)
}
