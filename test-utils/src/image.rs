//! Images made of what Debian packages bring.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Applets that tests call.
const APPLETS: [&str; 32] = [
    "sh", "true", "false", "echo", "cat", "sleep", "ls", "id", "pwd", "env", "grep", "touch",
    "mkdir", "rm", "hostname", "ip", "df", "tty", "stty", "head", "tail", "wc", "yes", "kill",
    "ps", "mount", "ulimit", "seq", "httpd", "wget", "dd", "test",
];

/// Makes a tar of a small root file system around Debian's busybox-static.
///
/// # Panics
/// When busybox is not installed, or the tar cannot be made.
pub fn busybox_tar(directory: &Path) -> PathBuf {
    let root = directory.join("busybox");
    for name in ["bin", "etc", "tmp", "root", "home/user"] {
        fs::create_dir_all(root.join(name)).expect("make the root file system");
    }
    let source = ["/bin/busybox", "/usr/bin/busybox"]
        .iter()
        .find(|path| Path::new(path).exists());
    let source = source.expect("busybox-static is not installed: ./test installs it");
    fs::copy(source, root.join("bin/busybox")).expect("copy busybox");
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet)).expect("link an applet");
    }
    let files = [
        (
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
        ),
        ("etc/group", "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n"),
    ];
    let origin = directory.to_string_lossy();
    for (name, content) in files.into_iter().chain([("etc/made-in", &*origin)]) {
        ctr_sys::fs::write_atomic(
            &root.join(name),
            content.as_bytes(),
            0o644,
            ctr_sys::fs::Durability::ProcessDeath,
        )
        .expect("write a file of the image");
    }
    let tar = directory.join("busybox.tar");
    let made = Command::new("tar")
        .arg("-C")
        .arg(&root)
        .arg("-cf")
        .arg(&tar)
        .arg(".")
        .status();
    assert!(made.expect("run tar").success(), "tar failed");
    tar
}
