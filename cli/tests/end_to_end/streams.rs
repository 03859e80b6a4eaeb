//! Standard streams, terminals, logs, attach and exec.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};

use crate::sandbox;

#[test]
fn root_input_and_both_outputs_pass_through() {
    let sandbox = sandbox();
    let input: Vec<u8> = (0..3_000_000_u32)
        .map(|i| b'a' + u8::try_from(i % 26).unwrap())
        .collect();
    let echoed = sandbox.with_input(&["run", "--rm", "-i", "bb", "cat"], &input);
    assert_eq!(echoed.code, 0, "{}", echoed.stderr);
    assert!(
        echoed.stdout.as_bytes() == input,
        "{} of {} bytes",
        echoed.stdout.len(),
        input.len()
    );
    let both = sandbox.ctrs(&["run", "--rm", "bb", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!(
        (both.stdout.as_str(), both.stderr.as_str()),
        ("out\n", "err\n")
    );
    sandbox.assert_nothing_left();
}

#[test]
fn root_logs_keep_everything_and_can_be_followed() {
    let sandbox = sandbox();
    let script = "echo err >&2; seq 1 20000";
    sandbox
        .ctrs(&["run", "--name", "c", "bb", "sh", "-c", script])
        .ok();
    let logs = sandbox.ctrs(&["logs", "c"]);
    assert_eq!(
        (logs.stdout.lines().count(), logs.stderr.as_str()),
        (20_000, "err\n")
    );
    let tail = sandbox.ctrs(&["logs", "--tail", "2", "c"]);
    assert_eq!(tail.stdout, "19999\n20000\n");
    assert!(
        sandbox
            .ctrs(&[
                "logs",
                "--since",
                "2020-01-01T00:00:00Z",
                "--until",
                "2020-01-02T00:00:00Z",
                "c"
            ])
            .ok()
            .is_empty()
    );
    let slow = "echo one; while [ ! -e /go ]; do sleep 0.05; done; echo two";
    sandbox
        .ctrs(&["run", "-d", "--name", "f", "bb", "sh", "-c", slow])
        .ok();
    let mut follower = sandbox.start(&["logs", "-f", "f"]);
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    sandbox.ctrs(&["exec", "f", "touch", "/go"]).ok();
    assert_eq!(lines.next().unwrap().unwrap(), "two");
    assert!(lines.next().is_none());
    assert!(follower.wait().unwrap().success());
    let none = sandbox.ctrs(&[
        "run",
        "--log-driver",
        "none",
        "--name",
        "n",
        "bb",
        "echo",
        "x",
    ]);
    assert_eq!(none.stdout, "x\n");
    assert!(
        sandbox
            .ctrs(&["logs", "n"])
            .fails(125)
            .contains("keeps no log")
    );
    sandbox.assert_nothing_left();
}

#[test]
fn root_m17_exec_runs_beside_the_first_program() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&[
            "run", "-d", "--name", "c", "-e", "A=1", "bb", "sleep", "1000",
        ])
        .ok();
    let exec = |args: &[&str]| sandbox.ctrs(&[&["exec"], args].concat());
    assert_eq!(
        exec(&[
            "-e",
            "B=2",
            "-w",
            "/tmp",
            "-u",
            "user",
            "c",
            "sh",
            "-c",
            "echo $A$B; pwd; id -u"
        ])
        .ok(),
        "12\n/tmp\n1000"
    );
    assert_eq!(exec(&["c", "sh", "-c", "exit 33"]).code, 33);
    assert!(exec(&["c", "nosuch"]).fails(127).contains("nosuch"));
    assert!(exec(&["c", "/etc/passwd"]).fails(126).contains("passwd"));
    assert_eq!(
        sandbox
            .with_input(&["exec", "-i", "c", "cat"], b"through")
            .stdout,
        "through"
    );
    assert!(!exec(&["-d", "c", "touch", "/made"]).ok().is_empty());
    test_utils::eventually(|| match exec(&["c", "ls", "/made"]).code {
        0 => Ok(()),
        code => Err(code.to_string()),
    });
    sandbox.ctrs(&["stop", "-t", "0", "c"]).ok();
    assert!(exec(&["c", "true"]).fails(125).contains("exited"));
    sandbox.assert_nothing_left();
}

#[test]
fn root_m18_attach_takes_part() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&[
            "run",
            "-d",
            "-i",
            "--name",
            "c",
            "bb",
            "sh",
            "-c",
            "read a; echo got $a; exit 4",
        ])
        .ok();
    let mut attached = sandbox.start(&["attach", "c"]);
    attached.stdin.take().unwrap().write_all(b"word\n").unwrap();
    let mut text = String::new();
    attached
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(
        (text.as_str(), attached.wait().unwrap().code()),
        ("got word\n", Some(4))
    );
    sandbox.assert_nothing_left();
}

#[test]
fn root_a_terminal_is_one() {
    let sandbox = sandbox();
    let outcome = sandbox.ctrs(&[
        "run",
        "--rm",
        "-t",
        "bb",
        "sh",
        "-c",
        "tty; test -t 0 -a -t 1 -a -t 2 && echo yes",
    ]);
    assert_eq!(outcome.stdout, "/dev/pts/0\r\nyes\r\n");
    // script(1) gives the client a terminal of its own, with a size.
    let client = format!(
        "{:?}",
        sandbox.command(&["run", "--rm", "-it", "bb", "stty", "size"])
    );
    let script = format!("stty rows 33 cols 101; {}", client.replace('"', "'"));
    let seen = std::process::Command::new("script")
        .args(["-qec", &script, "/dev/null"])
        .output()
        .unwrap();
    let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(seen.contains("33 101"), "{seen}");
    sandbox.assert_nothing_left();
}

#[test]
fn root_signals_are_passed_on() {
    let sandbox = sandbox();
    let script = "trap 'echo caught; exit 6' USR1; echo ready; while true; do sleep 0.05; done";
    let mut client = sandbox.start(&["run", "--rm", "--name", "c", "bb", "sh", "-c", script]);
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let pid = rustix::process::Pid::from_child(&client);
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "caught");
    assert_eq!(client.wait().unwrap().code(), Some(6));
    sandbox.assert_nothing_left();
}

#[test]
fn root_a_reader_that_goes_away_ends_a_run_with_rm() {
    let sandbox = sandbox();
    let mut client = sandbox.start(&["run", "--rm", "bb", "yes"]);
    let mut first = [0; 2];
    client
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    // The pipe is closed here.
    assert_eq!(client.wait().unwrap().code(), Some(141));
    assert!(sandbox.ctrs(&["ps", "-a", "-q"]).ok().is_empty());
    sandbox.assert_nothing_left();
}
