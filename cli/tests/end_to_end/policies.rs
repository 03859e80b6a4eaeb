//! What the monitor minds on its own: restarts, the longest run, health, boots (semantics.md T13, B22-B25, B35).

use test_utils::{Sandbox, eventually};

use crate::sandbox;

fn await_field(sandbox: &Sandbox, field: &str, wanted: &str) {
    eventually(|| {
        let seen = sandbox.inspect("c", field);
        if seen == wanted {
            Ok(())
        } else {
            Err(format!("{field} is {seen}, not {wanted}"))
        }
    });
}

#[test]
fn root_t13_on_failure_starts_again_so_many_times_and_no_more() {
    let sandbox = sandbox();
    let script = "echo run; exit 3";
    let run = sandbox.ctrs(&[
        "run",
        "--name",
        "c",
        "--restart",
        "on-failure:2",
        "bb",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(
        run.code, 3,
        "who stays with it hears of the last end: {run:?}"
    );
    assert_eq!(run.stdout, "run\nrun\nrun\n", "and of every run's output");
    assert_eq!(
        sandbox.inspect("c", ".HostConfig.RestartPolicy.MaximumRetryCount"),
        "2"
    );
    assert_eq!(sandbox.ctrs(&["logs", "c"]).ok().lines().count(), 3);
    let told = [
        "events",
        "--stream=false",
        "-f",
        "container=c",
        "--format",
        "{{.Status}}",
    ];
    let told = sandbox.ctrs(&told).ok();
    let of = |action: &str| told.lines().filter(|line| *line == action).count();
    assert_eq!((of("died"), of("restart")), (3, 2), "{told}");
    let clean = [
        "run",
        "--name",
        "d",
        "--restart",
        "on-failure",
        "bb",
        "true",
    ];
    assert_eq!(sandbox.ctrs(&clean).code, 0);
    let refused = sandbox
        .ctrs(&["create", "--rm", "--restart", "always", "bb"])
        .fails(125);
    assert!(
        refused.contains("--rm option conflicts with --restart"),
        "{refused}"
    );
    sandbox.assert_nothing_left();
}

#[test]
fn root_b22_b24_always_goes_on_until_a_user_stops_it() {
    let sandbox = sandbox();
    let script = "trap 'echo reloaded' HUP; echo up; while true; do sleep 0.1; done";
    sandbox
        .ctrs(&[
            "run",
            "-d",
            "--name",
            "c",
            "--restart",
            "always",
            "bb",
            "sh",
            "-c",
            script,
        ])
        .ok();
    let lines = |count: usize, word: &str| {
        eventually(|| {
            let log = sandbox.ctrs(&["logs", "c"]).ok();
            if log.lines().filter(|line| *line == word).count() >= count {
                Ok(())
            } else {
                Err(log)
            }
        });
    };
    lines(1, "up");
    // A signal that a program takes as "read your configuration" does not switch the policy off.
    sandbox.ctrs(&["kill", "-s", "HUP", "c"]).ok();
    lines(1, "reloaded");
    let pid = sandbox.inspect("c", ".State.Pid");
    let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    lines(2, "up");
    await_field(&sandbox, ".RestartCount", "1");
    await_field(&sandbox, ".State.Status", "running");
    sandbox.ctrs(&["stop", "-t", "0", "c"]).ok();
    assert_eq!(sandbox.inspect("c", ".State.Status"), "exited");
    sandbox.ctrs(&["start", "c"]).ok();
    assert_eq!(
        sandbox.inspect("c", ".RestartCount"),
        "0",
        "a user's start begins anew"
    );
    sandbox.ctrs(&["kill", "c"]).ok();
    assert_eq!(
        sandbox.inspect("c", ".State.Status"),
        "exited",
        "and a user's kill ends it"
    );
    sandbox.assert_nothing_left();
}

#[test]
fn root_b25_what_waits_for_its_next_start_can_be_stopped_started_and_removed() {
    let sandbox = sandbox();
    let create = [
        "create",
        "--name",
        "c",
        "--restart",
        "always",
        "bb",
        "sh",
        "-c",
        "exit 1",
    ];
    // The third pause is long enough to be met in.
    let crash = || {
        sandbox.ctrs(&["start", "c"]).ok();
        eventually(|| {
            let count: u32 = sandbox.inspect("c", ".RestartCount").parse().unwrap();
            let waits = sandbox.inspect("c", ".State.Restarting") == "true";
            if count >= 4 && waits {
                Ok(())
            } else {
                Err(format!("{count} {waits}"))
            }
        });
        let status = sandbox.inspect("c", ".State.Status");
        assert_eq!(status, "stopped");
        assert_eq!(sandbox.ctrs(&["wait", "c"]).ok(), "1");
    };
    sandbox.ctrs(&create).ok();
    crash();
    sandbox.ctrs(&["stop", "c"]).ok();
    assert_eq!(sandbox.inspect("c", ".State.Status"), "exited");
    crash();
    sandbox.ctrs(&["start", "c"]).ok();
    assert!(
        sandbox
            .inspect("c", ".RestartCount")
            .parse::<u32>()
            .unwrap()
            < 4,
        "begun anew"
    );
    eventually(
        || match sandbox.inspect("c", ".State.Restarting").as_str() {
            "true" => Ok(()),
            other => Err(other.to_owned()),
        },
    );
    sandbox.ctrs(&["rm", "-f", "c"]).ok();
    sandbox.assert_nothing_left();
}

#[test]
fn root_t13_a_run_has_a_longest_time() {
    let sandbox = sandbox();
    let run = sandbox.ctrs(&[
        "run",
        "--name",
        "c",
        "--timeout",
        "1",
        "bb",
        "sleep",
        "1000",
    ]);
    assert_eq!(run.code, 137);
    sandbox.assert_nothing_left();
}

#[test]
fn root_t13_health_is_checked_and_acted_upon() {
    let sandbox = sandbox();
    let check = [
        "--health-cmd",
        "echo looked; test -e /well",
        "--health-interval",
        "200ms",
        "--health-retries",
        "2",
    ];
    let run = [
        &["run", "-d", "--name", "c"],
        &check[..],
        &["bb", "sleep", "1000"],
    ]
    .concat();
    sandbox.ctrs(&run).ok();
    await_field(&sandbox, ".State.Health.Status", "unhealthy");
    assert!(sandbox.ctrs(&["ps"]).ok().contains("(unhealthy)"));
    assert_eq!(sandbox.ctrs(&["healthcheck", "run", "c"]).code, 1);
    sandbox.ctrs(&["exec", "c", "touch", "/well"]).ok();
    await_field(&sandbox, ".State.Health.Status", "healthy");
    sandbox.ctrs(&["healthcheck", "run", "c"]).ok();
    let log = sandbox.inspect("c", "json .State.Health.Log");
    assert!(log.contains("looked"), "{log}");
    assert!(
        sandbox.ctrs(&["exec", "c", "ps"]).ok().lines().count() <= 5,
        "no check is left behind"
    );
    sandbox.ctrs(&["rm", "-f", "c"]).ok();
    sandbox
        .ctrs(&["run", "-d", "--name", "c", "bb", "sleep", "1000"])
        .ok();
    assert!(
        sandbox
            .ctrs(&["healthcheck", "run", "c"])
            .fails(125)
            .contains("no defined healthcheck")
    );
    sandbox.ctrs(&["rm", "-f", "c"]).ok();
    for (action, status, code) in [("kill", "exited", "137"), ("stop", "exited", "143")] {
        let act = ["--health-on-failure", action, "--stop-timeout", "30"];
        let script = "trap 'exit 143' TERM; while true; do sleep 0.1; done";
        let run = [
            &["run", "-d", "--name", "c"],
            &check[..],
            &act,
            &["bb", "sh", "-c", script],
        ]
        .concat();
        sandbox.ctrs(&run).ok();
        await_field(&sandbox, ".State.Status", status);
        assert_eq!(sandbox.inspect("c", ".State.ExitCode"), code, "{action}");
        sandbox.ctrs(&["rm", "c"]).ok();
    }
    let act = ["--health-on-failure", "restart", "--stop-timeout", "0"];
    let run = [
        &["run", "-d", "--name", "c"],
        &check[..],
        &act,
        &["bb", "sleep", "1000"],
    ]
    .concat();
    sandbox.ctrs(&run).ok();
    eventually(|| match sandbox.inspect("c", ".RestartCount").as_str() {
        "0" => Err("not restarted yet".to_owned()),
        _ => Ok(()),
    });
    sandbox.assert_nothing_left();
}

#[test]
fn root_t13_a_check_that_hangs_is_killed() {
    let sandbox = sandbox();
    let check = [
        "--health-cmd",
        "sleep 1000",
        "--health-interval",
        "disable",
        "--health-timeout",
        "1s",
        "--health-retries",
        "1",
    ];
    let run = [
        &["run", "-d", "--name", "c"],
        &check[..],
        &["bb", "sleep", "2000"],
    ]
    .concat();
    sandbox.ctrs(&run).ok();
    assert_eq!(sandbox.ctrs(&["healthcheck", "run", "c"]).code, 1);
    assert_eq!(sandbox.inspect("c", ".State.Health.Status"), "unhealthy");
    let log = sandbox.inspect("c", "json .State.Health.Log");
    assert!(log.contains("exceeded"), "{log}");
    sandbox.assert_nothing_left();
}

#[test]
fn root_b35_an_oom_kill_is_of_its_run_only() {
    let sandbox = sandbox();
    let script = "[ -e /again ] && exit 0; touch /again; exec tail /dev/zero";
    sandbox
        .ctrs(&[
            "create",
            "--name",
            "c",
            "-m",
            "16m",
            "--memory-swap",
            "16m",
            "bb",
            "sh",
            "-c",
            script,
        ])
        .ok();
    assert_eq!(sandbox.ctrs(&["start", "-a", "c"]).code, 137);
    assert_eq!(sandbox.inspect("c", ".State.OOMKilled"), "true");
    assert_eq!(sandbox.ctrs(&["start", "-a", "c"]).code, 0);
    assert_eq!(sandbox.inspect("c", ".State.OOMKilled"), "false");
    sandbox.assert_nothing_left();
}

#[test]
fn root_m12_after_a_boot_what_should_be_up_is_started() {
    let sandbox = sandbox();
    for (name, policy) in [
        ("always", "always"),
        ("unless", "unless-stopped"),
        ("stopped", "unless-stopped"),
        ("no", "no"),
    ] {
        sandbox
            .ctrs(&[
                "run",
                "-d",
                "--name",
                name,
                "--restart",
                policy,
                "bb",
                "sleep",
                "1000",
            ])
            .ok();
    }
    sandbox
        .ctrs(&[
            "create",
            "--name",
            "never",
            "--restart",
            "always",
            "bb",
            "sleep",
            "1000",
        ])
        .ok();
    sandbox.ctrs(&["stop", "-t", "0", "stopped"]).ok();
    sandbox.reboot();
    assert_eq!(
        sandbox.ctrs(&["ps", "-q"]).ok(),
        "",
        "nothing runs after a boot"
    );
    assert_eq!(sandbox.ctrs(&["system", "boot"]).ok().lines().count(), 2);
    let up = sandbox.ctrs(&["ps", "--format", "{{.Names}}"]).ok();
    let mut up: Vec<&str> = up.lines().collect();
    up.sort_unstable();
    assert_eq!(up, ["always", "unless"]);
    assert_eq!(sandbox.ctrs(&["system", "boot"]).ok(), "", "once is enough");
    assert_eq!(
        sandbox.ctrs(&["wait", "no"]).ok(),
        "255",
        "B21: a code is known after a boot too"
    );
    sandbox.assert_nothing_left();
}
