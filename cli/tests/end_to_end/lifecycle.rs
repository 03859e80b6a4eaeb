//! From create to rm, by every way.

use std::time::Instant;

use test_utils::eventually;

use crate::sandbox;

#[test]
fn root_m14_m15_m16_a_container_lives_and_is_removed() {
    let sandbox = sandbox();
    let id = sandbox
        .ctrs(&["create", "--name", "c", "-l", "k=v", "bb", "sleep", "1000"])
        .ok();
    assert_eq!(sandbox.inspect("c", ".State.Status"), "created");
    assert_eq!(sandbox.ctrs(&["init", "c"]).ok(), "c");
    assert_eq!(sandbox.inspect("c", ".State.Status"), "initialized");
    sandbox.ctrs(&["start", "c"]).ok();
    assert_eq!(sandbox.inspect(&id[..12], ".State.Status"), "running");
    assert_eq!(sandbox.ctrs(&["start", "c"]).ok(), "c");
    assert_eq!(sandbox.ctrs(&["ps", "-q", "--no-trunc"]).ok(), id);
    assert_eq!(
        sandbox.ctrs(&["exec", "c", "cat", "/proc/1/cmdline"]).ok(),
        "sleep\u{0}1000\u{0}"
    );
    sandbox.ctrs(&["pause", "c"]).ok();
    assert_eq!(sandbox.inspect("c", ".State.Status"), "paused");
    sandbox.ctrs(&["unpause", "c"]).ok();
    assert!(sandbox.ctrs(&["rm", "c"]).fails(2).contains("running"));
    sandbox.ctrs(&["restart", "-t", "0", "c"]).ok();
    assert_eq!(sandbox.inspect("c", ".State.Status"), "running");
    sandbox.ctrs(&["stop", "-t", "0", "c"]).ok();
    assert_eq!(sandbox.inspect("c", ".State.ExitCode"), "137");
    assert_eq!(sandbox.ctrs(&["wait", "c"]).ok(), "137");
    sandbox.ctrs(&["rm", "c"]).ok();
    assert!(
        sandbox
            .ctrs(&["rm", "c"])
            .fails(1)
            .contains("no such container")
    );
    sandbox.assert_nothing_left();
}

#[test]
fn root_b06_m14_a_container_starts_again_as_it_was_left() {
    let sandbox = sandbox();
    let script = "[ -e /seen ] && exit 7; touch /seen; exit 3";
    assert_eq!(
        sandbox
            .ctrs(&["run", "--name", "c", "bb", "sh", "-c", script])
            .code,
        3
    );
    assert_eq!(sandbox.ctrs(&["start", "-a", "c"]).code, 7);
    assert_eq!(sandbox.inspect("c", ".State.ExitCode"), "7");
    sandbox.assert_nothing_left();
}

#[test]
fn root_m15_stop_asks_first_and_kills_then() {
    let sandbox = sandbox();
    let polite = "trap 'exit 5' TERM; echo ready; while true; do sleep 0.05; done";
    let stubborn = "trap '' TERM; echo ready; while true; do sleep 0.05; done";
    for (name, script, code) in [("polite", polite, "5"), ("stubborn", stubborn, "137")] {
        sandbox
            .ctrs(&["run", "-d", "--name", name, "bb", "sh", "-c", script])
            .ok();
        eventually(|| match sandbox.ctrs(&["logs", name]).ok().as_str() {
            "ready" => Ok(()),
            other => Err(other.to_owned()),
        });
        sandbox.ctrs(&["stop", "-t", "1", name]).ok();
        assert_eq!(sandbox.inspect(name, ".State.ExitCode"), code, "{name}");
        let reason = if name == "polite" {
            "exited"
        } else {
            "signalled"
        };
        assert_eq!(sandbox.inspect(name, ".State.ExitReason"), reason);
    }
    sandbox.assert_nothing_left();
}

#[test]
fn root_a_container_in_the_background_is_cleaned_up_by_itself() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&["run", "-d", "--name", "c", "bb", "sh", "-c", "exit 9"])
        .ok();
    assert_eq!(sandbox.ctrs(&["wait", "c"]).ok(), "9");
    // Nobody is asked to do anything; the row is looked at without recovery.
    eventually(|| {
        let check = sandbox.ctrs(&["system", "check", "--no-recovery"]);
        if check.stdout.is_empty() && check.code == 0 {
            Ok(())
        } else {
            Err(check.stdout)
        }
    });
    sandbox.await_status("c", "exited");
    sandbox
        .ctrs(&["run", "-d", "--rm", "--name", "gone", "bb", "true"])
        .ok();
    eventually(|| {
        match sandbox
            .ctrs(&["ps", "-a", "--filter", "name=gone", "-q"])
            .ok()
            .as_str()
        {
            "" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    sandbox.assert_nothing_left();
}

#[test]
fn root_b02_m26_wait_returns_at_once_when_the_container_ends_or_is_removed() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&["run", "-d", "--name", "c", "bb", "sleep", "1000"])
        .ok();
    let waiter = sandbox.start(&["wait", "c"]);
    let began = Instant::now();
    sandbox.ctrs(&["kill", "-s", "KILL", "c"]).ok();
    let output = waiter.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "137\n");
    // A bound against polling by seconds, not a measurement.
    assert!(began.elapsed().as_secs() < 20);
    assert!(
        sandbox
            .ctrs(&["wait", "nosuch"])
            .fails(125)
            .contains("no such container")
    );
    sandbox.assert_nothing_left();
}

#[test]
fn root_b10_b24_a_killed_monitor_is_told_and_the_container_can_be_ended() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&["run", "-d", "--name", "c", "bb", "sleep", "1000"])
        .ok();
    let monitor: i32 = sandbox.inspect("c", ".State.ConmonPid").parse().unwrap();
    let monitor = rustix::process::Pid::from_raw(monitor).unwrap();
    rustix::process::kill_process(monitor, rustix::process::Signal::KILL).unwrap();
    eventually(|| {
        let check = sandbox.ctrs(&["system", "check"]);
        if check.stdout.contains("without its monitor") {
            Ok(())
        } else {
            Err(check.stdout)
        }
    });
    assert!(sandbox.ctrs(&["ps"]).ok().contains("unmonitored"));
    assert_eq!(sandbox.ctrs(&["exec", "c", "true"]).code, 125);
    sandbox.ctrs(&["stop", "-t", "0", "c"]).ok();
    assert_eq!(sandbox.inspect("c", ".State.Status"), "exited");
    sandbox.ctrs(&["start", "c"]).ok();
    sandbox.assert_nothing_left();
}

#[test]
fn root_b11_b30_m12_after_a_reboot_everything_is_as_true_as_can_be_known() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&["run", "-d", "--name", "up", "bb", "sleep", "1000"])
        .ok();
    sandbox
        .ctrs(&[
            "run", "-d", "--rm", "--name", "passing", "bb", "sleep", "1000",
        ])
        .ok();
    sandbox.ctrs(&["run", "--name", "ended", "bb", "sh", "-c", "exit 8"]);
    sandbox.reboot();
    let states = sandbox
        .ctrs(&[
            "ps",
            "-a",
            "--format",
            "{{.Names}} {{.State}} {{.ExitCode}}",
        ])
        .ok();
    let mut states: Vec<&str> = states.lines().collect();
    states.sort_unstable();
    assert_eq!(states, ["ended exited 8", "up exited 255"]);
    assert_eq!(sandbox.inspect("up", ".State.ExitReason"), "host-rebooted");
    let boots = std::fs::read_dir(sandbox.file("run")).unwrap().flatten();
    let boots: Vec<_> = boots.map(|entry| entry.file_name()).collect();
    assert_eq!(boots, ["boot-01234567-89ab-cdef-0123-456789abcdef"]);
    sandbox.ctrs(&["start", "up"]).ok();
    assert_eq!(sandbox.inspect("up", ".State.Status"), "running");
    sandbox.assert_nothing_left();
}

#[test]
fn root_b16_b36_execs_leave_a_record_and_no_process() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&["run", "-d", "--name", "c", "bb", "sleep", "1000"])
        .ok();
    let id = sandbox.ctrs(&["exec", "-d", "c", "sleep", "500"]).ok();
    assert_eq!(sandbox.inspect("c", "json .ExecIDs"), format!("[\"{id}\"]"));
    for code in 0..5 {
        let script = format!("exit {code}");
        let exec = sandbox.ctrs(&["exec", "c", "sh", "-c", &script]);
        assert_eq!(exec.code, code);
    }
    assert_eq!(sandbox.inspect("c", "json .ExecIDs"), format!("[\"{id}\"]"));
    let processes = sandbox.ctrs(&["top", "c", "args"]).ok();
    assert_eq!(processes.lines().count(), 3, "{processes}");
    sandbox.ctrs(&["restart", "-t", "0", "c"]).ok();
    assert_eq!(
        sandbox.inspect("c", "json .ExecIDs"),
        "[]",
        "they end with the run"
    );
    sandbox.assert_nothing_left();
}
