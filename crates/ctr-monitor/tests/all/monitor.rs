//! What the monitor promises.

use std::os::fd::AsFd as _;

use ctr_monitor::live::Stage;
use ctr_monitor::protocol::{Reply, Request};
use ctr_sys::lock::FileLock;

use crate::fixture::{Bundle, PATIENCE, collect, wait_for};

#[test]
fn root_output_exit_code_log_and_records_arrive() {
    let bundle = Bundle::new("echo out; echo err >&2; exit 7");
    let (mut monitor, mut attached) = bundle.start();
    assert_eq!(
        collect(&mut attached),
        (b"out\n".to_vec(), b"err\n".to_vec(), 7)
    );
    drop(attached);
    drop(monitor.engine);
    assert!(monitor.child.wait().unwrap().success());
    let record = bundle.exit_record();
    assert_eq!((record.exit_code, record.oom_killed), (7, false));
    assert!(record.started_ns > 0 && record.finished_ns > record.started_ns);
    assert_eq!(bundle.live().stage, Stage::Exited);
    let log = String::from_utf8(bundle.log()).unwrap();
    assert!(log.contains("out\n") && log.contains("err\n"), "{log}");
    assert!(!FileLock::is_held(&bundle.config.lock).unwrap());
    wait_for("the clean-up", || bundle.path("cleaned").exists());
}

#[test]
fn root_the_foreground_cleans_up_itself() {
    let bundle = Bundle::new("exit 3");
    let mut monitor = bundle.create();
    monitor.engine.send(&Request::Commit, &[]).unwrap();
    // Before the start: a program may be faster than the next message.
    monitor.engine.send(&Request::Foreground, &[]).unwrap();
    monitor.engine.call(&Request::Start, PATIENCE).unwrap();
    assert_eq!(
        monitor.engine.receive(Some(PATIENCE)).unwrap().0,
        Reply::Exited { code: 3 }
    );
    monitor.engine.send(&Request::CleanedUp, &[]).unwrap();
    assert!(monitor.child.wait().unwrap().success());
    assert!(!bundle.path("cleaned").exists());
}

#[test]
fn root_b12_an_engine_that_dies_before_commit_takes_everything_along() {
    let bundle = Bundle::new("sleep 1000");
    let mut monitor = bundle.create();
    assert_eq!(bundle.live().stage, Stage::Created);
    assert!(FileLock::is_held(&bundle.config.lock).unwrap());
    let process = bundle.live().process;
    drop(monitor.engine);
    assert!(!monitor.child.wait().unwrap().success());
    assert!(!process.is_alive().unwrap() && !bundle.is_known());
    assert!(!bundle.config.live.exists() && !bundle.config.socket.exists());
}

#[test]
fn root_b14_a_container_that_cannot_be_made_says_why() {
    let mut bundle = Bundle::new("true");
    bundle.config.create.insert(1, "--no-such-flag".into());
    let mut monitor = bundle.spawn();
    let (reply, _) = monitor.engine.receive(Some(PATIENCE)).unwrap();
    assert!(
        matches!(&reply, Reply::Error(text) if text.contains("no-such-flag")),
        "{reply:?}"
    );
    monitor.child.wait().unwrap();
    let mut bundle = Bundle::new("true");
    bundle.config.create = vec!["/no/such/runtime".into()];
    let mut monitor = bundle.spawn();
    let (reply, _) = monitor.engine.receive(Some(PATIENCE)).unwrap();
    assert!(
        matches!(&reply, Reply::Error(text) if text.contains("/no/such/runtime")),
        "{reply:?}"
    );
    monitor.child.wait().unwrap();
}

#[test]
fn root_m15_stop_kills_what_ignores_the_signal() {
    let bundle = Bundle::new("trap '' TERM; echo ready; while true; do sleep 1; done");
    let (mut monitor, mut attached) = bundle.start();
    assert_eq!(
        attached.receive(Some(PATIENCE)).unwrap().0,
        Reply::Output {
            stream: 1,
            data: b"ready\n".to_vec()
        }
    );
    monitor
        .engine
        .call(
            &Request::Stop {
                signal: 15,
                timeout_ms: 100,
            },
            PATIENCE,
        )
        .unwrap();
    assert!(bundle.live().stop_requested);
    assert_eq!(collect(&mut attached).2, 137);
    drop((attached, monitor.engine));
    monitor.child.wait().unwrap();
}

#[test]
fn root_m16_signals_reach_the_process_and_m21_pause_freezes_it() {
    let bundle =
        Bundle::new("trap 'echo got; exit 9' USR1; echo ready; while true; do sleep 0.1; done");
    let (mut monitor, mut attached) = bundle.start();
    attached.receive(Some(PATIENCE)).unwrap();
    monitor.engine.call(&Request::Pause, PATIENCE).unwrap();
    assert_eq!(bundle.live().stage, Stage::Paused);
    assert!(monitor.engine.call(&Request::Pause, PATIENCE).is_err());
    monitor.engine.call(&Request::Resume, PATIENCE).unwrap();
    assert_eq!(bundle.live().stage, Stage::Running);
    monitor.engine.call(&Request::Signal(10), PATIENCE).unwrap();
    assert_eq!(collect(&mut attached), (b"got\n".to_vec(), vec![], 9));
    drop((attached, monitor.engine));
    monitor.child.wait().unwrap();
}

#[test]
fn root_m18_several_clients_see_the_output_and_input_arrives() {
    let mut bundle = Bundle::new("cat; echo end");
    bundle.config.stdin = true;
    let (mut monitor, mut first) = bundle.start();
    let mut second = bundle.connect();
    second
        .call(&Request::Attach { lossless: false }, PATIENCE)
        .unwrap();
    first
        .send(&Request::Stdin(b"hello\n".to_vec()), &[])
        .unwrap();
    first.send(&Request::StdinEnd, &[]).unwrap();
    for client in [&mut first, &mut second] {
        assert_eq!(collect(client), (b"hello\nend\n".to_vec(), vec![], 0));
    }
    drop((first, second, monitor.engine));
    monitor.child.wait().unwrap();
}

#[test]
fn root_a_terminal_has_the_size_asked_for() {
    let bundle = Bundle::new("").terminal("sleep 0.2; stty size");
    let (mut monitor, mut attached) = bundle.start();
    attached
        .send(
            &Request::Resize {
                rows: 33,
                columns: 77,
            },
            &[],
        )
        .unwrap();
    let (out, _, code) = collect(&mut attached);
    assert_eq!((String::from_utf8(out).unwrap().trim(), code), ("33 77", 0));
    drop((attached, monitor.engine));
    monitor.child.wait().unwrap();
}

#[test]
fn root_m17_an_exec_that_ends_before_its_runtime_is_not_lost() {
    let bundle = Bundle::new("sleep 1000");
    let (_monitor, _attached) = bundle.start();
    // A runtime that starts a process, as crun does, and is still there when that has ended and been reaped.
    let script = "(setsid sh -c 'echo $$ > $0; exit 33' \"$0\" &)
        while [ ! -s \"$0\" ] || [ -e /proc/$(cat \"$0\") ]; do :; done";
    let pid_file = bundle.path("exec-pid");
    let mut client = bundle.connect();
    let null = std::fs::File::open("/dev/null").unwrap();
    let request = Request::Exec {
        id: "e".into(),
        argv: vec![
            "/bin/sh".into(),
            "-c".into(),
            script.into(),
            pid_file.clone().into(),
        ],
        pid_file,
        console_socket: None,
    };
    client
        .send(&request, &[null.as_fd(), null.as_fd(), null.as_fd()])
        .unwrap();
    assert!(matches!(
        client.receive(Some(PATIENCE)).unwrap().0,
        Reply::ExecStarted { .. }
    ));
    assert_eq!(
        client.receive(Some(PATIENCE)).unwrap().0,
        Reply::ExecExited { code: 33 }
    );
}

#[test]
fn root_m17_exec_gives_output_and_exact_code_and_nothing_lingers() {
    let bundle = Bundle::new("sleep 1000");
    let (mut monitor, attached) = bundle.start();
    let process = bundle.path("process.json");
    let text = r#"{"args": ["/bin/sh", "-c", "echo in; exit 42"], "cwd": "/", "env": ["PATH=/bin"],
                   "user": {"uid": 0, "gid": 0}}"#;
    ctr_sys::fs::write_atomic(
        &process,
        text.as_bytes(),
        0o600,
        ctr_sys::fs::Durability::ProcessDeath,
    )
    .unwrap();
    let mut argv = bundle.config.start[..3].to_vec();
    argv.extend(["exec", "--detach", "--process"].map(Into::into));
    argv.extend([
        process.into(),
        "--pid-file".into(),
        bundle.path("exec-pid").into(),
        (&bundle.id).into(),
    ]);
    let mut client = bundle.connect();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let request = Request::Exec {
        id: "e".into(),
        argv,
        pid_file: bundle.path("exec-pid"),
        console_socket: None,
    };
    client
        .send(&request, &[null.as_fd(), writer.as_fd(), writer.as_fd()])
        .unwrap();
    drop(writer);
    assert!(matches!(
        client.receive(Some(PATIENCE)).unwrap().0,
        Reply::ExecStarted { .. }
    ));
    assert_eq!(
        client.receive(Some(PATIENCE)).unwrap().0,
        Reply::ExecExited { code: 42 }
    );
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::fs::File::from(reader), &mut text).unwrap();
    assert_eq!(text, "in\n");
    monitor
        .engine
        .call(
            &Request::Stop {
                signal: 9,
                timeout_ms: 0,
            },
            PATIENCE,
        )
        .unwrap();
    drop((attached, client, monitor.engine));
    monitor.child.wait().unwrap();
    assert_eq!(bundle.exit_record().exit_code, 137);
}

#[test]
fn root_b15_a_million_lines_all_arrive_in_the_log_and_at_a_slow_client() {
    let bundle = Bundle::new("seq 1000000");
    let (mut monitor, mut attached) = bundle.start();
    let (out, _, code) = collect(&mut attached);
    assert_eq!(code, 0);
    let expected: String = (1..=1_000_000).fold(String::new(), |mut text, number| {
        use std::fmt::Write as _;
        writeln!(text, "{number}").unwrap();
        text
    });
    assert!(
        out == expected.as_bytes(),
        "{} of {} bytes",
        out.len(),
        expected.len()
    );
    assert!(bundle.log() == expected.as_bytes());
    drop((attached, monitor.engine));
    monitor.child.wait().unwrap();
}

#[test]
fn root_f36_a_stalled_client_does_not_hold_the_container_up() {
    let bundle = Bundle::new("seq 300000; echo done >&2");
    let mut monitor = bundle.create();
    monitor.engine.send(&Request::Commit, &[]).unwrap();
    let mut stalled = bundle.connect();
    stalled
        .call(&Request::Attach { lossless: false }, PATIENCE)
        .unwrap();
    let mut reading = bundle.connect();
    reading
        .call(&Request::Attach { lossless: true }, PATIENCE)
        .unwrap();
    monitor.engine.call(&Request::Start, PATIENCE).unwrap();
    let (out, err, _) = collect(&mut reading);
    assert_eq!((out.len(), err.as_slice()), (1_988_895, &b"done\n"[..]));
    drop((reading, stalled, monitor.engine));
    monitor.child.wait().unwrap();
}

#[test]
fn root_log_rotation_keeps_files_small() {
    let mut bundle = Bundle::new("seq 20000");
    (bundle.config.log_max_size, bundle.config.log_max_files) = (100_000, 3);
    let (mut monitor, mut attached) = bundle.start();
    collect(&mut attached);
    drop((attached, monitor.engine));
    monitor.child.wait().unwrap();
    let text = String::from_utf8(bundle.log()).unwrap();
    assert!(text.ends_with("19999\n20000\n"));
    for name in ["ctr.log", "ctr.log.1", "ctr.log.2"] {
        // One read of output, at most 32 KiB before its lines are marked, may go beyond an empty file's limit.
        assert!(bundle.path(name).metadata().unwrap().len() < 400_000);
    }
    assert!(!bundle.path("ctr.log.3").exists());
}
