//! Commands that look: processes, usage, events, mounts, waiting.

use std::io::{BufRead as _, BufReader};

use test_utils::eventually;

use crate::sandbox;

#[test]
fn root_h36_top_reads_the_hosts_own_tables() {
    let sandbox = sandbox();
    let run = ["run", "-d", "--name", "c", "-u", "7", "bb", "sleep", "1000"];
    sandbox.ctrs(&run).ok();
    let pid = sandbox.inspect("c", ".State.Pid");
    let table = sandbox
        .ctrs(&["top", "c", "pid", "hpid", "user", "args"])
        .ok();
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["1", pid.as_str(), "7", "sleep", "1000"]);
    let own = sandbox.ctrs(&["top", "c", "-o", "pid,args"]).ok();
    assert!(
        own.contains("ps -o pid,args"),
        "options of ps go to the container's: {own}"
    );
    sandbox.ctrs(&["stop", "-t", "0", "c"]).ok();
    assert!(sandbox.ctrs(&["top", "c"]).fails(125).contains("exited"));
    sandbox.assert_nothing_left();
}

#[test]
fn root_stats_show_what_is_used_and_nothing_of_what_does_not_run() {
    let sandbox = sandbox();
    let busy = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 1000";
    sandbox
        .ctrs(&[
            "run", "-d", "--name", "c", "-m", "64m", "bb", "sh", "-c", busy,
        ])
        .ok();
    eventually(|| {
        let format = "{{.MemUsage}}|{{.PIDS}}|{{.CPUPerc}}";
        let shown = sandbox
            .ctrs(&["stats", "--no-stream", "--format", format, "c"])
            .ok();
        let fields: Vec<&str> = shown.split('|').collect();
        let is_used = fields[0].ends_with(" / 67.1MB") && !fields[0].starts_with("0B");
        if is_used && fields[1] != "0" && fields[2] != "0.00%" {
            Ok(())
        } else {
            Err(shown)
        }
    });
    sandbox.ctrs(&["create", "--name", "idle", "bb"]).ok();
    let idle = [
        "stats",
        "--no-stream",
        "--format",
        "{{.MemUsage}} {{.PIDS}}",
        "idle",
    ];
    assert_eq!(sandbox.ctrs(&idle).ok(), "0B / 0B 0");
    let listed = sandbox
        .ctrs(&["stats", "--no-stream", "--format", "{{.Name}}"])
        .ok();
    assert_eq!(listed, "c", "without -a only those that run");
    sandbox.assert_nothing_left();
}

#[test]
fn root_events_tell_a_life_and_are_followed() {
    let sandbox = sandbox();
    let mut follow = sandbox.start(&[
        "events",
        "--format",
        "{{.Name}} {{.Status}} {{.ContainerExitCode}}",
    ]);
    let lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    // It follows once its directory is watched, which nobody tells: an event that is seen says so.
    eventually(|| {
        sandbox.ctrs(&["tag", "bb", "seen"]).ok();
        Ok(())
    });
    sandbox
        .ctrs(&[
            "run", "--name", "c", "-l", "tier=x", "bb", "sh", "-c", "exit 3",
        ])
        .code
        .eq(&3)
        .then_some(())
        .unwrap();
    let died = lines
        .map_while(Result::ok)
        .find(|line| line.starts_with("c died"));
    assert_eq!(died.as_deref(), Some("c died 3"));
    follow.kill().unwrap();
    follow.wait().unwrap();
    let past = [
        "events",
        "--stream=false",
        "--filter",
        "label=tier=x",
        "--format",
        "{{.Status}}",
    ];
    let told = sandbox.ctrs(&past).ok();
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        ["create", "init", "start", "died"]
    );
    sandbox.ctrs(&["rm", "c"]).ok();
    let removed = [
        "events",
        "--stream=false",
        "-f",
        "event=remove",
        "--format",
        "{{.Name}}",
    ];
    assert_eq!(sandbox.ctrs(&removed).ok(), "c");
    let ended = ["events", "--until", "1ms"];
    sandbox.ctrs(&ended).ok();
    sandbox.ctrs(&["rmi", "seen"]).ok();
    sandbox.assert_nothing_left();
}

#[test]
fn root_m19_m20_b05_mounts_of_users_are_counted_and_change_no_run() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&[
            "create",
            "--name",
            "c",
            "bb",
            "sh",
            "-c",
            "df /dev/shm | grep -q ^shm && exit 4",
        ])
        .ok();
    let place = sandbox.ctrs(&["mount", "c"]).ok();
    assert!(std::path::Path::new(&place).join("bin/busybox").exists());
    assert_eq!(sandbox.ctrs(&["mount", "c"]).ok(), place);
    assert_eq!(sandbox.inspect("c", ".State.Status"), "created");
    // What the old engine got wrong: with a user's mount the run had the host's /dev/shm, and its end took the mount away.
    assert_eq!(sandbox.ctrs(&["start", "-a", "c"]).code, 4);
    assert!(std::path::Path::new(&place).join("bin/busybox").exists());
    sandbox.ctrs(&["umount", "c"]).ok();
    assert!(
        sandbox.ctrs(&["mount"]).ok().contains(&place),
        "one of two is left"
    );
    sandbox.ctrs(&["umount", "c"]).ok();
    assert_eq!(sandbox.ctrs(&["mount"]).ok(), "");
    assert_eq!(
        sandbox.ctrs(&["umount", "c"]).ok(),
        "c",
        "it is as asked for"
    );
    sandbox.ctrs(&["mount", "c"]).ok();
    sandbox.ctrs(&["mount", "c"]).ok();
    sandbox.ctrs(&["umount", "-f", "c"]).ok();
    assert!(!std::path::Path::new(&place).join("bin").exists());
    sandbox.assert_nothing_left();
}

#[test]
fn root_m26_waiting_for_states() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&["create", "--name", "c", "bb", "sh", "-c", "sleep 1000"])
        .ok();
    assert_eq!(
        sandbox.ctrs(&["wait", "--condition", "created", "c"]).ok(),
        "-1"
    );
    let running = sandbox.start(&["wait", "--condition", "running", "c"]);
    let ended = sandbox.start(&["wait", "--condition", "stopped", "c"]);
    sandbox.ctrs(&["start", "c"]).ok();
    assert_eq!(
        String::from_utf8_lossy(&running.wait_with_output().unwrap().stdout),
        "-1\n"
    );
    let end = sandbox.start(&["wait", "c"]);
    sandbox.ctrs(&["kill", "-s", "KILL", "c"]).ok();
    for waiter in [ended, end] {
        let output = waiter.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "137\n");
    }
    let removed = sandbox.start(&["wait", "--condition", "removing", "c"]);
    sandbox.ctrs(&["rm", "c"]).ok();
    assert_eq!(
        String::from_utf8_lossy(&removed.wait_with_output().unwrap().stdout),
        "137\n"
    );
    assert!(
        sandbox
            .ctrs(&["wait", "c"])
            .fails(125)
            .contains("no such container")
    );
    sandbox
        .ctrs(&["wait", "--condition", "asleep", "c"])
        .fails(125);
    sandbox.assert_nothing_left();
}

#[test]
fn root_prune_takes_what_does_not_run() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&["run", "-d", "--name", "up", "bb", "sleep", "1000"])
        .ok();
    sandbox
        .ctrs(&["create", "--name", "kept", "-l", "keep=1", "bb"])
        .ok();
    sandbox.ctrs(&["create", "--name", "idle", "bb"]).ok();
    sandbox.with_input(&["container", "prune"], b"n\n").ok();
    assert_eq!(sandbox.ctrs(&["ps", "-aq"]).ok().lines().count(), 3);
    sandbox
        .ctrs(&["container", "prune", "-f", "--filter", "label!=keep"])
        .ok();
    assert_eq!(sandbox.ctrs(&["container", "exists", "idle"]).code, 1);
    assert_eq!(sandbox.ctrs(&["container", "exists", "kept"]).code, 0);
    sandbox.ctrs(&["container", "prune", "-f"]).ok();
    assert_eq!(
        sandbox.ctrs(&["ps", "-a", "--format", "{{.Names}}"]).ok(),
        "up"
    );
    sandbox.assert_nothing_left();
}
