//! Images made by the scripts of `fixtures/`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a tar of a small root file system around Debian's busybox-static, another one for each directory.
///
/// # Panics
/// When busybox is not installed, or the tar cannot be made.
pub fn busybox_tar(directory: &Path) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/busybox");
    let tar = directory.join("busybox.tar");
    let made = Command::new(&script).arg(&tar).arg(directory).status();
    assert!(
        made.is_ok_and(|status| status.success()),
        "{} failed: ./test installs what it needs",
        script.display()
    );
    tar
}
