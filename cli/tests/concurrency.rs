//! Many commands at once, each a process of its own: nobody waits for ever, no exit code is lost, whatever is said is true
//! (reliability.md F8, F29). `CTRS_ROUNDS` sets how often; `just test-concurrency` takes a hundred.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::{Child, Output};

use test_utils::{Sandbox, eventually};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ctrs");

fn sandbox() -> Sandbox {
    Sandbox::new(PROGRAM)
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests are told by those who run them"
)]
fn rounds() -> usize {
    let told = std::env::var("CTRS_ROUNDS").ok();
    told.and_then(|text| text.parse().ok()).unwrap_or(6)
}

/// Waits for a command; one that hangs fails the test, with what it was.
fn end(mut child: Child, what: &str) -> Output {
    eventually(|| match child.try_wait().unwrap() {
        Some(_) => Ok(()),
        None => Err(format!("{what} still goes on")),
    });
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.contains("panicked"), "{what}: {text}");
    output
}

/// Sixteen commands on one container; their exit codes when they come in time, and when somebody else was faster.
const ON_ONE: [(&[&str], &[i32]); 16] = [
    (&["start", "c"], &[0, 125]),
    (&["start", "c"], &[0, 125]),
    (&["stop", "-t", "0", "c"], &[0, 125]),
    (&["stop", "-t", "1", "c"], &[0, 125]),
    (&["kill", "c"], &[0, 125]),
    (&["kill", "-s", "HUP", "c"], &[0, 125]),
    (&["restart", "-t", "0", "c"], &[0, 125]),
    (&["pause", "c"], &[0, 125]),
    (&["unpause", "c"], &[0, 125]),
    (&["exec", "c", "true"], &[0, 125, 137]),
    (&["init", "c"], &[0, 125]),
    (&["update", "--pids-limit", "100", "c"], &[0, 125]),
    (&["cp", "c:/bin/busybox", "c:/copied"], &[0, 125]),
    (&["inspect", "c"], &[0]),
    (&["ps", "-a"], &[0]),
    (&["logs", "c"], &[0]),
];

#[test]
fn root_f29_sixteen_commands_on_one_container() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&["create", "--name", "c", "bb", "sleep", "1000"])
        .ok();
    for round in 0..rounds() {
        let racers: Vec<_> = ON_ONE
            .iter()
            .cycle()
            // Another one goes first each time.
            .skip(round % ON_ONE.len())
            .take(ON_ONE.len())
            .map(|(command, codes)| (command, codes, sandbox.start(command)))
            .collect();
        for (command, codes, racer) in racers {
            let output = end(racer, &command.join(" "));
            let code = output.status.code().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(
                codes.contains(&code),
                "round {round}: {command:?} gave {code}: {text}"
            );
        }
        // Nobody is at it any more: what is said must be true, and nothing half done. (A monitor may still clean up.)
        eventually(|| {
            let status = sandbox.inspect("c", ".State.Status");
            let pid: u32 = sandbox.inspect("c", ".State.Pid").parse().unwrap();
            let lives = pid > 0 && std::path::Path::new(&format!("/proc/{pid}")).exists();
            let should_live = match status.as_str() {
                "running" | "paused" | "initialized" => true,
                "exited" | "created" => false,
                other => return Err(format!("round {round}: {other}")),
            };
            let check = sandbox.ctrs(&["system", "check"]);
            if lives == should_live && check.code == 0 && check.stdout.is_empty() {
                return Ok(());
            }
            Err(format!(
                "round {round}: {status}, pid {pid} lives: {lives}; {}",
                check.stdout
            ))
        });
    }
    sandbox.assert_nothing_left();
}

#[test]
fn root_b03_f28_sixty_four_runs_side_by_side_lose_no_exit_code() {
    let sandbox = sandbox();
    // As many at a time as a small machine bears, all 64 in the end.
    for batch in 0..4 {
        let runs: Vec<_> = (0..16)
            .map(|i| {
                let code = batch * 16 + i;
                let script = format!("echo {code}; exit {code}");
                (
                    code,
                    sandbox.start(&["run", "--rm", "bb", "sh", "-c", &script]),
                )
            })
            .collect();
        for (code, run) in runs {
            let output = end(run, &format!("run {code}"));
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{text}");
            assert_eq!(
                String::from_utf8_lossy(&output.stdout).trim(),
                code.to_string()
            );
        }
    }
    sandbox.assert_nothing_left();
}

#[test]
fn root_b03_every_waiter_of_a_container_that_goes_hears_its_code() {
    let sandbox = sandbox();
    for round in 0..rounds() {
        let id = sandbox
            .ctrs(&["run", "-d", "--rm", "bb", "sh", "-c", "sleep 0.3; exit 7"])
            .ok();
        let waiters: Vec<_> = (0..6).map(|_| sandbox.start(&["wait", &id])).collect();
        for waiter in waiters {
            let output = end(waiter, "wait");
            let (out, err) = (
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
            );
            // Whoever comes when it is gone is told so; nobody is told a wrong code.
            assert!(
                out.trim() == "7" || err.contains("no such container"),
                "round {round}: {out}{err}"
            );
        }
    }
    sandbox.assert_nothing_left();
}

#[test]
fn root_t08_one_name_is_given_once() {
    let sandbox = sandbox();
    let racers: Vec<_> = (0..8)
        .map(|_| sandbox.start(&["create", "--name", "c", "bb", "true"]))
        .collect();
    let won = racers
        .into_iter()
        .map(|racer| end(racer, "create"))
        .filter(|output| output.status.success());
    assert_eq!(won.count(), 1);
    sandbox.assert_nothing_left();
}

#[test]
fn root_b01_starts_stops_and_removals_race_without_harm() {
    let sandbox = sandbox();
    for _ in 0..rounds() {
        sandbox
            .ctrs(&["create", "--name", "c", "bb", "sleep", "1000"])
            .ok();
        let commands: [&[&str]; 8] = [
            &["start", "c"],
            &["start", "c"],
            &["stop", "-t", "0", "c"],
            &["rename", "c", "d"],
            &["export", "-o", "/dev/null", "c"],
            &["rm", "-f", "c"],
            &["inspect", "c"],
            &["ps", "-a"],
        ];
        let racers: Vec<_> = commands
            .map(|command| (command, sandbox.start(command)))
            .into();
        for (command, racer) in racers {
            end(racer, &command.join(" "));
        }
        sandbox.assert_nothing_left();
    }
}

#[test]
fn root_b09_looking_takes_no_lock() {
    let sandbox = sandbox();
    let id = sandbox
        .ctrs(&["run", "-d", "--name", "c", "bb", "sleep", "1000"])
        .ok();
    let held = sandbox.hold_lock(&id);
    for look in [
        &["ps", "-a"][..],
        &["inspect", "c"],
        &["logs", "c"],
        &["top", "c"],
        &["stats", "--no-stream", "c"],
        &["diff", "c"],
        &["container", "exists", "c"],
    ] {
        sandbox.ctrs(look).ok();
    }
    let change = sandbox.start(&["pause", "c"]);
    assert_eq!(
        sandbox.inspect("c", ".State.Status"),
        "running",
        "whoever changes it waits"
    );
    drop(held);
    assert!(end(change, "pause").status.success());
    sandbox.assert_nothing_left();
}
