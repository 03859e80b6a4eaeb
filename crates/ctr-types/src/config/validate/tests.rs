use super::*;
use crate::ContainerId;
use crate::config::{
    HostAddress, HostEntry, LogDriver, Mount, PortMapping, Propagation, Protocol, RlimitKind,
    Ulimit,
};

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

/// Breaks one rule and gives the message, whose first words must be those expected.
#[track_caller]
fn breaks(words: &str, change: impl FnOnce(&mut ContainerConfig)) {
    let mut broken = config();
    change(&mut broken);
    let message = broken.validate().unwrap_err().to_string();
    assert!(message.contains(words), "{message:?} lacks {words:?}");
}

fn tmpfs(target: &str, mode: Option<u32>) -> Mount {
    Mount {
        destination: target.into(),
        kind: MountKind::Tmpfs { size: None, mode },
        read_only: false,
        options: Vec::new(),
    }
}

fn port(host_port: u16, container_port: u16, range: u16) -> PortMapping {
    PortMapping {
        host_ip: None,
        host_port,
        container_port,
        range,
        protocol: Protocol::Tcp,
    }
}

#[test]
fn m09_a_plain_configuration_breaks_no_rule() {
    assert_eq!(config().validate(), Ok(()));
    let mut full = config();
    full.process.user = "app:staff".into();
    full.process.groups = vec!["video".into(), "44".into()];
    full.process.umask = Some(0o27);
    full.hostname = Some("web-1.example".into());
    full.mounts = vec![tmpfs("/tmp", Some(0o1777)), tmpfs("/run/x", None)];
    full.ports = vec![port(8080, 80, 2), port(0, 443, 1)];
    full.sysctls
        .insert("net.ipv4.ip_forward".into(), "1".into());
    full.sysctls.insert("kernel.shmmax".into(), "1".into());
    full.resources.memory = Some(64 << 20);
    full.resources.memory_swap = Some(-1);
    full.resources.cpuset_cpus = Some("0-2,4".into());
    full.cgroup_parent = Some("/machine.slice".into());
    assert_eq!(full.validate(), Ok(()));
}

#[test]
fn t10_t13_rules_of_the_process() {
    breaks("no command", |c| c.process.command.clear());
    breaks("no command", |c| c.process.command = vec![String::new()]);
    breaks("the command holds a NUL", |c| {
        c.process.command.push("a\0".into());
    });
    breaks("the environment holds a NUL", |c| {
        c.process.env.push("A=\0".into());
    });
    breaks("has no name", |c| c.process.env.push("=x".into()));
    breaks("absolute", |c| c.process.workdir = "srv".into());
    breaks("user \"a b\"", |c| c.process.user = "a b".into());
    breaks("group \"\"", |c| c.process.groups.push(String::new()));
    breaks("umask 1000", |c| c.process.umask = Some(0o1000));
    let nofile = |soft, hard| Ulimit {
        kind: RlimitKind::Nofile,
        soft,
        hard,
    };
    breaks("given twice", |c| {
        c.process.ulimits = vec![nofile(1, 2), nofile(1, 2)];
    });
    breaks("soft limit", |c| c.process.ulimits = vec![nofile(3, 2)]);
    breaks("seccomp profile", |c| {
        c.process.seccomp = Seccomp::File("x.json".into());
    });
    breaks("SELinux", |c| {
        c.process.selinux.process = Some("unconfined_t".into());
    });
    breaks("a log that is not kept", |c| {
        c.log.driver = LogDriver::None;
        c.log.max_size = Some(1);
    });
    breaks("a label has no name", |c| {
        drop(c.labels.insert(String::new(), "x".into()));
    });
    breaks("an annotation".trim_start_matches("an "), |c| {
        drop(c.annotations.insert(String::new(), "x".into()));
    });
}

#[test]
fn t09_rules_of_the_storage() {
    breaks("root file system", |c| {
        c.rootfs = Rootfs::Directory {
            path: "root".into(),
            overlay: false,
        };
    });
    breaks("must be an absolute path", |c| {
        c.mounts.push(tmpfs("tmp", None));
    });
    breaks("must not be the root", |c| {
        c.mounts.push(tmpfs("/./", None));
    });
    breaks("must not hold '..'", |c| {
        c.mounts.push(tmpfs("/a/../b", None));
    });
    breaks("two mounts", |c| {
        c.mounts = vec![tmpfs("/a/b", None), tmpfs("/a//b/", None)];
    });
    breaks("mode 10000", |c| c.mounts.push(tmpfs("/a", Some(0o10000))));
    breaks("mount source", |c| {
        c.mounts.push(Mount {
            destination: "/a".into(),
            kind: MountKind::Bind {
                source: "b".into(),
                recursive: true,
                propagation: Propagation::Rprivate,
            },
            read_only: false,
            options: Vec::new(),
        });
    });
    breaks("NUL", |c| c.mounts.push(tmpfs("/a\0", None)));
    breaks("/dev/shm", |c| c.shm_size = 0);
}

#[test]
fn t11_rules_of_the_namespaces() {
    let itself: ContainerId = config().id;
    breaks("--pid: a container cannot", |c| {
        c.namespaces.pid = Namespace::Container(itself.clone());
    });
    breaks("--network: a container cannot", |c| {
        c.namespaces.network = Network::Container(itself.clone());
    });
    breaks("--ipc: namespace", |c| {
        c.namespaces.ipc = Namespace::Path("ns".into());
    });
    breaks("--network: namespace", |c| {
        c.namespaces.network = Network::Path("ns".into());
    });
    breaks("longer than 64", |c| c.hostname = Some("x".repeat(65)));
    breaks("may hold letters", |c| c.hostname = Some("a\nb".into()));
    breaks("UTS namespace", |c| {
        c.hostname = Some("a".into());
        c.namespaces.uts = Namespace::Host;
    });
}

#[test]
fn t12_rules_of_the_network() {
    let other: ContainerId = "2".repeat(64).parse().unwrap();
    breaks("ports can be published only", |c| {
        c.ports.push(port(80, 80, 1));
        c.namespaces.network = Network::Host;
    });
    for (host, inside, range) in [(80, 0, 1), (80, 80, 0), (65_535, 80, 2), (80, 65_535, 2)] {
        breaks("between 1 and 65535", |c| {
            c.ports.push(port(host, inside, range));
        });
    }
    breaks("81/tcp is published twice", |c| {
        c.ports = vec![port(80, 80, 2), port(81, 90, 1)];
    });
    breaks("another container's", |c| {
        c.namespaces.network = Network::Container(other.clone());
        c.dns.servers.push("10.0.0.1".parse().unwrap());
    });
    breaks("without a network", |c| {
        c.namespaces.network = Network::None;
        c.dns.search.push("example".into());
    });
    breaks("--dns none", |c| {
        c.dns.unmanaged = true;
        c.dns.search.push("example".into());
    });
    breaks("search domain", |c| c.dns.search.push("a\nb".into()));
    breaks("DNS option", |c| c.dns.options.push(String::new()));
    let entry = |name: &str| HostEntry {
        name: name.into(),
        address: HostAddress::HostGateway,
    };
    breaks("hosts cannot be added", |c| {
        c.no_hosts = true;
        c.hosts.push(entry("a"));
    });
    breaks("must be one word", |c| c.hosts.push(entry("a\t10.0.0.1")));
    breaks("must be a name", |c| {
        drop(c.sysctls.insert("net/../kernel".into(), "1".into()));
    });
    breaks("whole host's", |c| {
        drop(c.sysctls.insert("vm.swappiness".into(), "1".into()));
    });
    breaks("--network", |c| {
        c.sysctls.insert("net.ipv4.ip_forward".into(), "1".into());
        c.namespaces.network = Network::Host;
    });
    breaks("--ipc", |c| {
        c.sysctls.insert("kernel.sem".into(), "1".into());
        c.namespaces.ipc = Namespace::Host;
    });
    breaks("--uts", |c| {
        c.sysctls.insert("kernel.domainname".into(), "a".into());
        c.namespaces.uts = Namespace::Host;
    });
}

#[test]
fn t13_rules_of_the_limits() {
    breaks("too small", |c| c.resources.memory = Some(1 << 20));
    breaks("needs one of memory", |c| {
        c.resources.memory_swap = Some(1 << 30);
    });
    breaks("must not be less", |c| {
        c.resources.memory = Some(64 << 20);
        c.resources.memory_swap = Some(32 << 20);
    });
    breaks("between 2 and 262144", |c| c.resources.cpu_shares = Some(1));
    for list in ["", "a", "1-", "1,,2"] {
        breaks("processor list", |c| {
            c.resources.cpuset_cpus = Some(list.into());
        });
    }
    breaks("-1 or more", |c| c.resources.pids_limit = Some(-2));
    for parent in ["", "/", "/a/../b", "a/."] {
        breaks("cgroup parent", |c| c.cgroup_parent = Some(parent.into()));
    }
}

#[test]
fn t13_rules_of_restarts_and_health() {
    breaks("--rm option conflicts with --restart", |c| {
        c.auto_remove = true;
        c.restart = crate::config::RestartPolicy::Always;
    });
    let health = |command: &str| crate::config::HealthCheck::new(vec![command.into()]);
    breaks("no command", |c| c.health = Some(health("")));
    breaks("1s or more", |c| {
        let mut quick = health("true");
        quick.timeout = std::time::Duration::from_millis(10);
        c.health = Some(quick);
    });
    breaks("retries", |c| {
        let mut strict = health("true");
        strict.retries = 0;
        c.health = Some(strict);
    });
}
