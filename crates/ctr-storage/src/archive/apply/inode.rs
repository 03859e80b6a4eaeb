//! Making one inode, where nothing is or in the place of what was.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, XattrFlags};
use rustix::io::Errno;

use super::attributes::{attributes_by_descriptor, attributes_by_name};
use super::{ApplyError, At, DIRECTORY, OPAQUE, OPAQUE_XATTR, WHITEOUT};
use crate::archive::reader::TarReader;

/// Removes what stands in the way of an entry.
pub(super) fn make_room(
    this: At<'_>,
    parent: BorrowedFd<'_>,
    leaf: &[u8],
) -> Result<(), ApplyError> {
    match rustix::fs::unlinkat(parent, leaf, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => {
            let tree = through(parent, leaf);
            ctr_sys::fs::ensure_tree_absent(&tree).map_err(|error| ApplyError::Sys {
                action: "remove the directory in the way",
                index: this.0.index,
                name: this.name(),
                source: io::Error::other(error),
            })
        }
        Err(error) => this.sys("remove what is in the way", Err(error)),
    }
}

/// The path of a directory's entry through the directory's descriptor: no component of it can be exchanged but the
/// last, and the calls used on it do not follow that.
pub(super) fn through(parent: BorrowedFd<'_>, leaf: &[u8]) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd())).join(OsStr::from_bytes(leaf))
}

pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

pub(super) fn set_opaque(this: At<'_>, directory: BorrowedFd<'_>) -> Result<(), ApplyError> {
    let set = rustix::fs::fsetxattr(directory, OPAQUE_XATTR, b"y", XattrFlags::empty());
    this.sys("mark the directory opaque", set)
}

pub(super) fn whiteout(
    this: At<'_>,
    parent: BorrowedFd<'_>,
    leaf: &[u8],
    hidden: &[u8],
) -> Result<(), ApplyError> {
    if leaf == OPAQUE {
        return set_opaque(this, parent);
    }
    if hidden.starts_with(WHITEOUT) {
        // Other `.wh..wh.` names are aufs' own bookkeeping, of no meaning to anybody else.
        return Ok(());
    }
    if matches!(hidden, b"" | b"." | b"..") {
        return this.rule("it is a whiteout of nothing");
    }
    match rustix::fs::statat(parent, hidden, AtFlags::SYMLINK_NOFOLLOW) {
        // A whiteout hides what lies in lower layers; what this layer brought along stays.
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            let fd = rustix::fs::openat(parent, hidden, DIRECTORY, Mode::empty());
            set_opaque(this, this.sys("open the directory", fd)?.as_fd())
        }
        Ok(_) => Ok(()),
        Err(Errno::NOENT) => {
            let made = rustix::fs::mknodat(
                parent,
                hidden,
                FileType::CharacterDevice,
                Mode::empty(),
                rustix::fs::makedev(0, 0),
            );
            this.sys("make the whiteout", made)
        }
        Err(error) => this.sys("stat", Err(error)),
    }
}

pub(super) fn directory(
    this: At<'_>,
    parent: BorrowedFd<'_>,
    leaf: &[u8],
) -> Result<(), ApplyError> {
    let mut hides_lower = false;
    let mut made = rustix::fs::mkdirat(parent, leaf, Mode::RWXU);
    if made == Err(Errno::EXIST) {
        let there = rustix::fs::statat(parent, leaf, AtFlags::SYMLINK_NOFOLLOW);
        let there = this.sys("stat", there)?;
        if FileType::from_raw_mode(there.st_mode) == FileType::Directory {
            made = Ok(());
        } else {
            hides_lower = is_whiteout(&there);
            make_room(this, parent, leaf)?;
            made = rustix::fs::mkdirat(parent, leaf, Mode::RWXU);
        }
    }
    this.sys("make the directory", made)?;
    let fd = rustix::fs::openat(parent, leaf, DIRECTORY, Mode::empty());
    let fd = this.sys("open the directory", fd)?;
    if hides_lower {
        set_opaque(this, fd.as_fd())?;
    }
    attributes_by_descriptor(this, fd.as_fd())
}

pub(super) fn file<R: Read>(
    this: At<'_>,
    parent: BorrowedFd<'_>,
    leaf: &[u8],
    reader: &mut TarReader<R>,
    buffer: &mut [u8],
) -> Result<(), ApplyError> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(parent, leaf, flags, Mode::RUSR | Mode::WUSR);
    let fd = this.sys("create", fd)?;
    match &this.0.sparse {
        None => copy(this, &fd, this.0.stored, reader, buffer)?,
        Some(parts) => {
            for (offset, length) in parts {
                let seek = rustix::fs::seek(&fd, rustix::fs::SeekFrom::Start(*offset));
                this.sys("seek", seek)?;
                copy(this, &fd, *length, reader, buffer)?;
            }
            this.sys("set the size", rustix::fs::ftruncate(&fd, this.0.size))?;
        }
    }
    attributes_by_descriptor(this, fd.as_fd())
}

pub(super) fn copy<R: Read>(
    this: At<'_>,
    fd: &OwnedFd,
    mut left: u64,
    reader: &mut TarReader<R>,
    buffer: &mut [u8],
) -> Result<(), ApplyError> {
    while left > 0 {
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let part = buffer.get_mut(..most).unwrap_or_default();
        let count = reader.read_content(part)?;
        let mut rest = part.get(..count).unwrap_or_default();
        if rest.is_empty() {
            return this.rule("its content is shorter than its size");
        }
        left -= u64::try_from(count).unwrap_or(0);
        while !rest.is_empty() {
            match rustix::io::write(fd, rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(error) => return this.sys("write", Err(error)),
            }
        }
    }
    Ok(())
}

pub(super) fn node(
    this: At<'_>,
    parent: BorrowedFd<'_>,
    leaf: &[u8],
    kind: FileType,
    device: u64,
) -> Result<(), ApplyError> {
    make_room(this, parent, leaf)?;
    let made = rustix::fs::mknodat(parent, leaf, kind, Mode::from_raw_mode(this.0.mode), device);
    this.sys("make the device", made)?;
    attributes_by_name(this, parent, leaf)
}
