//! One clear line, the right exit code, nothing left and nothing lost.

use std::path::Path;

use test_utils::Sandbox;

use crate::{PROGRAM, sandbox};

#[test]
fn root_t16_every_bad_input_is_told_in_one_line_and_changes_nothing() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&["create", "--name", "taken", "bb", "true"])
        .ok();
    let before = sandbox.ctrs(&["ps", "-a", "-q"]).ok();
    let cases: &[(&[&str], &str)] = &[
        (&["run", "nosuch"], "no such image: nosuch"),
        (&["run", "UPPER"], "invalid image name"),
        (&["run", "--name", "taken", "bb"], "already in use"),
        (&["run", "--name", "a/b", "bb"], "invalid name"),
        (&["run", "--bogus", "bb"], "--bogus"),
        (&["run"], "IMAGE"),
        (&["bogus"], "bogus"),
        (&["run", "-m", "1x", "bb"], "1x"),
        (&["run", "--cpus", "0", "bb"], "--cpus"),
        (&["run", "--network", "bridge", "bb"], "no other networks"),
        (&["run", "--ulimit", "x=1", "bb"], "is no limit"),
        (&["run", "--cap-add", "bogus", "bb"], "bogus"),
        (&["run", "-v", "/nosuch/path:/x", "bb"], "does not exist"),
        (&["run", "-v", "name:/x", "bb"], "named volumes"),
        (&["run", "-w", "rel", "bb"], "absolute"),
        (&["run", "--stop-signal", "BOGUS", "bb"], "BOGUS"),
        (
            &["run", "--runtime", "nosuch", "bb"],
            "runtime nosuch not found",
        ),
        (&["run", "-u", "nosuch", "bb", "true"], "nosuch"),
        (&["run", "--security-opt", "x", "bb"], "--security-opt"),
        (&["run", "--env-file", "/nosuch", "bb"], "/nosuch"),
        (&["start", "nosuch"], "no such container"),
        (&["ps", "--filter", "x=y"], "use id, name"),
        (&["ps", "--format", "{{.Nosuch}}", "-a"], "Nosuch"),
        (&["import", "/nosuch"], "/nosuch"),
        (&["import", "/etc"], "directory"),
        (&["import", "/etc/passwd"], "checksum"),
        (&["import", "-c", "BOGUS x", "/dev/null"], "use CMD"),
        (&["import", "/dev/null"], "/dev/null"),
        (&["load", "-i", "/etc"], "neither"),
        (&["load", "-i", "/etc/passwd"], "neither"),
        (&["load", "-i", "/nosuch"], "/nosuch"),
        (&["system", "reset"], "--force"),
        (&["--root", "/proc/nosuch", "ps"], "/proc/nosuch"),
    ];
    for (arguments, word) in cases {
        let message = sandbox.ctrs(arguments).fails(125);
        assert!(message.contains(word), "{arguments:?}: {message}");
    }
    // A user that is not in the image is found out only when it runs: the container is there, as podman's is.
    let after: Vec<String> = sandbox
        .ctrs(&["ps", "-a", "-q"])
        .ok()
        .lines()
        .map(str::to_owned)
        .collect();
    assert!(after.contains(&before) && after.len() == 2, "{after:?}");
    sandbox.assert_nothing_left();
}

#[test]
fn root_hostile_layers_leave_nothing() {
    let sandbox = sandbox();
    let outside = sandbox.file("outside");
    for (name, script) in [
        (
            "dot-dot",
            "tar -P --transform 's,^x,../../../escaped,' -cf T x",
        ),
        (
            "link",
            "ln -s / l; mkdir -p d/l; touch d/l/escaped; tar -cf T l -C d l/escaped",
        ),
        ("cut", "tar -cf F x; head -c 700 F > T"),
    ] {
        let directory = sandbox.file(name);
        std::fs::create_dir(&directory).unwrap();
        let script = format!("cd {directory}; echo x > x; {script}");
        assert!(
            std::process::Command::new("sh")
                .arg("-ec")
                .arg(&script)
                .status()
                .unwrap()
                .success()
        );
        let outcome = sandbox.ctrs(&["import", &format!("{directory}/T"), name]);
        // A link to / is a link inside the image; what goes through it stays inside, or is refused.
        if outcome.code != 0 {
            assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
            assert!(!sandbox.ctrs(&["images"]).ok().contains(name));
        } else {
            sandbox.ctrs(&["rmi", name]).ok();
        }
        assert!(!Path::new("/escaped").exists() && !Path::new(&outside).exists());
        sandbox.assert_nothing_left();
    }
}

#[test]
fn root_a_store_that_is_none_is_not_reset() {
    let sandbox = Sandbox::empty(PROGRAM);
    let precious = sandbox.file("root/containers/precious");
    std::fs::create_dir_all(&precious).unwrap();
    assert!(
        sandbox
            .ctrs(&["system", "reset", "--force"])
            .fails(125)
            .contains("no store")
    );
    assert!(Path::new(&precious).exists());
}

#[test]
fn root_a_damaged_database_is_told_and_can_be_reset() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&["run", "-d", "--name", "c", "bb", "sleep", "1000"])
        .ok();
    let database = std::fs::read_dir(sandbox.file("root")).unwrap().flatten();
    for file in database.filter(|entry| entry.file_name().to_string_lossy().contains(".db")) {
        std::fs::File::options()
            .write(true)
            .truncate(true)
            .open(file.path())
            .unwrap();
    }
    assert!(sandbox.ctrs(&["ps"]).fails(125).contains("damaged"));
    sandbox.ctrs(&["system", "reset", "--force"]).ok();
    sandbox.expect_layers(0);
    assert!(sandbox.ctrs(&["ps", "-a", "-q"]).ok().is_empty());
    sandbox.assert_nothing_left();
}
