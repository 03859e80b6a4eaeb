//! Layers in place and the file system over them, in a mount namespace of its own.

use std::path::Path;

use ctr_storage::layer::LayerStore;
use ctr_storage::overlay::ContainerFs;
use ctr_storage::size::{DiffSize, size_of};
use ctr_types::Digest;

/// Runs on a thread with an own mount namespace, so that nothing is left mounted whatever happens.
pub(crate) fn in_own_mount_namespace(test: impl FnOnce(&Path) + Send + 'static) {
    assert!(rustix::process::geteuid().is_root(), "this test needs root");
    let thread = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        rustix::mount::mount_change(
            "/",
            rustix::mount::MountPropagationFlags::PRIVATE
                | rustix::mount::MountPropagationFlags::REC,
        )
        .unwrap();
        let dir = tempfile::tempdir().unwrap();
        test(dir.path());
    });
    thread.join().unwrap();
}

pub(crate) fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    ctr_sys::fs::write_atomic(
        path,
        text.as_bytes(),
        0o644,
        ctr_sys::fs::Durability::ProcessDeath,
    )
    .unwrap();
}

#[test]
fn root_b05_b13_layers_are_published_mounted_and_held_by_a_set_of_holders() {
    in_own_mount_namespace(|dir| {
        // A name with everything that option strings stumble over.
        let dir = dir.join("odd, name: with=\\ all");
        let layers = LayerStore::open(&dir.join("layers")).unwrap();
        let ids = [Digest::of(b"low"), Digest::of(b"high")];
        for (id, text) in ids.iter().zip(["low", "high"]) {
            let staged = dir.join("staged");
            write(&staged.join("same"), text);
            write(&staged.join(text), text);
            layers.publish(&staged, id).unwrap();
        }
        let mut sorted = ids.to_vec();
        sorted.sort();
        assert_eq!(layers.list().unwrap(), sorted);
        let again = dir.join("again");
        write(&again.join("other"), "x");
        layers.publish(&again, &ids[0]).unwrap();
        assert!(
            !layers.path(&ids[0]).join("other").exists(),
            "what is there stays"
        );

        let lower = ids.each_ref().map(|id| layers.path(id));
        let fs = ContainerFs::new(&dir.join("c"), &dir.join("run"));
        fs.prepare().unwrap();
        fs.hold("run", &lower).unwrap();
        fs.hold("run", &lower).unwrap();
        fs.hold("user", &lower).unwrap();
        let read = |name: &str| std::fs::read_to_string(fs.merged().join(name)).unwrap();
        assert_eq!(
            (read("same"), read("low"), read("high")),
            ("high".into(), "low".into(), "high".into())
        );
        write(&fs.merged().join("new"), "12345");
        fs.release("run").unwrap();
        assert_eq!(
            read("new"),
            "12345",
            "b05: the user's mount outlives the run"
        );
        assert_eq!(fs.holders().unwrap(), ["user"]);
        fs.release("user").unwrap();
        fs.release("user").unwrap();
        assert!(!fs.merged().join("new").exists());
        assert_eq!(
            size_of(&fs.upper()).unwrap(),
            DiffSize {
                bytes: 5,
                inodes: 1
            }
        );
        fs.hold("run", &lower).unwrap();
        fs.ensure_unmounted().unwrap();
        fs.ensure_unmounted().unwrap();
        layers.discard(&ids[0], &dir.join("trash")).unwrap();
        layers.discard(&ids[0], &dir.join("trash2")).unwrap();
        assert_eq!(layers.list().unwrap().len(), 1);
    });
}

#[test]
fn root_a_hundred_layers_and_deep_paths_mount() {
    in_own_mount_namespace(|dir| {
        let dir = dir.join("d".repeat(200)).join("e".repeat(100));
        let lower: Vec<_> = (0..100)
            .map(|number| {
                let layer = dir.join(number.to_string());
                write(&layer.join(format!("f{number}")), "x");
                layer
            })
            .collect();
        let fs = ContainerFs::new(&dir.join("c"), &dir.join("run"));
        fs.prepare().unwrap();
        fs.hold("run", &lower).unwrap();
        for number in [0, 50, 99] {
            assert!(fs.merged().join(format!("f{number}")).exists());
        }
        fs.release("run").unwrap();
    });
}
