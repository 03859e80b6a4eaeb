//! Images: import, load, names, removal.

use std::process::Command;

use test_utils::{Sandbox, busybox_tar};

use crate::{PROGRAM, sandbox};

#[track_caller]
fn shell(script: &str) {
    let done = Command::new("sh").arg("-ec").arg(script).output().unwrap();
    assert!(
        done.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn root_import_takes_every_compression_and_all_changes() {
    let sandbox = Sandbox::empty(PROGRAM);
    let tar = busybox_tar(sandbox.path()).to_string_lossy().into_owned();
    shell(&format!("gzip -k {tar}; zstd -q {tar}"));
    for suffix in ["", ".gz", ".zst"] {
        let changes = [
            "-c",
            "ENTRYPOINT [\"echo\"]",
            "-c",
            "CMD [\"a b\"]",
            "-c",
            "LABEL x=y",
            "-c",
            "STOPSIGNAL USR1",
            "-c",
            "ENV PATH=/bin",
        ];
        let name = format!("i{}", suffix.replace('.', ""));
        let archive = format!("{tar}{suffix}");
        sandbox
            .ctrs(&[&["import"], &changes[..], &["-m", "note", &archive, &name]].concat())
            .ok();
        assert_eq!(
            sandbox
                .ctrs(&["run", "--rm", "--network", "none", &name])
                .ok(),
            "a b"
        );
        assert_eq!(sandbox.inspect(&name, ".Config.StopSignal"), "USR1");
    }
    // The same tar is one layer, however it was compressed.
    sandbox.expect_layers(1);
    sandbox.assert_nothing_left();
    let from_stdin = std::fs::read(&tar).unwrap();
    sandbox
        .with_input(&["import", "-", "stdin"], &from_stdin)
        .ok();
    sandbox.ctrs(&["rmi", "-a"]).ok();
    sandbox.expect_layers(0);
    sandbox.assert_nothing_left();
}

#[test]
fn root_archives_of_skopeo_are_loaded() {
    let sandbox = sandbox();
    let layout = sandbox.file("root/images");
    let base = sandbox.path().display().to_string();
    // The store is an OCI layout that others read.
    shell(&format!(
        "skopeo copy -q oci:{layout}:localhost/bb:latest docker-archive:{base}/docker.tar:example.com/d:1"
    ));
    shell(&format!(
        "skopeo copy -q oci:{layout}:localhost/bb:latest oci-archive:{base}/oci.tar:example.com/o:1"
    ));
    shell(&format!(
        "skopeo copy -q oci:{layout}:localhost/bb:latest oci:{base}/layout:example.com/l:1; gzip -k {base}/docker.tar"
    ));
    let id = sandbox.inspect("bb", ".Id");
    sandbox.ctrs(&["rmi", "bb"]).ok();
    for (archive, name) in [
        ("docker.tar", "d"),
        ("oci.tar", "o"),
        ("layout", "l"),
        ("docker.tar.gz", "d"),
    ] {
        let name = format!("example.com/{name}:1");
        let loaded = sandbox
            .ctrs(&["load", "-i", &format!("{base}/{archive}")])
            .ok();
        assert_eq!(loaded, format!("Loaded image: {name}"));
        assert_eq!(sandbox.inspect(&name, ".Id"), id, "{archive}");
        assert_eq!(
            sandbox
                .ctrs(&["run", "--rm", "--network", "none", &name, "echo", "x"])
                .ok(),
            "x"
        );
        sandbox.ctrs(&["rmi", &name]).ok();
    }
    let archive = std::fs::read(format!("{base}/docker.tar")).unwrap();
    sandbox.with_input(&["load"], &archive).ok();
    sandbox.assert_nothing_left();
}

#[test]
fn root_names_come_and_go_and_used_images_stay() {
    let sandbox = sandbox();
    sandbox
        .ctrs(&["tag", "bb", "other:1", "example.com/x"])
        .ok();
    assert_eq!(sandbox.ctrs(&["images", "-q"]).ok().lines().count(), 1);
    assert_eq!(sandbox.ctrs(&["images", "-n"]).ok().lines().count(), 3);
    assert_eq!(
        sandbox.ctrs(&["rmi", "other:1"]).ok(),
        "Untagged: localhost/other:1"
    );
    let id = sandbox.inspect("bb", ".Id");
    assert!(
        sandbox
            .ctrs(&["rmi", &id])
            .fails(2)
            .contains("several names")
    );
    sandbox.ctrs(&["rmi", "example.com/x"]).ok();
    sandbox
        .ctrs(&["create", "--name", "user", "bb", "true"])
        .ok();
    assert!(sandbox.ctrs(&["rmi", "bb"]).fails(2).contains("user"));
    assert!(
        sandbox
            .ctrs(&["rmi", "nosuch"])
            .fails(1)
            .contains("no such image")
    );
    sandbox.ctrs(&["rmi", "-f", "bb"]).ok();
    assert!(sandbox.ctrs(&["ps", "-a", "-q"]).ok().is_empty());
    sandbox.expect_layers(0);
    sandbox.assert_nothing_left();
}

#[test]
fn root_m24_damage_is_found_and_repaired_where_it_can_be() {
    let sandbox = sandbox();
    sandbox.ctrs(&["create", "--name", "c", "bb", "true"]).ok();
    let id = sandbox.inspect("c", ".Id");
    std::fs::remove_file(sandbox.file(&format!("root/containers/{id}/record.json"))).unwrap();
    std::fs::create_dir(sandbox.file(&format!("root/layers/{}", "0".repeat(64)))).unwrap();
    std::fs::create_dir(sandbox.file(&format!("root/containers/{}", "1".repeat(64)))).unwrap();
    std::fs::create_dir(sandbox.file("root/staging/x")).unwrap();
    let found = sandbox.ctrs(&["system", "check"]);
    assert_eq!(
        (found.code, found.stdout.lines().count()),
        (1, 4),
        "{found:?}"
    );
    let repaired = sandbox.ctrs(&["system", "check", "--repair"]).ok();
    assert_eq!(repaired.matches("(repaired)").count(), 4, "{repaired}");
    assert!(sandbox.ctrs(&["system", "check"]).ok().is_empty());
    sandbox.ctrs(&["start", "c"]).ok();
    sandbox.assert_nothing_left();
    let blobs = sandbox.file("root/images/blobs/sha256");
    let largest = std::fs::read_dir(&blobs)
        .unwrap()
        .flatten()
        .max_by_key(|e| e.metadata().unwrap().len())
        .unwrap();
    let file = std::fs::File::options()
        .write(true)
        .open(largest.path())
        .unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"damage", 1000).unwrap();
    assert!(
        sandbox
            .ctrs(&["system", "check", "--quick"])
            .ok()
            .is_empty()
    );
    let found = sandbox.ctrs(&["system", "check"]);
    assert!(
        found.code == 1 && found.stdout.contains("digest"),
        "{found:?}"
    );
}
