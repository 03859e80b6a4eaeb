//! Copying into and out of trees that somebody hostile is changing (reliability.md H31, CVE-2018-15664).

use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ctr_storage::archive::{ExportOptions, Limits, Purpose, export, export_file, unpack};
use ctr_storage::inside;
use rustix::fs::{CWD, RenameFlags};

use crate::overlay::write;

const PLAIN: Purpose = Purpose::Copy {
    owner: None,
    overwrite: false,
};

fn tar_of(directory: &Path) -> Vec<u8> {
    let root = ctr_sys::fs::open_directory(directory).unwrap();
    export(root.as_fd(), Vec::new(), &ExportOptions::default()).unwrap()
}

fn put(archive: &[u8], directory: &Path, purpose: Purpose) -> Result<(), String> {
    let root = ctr_sys::fs::open_directory(directory).unwrap();
    match unpack(archive, root.as_fd(), purpose, &Limits::default()) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn root_files_are_put_among_others() {
    assert!(rustix::process::geteuid().is_root(), "this test needs root");
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    write(&from.join("d/file"), "new");
    write(&from.join(".wh.name"), "a name");
    write(&to.join("d/file"), "old");
    write(&to.join("d/kept"), "kept");
    std::os::unix::fs::chown(to.join("d"), Some(5), Some(6)).unwrap();
    put(&tar_of(&from), &to, PLAIN).unwrap();
    let read = |name: &str| std::fs::read_to_string(to.join(name)).unwrap();
    assert_eq!(
        (read("d/file"), read("d/kept")),
        ("new".into(), "kept".into())
    );
    assert_eq!(read(".wh.name"), "a name", "not a whiteout");
    assert_eq!(
        std::fs::metadata(to.join("d")).unwrap().uid(),
        5,
        "what is there keeps its owner"
    );
    let owner = Purpose::Copy {
        owner: Some((7, 8)),
        overwrite: false,
    };
    put(&tar_of(&from), &to, owner).unwrap();
    let file = std::fs::metadata(to.join("d/file")).unwrap();
    assert_eq!((file.uid(), file.gid()), (7, 8));
}

#[test]
fn root_a_directory_and_what_is_none_do_not_take_each_others_place() {
    assert!(rustix::process::geteuid().is_root(), "this test needs root");
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    write(&from.join("a/x"), "x");
    write(&from.join("b"), "b");
    write(&to.join("a"), "a file");
    write(&to.join("b/y"), "in a directory");
    let refused = put(&tar_of(&from), &to, PLAIN).unwrap_err();
    assert!(
        refused.contains("\"a/\"") && refused.contains("--overwrite"),
        "{refused}"
    );
    assert!(to.join("b/y").exists());
    let overwrite = Purpose::Copy {
        owner: None,
        overwrite: true,
    };
    put(&tar_of(&from), &to, overwrite).unwrap();
    assert!(to.join("a/x").exists() && to.join("b").is_file());
}

#[test]
fn root_devices_and_pipes_are_not_replaced() {
    assert!(rustix::process::geteuid().is_root(), "this test needs root");
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    write(&from.join("fifo"), "x");
    std::fs::create_dir(&to).unwrap();
    rustix::fs::mkfifoat(CWD, to.join("fifo"), rustix::fs::Mode::RUSR).unwrap();
    for overwrite in [false, true] {
        let purpose = Purpose::Copy {
            owner: None,
            overwrite,
        };
        let refused = put(&tar_of(&from), &to, purpose).unwrap_err();
        assert!(refused.contains("a pipe"), "{refused}");
    }
}

/// Flips `tree/target` between a directory and a symlink to `outside` as fast as it can.
fn flip(
    tree: &Path,
    stop: &Arc<AtomicBool>,
    flips: &Arc<AtomicU64>,
) -> std::thread::JoinHandle<()> {
    let (one, other) = (tree.join("target"), tree.join("link"));
    let (stop, flips) = (Arc::clone(stop), Arc::clone(flips));
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            rustix::fs::renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
            flips.fetch_add(1, Ordering::Relaxed);
        }
    })
}

#[test]
fn root_h31_no_copy_escapes_in_a_hundred_thousand_flips() {
    const FLIPS: u64 = 100_000;
    assert!(rustix::process::geteuid().is_root(), "this test needs root");
    let dir = tempfile::tempdir().unwrap();
    let (tree, outside) = (dir.path().join("tree"), dir.path().join("outside"));
    write(&tree.join("target/file"), "inside");
    write(&outside.join("file"), "SECRET");
    write(&outside.join("only"), "SECRET");
    symlink(&outside, tree.join("link")).unwrap();
    let given = dir.path().join("given");
    write(&given.join("target/put"), "put");
    let archive = tar_of(&given);
    let before = tar_of(&outside);
    let (stop, flips) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let flipper = flip(&tree, &stop, &flips);
    let root = ctr_sys::fs::open_directory(&tree).unwrap();
    let mut copied = 0_u64;
    while flips.load(Ordering::Relaxed) < FLIPS {
        // Out: as a whole tree, a directory by name, a file by name.
        let mut out = export(root.as_fd(), Vec::new(), &ExportOptions::default()).unwrap();
        if let Ok(place) = inside::locate(root.as_fd(), b"/target/file") {
            let options = ExportOptions {
                top: b"file".to_vec(),
                ..ExportOptions::default()
            };
            let one = export_file(place.parent.as_fd(), &place.leaf, Vec::new(), &options);
            out.extend(one.unwrap());
        }
        if let Ok(target) = inside::open_directory(root.as_fd(), b"/target") {
            out.extend(export(target.as_fd(), Vec::new(), &ExportOptions::default()).unwrap());
        }
        assert!(
            !out.windows(6).any(|bytes| bytes == b"SECRET"),
            "it was read outside"
        );
        // In: what is refused because of the flip is as good as what is put inside.
        let purpose = Purpose::Copy {
            owner: Some((1, 1)),
            overwrite: false,
        };
        let _refused = unpack(
            archive.as_slice(),
            root.as_fd(),
            purpose,
            &Limits::default(),
        );
        copied += 1;
    }
    stop.store(true, Ordering::Relaxed);
    flipper.join().unwrap();
    assert!(copied > 10, "too few copies to mean anything: {copied}");
    assert_eq!(tar_of(&outside), before, "nothing outside has changed");
}
