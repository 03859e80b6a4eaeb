//! Owner, mode, times and extended attributes, by the descriptor of what was just made.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::inode::through;
use super::{ApplyError, At, times_of};
use crate::archive::reader::{Entry, EntryKind};

pub(super) fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (
        Some(Uid::from_raw(entry.uid)),
        Some(Gid::from_raw(entry.gid)),
    )
}

/// Whether an extended attribute may come from an archive: overlayfs' own would let it point anywhere.
pub(in crate::archive) fn is_allowed(name: &[u8]) -> bool {
    !name.starts_with(b"trusted.overlay.") && !name.starts_with(b"user.overlay.")
}

/// Sets owner, mode, extended attributes and time, in this order: a change of owner takes the set-id bits and
/// capabilities away, and all of them change the time.
pub(super) fn attributes_by_descriptor(this: At<'_>, fd: BorrowedFd<'_>) -> Result<(), ApplyError> {
    let (uid, gid) = owner(this.0);
    this.sys("chown", rustix::fs::fchown(fd, uid, gid))?;
    this.sys(
        "chmod",
        rustix::fs::fchmod(fd, Mode::from_raw_mode(this.0.mode)),
    )?;
    for (name, value) in this.0.xattrs.iter().filter(|(name, _)| is_allowed(name)) {
        let set = rustix::fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty());
        tolerate_unsupported(this, set)?;
    }
    this.sys("set the time", rustix::fs::futimens(fd, &times_of(this.0)))
}

/// As [`attributes_by_descriptor`], of what cannot be opened without effects: symlinks, devices, pipes.
pub(super) fn attributes_by_name(
    this: At<'_>,
    parent: BorrowedFd<'_>,
    leaf: &[u8],
) -> Result<(), ApplyError> {
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    let (uid, gid) = owner(this.0);
    this.sys(
        "chown",
        rustix::fs::chownat(parent, leaf, uid, gid, nofollow),
    )?;
    if this.0.kind != EntryKind::Symlink {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = this.sys(
            "open",
            rustix::fs::openat(parent, leaf, flags, Mode::empty()),
        )?;
        let itself = format!("/proc/self/fd/{}", fd.as_raw_fd());
        this.sys(
            "chmod",
            rustix::fs::chmod(itself, Mode::from_raw_mode(this.0.mode)),
        )?;
    }
    for (name, value) in this.0.xattrs.iter().filter(|(name, _)| is_allowed(name)) {
        let set = rustix::fs::lsetxattr(
            through(parent, leaf),
            name.as_slice(),
            value,
            XattrFlags::empty(),
        );
        tolerate_unsupported(this, set)?;
    }
    this.sys(
        "set the time",
        rustix::fs::utimensat(parent, leaf, &times_of(this.0), nofollow),
    )
}

/// An attribute that this file system or kind of file cannot have is left out, as by docker and podman: the image is
/// usable without, and refusing it would make images depend on where they were built.
pub(super) fn tolerate_unsupported(this: At<'_>, set: Result<(), Errno>) -> Result<(), ApplyError> {
    match set {
        Err(Errno::OPNOTSUPP) => Ok(()),
        // user.* is for files and directories only (xattr(7)).
        Err(Errno::PERM) if !matches!(this.0.kind, EntryKind::File | EntryKind::Directory) => {
            Ok(())
        }
        other => this.sys("set an extended attribute", other),
    }
}
