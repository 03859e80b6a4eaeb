//! Files of containers: export, commit, diff, cp, volumes (semantics.md M4, M22, M25; reliability.md H31-H32).

use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;

use test_utils::{Sandbox, eventually};

use crate::sandbox;

/// A container that has changed something and runs.
fn busy(sandbox: &Sandbox) {
    let script = "echo hello > /made; rm /bin/ls; mkdir /d; echo x > /d/f; echo ready; sleep 1000";
    sandbox
        .ctrs(&["run", "-d", "--name", "c", "bb", "sh", "-c", script])
        .ok();
    eventually(|| match sandbox.ctrs(&["logs", "c"]).ok().as_str() {
        "ready" => Ok(()),
        other => Err(other.to_owned()),
    });
}

fn file(sandbox: &Sandbox, name: &str, content: &str) -> String {
    let path = sandbox.file(name);
    std::fs::File::create(&path)
        .unwrap()
        .write_all(content.as_bytes())
        .unwrap();
    path
}

#[test]
fn root_m22_an_export_is_the_same_each_time_and_holds_nobody_up() {
    let sandbox = sandbox();
    busy(&sandbox);
    let (one, two) = (sandbox.file("one.tar"), sandbox.file("two.tar"));
    for path in [&one, &two] {
        sandbox.ctrs(&["export", "-o", path, "c"]).ok();
    }
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
    let listed = std::process::Command::new("tar")
        .args(["-tf", &one])
        .output()
        .unwrap();
    let names = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(names.lines().any(|name| name == "made") && names.lines().any(|name| name == "d/f"));
    assert!(
        !names.lines().any(|name| name.starts_with("proc/s")),
        "nothing that is mounted in it"
    );
    // A reader that does not read: the container can be stopped and removed all the same.
    let mut slow = sandbox.start(&["export", "c"]);
    let mut pipe = slow.stdout.take().unwrap();
    // With its first byte it is in the middle, since a pipe does not hold the whole.
    pipe.read_exact(&mut [0]).unwrap();
    sandbox.ctrs(&["stop", "-t", "0", "c"]).ok();
    assert_eq!(sandbox.inspect("c", ".State.Status"), "exited");
    drop(pipe);
    assert!(!slow.wait().unwrap().success(), "its reader has gone");
    sandbox.ctrs(&["export", "-o", &two, "c"]).ok();
    assert_eq!(
        std::fs::read(&one).unwrap(),
        std::fs::read(&two).unwrap(),
        "stopped, too"
    );
    assert!(
        !sandbox
            .mounts()
            .iter()
            .any(|mount| mount.ends_with("merged"))
    );
    sandbox.assert_nothing_left();
}

#[test]
fn root_m25_a_commit_keeps_layers_and_configuration_and_adds_what_changed() {
    let sandbox = sandbox();
    let run = [
        "run",
        "--name",
        "c",
        "-e",
        "A=1",
        "-w",
        "/srv",
        "-l",
        "k=v",
        "bb",
        "sh",
        "-c",
        "echo hi > /made; rm /bin/ls",
    ];
    sandbox.ctrs(&run).ok();
    let layers = sandbox
        .ctrs(&["image", "inspect", "-f", "{{json .RootFS.Layers}}", "bb"])
        .ok();
    let commit = [
        "commit",
        "-a",
        "me",
        "-m",
        "note",
        "-c",
        "CMD [\"cat\",\"/made\"]",
        "-c",
        "ENV B=2",
        "c",
        "new",
    ];
    let id = sandbox.ctrs(&commit).ok();
    sandbox.expect_layers(2);
    let image = |field: &str| sandbox.ctrs(&["image", "inspect", "-f", field, "new"]).ok();
    assert_eq!(image("{{.Id}}"), id);
    let now = image("{{json .RootFS.Layers}}");
    assert!(now.starts_with(layers.trim_end_matches(']')), "{now}");
    let env = image("{{json .Config.Env}}");
    assert!(env.contains("\"A=1\"") && env.contains("\"B=2\""), "{env}");
    assert_eq!(
        image("{{.Config.WorkingDir}} {{.Config.Labels.k}}"),
        "/srv v"
    );
    let history = image("{{json .History}}");
    assert!(
        history.contains("\"author\":\"me\"") && history.contains("note"),
        "{history}"
    );
    assert_eq!(sandbox.ctrs(&["run", "--rm", "new"]).ok(), "hi");
    assert_eq!(
        sandbox.ctrs(&["run", "--rm", "new", "ls"]).code,
        127,
        "what was deleted is gone"
    );
    let squashed = ["commit", "-s", "c", "flat"];
    sandbox.ctrs(&squashed).ok();
    assert_eq!(
        sandbox.ctrs(&["run", "--rm", "flat", "cat", "/made"]).ok(),
        "hi"
    );
    assert_eq!(
        sandbox
            .ctrs(&["image", "inspect", "-f", "{{json .RootFS.Layers}}", "flat"])
            .ok()
            .matches("sha256")
            .count(),
        1
    );
    assert!(
        sandbox
            .ctrs(&["commit", "-c", "RUN x", "c", "bad"])
            .fails(125)
            .contains("RUN")
    );
    sandbox.ctrs(&["rm", "c"]).ok();
    sandbox.ctrs(&["rmi", "new", "flat"]).ok();
    sandbox.expect_layers(1);
    sandbox.assert_nothing_left();
}

#[test]
fn root_b18_a_commit_that_is_killed_leaves_nothing_frozen() {
    let sandbox = sandbox();
    busy(&sandbox);
    let commit = ["commit", "--pause", "c", "new"];
    let killed = sandbox.failing("import.unpack=kill@after", &commit);
    assert_eq!(killed.code, 137);
    sandbox.await_status("c", "running");
    assert_eq!(sandbox.ctrs(&["exec", "c", "cat", "/made"]).ok(), "hello");
    sandbox.ctrs(&commit).ok();
    sandbox.await_status("c", "running");
    sandbox.ctrs(&["rm", "-f", "c"]).ok();
    sandbox.ctrs(&["rmi", "new"]).ok();
    sandbox.assert_nothing_left();
}

#[test]
fn root_m04_changes_and_sizes_are_seen_without_a_lock() {
    let sandbox = sandbox();
    busy(&sandbox);
    let changes = sandbox.ctrs(&["diff", "c"]).ok();
    assert_eq!(changes, "C /bin\nD /bin/ls\nA /d\nA /d/f\nC /etc\nA /made");
    assert_eq!(
        sandbox
            .ctrs(&["inspect", "-s", "-f", "{{.SizeRw}}", "c"])
            .ok(),
        "8"
    );
    let total: u64 = sandbox
        .ctrs(&["inspect", "-s", "-f", "{{.SizeRootFs}}", "c"])
        .ok()
        .parse()
        .unwrap();
    let image: u64 = sandbox
        .ctrs(&["image", "inspect", "-f", "{{.Size}}", "bb"])
        .ok()
        .parse()
        .unwrap();
    assert_eq!(total, image + 8);
    let shown = sandbox.ctrs(&["ps", "-s", "--format", "{{.Size}}"]).ok();
    assert!(shown.starts_with("8B (virtual "), "{shown}");
    sandbox.assert_nothing_left();
}

#[test]
fn root_m27_cp_follows_dockers_rules_both_ways() {
    let sandbox = sandbox();
    busy(&sandbox);
    sandbox
        .ctrs(&["create", "--name", "idle", "-u", "7:8", "bb", "sh"])
        .ok();
    let source = file(&sandbox, "given", "from here\n");
    for name in ["c", "idle"] {
        let (at, dir) = (format!("{name}:/tmp/new"), format!("{name}:/tmp"));
        sandbox.ctrs(&["exec", "c", "mkdir", "-p", "/tmp"]).ok();
        sandbox.ctrs(&["cp", &source, &at]).ok();
        sandbox.ctrs(&["cp", &source, &dir]).ok();
        let back = sandbox.file("back");
        for path in ["/tmp/new", "/tmp/given"] {
            sandbox.ctrs(&["cp", &format!("{name}:{path}"), &back]).ok();
            assert_eq!(std::fs::read_to_string(&back).unwrap(), "from here\n");
        }
        let missing = sandbox
            .ctrs(&["cp", &format!("{name}:/nowhere"), &back])
            .fails(125);
        assert!(missing.contains("/nowhere"), "{missing}");
        sandbox
            .ctrs(&["cp", &source, &format!("{name}:/no/such/directory")])
            .fails(125);
    }
    // Directories: as themselves into one that is there, their content with /., under another name when there is none.
    let tree = sandbox.path().join("tree");
    std::fs::create_dir_all(tree.join("sub")).unwrap();
    std::fs::File::create(tree.join("sub/f"))
        .unwrap()
        .write_all(b"f")
        .unwrap();
    let tree = tree.to_str().unwrap();
    sandbox.ctrs(&["cp", tree, "c:/d"]).ok();
    sandbox.ctrs(&["cp", &format!("{tree}/."), "c:/d"]).ok();
    sandbox.ctrs(&["cp", tree, "c:/d/named"]).ok();
    for path in ["/d/tree/sub/f", "/d/sub/f", "/d/named/sub/f"] {
        assert_eq!(
            sandbox.ctrs(&["exec", "c", "cat", path]).ok(),
            "f",
            "{path}"
        );
    }
    assert!(
        sandbox
            .ctrs(&["cp", tree, "c:/made"])
            .fails(125)
            .contains("--overwrite")
    );
    sandbox.ctrs(&["cp", "c:/d", "idle:/copied"]).ok();
    let mounted = sandbox.ctrs(&["mount", "idle"]).ok();
    let copied = std::fs::metadata(format!("{mounted}/copied/sub/f")).unwrap();
    assert_eq!(
        (copied.uid(), copied.gid()),
        (7, 8),
        "it belongs to the container's user"
    );
    sandbox.ctrs(&["umount", "idle"]).ok();
    // Archives.
    let archive = sandbox
        .command(&["cp", "c:/d/sub", "-"])
        .output()
        .unwrap()
        .stdout;
    sandbox.with_input(&["cp", "-", "c:/tmp"], &archive).ok();
    assert_eq!(sandbox.ctrs(&["exec", "c", "cat", "/tmp/sub/f"]).ok(), "f");
    sandbox.ctrs(&["cp", &source, "/elsewhere"]).fails(125);
    sandbox.assert_nothing_left();
}

#[test]
fn root_cp_sees_volumes_running_or_not_and_minds_what_is_read_only() {
    let sandbox = sandbox();
    let bound = sandbox.path().join("bound");
    std::fs::create_dir(&bound).unwrap();
    let (volume, source) = (
        format!("{}:/data", bound.display()),
        file(&sandbox, "given", "x"),
    );
    sandbox
        .ctrs(&[
            "create",
            "--name",
            "c",
            "-v",
            &volume,
            "--read-only",
            "bb",
            "sleep",
            "1000",
        ])
        .ok();
    sandbox.ctrs(&["cp", &source, "c:/data/idle"]).ok();
    assert!(
        sandbox
            .ctrs(&["cp", &source, "c:/etc/new"])
            .fails(125)
            .contains("read-only")
    );
    sandbox.ctrs(&["start", "c"]).ok();
    sandbox.ctrs(&["cp", &source, "c:/data/up"]).ok();
    sandbox.ctrs(&["cp", &source, "c:/etc/new"]).fails(125);
    assert!(bound.join("idle").exists() && bound.join("up").exists());
    sandbox.assert_nothing_left();
}

#[test]
fn root_h31_cp_from_a_container_that_moves_its_directories_reads_nothing_of_the_host() {
    let sandbox = sandbox();
    let secret = file(&sandbox, "secret", "SECRET");
    let directory = sandbox.path().display().to_string();
    let script = format!(
        "mkdir -p {directory} /real; echo inside > /real/secret; ln -s {directory} /link; \
         ln -s /real /way; echo ready; \
         while true; do ln -sfn /real /way; ln -sfn {directory} /way; done"
    );
    sandbox
        .ctrs(&["run", "-d", "--name", "c", "bb", "sh", "-c", &script])
        .ok();
    eventually(|| match sandbox.ctrs(&["logs", "c"]).ok().as_str() {
        "ready" => Ok(()),
        other => Err(other.to_owned()),
    });
    for _ in 0..30 {
        let read = sandbox
            .command(&["cp", "c:/way/secret", "-"])
            .output()
            .unwrap();
        assert!(!read.stdout.windows(6).any(|bytes| bytes == b"SECRET"));
        // Refused or put inside, as the flip falls.
        sandbox.ctrs(&["cp", &secret, "c:/way/written"]);
    }
    assert!(!sandbox.path().join("written").exists());
    sandbox.assert_nothing_left();
}

#[test]
fn root_t09_anonymous_volumes_are_filled_once_and_stay_with_their_container() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&[
            "run",
            "--name",
            "base",
            "bb",
            "sh",
            "-c",
            "mkdir -m 750 /data; chown 7:8 /data; echo image > /data/f",
        ])
        .ok();
    sandbox
        .ctrs(&["commit", "-c", "VOLUME /data", "base", "withvolume"])
        .ok();
    sandbox.expect_layers(2);
    let script = "stat -c %a:%u:%g /data; cat /data/f; echo changed > /data/f";
    sandbox
        .ctrs(&["create", "--name", "c", "withvolume", "sh", "-c", script])
        .ok();
    assert_eq!(sandbox.ctrs(&["start", "-a", "c"]).ok(), "750:7:8\nimage");
    assert_eq!(
        sandbox.ctrs(&["start", "-a", "c"]).ok(),
        "750:7:8\nchanged",
        "filled once"
    );
    assert_eq!(
        sandbox
            .ctrs(&["diff", "c"])
            .ok()
            .lines()
            .filter(|line| line.contains("data"))
            .count(),
        0
    );
    let source = sandbox
        .ctrs(&["inspect", "-f", "{{json .Mounts}}", "c"])
        .ok();
    assert!(source.contains("\"Type\":\"volume\""), "{source}");
    sandbox.ctrs(&["rm", "c"]).ok();
    assert_eq!(
        sandbox
            .ctrs(&[
                "run",
                "--rm",
                "--image-volume",
                "ignore",
                "withvolume",
                "cat",
                "/data/f"
            ])
            .ok(),
        "image"
    );
    assert_eq!(
        sandbox
            .ctrs(&[
                "run",
                "--rm",
                "--image-volume",
                "tmpfs",
                "withvolume",
                "ls",
                "/data"
            ])
            .ok(),
        ""
    );
    assert_eq!(
        sandbox
            .ctrs(&["run", "--rm", "-v", "/fresh", "bb", "ls", "/fresh"])
            .ok(),
        ""
    );
    sandbox.ctrs(&["rm", "base"]).ok();
    sandbox.ctrs(&["rmi", "withvolume"]).ok();
    sandbox.expect_layers(1);
    sandbox.assert_nothing_left();
}
