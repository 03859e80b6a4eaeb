//! Honest archives: everything they say arrives.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use crate::tarball::{Header, Sandbox, Tarball};

#[test]
fn root_times_owners_and_modes_arrive_in_any_order_of_entries() {
    let sandbox = Sandbox::new();
    let owned = |kind, name: &[u8]| {
        Header::new(kind, name, 0)
            .put(100, b"0000750\0")
            .put(108, b"0000005\0")
            .put(116, b"0000006\0")
    };
    let tar = Tarball::default()
        .raw(owned(b'5', b"d"), b"")
        .raw(owned(b'0', b"d/f"), b"")
        .raw(owned(b'6', b"d/p"), b"")
        .raw(owned(b'0', b"g"), b"")
        .raw(owned(b'0', b"d/later"), b"")
        .raw(owned(b'2', b"d/l").link(b"nowhere"), b"")
        .raw(owned(b'5', b"."), b"")
        .end();
    let applied = sandbox.apply(&tar).unwrap();
    assert_eq!(applied.entries, 7);
    for name in [".", "d", "d/f", "d/p", "g", "d/later", "d/l"] {
        let made = sandbox.path(name).symlink_metadata().unwrap();
        assert_eq!(
            (made.uid(), made.gid(), made.mtime()),
            (5, 6, 512),
            "{name}"
        );
        if !made.is_symlink() {
            assert_eq!(made.permissions().mode() & 0o7777, 0o750, "{name}");
        }
    }
    assert!(
        sandbox
            .path("d/p")
            .symlink_metadata()
            .unwrap()
            .file_type()
            .is_fifo()
    );
}

#[test]
fn root_a_directory_after_its_whiteout_hides_what_lies_below() {
    let sandbox = Sandbox::new();
    let tar = Tarball::default()
        .file(".wh.d", b"")
        .dir("d")
        .file("o/.wh..wh..opq", b"")
        .end();
    sandbox.apply(&tar).unwrap();
    for name in ["d", "o"] {
        let mut value = [0_u8; 4];
        let length =
            rustix::fs::lgetxattr(sandbox.path(name), "trusted.overlay.opaque", &mut value)
                .unwrap();
        assert_eq!(&value[..length], b"y", "{name}");
    }
}

#[test]
fn root_pax_names_times_and_links_arrive() {
    let sandbox = Sandbox::new();
    let tar = Tarball::default()
        .pax(&[
            ("path", "ü/ñ".as_bytes()),
            ("mtime", b"1.5"),
            ("uid", b"3000000"),
        ])
        .file("short", b"x")
        .raw(Header::new(b'L', b"././@LongLink", 4), b"gnu\0")
        .file("short", b"y")
        .hardlink("again", "gnu")
        .end();
    sandbox.apply(&tar).unwrap();
    let made = sandbox.path("ü/ñ").metadata().unwrap();
    assert_eq!(
        (made.mtime(), made.mtime_nsec(), made.uid()),
        (1, 500_000_000, 3_000_000)
    );
    assert_eq!(sandbox.path("again").metadata().unwrap().nlink(), 2);
}

/// What GNU tar writes in each of its formats, sparse files included, comes back the same.
#[test]
fn root_gnu_tars_formats_round_trip() {
    let source = tempfile::tempdir().unwrap();
    let script = "mkdir -p a/b && echo hi > a/b/f && ln a/b/f a/hard && ln -s ../x a/sym && \
        mkfifo a/pipe && mknod a/dev c 1 5 && truncate -s 10M a/sparse && \
        printf end | dd of=a/sparse bs=1 seek=5000000 conv=notrunc status=none && \
        echo mid | dd of=a/sparse bs=1 seek=1000000 conv=notrunc status=none && \
        mkdir -p a/$(printf 'n%.0s' $(seq 70))/$(printf 'm%.0s' $(seq 70)) && chmod 4711 a/b/f";
    let run = |script: &str, directory: &std::path::Path| {
        let output = Command::new("sh")
            .args(["-ec", script])
            .current_dir(directory)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    run(script, source.path());
    for format in [
        "--format=gnu -S",
        "--format=posix -S --sparse-version=1.0",
        "--format=posix",
        "--format=ustar",
    ] {
        let tar = run(&format!("tar c {format} a"), source.path());
        let sandbox = Sandbox::new();
        sandbox.apply(&tar).unwrap();
        let list = "find a -printf '%P %y %m %U %G %s %n %l\n' | sort; find a -type f -exec sha256sum {} + | sort";
        assert_eq!(
            String::from_utf8(run(list, source.path())).unwrap(),
            String::from_utf8(run(list, &sandbox.root)).unwrap(),
            "{format}"
        );
    }
}
