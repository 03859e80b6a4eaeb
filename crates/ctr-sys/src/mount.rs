//! Mounts: the new mount API by descriptor (fsopen(2), fsmount(2), move_mount(2)) and unmounting that cannot miss.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sched::CloneFlags;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};

use crate::error::{Context as _, SysError};
use crate::thread::on_own_thread;

/// How long a busy mount is tried again before it is detached.
const BUSY_PATIENCE: Duration = Duration::from_secs(2);
/// Longest string fsconfig(2) takes, its end included.
const FSCONFIG_STRING: usize = 256;

/// Options under which a renamed directory and a changed mode are copied, not written down as a reference to a layer
/// below (the kernel's filesystems/overlayfs.rst, "Renaming directories", "Metadata only copy up").
const WHOLE_CHANGES: [(&str, &str); 2] = [("redirect_dir", "off"), ("metacopy", "off")];

/// An overlay to be mounted (the kernel's filesystems/overlayfs.rst). Paths may hold any character.
#[derive(Clone, Debug)]
pub struct Overlay {
    /// Read-only layers, the lowest first. At least one.
    pub lower: Vec<PathBuf>,
    /// Where changes go.
    pub upper: PathBuf,
    /// The kernel's work directory, on the same file system as `upper`.
    pub work: PathBuf,
}

impl Overlay {
    /// Mounts it at `target`, with device files without effect (`nodev`).
    ///
    /// Kernels from 6.7 on take one layer after the other; older ones take all in one option string, which is made of
    /// `/proc/self/fd/N`, so that neither commas nor colons in a path nor its length matter.
    ///
    /// # Errors
    /// The failed call. Nothing is mounted then.
    pub fn mount(&self, target: &Path) -> Result<(), SysError> {
        match self.mount_by_descriptor(target) {
            Err(error) if error.errno() == Some(Errno::INVAL) => self.mount_by_string(target),
            other => other,
        }
    }

    fn mount_by_descriptor(&self, target: &Path) -> Result<(), SysError> {
        let shown = || target.display().to_string();
        let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
            .context("fsopen overlay for", shown)?;
        let mut held = Vec::new();
        let mut set = |key: &str, path: &Path| -> Result<(), SysError> {
            let value = short_path(path, &mut held)?;
            rustix::mount::fsconfig_set_string(&context, key, value.as_path())
                .context("fsconfig overlay", || format!("{key}={}", path.display()))
        };
        // The kernel takes the topmost first.
        for layer in self.lower.iter().rev() {
            set("lowerdir+", layer)?;
        }
        set("upperdir", &self.upper)?;
        set("workdir", &self.work)?;
        // What is in `upper` is to be all there is of a change, for whoever makes a layer of it.
        for (key, value) in WHOLE_CHANGES {
            rustix::mount::fsconfig_set_string(&context, key, value)
                .context("fsconfig overlay", || format!("{key}={value}"))?;
        }
        rustix::mount::fsconfig_set_string(&context, "source", "overlay")
            .context("fsconfig overlay", || "source")?;
        rustix::mount::fsconfig_create(&context).context("make overlay for", shown)?;
        let mount = rustix::mount::fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::MOUNT_ATTR_NODEV,
        )
        .context("fsmount overlay for", shown)?;
        attach(&mount, target)
    }

    fn mount_by_string(&self, target: &Path) -> Result<(), SysError> {
        let shown = || target.display().to_string();
        let mut held = Vec::new();
        let mut options = String::from("lowerdir=");
        for (index, layer) in self.lower.iter().rev().enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            let fd = open_path(layer)?;
            // Writing to a String cannot fail.
            let _infallible = write!(options, "{separator}/proc/self/fd/{}", fd.as_raw_fd());
            held.push(fd);
        }
        for (key, path) in [("upperdir", &self.upper), ("workdir", &self.work)] {
            let fd = open_path(path)?;
            let _infallible = write!(options, ",{key}=/proc/self/fd/{}", fd.as_raw_fd());
            held.push(fd);
        }
        for (key, value) in WHOLE_CHANGES {
            let _infallible = write!(options, ",{key}={value}");
        }
        let options = std::ffi::CString::new(options)
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))
            .context("mount overlay at", shown)?;
        rustix::mount::mount(
            "overlay",
            target,
            "overlay",
            MountFlags::NODEV,
            Some(&*options),
        )
        .context("mount overlay at", shown)
    }
}

/// The path itself when fsconfig takes it, or one through a descriptor, which is kept in `held`.
fn short_path(path: &Path, held: &mut Vec<OwnedFd>) -> Result<PathBuf, SysError> {
    // overlayfs takes backslashes, and on some kernels commas and colons, for its own syntax.
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+@".contains(byte);
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    if bytes.len() < FSCONFIG_STRING && bytes.iter().all(plain) {
        return Ok(path.to_owned());
    }
    let fd = open_path(path)?;
    let through = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    held.push(fd);
    Ok(through)
}

fn open_path(path: &Path) -> Result<OwnedFd, SysError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .context("open", || path.display().to_string())
}

/// Puts a detached mount at `target`, whose last component is not followed.
fn attach(mount: impl AsFd, target: &Path) -> Result<(), SysError> {
    let directory = open_path(target)?;
    rustix::mount::move_mount(
        mount,
        "",
        &directory,
        "",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )
    .context("mount at", || target.display().to_string())
}

/// Binds what is mounted at `inside` in another mount namespace, the directory itself alone, to `target` here: a detached
/// copy is made there (open_tree(2)) and moved here (move_mount(2)). No symlink is followed on the way to `inside`.
///
/// # Errors
/// The failed call; nothing is mounted then.
pub fn bind_from_namespace(
    namespace: OwnedFd,
    inside: &Path,
    target: &Path,
) -> Result<(), SysError> {
    let wanted = inside.to_owned();
    let copy = on_own_thread(move || {
        let shown = || wanted.display().to_string();
        // A thread that shares its root and working directory with others may not change its mount namespace (setns(2)).
        nix::sched::unshare(CloneFlags::CLONE_FS).context("unshare", || "CLONE_FS")?;
        nix::sched::setns(&namespace, CloneFlags::CLONE_NEWNS)
            .context("setns", || "CLONE_NEWNS")?;
        let found = rustix::fs::openat2(
            CWD,
            &wanted,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
        )
        .context("open", shown)?;
        clone_tree(&found, OpenTreeFlags::empty()).context("open_tree", shown)
    })?;
    attach(copy, target)
}

/// Binds a directory of the host, and what is mounted below it, to `target`.
pub fn bind_recursive(source: &Path, target: &Path) -> Result<(), SysError> {
    let directory = open_path(source)?;
    let copy = clone_tree(&directory, OpenTreeFlags::AT_RECURSIVE)
        .context("open_tree", || source.display().to_string())?;
    attach(copy, target)
}

fn clone_tree(directory: &OwnedFd, extent: OpenTreeFlags) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | extent;
    rustix::mount::open_tree(directory, "", flags)
}

/// The mount points strictly below `directory` in this mount namespace, deepest first (proc_pid_mountinfo(5)).
///
/// # Errors
/// When `/proc` cannot be read.
pub fn mount_points_below(directory: &Path) -> Result<Vec<PathBuf>, SysError> {
    // Of this thread: it may have a mount namespace of its own.
    const TABLE: &str = "/proc/thread-self/mountinfo";
    let table = std::fs::read(TABLE).context("read", || TABLE)?;
    let mut found: Vec<PathBuf> = table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .map(|field| PathBuf::from(OsString::from_vec(unescape(field))))
        .filter(|path| path != directory && path.starts_with(directory))
        .collect();
    found.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    Ok(found)
}

/// Space, tab, newline and backslash are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = escaped {
            out.push(byte);
            rest = tail.get(3..).unwrap_or_default();
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

/// Whether something is mounted exactly at `path` (statx(2), `STATX_ATTR_MOUNT_ROOT`, since Linux 5.8).
pub fn is_mount_point(path: &Path) -> Result<bool, SysError> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match rustix::fs::statx(CWD, path, flags, StatxFlags::TYPE) {
        Ok(found) => Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(error) => Err(SysError::new("statx", path.display().to_string(), error)),
    }
}

/// Unmounts whatever is mounted at `path`, all of it when mounts lie on top of each other; nothing there is success.
///
/// A busy mount is tried again for 2 s and then detached, so that it goes when its last user does (reliability.md F33).
pub fn ensure_unmounted(path: &Path) -> Result<(), SysError> {
    let started = Instant::now();
    let mut flags = UnmountFlags::NOFOLLOW;
    loop {
        match rustix::mount::unmount(path, flags) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(Errno::BUSY) if started.elapsed() < BUSY_PATIENCE => {
                pause(Duration::from_millis(20));
            }
            Err(Errno::BUSY) if !flags.contains(UnmountFlags::DETACH) => {
                flags |= UnmountFlags::DETACH;
            }
            Err(error) => {
                return Err(SysError::new("unmount", path.display().to_string(), error));
            }
        }
    }
}

/// The kernel tells nobody when a mount stops being busy, so there is nothing to wait on but time.
fn pause(time: Duration) {
    let timeout = rustix::event::Timespec::try_from(time).ok();
    // Woken early by a signal, the caller just tries again earlier.
    let _early = rustix::event::poll(&mut [], timeout.as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_mount_table_are_unescaped() {
        assert_eq!(unescape(br"/a\040b\134c\9"), b"/a b\\c\\9");
        assert!(!mount_points_below(Path::new("/")).unwrap().is_empty());
    }
}
