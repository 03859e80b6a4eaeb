//! Trees written as tars, changes of overlays as layers, and both compared with what others make of them.

use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use ctr_storage::archive::{ExportOptions, Form, Limits, Mounts, apply, export};
use ctr_storage::diff::{ChangeKind, changes};
use ctr_storage::overlay::ContainerFs;
use rustix::fs::{CWD, FileType, Mode, XattrFlags};

use crate::overlay::{in_own_mount_namespace, write};

fn exported(root: &Path, options: &ExportOptions) -> Vec<u8> {
    let root = ctr_sys::fs::open_directory(root).unwrap();
    export(root.as_fd(), Vec::new(), options).unwrap()
}

/// Everything about a tree that an archive keeps: a line for each file.
fn listing(root: &Path) -> Vec<String> {
    fn below(directory: &Path, root: &Path, lines: &mut Vec<String>) {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        for path in entries {
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_file() && meta.len() < 1 << 20 {
                format!("{:?}", std::fs::read(&path).unwrap())
            } else if meta.is_symlink() {
                std::fs::read_link(&path).unwrap().display().to_string()
            } else {
                String::new()
            };
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let (mode, size) = (meta.mode(), if meta.is_dir() { 0 } else { meta.len() });
            let links = if meta.is_dir() { 0 } else { meta.nlink() };
            let (uid, gid, time) = (meta.uid(), meta.gid(), meta.mtime());
            let device = meta.rdev();
            lines.push(format!(
                "{name} {mode:o} {uid}:{gid} {size} {links} {time} {device} {content}"
            ));
            if meta.is_dir() {
                below(&path, root, lines);
            }
        }
    }
    let mut lines = Vec::new();
    below(root, root, &mut lines);
    lines
}

/// A tree with one of everything.
fn furnish(root: &Path) {
    write(&root.join("etc/hosts"), "127.0.0.1 localhost\n");
    write(&root.join("bin/tool"), "#!/bin/sh\n");
    // First: a change of owner takes the set-id bits away.
    std::os::unix::fs::chown(root.join("bin/tool"), Some(7), Some(3_000_000)).unwrap();
    std::fs::set_permissions(root.join("bin/tool"), PermissionsExt::from_mode(0o4755)).unwrap();
    std::fs::hard_link(root.join("bin/tool"), root.join("bin/same")).unwrap();
    symlink("../../outside", root.join("bin/out")).unwrap();
    symlink("x".repeat(150), root.join("bin/long")).unwrap();
    std::fs::create_dir_all(root.join("empty")).unwrap();
    write(
        &root.join(format!("{}/{}", "d".repeat(200), "f".repeat(200))),
        "deep",
    );
    rustix::fs::mkfifoat(CWD, root.join("fifo"), Mode::RUSR).unwrap();
    let null = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(
        CWD,
        root.join("null"),
        FileType::CharacterDevice,
        Mode::RUSR,
        null,
    )
    .unwrap();
    drop(std::os::unix::net::UnixListener::bind(root.join("sock")).unwrap());
    let attribute = |name: &str, value: &[u8]| {
        rustix::fs::setxattr(root.join("etc/hosts"), name, value, XattrFlags::empty()).unwrap();
    };
    attribute("trusted.a", b"\0=\n");
    attribute("trusted.overlay.redirect", b"/etc");
    let holes = std::fs::File::create(root.join("holes")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&holes, b"x", 1 << 43).unwrap();
}

#[test]
fn root_m22_h32_a_tree_is_written_once_for_all_and_comes_back() {
    assert!(rustix::process::geteuid().is_root(), "this test needs root");
    let dir = tempfile::tempdir().unwrap();
    let (root, back) = (dir.path().join("root"), dir.path().join("back"));
    furnish(&root);
    let archive = exported(&root, &ExportOptions::default());
    assert_eq!(
        archive,
        exported(&root, &ExportOptions::default()),
        "the same bytes each time"
    );
    assert!(
        archive.len() < 64 << 10,
        "8 TiB of holes are not written: {}",
        archive.len()
    );
    std::fs::create_dir(&back).unwrap();
    let target = ctr_sys::fs::open_directory(&back).unwrap();
    apply(archive.as_slice(), target.as_fd(), &Limits::default()).unwrap();
    let mut expected = listing(&root);
    expected.retain(|line| !line.starts_with("sock "));
    assert_eq!(listing(&back), expected);
    let mut value = [0; 8];
    assert_eq!(
        rustix::fs::getxattr(back.join("etc/hosts"), "trusted.a", &mut value),
        Ok(3)
    );
    assert!(
        rustix::fs::getxattr(
            back.join("etc/hosts"),
            "trusted.overlay.redirect",
            &mut value
        )
        .is_err()
    );
    // What GNU tar reads of it.
    let file = dir.path().join("archive.tar");
    std::io::Write::write_all(&mut std::fs::File::create(&file).unwrap(), &archive).unwrap();
    let listed = Command::new("tar")
        .args(["--numeric-owner", "-tvf"])
        .arg(&file)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&listed.stdout);
    assert!(
        listed.status.success(),
        "{}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let size = (1_u64 << 43) + 1;
    for wanted in [
        "-rwsr-xr-x 7/3000000",
        &format!(" {size} "),
        "bin/tool link to bin/same",
        "\npr-",
        "\ncr-",
        "bin/out -> ../../outside",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is missing in {text}");
    }
    assert!(!text.contains("sock"));
}

#[test]
fn root_m22_mounts_are_left_or_crossed() {
    in_own_mount_namespace(|dir| {
        write(&dir.join("root/file"), "x");
        let mount = dir.join("root/mount");
        std::fs::create_dir(&mount).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", &mount, "tmpfs", flags, None).unwrap();
        write(&mount.join("inside"), "x");
        let names = |mounts| {
            let options = ExportOptions {
                mounts,
                top: b"top".to_vec(),
                ..ExportOptions::default()
            };
            let archive = exported(&dir.join("root"), &options);
            let mut reader = ctr_storage::archive::reader::TarReader::new(archive.as_slice());
            let mut names = Vec::new();
            while let Some(entry) = reader.next_entry().unwrap() {
                names.push(String::from_utf8(entry.name).unwrap());
            }
            names
        };
        assert_eq!(names(Mounts::Leave), ["top/", "top/file", "top/mount/"]);
        assert_eq!(
            names(Mounts::Cross),
            ["top/", "top/file", "top/mount/", "top/mount/inside"]
        );
        rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::DETACH).unwrap();
    });
}

/// Changes of every kind, made in a mounted overlay.
fn change(merged: &Path) {
    write(&merged.join("etc/hosts"), "changed\n");
    write(&merged.join("new/file"), "new");
    std::fs::remove_file(merged.join("bin/tool")).unwrap();
    std::fs::remove_dir_all(merged.join("gone")).unwrap();
    std::fs::remove_dir_all(merged.join("again")).unwrap();
    write(&merged.join("again/other"), "other");
    std::fs::remove_file(merged.join("kind")).unwrap();
    std::fs::create_dir(merged.join("kind")).unwrap();
    // A directory of a layer below, renamed: copied as far as the kernel lets it, never redirected.
    let renamed = std::fs::rename(merged.join("moved"), merged.join("moved-away"));
    assert_eq!(
        renamed.unwrap_err().raw_os_error(),
        Some(rustix::io::Errno::XDEV.raw_os_error())
    );
}

fn base(lower: &Path) {
    for file in [
        "etc/hosts",
        "etc/same",
        "bin/tool",
        "gone/a/b",
        "again/was",
        "kind",
        "moved/x",
    ] {
        write(&lower.join(file), "low");
    }
}

#[test]
fn root_changes_of_an_overlay_are_listed_as_podman_lists_them() {
    in_own_mount_namespace(|dir| {
        let lower = dir.join("lower");
        base(&lower);
        let fs = ContainerFs::new(&dir.join("c"), &dir.join("run"));
        fs.prepare().unwrap();
        assert_eq!(
            changes(&fs.upper(), std::slice::from_ref(&lower)).unwrap(),
            []
        );
        fs.hold("run", std::slice::from_ref(&lower)).unwrap();
        change(&fs.merged());
        let listed: Vec<String> = changes(&fs.upper(), &[lower])
            .unwrap()
            .into_iter()
            .map(|change| {
                let letter = match change.kind {
                    ChangeKind::Added => 'A',
                    ChangeKind::Modified => 'C',
                    ChangeKind::Deleted => 'D',
                };
                format!("{letter} {}", change.path.display())
            })
            .collect();
        fs.ensure_unmounted().unwrap();
        assert_eq!(
            listed,
            [
                "C /again",
                "A /again/other",
                "D /again/was",
                "C /bin",
                "D /bin/tool",
                "C /etc",
                "C /etc/hosts",
                "D /gone",
                "C /kind",
                "A /new",
                "A /new/file"
            ]
        );
    });
}

#[test]
fn root_m25_changes_become_a_layer_that_makes_the_same_tree() {
    in_own_mount_namespace(|dir| {
        let lower = dir.join("lower");
        base(&lower);
        let first = ContainerFs::new(&dir.join("c"), &dir.join("run"));
        first.prepare().unwrap();
        first.hold("run", std::slice::from_ref(&lower)).unwrap();
        change(&first.merged());
        let options = ExportOptions {
            form: Form::Overlay,
            ..ExportOptions::default()
        };
        let layer = exported(&first.upper(), &options);
        let unpacked = dir.join("layer");
        std::fs::create_dir(&unpacked).unwrap();
        let target = ctr_sys::fs::open_directory(&unpacked).unwrap();
        apply(layer.as_slice(), target.as_fd(), &Limits::default()).unwrap();
        let second = ContainerFs::new(&dir.join("d"), &dir.join("run-d"));
        second.prepare().unwrap();
        second.hold("run", &[lower, unpacked]).unwrap();
        assert_eq!(listing(&second.merged()), listing(&first.merged()));
        write(&first.merged().join(".wh.taken"), "x");
        let upper = ctr_sys::fs::open_directory(&first.upper()).unwrap();
        let error = export(upper.as_fd(), Vec::new(), &options).unwrap_err();
        assert!(error.to_string().contains(".wh.taken"), "{error}");
        first.ensure_unmounted().unwrap();
        second.ensure_unmounted().unwrap();
    });
}

#[test]
fn root_m04_the_size_of_changes_is_kept_only_while_nothing_can_change() {
    in_own_mount_namespace(|dir| {
        let lower = dir.join("lower");
        base(&lower);
        let fs = ContainerFs::new(&dir.join("c"), &dir.join("run"));
        fs.prepare().unwrap();
        assert_eq!(fs.written_size().unwrap().bytes, 0);
        assert!(dir.join("c/size").exists());
        fs.hold("run", std::slice::from_ref(&lower)).unwrap();
        write(&fs.merged().join("new"), "12345");
        assert_eq!(fs.written_size().unwrap().bytes, 5);
        write(&fs.merged().join("new2"), "12345");
        assert_eq!(fs.written_size().unwrap().bytes, 10);
        fs.release("run").unwrap();
        assert_eq!(fs.written_size().unwrap().bytes, 10);
        write(&dir.join("c/size"), "77 1");
        assert_eq!(
            fs.written_size().unwrap().bytes,
            77,
            "it is not added up again"
        );
        write(&dir.join("c/size"), "half");
        assert_eq!(
            fs.written_size().unwrap().bytes,
            10,
            "what makes no sense is"
        );
    });
}
