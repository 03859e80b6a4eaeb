//! `run`: exit codes, what the program in the container sees, what is left afterwards.

use crate::sandbox;

/// `run --rm --network none bb ARGS`.
fn run<'a>(options: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    [
        &["run", "--rm", "--network", "none"],
        options,
        &["bb"],
        command,
    ]
    .concat()
}

#[test]
fn root_exit_codes_are_podmans() {
    let sandbox = sandbox();
    for (command, code) in [
        (vec!["true"], 0),
        (vec!["sh", "-c", "exit 42"], 42),
        (vec!["sh", "-c", "exit 255"], 255),
        (vec!["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137),
    ] {
        assert_eq!(sandbox.ctrs(&run(&[], &command)).code, code, "{command:?}");
    }
    assert!(
        sandbox
            .ctrs(&run(&[], &["nosuch"]))
            .fails(127)
            .contains("\"nosuch\" not found")
    );
    assert!(
        sandbox
            .ctrs(&run(&[], &["/etc/passwd"]))
            .fails(126)
            .contains("cannot be executed")
    );
    assert!(
        sandbox
            .ctrs(&["run", "--rm", "nosuch", "true"])
            .fails(125)
            .contains("no such image: nosuch")
    );
    sandbox.assert_nothing_left();
}

#[test]
fn root_the_program_sees_what_it_should() {
    let sandbox = sandbox();
    let sees =
        |options: &[&str], script: &str| sandbox.ctrs(&run(options, &["sh", "-c", script])).ok();
    assert_eq!(
        sees(&["-e", "A=b c", "-w", "/tmp"], "echo $A; pwd"),
        "b c\n/tmp"
    );
    assert_eq!(
        sees(&["-u", "user"], "id"),
        "uid=1000(user) gid=1000(user) groups=2000(extra)"
    );
    assert_eq!(
        sees(&["--hostname", "box"], "hostname; grep -c box /etc/hosts"),
        "box\n1"
    );
    assert_eq!(sees(&["--entrypoint", "[\"echo\",\"x\"]"], ""), "x sh -c");
    let status = sees(&[], "cat /proc/self/status");
    for line in [
        "CapInh:\t0000000000000000",
        "CapEff:\t00000000800405fb",
        "Seccomp:\t2",
        "NoNewPrivs:\t0",
    ] {
        assert!(status.contains(line), "{line} not in {status}");
    }
    assert!(sees(&["--privileged"], "cat /proc/self/status").contains("Seccomp:\t0"));
    // Nothing of the engine is inherited: 0, 1, 2 and the one ls itself opens.
    assert_eq!(sees(&[], "ls /proc/self/fd"), "0\n1\n2\n3");
    assert!(sees(&["--shm-size", "1m"], "df /dev/shm").contains(" 1024 "));
    assert_eq!(
        sees(&["--ulimit", "nofile=100:200"], "ulimit -n; ulimit -Hn"),
        "100\n200"
    );
    assert_eq!(
        sees(&["--cap-drop", "all"], "grep CapEff /proc/self/status"),
        "CapEff:\t0000000000000000"
    );
    sandbox.assert_nothing_left();
}

#[test]
fn root_m27_mounts_bind_and_protect() {
    let sandbox = sandbox();
    let shared = sandbox.file("shared");
    std::fs::create_dir(&shared).unwrap();
    let volume = format!("{shared}:/data");
    let read_only = format!("{shared}:/data:ro");
    sandbox
        .ctrs(&run(&["-v", &volume], &["sh", "-c", "echo x > /data/f"]))
        .ok();
    assert_eq!(
        sandbox
            .ctrs(&run(&["-v", &read_only], &["cat", "/data/f"]))
            .ok(),
        "x"
    );
    let refused = sandbox.ctrs(&run(&["-v", &read_only], &["touch", "/data/f"]));
    assert!(refused.stderr.contains("Read-only"), "{refused:?}");
    let refused = sandbox.ctrs(&run(&["--read-only"], &["touch", "/x"]));
    assert!(refused.stderr.contains("Read-only"), "{refused:?}");
    let mounted = sandbox
        .ctrs(&run(&["--tmpfs", "/t:size=64k"], &["df", "/t"]))
        .ok();
    assert!(mounted.contains(" 64 "), "{mounted}");
    sandbox.assert_nothing_left();
}

#[test]
fn root_t11_namespaces_are_own_or_the_hosts() {
    let sandbox = sandbox();
    let links = |network: &str| {
        sandbox
            .ctrs(&[
                "run",
                "--rm",
                "--network",
                network,
                "bb",
                "sh",
                "-c",
                "ip -o link | wc -l",
            ])
            .ok()
    };
    assert_eq!((links("none"), links("private")), ("1".into(), "1".into()));
    let host = sandbox
        .ctrs(&[
            "run",
            "--rm",
            "--network",
            "host",
            "bb",
            "ls",
            "-l",
            "/proc/self/ns/net",
        ])
        .ok();
    let ours = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    assert!(host.ends_with(&*ours.to_string_lossy()), "{host} {ours:?}");
    sandbox.assert_nothing_left();
}

#[test]
fn root_a_cidfile_is_written_once() {
    let sandbox = sandbox();
    let file = sandbox.file("cid");
    sandbox
        .ctrs(&["create", "--cidfile", &file, "bb", "true"])
        .ok();
    let id = std::fs::read_to_string(&file).unwrap();
    assert_eq!(sandbox.inspect(&id, ".Id"), id);
    assert!(
        sandbox
            .ctrs(&["create", "--cidfile", &file, "bb", "true"])
            .fails(125)
            .contains("cid")
    );
    assert_eq!(sandbox.ctrs(&["ps", "-a", "-q"]).ok().lines().count(), 1);
    std::fs::remove_file(&file).unwrap();
    sandbox
        .ctrs(&["create", "--cidfile", &file, "nosuch"])
        .fails(125);
    assert!(!std::path::Path::new(&file).exists());
    sandbox.assert_nothing_left();
}

#[test]
fn root_memory_limits_kill_and_are_told() {
    let sandbox = sandbox();
    let grow = "x=x; while true; do x=$x$x; done";
    let outcome = sandbox.ctrs(&[
        "run",
        "--name",
        "oom",
        "-m",
        "16m",
        "--network",
        "none",
        "bb",
        "sh",
        "-c",
        grow,
    ]);
    assert_eq!(outcome.code, 137, "{outcome:?}");
    assert_eq!(sandbox.inspect("oom", ".State.OOMKilled"), "true");
    sandbox.assert_nothing_left();
}
