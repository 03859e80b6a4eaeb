//! What `inspect` shows: docker's and podman's names for what the engine knows.

use std::path::Path;

use ctr_core::image::{ImageConfig, ImageRecord};
use ctr_core::types::Timestamp;
use ctr_core::types::config::{
    HealthCheck, HostAddress, Mount, MountKind, Namespace, Network, Rootfs, Seccomp,
};
use ctr_core::{Ended, Inspection, OCI_VERSION, Phase, PhaseName};
use serde_json::{Value, json};

/// Go's zero time, which docker and podman print for "never".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The word podman has for a phase.
pub(crate) fn state(phase: &Phase) -> &'static str {
    match phase.name() {
        PhaseName::Configured => "created",
        PhaseName::Created => "initialized",
        PhaseName::Running => "running",
        PhaseName::Paused => "paused",
        PhaseName::Stopping => "stopping",
        PhaseName::Stopped => "stopped",
        PhaseName::Exited => "exited",
        PhaseName::Removing => "removing",
    }
}

fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(|| NEVER.to_owned(), |time| time.to_string())
}

fn namespace(namespace: &Namespace) -> String {
    match namespace {
        Namespace::Private => "private".to_owned(),
        Namespace::Host => "host".to_owned(),
        Namespace::Container(id) => format!("container:{id}"),
        Namespace::Path(path) => format!("ns:{}", path.display()),
    }
}

fn mount(mount: &Mount, volumes: &Path) -> Value {
    let (kind, source, propagation) = match &mount.kind {
        MountKind::Bind {
            source,
            propagation,
            ..
        } => ("bind", source.display().to_string(), propagation.as_str()),
        MountKind::Anonymous { volume, .. } => {
            let source = volumes.join(volume).display().to_string();
            ("volume", source, "rprivate")
        }
        MountKind::Tmpfs { .. } => ("tmpfs", String::new(), ""),
    };
    let name = match &mount.kind {
        MountKind::Anonymous { volume, .. } => volume.as_str(),
        MountKind::Bind { .. } | MountKind::Tmpfs { .. } => "",
    };
    json!({
        "Type": kind,
        "Name": name,
        "Source": source,
        "Destination": mount.destination,
        "Options": mount.options,
        "RW": !mount.read_only,
        "Propagation": propagation,
    })
}

fn container_state(seen: &Inspection) -> Value {
    let live = seen.phase.live();
    let ended: Option<&Ended> = seen.phase.ended();
    let started = live
        .and_then(|live| live.started_at)
        .or_else(|| ended.and_then(|ended| ended.started_at));
    let is_up = matches!(
        seen.phase.name(),
        PhaseName::Running | PhaseName::Paused | PhaseName::Stopping
    );
    json!({
        "OciVersion": OCI_VERSION,
        "Status": state(&seen.phase),
        "Running": is_up,
        "Paused": seen.phase.name() == PhaseName::Paused,
        "Restarting": seen.restarting,
        "OOMKilled": ended.is_some_and(|ended| ended.oom_killed),
        "Dead": false,
        "Pid": live.map_or(0, |live| live.pid),
        "ConmonPid": seen.monitor_pid.unwrap_or(0),
        "ExitCode": ended.map_or(0, |ended| ended.exit_code),
        "ExitReason": ended.map(|ended| ended.reason),
        "Error": "",
        "StartedAt": time(started),
        "FinishedAt": time(ended.and_then(|ended| ended.finished_at)),
        "CgroupPath": seen.cgroup,
        "LogDropped": seen.log_dropped,
        "Health": health(seen),
    })
}

/// A health check in docker's words; times in nanoseconds.
fn healthcheck(check: &HealthCheck) -> Value {
    let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let test: Vec<&str> = std::iter::once("CMD")
        .chain(check.command.iter().map(String::as_str))
        .collect();
    json!({
        "Test": test,
        "Interval": nanos(check.interval),
        "Timeout": nanos(check.timeout),
        "StartPeriod": nanos(check.start_period),
        "Retries": check.retries,
    })
}

fn health(seen: &Inspection) -> Value {
    let moment = |nanos: u64| time(Timestamp::from_nanosecond(i128::from(nanos)).ok());
    let Some(health) = &seen.health else {
        return json!({ "Status": "", "FailingStreak": 0, "Log": null });
    };
    let log: Vec<Value> = health
        .log
        .iter()
        .map(|check| {
            json!({
                "Start": moment(check.begun_ns),
                "End": moment(check.ended_ns),
                "ExitCode": check.code,
                "Output": check.output,
            })
        })
        .collect();
    json!({
        "Status": health.status.as_str(),
        "FailingStreak": health.streak,
        "Log": log,
    })
}

/// A container.
pub(crate) fn container(seen: &Inspection) -> Value {
    let config = &seen.config;
    let process = &config.process;
    let args = process.args();
    let image_name = config.rootfs.shown();
    let (image, layers, rootfs) = match &config.rootfs {
        Rootfs::Image { id, layers, .. } => (Some(id), layers.as_slice(), None),
        Rootfs::Directory { path, .. } => (None, &[][..], Some(path)),
    };
    let (path, rest) = args
        .split_first()
        .map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let seccomp = match &process.seccomp {
        Seccomp::Default => Vec::new(),
        Seccomp::Unconfined => vec!["seccomp=unconfined".to_owned()],
        Seccomp::File(path) => vec![format!("seccomp={}", path.display())],
    };
    let degraded: Vec<String> = seen.degraded.iter().map(ToString::to_string).collect();
    json!({
        "Id": config.id,
        "Created": config.created,
        "Path": path,
        "Args": rest,
        "State": container_state(seen),
        "Image": image.map_or("", |id| id.hex()),
        "ImageDigest": image,
        "ImageName": image.map_or("", |_| image_name.as_str()),
        "Rootfs": rootfs,
        "Dependencies": config.dependencies(),
        "Name": config.name,
        "Mounts": config.mounts.iter().map(|one| mount(one, &seen.volumes)).collect::<Vec<_>>(),
        "RestartCount": seen.restart_count,
        "ExecIDs": seen.execs,
        "OCIConfigPath": seen.bundle.join("config.json"),
        "OCIRuntime": seen.runtime,
        "Driver": "overlay",
        "LogPath": seen.log,
        "Degraded": degraded,
        "GraphDriver": {
            "Name": "overlay",
            "Data": { "UpperDir": seen.upper, "MergedDir": seen.merged, "LowerDirs": layers },
        },
        "ProcessLabel": process.selinux.process.clone().unwrap_or_default(),
        "MountLabel": process.selinux.mount.clone().unwrap_or_default(),
        "AppArmorProfile": process.apparmor.clone().unwrap_or_default(),
        "HostnamePath": seen.bundle.join("hostname"),
        "HostsPath": seen.bundle.join("hosts"),
        "ResolvConfPath": seen.bundle.join("resolv.conf"),
        "StaticDir": seen.static_dir,
        "Config": run_config(seen, &image_name),
        "HostConfig": host_config(seen, &seccomp),
    })
}

/// What it was told to run, in docker's words.
fn run_config(seen: &Inspection, image_name: &str) -> Value {
    let (config, process) = (&seen.config, &seen.config.process);
    let hostname = config
        .hostname
        .clone()
        .unwrap_or_else(|| config.id.short().to_owned());
    json!({
        "Hostname": hostname,
        "User": process.user,
        "Tty": process.terminal,
        "OpenStdin": process.stdin,
        "Env": process.env,
        "Cmd": process.command,
        "Entrypoint": process.entrypoint,
        "Image": image_name,
        "WorkingDir": if process.workdir.is_empty() { "/" } else { &process.workdir },
        "Labels": config.labels,
        "Annotations": config.annotations,
        "StopSignal": config.stop_signal.to_string(),
        "StopTimeout": config.stop_timeout,
        "Timeout": config.timeout,
        "Healthcheck": config.health.as_ref().map(healthcheck),
        "HealthcheckOnFailureAction": config.health.as_ref().map_or("none", |health| health.action.as_str()),
        "CreateCommand": config.create_command,
    })
}

fn host_config(seen: &Inspection, seccomp: &[String]) -> Value {
    let config = &seen.config;
    let (process, resources) = (&config.process, &config.resources);
    let network = match &config.namespaces.network {
        Network::None => "none".to_owned(),
        Network::Host => "host".to_owned(),
        Network::Private => "private".to_owned(),
        Network::Container(id) => format!("container:{id}"),
        Network::Path(path) => format!("ns:{}", path.display()),
    };
    let hosts: Vec<String> = config
        .hosts
        .iter()
        .map(|host| match &host.address {
            HostAddress::Ip(address) => format!("{}:{address}", host.name),
            HostAddress::HostGateway => format!("{}:host-gateway", host.name),
        })
        .collect();
    let ulimits: Vec<Value> = process
        .ulimits
        .iter()
        .map(|limit| json!({ "Name": limit.kind.as_str(), "Soft": limit.soft, "Hard": limit.hard }))
        .collect();
    json!({
        "NetworkMode": network,
        "PidMode": namespace(&config.namespaces.pid),
        "IpcMode": namespace(&config.namespaces.ipc),
        "UTSMode": namespace(&config.namespaces.uts),
        "CgroupMode": namespace(&config.namespaces.cgroup),
        "UsernsMode": namespace(&config.namespaces.user),
        "CgroupParent": config.cgroup_parent.clone().unwrap_or_default(),
        "Dns": config.dns.servers,
        "DnsSearch": config.dns.search,
        "DnsOptions": config.dns.options,
        "ExtraHosts": hosts,
        "GroupAdd": process.groups,
        "Sysctls": config.sysctls,
        "AutoRemove": config.auto_remove,
        "Privileged": process.privileged,
        "ReadonlyRootfs": config.read_only,
        "CapAdd": process.cap_add,
        "CapDrop": process.cap_drop,
        "SecurityOpt": seccomp,
        "NoNewPrivileges": process.no_new_privileges,
        "ShmSize": config.shm_size,
        "Memory": resources.memory.unwrap_or(0),
        "MemorySwap": resources.memory_swap.unwrap_or(0),
        "NanoCpus": resources.nano_cpus.unwrap_or(0),
        "CpuShares": resources.cpu_shares.unwrap_or(0),
        "CpusetCpus": resources.cpuset_cpus.clone().unwrap_or_default(),
        "PidsLimit": resources.pids_limit.unwrap_or(0),
        "Ulimits": ulimits,
        "LogConfig": { "Type": config.log.driver, "Size": config.log.max_size, "Files": config.log.max_files },
        "RestartPolicy": {
            "Name": config.restart.as_str(),
            "MaximumRetryCount": config.restart.retries(),
        },
        "Runtime": seen.runtime,
    })
}

/// An image.
pub(crate) fn image(record: &ImageRecord, config: &ImageConfig) -> Value {
    json!({
        "Id": record.id.hex(),
        "Digest": record.manifest,
        "RepoTags": record.names,
        "Created": time(record.created),
        "Imported": record.imported,
        "Architecture": record.architecture,
        "Os": record.os,
        "Size": record.size,
        "Labels": record.labels,
        "Config": config.config,
        "RootFS": { "Type": "layers", "Layers": record.layers },
        "History": config.history,
    })
}
