//! Namespaces shared with other containers (semantics.md T11, B32).

use crate::sandbox;

#[test]
fn root_t11_namespaces_of_another_container_are_joined() {
    let sandbox = sandbox();
    let base = [
        "run",
        "-d",
        "--name",
        "base",
        "--hostname",
        "inner",
        "--network",
        "private",
    ];
    sandbox
        .ctrs(&[&base[..], &["bb", "sleep", "1000"]].concat())
        .ok();
    sandbox
        .ctrs(&["exec", "base", "touch", "/dev/shm/of-base"])
        .ok();
    let shared = [
        "--network",
        "container:base",
        "--pid",
        "container:base",
        "--ipc",
        "container:base",
        "--uts",
        "container:base",
    ];
    let links = "for n in net pid ipc uts; do readlink /proc/self/ns/$n; done";
    let theirs = sandbox.ctrs(&["exec", "base", "sh", "-c", links]).ok();
    let script = format!("{links}; hostname; ls /dev/shm; cat /proc/1/cmdline");
    let run = [&["run", "--rm"], &shared[..], &["bb", "sh", "-c", &script]].concat();
    let ours = sandbox.ctrs(&run).ok();
    assert_eq!(
        ours,
        format!("{theirs}\ninner\nof-base\nsleep\u{0}1000\u{0}")
    );
    let apart = sandbox.ctrs(&["run", "--rm", "bb", "sh", "-c", links]).ok();
    for (one, other) in apart.lines().zip(theirs.lines()) {
        assert_ne!(one, other, "without asking, nothing is shared");
    }
    sandbox.assert_nothing_left();
}

#[test]
fn root_t11_what_others_need_is_started_first_and_removed_last() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&["create", "--name", "base", "bb", "sleep", "1000"])
        .ok();
    let user = [
        "create",
        "--name",
        "user",
        "--ipc",
        "container:base",
        "bb",
        "sleep",
        "1000",
    ];
    sandbox.ctrs(&user).ok();
    sandbox.ctrs(&["start", "user"]).ok();
    assert_eq!(sandbox.inspect("base", ".State.Status"), "running");
    for force in [&["rm", "base"][..], &["rm", "-f", "base"]] {
        if force.len() == 2 {
            sandbox.ctrs(&["stop", "-t", "0", "base"]).ok();
        }
        let refused = sandbox.ctrs(force).fails(125);
        assert!(
            refused.contains("dependent containers") && refused.contains("user"),
            "{refused}"
        );
    }
    assert_eq!(
        sandbox.inspect("base", ".State.Status"),
        "exited",
        "a refusal changes nothing"
    );
    let removed = sandbox.ctrs(&["rm", "-f", "--depend", "base"]).ok();
    assert_eq!(removed.lines().count(), 2);
    assert_eq!(removed.lines().last(), Some("base"));
    sandbox
        .ctrs(&["create", "--name", "base", "bb", "sleep", "1000"])
        .ok();
    sandbox.ctrs(&user).ok();
    sandbox.ctrs(&["rm", "-fa"]).ok();
    assert_eq!(sandbox.ctrs(&["ps", "-aq"]).ok(), "");
    sandbox.assert_nothing_left();
}

#[test]
fn root_b32_a_chain_of_containers_comes_up_while_others_look() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&["create", "--name", "c0", "bb", "sleep", "1000"])
        .ok();
    for number in 1..4 {
        let (name, below) = (format!("c{number}"), format!("container:c{}", number - 1));
        let create = [
            "create", "--name", &name, "--uts", &below, "bb", "sleep", "1000",
        ];
        sandbox.ctrs(&create).ok();
    }
    // From both ends at once: each start takes the locks of the whole chain, one after another.
    let starts: Vec<_> = ["c3", "c0", "c2", "c1"]
        .map(|name| sandbox.start(&["start", name]))
        .into();
    for mut start in starts {
        assert!(start.wait().unwrap().success());
    }
    assert_eq!(sandbox.ctrs(&["ps", "-q"]).ok().lines().count(), 4);
    sandbox.assert_nothing_left();
}
