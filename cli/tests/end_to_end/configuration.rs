//! What a container is told when it is made, changed or named anew (semantics.md T7-T13).

use crate::sandbox;

#[test]
fn root_t09_a_directory_is_a_root_file_system() {
    let sandbox = sandbox();
    let root = sandbox.path().join("rootfs");
    std::fs::create_dir_all(root.join("bin")).unwrap();
    let unpack = std::process::Command::new("cp")
        .arg("/bin/busybox")
        .arg(root.join("bin"))
        .status();
    assert!(unpack.unwrap().success());
    let path = root.to_str().unwrap();
    let write = ["/bin/busybox", "sh", "-c", "echo x > /made"];
    sandbox
        .ctrs(&[&["run", "--rm", "--rootfs", path], &write[..]].concat())
        .ok();
    assert!(root.join("made").exists(), "changes go into the directory");
    std::fs::remove_file(root.join("made")).unwrap();
    let overlay = format!("{path}:O");
    sandbox
        .ctrs(&[&["run", "--rm", "--rootfs", &overlay], &write[..]].concat())
        .ok();
    assert!(!root.join("made").exists(), "with :O it stays as it is");
    sandbox
        .ctrs(&[
            "create",
            "--name",
            "c",
            "--rootfs",
            path,
            "/bin/busybox",
            "true",
        ])
        .ok();
    assert_eq!(sandbox.inspect("c", ".Rootfs"), path);
    assert_eq!(sandbox.inspect("c", ".Image"), "");
    sandbox
        .ctrs(&["create", "--rootfs", "/nowhere/at/all", "true"])
        .fails(125);
    sandbox.assert_nothing_left();
}

#[test]
fn root_t09_shm_has_the_size_asked_for_and_dockers_by_default() {
    let sandbox = sandbox();
    let size = "df -k /dev/shm | tail -1 | awk '{print $2}'";
    assert_eq!(
        sandbox.ctrs(&["run", "--rm", "bb", "sh", "-c", size]).ok(),
        "65536"
    );
    let small = ["run", "--rm", "--shm-size", "1m", "bb", "sh", "-c", size];
    assert_eq!(sandbox.ctrs(&small).ok(), "1024");
    sandbox.assert_nothing_left();
}

#[test]
fn root_t10_users_groups_and_masks() {
    let sandbox = sandbox();
    let script = "id -u; id -G; umask";
    let run = [
        "run",
        "--rm",
        "-u",
        "7:8",
        "--group-add",
        "root",
        "--group-add",
        "99",
        "--umask",
        "0027",
        "bb",
        "sh",
        "-c",
        script,
    ];
    assert_eq!(sandbox.ctrs(&run).ok(), "7\n8 0 99\n0027");
    let unknown = [
        "run",
        "--rm",
        "--group-add",
        "nogroupofthisname",
        "bb",
        "true",
    ];
    assert!(
        sandbox
            .ctrs(&unknown)
            .fails(125)
            .contains("nogroupofthisname")
    );
    sandbox.assert_nothing_left();
}

#[test]
fn root_t12_names_of_hosts_and_servers_reach_the_container() {
    let sandbox = sandbox();
    let options = [
        "--dns",
        "10.9.8.7",
        "--dns-search",
        "example.org",
        "--dns-option",
        "ndots:2",
        "--add-host",
        "db:10.0.0.5",
    ];
    let script = "cat /etc/resolv.conf; grep \"db$\" /etc/hosts";
    let run = [&["run", "--rm"], &options[..], &["bb", "sh", "-c", script]].concat();
    assert_eq!(
        sandbox.ctrs(&run).ok(),
        "search example.org\nnameserver 10.9.8.7\noptions ndots:2\n10.0.0.5\tdb"
    );
    let base = [
        &["run", "-d", "--name", "base"],
        &options[..],
        &["bb", "sleep", "1000"],
    ]
    .concat();
    sandbox.ctrs(&base).ok();
    let neighbour = [
        "run",
        "--rm",
        "--network",
        "container:base",
        "bb",
        "sh",
        "-c",
        script,
    ];
    assert!(
        sandbox.ctrs(&neighbour).ok().contains("10.0.0.5\tdb"),
        "one network, one hosts file"
    );
    let own = [
        "create",
        "--network",
        "container:base",
        "--dns",
        "1.1.1.1",
        "bb",
    ];
    sandbox.ctrs(&own).fails(125);
    sandbox.assert_nothing_left();
}

#[test]
fn root_t12_kernel_parameters_of_its_namespaces() {
    let sandbox = sandbox();
    let run = [
        "run",
        "--rm",
        "--network",
        "private",
        "--sysctl",
        "net.ipv4.ip_forward=1",
        "bb",
        "cat",
        "/proc/sys/net/ipv4/ip_forward",
    ];
    assert_eq!(sandbox.ctrs(&run).ok(), "1");
    let host = [
        "run",
        "--rm",
        "--network",
        "host",
        "--sysctl",
        "net.ipv4.ip_forward=1",
        "bb",
        "true",
    ];
    sandbox.ctrs(&host).fails(125);
    sandbox.assert_nothing_left();
}

#[test]
fn root_t13_the_cgroup_lies_where_it_is_asked_to() {
    let sandbox = sandbox();
    let parent = format!("/ctrs-test-{}", std::process::id());
    let run = [
        "run",
        "-d",
        "--name",
        "c",
        "--cgroup-parent",
        &parent,
        "bb",
        "sleep",
        "1000",
    ];
    let id = sandbox.ctrs(&run).ok();
    let path = format!("{parent}/{id}");
    assert_eq!(sandbox.inspect("c", ".State.CgroupPath"), path);
    let pid = sandbox.inspect("c", ".State.Pid");
    let kernel = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(kernel.contains(&path), "{kernel}");
    sandbox.ctrs(&["rm", "-f", "c"]).ok();
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        let directory = hierarchy.path().join(parent.trim_start_matches('/'));
        let _absent = std::fs::remove_dir(directory);
    }
    let _absent = std::fs::remove_dir(format!("/sys/fs/cgroup{parent}"));
    sandbox.assert_nothing_left();
}

#[test]
fn root_t07_b26_rename_and_update_replace_a_configuration_whole() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&[
            "run", "-d", "--name", "before", "-m", "64m", "bb", "sleep", "1000",
        ])
        .ok();
    sandbox.ctrs(&["create", "--name", "taken", "bb"]).ok();
    let refused = sandbox.ctrs(&["rename", "before", "taken"]).fails(125);
    assert!(refused.contains("in use"), "{refused}");
    sandbox.ctrs(&["rename", "before", "after"]).ok();
    sandbox.ctrs(&["inspect", "before"]).fails(125);
    assert_eq!(sandbox.inspect("after", ".State.Status"), "running");
    let pid = sandbox.inspect("after", ".State.Pid");
    sandbox
        .ctrs(&["update", "--pids-limit", "77", "-e", "NEW=1", "after"])
        .ok();
    assert_eq!(sandbox.inspect("after", ".HostConfig.PidsLimit"), "77");
    assert_eq!(
        sandbox.inspect("after", ".HostConfig.Memory"),
        (64 << 20).to_string()
    );
    let limit = pids_limit(&pid);
    assert_eq!(limit, "77", "the cgroup follows at once");
    let refused = sandbox.ctrs(&["update", "-m", "1k", "after"]).fails(125);
    assert!(refused.contains("too small"), "{refused}");
    sandbox
        .ctrs(&["update", "--cpuset-cpus", "4000", "after"])
        .fails(125);
    assert_eq!(
        sandbox.inspect("after", ".HostConfig.CpusetCpus"),
        "",
        "what the kernel refuses is taken back"
    );
    assert_eq!(pids_limit(&pid), "77");
    sandbox.ctrs(&["restart", "-t", "0", "after"]).ok();
    assert_eq!(
        sandbox
            .ctrs(&["exec", "after", "sh", "-c", "echo $NEW"])
            .ok(),
        "1"
    );
    assert_eq!(sandbox.ctrs(&["system", "check"]).code, 0);
    sandbox.assert_nothing_left();
}

/// The limit of processes that the kernel has for a process' cgroup.
fn pids_limit(pid: &str) -> String {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let path = |line: &str| line.rsplit(':').next().unwrap().to_owned();
    let of = |controller: &str| {
        groups
            .lines()
            .find(|line| line.contains(controller))
            .map(path)
    };
    let file = match of(":pids:") {
        Some(path) => format!("/sys/fs/cgroup/pids{path}/pids.max"),
        None => format!("/sys/fs/cgroup{}/pids.max", of("0::").unwrap()),
    };
    std::fs::read_to_string(file).unwrap().trim().to_owned()
}
