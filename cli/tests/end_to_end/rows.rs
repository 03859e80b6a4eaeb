//! Rows of the requirements that no other test stands for: what a container's parts are, and defects of old engines.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use test_utils::{Sandbox, eventually};

use crate::sandbox;

fn durable(sandbox: &Sandbox, id: &str) -> std::path::PathBuf {
    sandbox.path().join("root/containers").join(id)
}

fn of_this_boot(sandbox: &Sandbox) -> std::path::PathBuf {
    let boots = std::fs::read_dir(sandbox.file("run")).unwrap();
    boots.flatten().next().unwrap().path()
}

#[test]
fn root_t04_m28_the_cgroup_is_the_containers_own_and_where_the_kernel_says() {
    let sandbox = sandbox();
    let id = sandbox
        .ctrs(&["run", "-d", "--name", "c", "bb", "sleep", "1000"])
        .ok();
    let path = sandbox.inspect("c", ".State.CgroupPath");
    assert_eq!(path, format!("/ctrs/{id}"));
    let group = |field: &str| {
        let pid = sandbox.inspect("c", field);
        std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap()
    };
    assert!(group(".State.Pid").contains(&path));
    // B19: the old engine named, and measured, the monitor's.
    assert!(!group(".State.ConmonPid").contains(&path));
    sandbox.assert_nothing_left();
}

#[test]
fn root_t05_t06_m06_state_is_of_its_run_and_goes_with_it() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&[
            "run",
            "-d",
            "--name",
            "c",
            "bb",
            "sh",
            "-c",
            "trap 'exit 5' TERM; while true; do sleep 0.1; done",
        ])
        .ok();
    let pid: u32 = sandbox.inspect("c", ".State.Pid").parse().unwrap();
    assert!(pid > 0);
    assert_eq!(sandbox.inspect("c", ".State.Running"), "true");
    let begun = sandbox.inspect("c", ".State.StartedAt");
    sandbox.ctrs(&["stop", "c"]).ok();
    assert_eq!(
        sandbox.inspect("c", ".State.Pid"),
        "0",
        "no pid of what is over"
    );
    assert_eq!(sandbox.inspect("c", ".State.ExitCode"), "5");
    assert_eq!(sandbox.inspect("c", ".State.StartedAt"), begun);
    assert!(sandbox.inspect("c", ".State.FinishedAt") > begun);
    sandbox.assert_nothing_left();
}

#[test]
fn root_t15_m07_files_lie_where_they_are_said_to_and_are_private() {
    let sandbox = sandbox();
    let id = sandbox
        .ctrs(&["run", "-d", "--name", "c", "bb", "sleep", "1000"])
        .ok();
    let (durable, run) = (
        durable(&sandbox, &id),
        of_this_boot(&sandbox).join("containers").join(&id),
    );
    assert_eq!(
        sandbox.inspect("c", ".StaticDir"),
        durable.display().to_string()
    );
    for file in ["record.json", "ctr.log", "upper", "work", "merged"] {
        assert!(durable.join(file).exists(), "{file}");
    }
    for file in [
        "config.json",
        "live",
        "sock",
        "pidfile",
        "resolv.conf",
        "hosts",
        "hostname",
        "containerenv",
    ] {
        assert!(run.join(file).exists(), "{file}");
    }
    for private in [
        durable.join("record.json"),
        run.join("live"),
        run.join("sock"),
    ] {
        let mode = std::fs::metadata(&private).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", private.display());
    }
    assert_eq!(
        std::fs::metadata(sandbox.file("root"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
    assert_eq!(
        sandbox
            .ctrs(&["exec", "c", "cat", "/run/.containerenv"])
            .ok(),
        ""
    );
    sandbox.ctrs(&["stop", "-t", "0", "c"]).ok();
    assert!(!run.exists(), "nothing of a run stays");
    sandbox.assert_nothing_left();
}

#[test]
fn root_m29_files_of_etc_are_made_anew_for_every_run() {
    let sandbox = sandbox();
    let script = "cat /etc/hostname; echo changed > /etc/hostname; echo more >> /etc/hosts; wc -l < /etc/hosts";
    sandbox
        .ctrs(&[
            "create",
            "--name",
            "c",
            "--hostname",
            "own",
            "bb",
            "sh",
            "-c",
            script,
        ])
        .ok();
    let first = sandbox.ctrs(&["start", "-a", "c"]).ok();
    assert!(first.starts_with("own\n"), "{first}");
    assert_eq!(sandbox.ctrs(&["start", "-a", "c"]).ok(), first);
    sandbox.assert_nothing_left();
}

#[test]
fn root_b07_stopping_what_has_stopped_is_nothing_to_do_and_hurts_nobody() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&["run", "-d", "--name", "other", "bb", "sleep", "1000"])
        .ok();
    sandbox.ctrs(&["run", "--name", "c", "bb", "true"]).ok();
    for _ in 0..2 {
        assert_eq!(sandbox.ctrs(&["stop", "c"]).ok(), "c");
    }
    assert_eq!(sandbox.inspect("other", ".State.Status"), "running");
    sandbox.assert_nothing_left();
}

#[test]
fn root_b08_m27_a_container_that_has_stopped_holds_nothing() {
    let sandbox = sandbox();
    for stop in [
        &["stop", "-t", "0", "c"][..],
        &["kill", "c"],
        &["exec", "c", "kill", "-9", "1"],
    ] {
        let id = sandbox
            .ctrs(&[
                "run",
                "-d",
                "--network",
                "private",
                "--name",
                "c",
                "bb",
                "sh",
                "-c",
                "trap 'exit 0' TERM; while true; do sleep 0.1; done",
            ])
            .ok();
        let pid = sandbox.inspect("c", ".State.Pid");
        if stop[0] == "exec" {
            let raw = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
            rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
        } else {
            sandbox.ctrs(stop).ok();
        }
        let run = of_this_boot(&sandbox).join("containers").join(&id);
        // Whoever cleans up without anybody waiting is done with it last of all.
        eventually(|| {
            let (status, left) = (sandbox.inspect("c", ".State.Status"), sandbox.mounts());
            let lives = run.exists() || Path::new(&format!("/proc/{pid}")).exists();
            if status == "exited" && left.is_empty() && !lives {
                Ok(())
            } else {
                Err(format!("{status} {left:?} {lives}"))
            }
        });
        sandbox.ctrs(&["rm", "c"]).ok();
    }
    sandbox.assert_nothing_left();
}

#[test]
fn root_b13_a_mount_that_fails_leaves_nothing_and_says_what() {
    let sandbox = sandbox();
    sandbox.ctrs(&["create", "--name", "c", "bb", "true"]).ok();
    // The image's layer is gone, as after a damaged disk.
    let layers = std::fs::read_dir(sandbox.file("root/layers")).unwrap();
    let layer = layers.flatten().next().unwrap().path();
    let away = sandbox.path().join("away");
    std::fs::rename(&layer, &away).unwrap();
    let failed = sandbox.ctrs(&["start", "c"]).fails(125);
    assert!(failed.contains("layers"), "{failed}");
    assert!(sandbox.mounts().is_empty());
    assert_eq!(sandbox.inspect("c", ".State.Status"), "created");
    // M24: what is damaged can be looked at all the same.
    sandbox.ctrs(&["inspect", "--size", "c"]).ok();
    std::fs::rename(&away, &layer).unwrap();
    sandbox.ctrs(&["start", "-a", "c"]).ok();
    sandbox.assert_nothing_left();
}

#[test]
fn root_b14_m06_a_start_that_fails_leaves_the_last_end_as_it_was() {
    let sandbox = sandbox();
    let bound = sandbox.path().join("bound");
    std::fs::create_dir(&bound).unwrap();
    let volume = format!("{}:/data", bound.display());
    sandbox.ctrs(&[
        "run", "--name", "c", "-v", &volume, "bb", "sh", "-c", "exit 6",
    ]);
    std::fs::remove_dir(&bound).unwrap();
    sandbox.ctrs(&["start", "c"]).fails(125);
    assert_eq!(sandbox.inspect("c", ".State.Status"), "exited");
    assert_eq!(sandbox.inspect("c", ".State.ExitCode"), "6");
    std::fs::create_dir(&bound).unwrap();
    assert_eq!(sandbox.ctrs(&["start", "-a", "c"]).code, 6);
    sandbox.assert_nothing_left();
}

#[test]
fn root_b15_not_a_byte_is_lost_however_short_the_run() {
    let sandbox = sandbox();
    for _ in 0..5 {
        let run = sandbox.ctrs(&[
            "run",
            "--rm",
            "bb",
            "sh",
            "-c",
            "echo first; echo second >&2",
        ]);
        assert_eq!(
            (run.stdout.as_str(), run.stderr.as_str()),
            ("first\n", "second\n")
        );
    }
    sandbox.assert_nothing_left();
}

#[test]
fn root_b19_t13_limits_are_those_of_the_containers_cgroup() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&[
            "run", "-d", "--name", "c", "-m", "64m", "bb", "sleep", "1000",
        ])
        .ok();
    let shown = sandbox
        .ctrs(&["stats", "--no-stream", "--format", "{{.MemUsage}}", "c"])
        .ok();
    assert!(shown.ends_with("/ 67.1MB"), "{shown}");
    sandbox.assert_nothing_left();
}

#[test]
fn root_b20_annotations_are_there_without_having_been_given() {
    let sandbox = sandbox();
    let id = sandbox
        .ctrs(&["run", "-d", "--name", "c", "bb", "sleep", "1000"])
        .ok();
    let bundle = of_this_boot(&sandbox)
        .join("containers")
        .join(id)
        .join("config.json");
    let spec = std::fs::read_to_string(bundle).unwrap();
    assert!(
        spec.contains("io.container.manager"),
        "a map that was nil is none of ours"
    );
    sandbox.assert_nothing_left();
}

#[test]
fn root_b21_m26_an_exit_code_outlives_the_boot() {
    let sandbox = sandbox();
    sandbox.ctrs(&["run", "--name", "c", "bb", "sh", "-c", "exit 9"]);
    sandbox.reboot();
    assert_eq!(sandbox.ctrs(&["wait", "c"]).ok(), "9");
    sandbox.assert_nothing_left();
}

#[test]
fn root_b02_waiting_takes_no_processor_time() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&["run", "-d", "--name", "c", "bb", "sleep", "1000"])
        .ok();
    let mut waiter = sandbox.start(&["wait", "c"]);
    let ticks = || -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", waiter.id())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let fields: Vec<u64> = fields
            .split_whitespace()
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        fields[11] + fields[12]
    };
    // Commands are as good a clock as any: each takes some milliseconds.
    let busy = |count| (0..count).for_each(|_| drop(sandbox.ctrs(&["exec", "c", "true"])));
    busy(3);
    let before = ticks();
    busy(10);
    assert!(
        ticks() - before <= 1,
        "it has used {} ticks",
        ticks() - before
    );
    sandbox.ctrs(&["kill", "c"]).ok();
    assert!(waiter.wait().unwrap().success());
    sandbox.assert_nothing_left();
}
