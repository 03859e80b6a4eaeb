//! A directory tree as a tar stream: sorted, reproducible, and by descriptors all the way down (semantics.md M22,
//! reliability.md H32).
//!
//! - Directories come before what is in them, names in the order of their bytes. The same tree gives the same bytes.
//! - No symlink is followed; pipes and devices are never opened; sockets, which a tar cannot hold, are left out.
//! - Every entry is whole even when its file changes meanwhile: what has gone is filled with zeros, what has come is cut.
//! - Holes are not read and not written.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use super::writer::{Kind, NewEntry, TarWriter};

/// Most parts of a sparse file; one in more pieces is read as a whole.
const MAX_PARTS: usize = 10_000;
/// Files below this are read as a whole: the list of their parts would be no shorter.
const SPARSE_MIN: u64 = 64 << 10;
/// Longest value of an extended attribute (`XATTR_SIZE_MAX`).
const XATTR_MAX: usize = 64 << 10;

/// Why an export stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A file of the tree cannot be read.
    #[error("{action} {name:?}")]
    Read {
        /// The call.
        action: &'static str,
        /// The file, below the root.
        name: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The archive cannot be written.
    #[error("write the archive")]
    Write(#[source] io::Error),
}

/// What is mounted below the root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mounts {
    /// Left out: only their mount points appear, as empty directories.
    #[default]
    Leave,
    /// Part of the tree.
    Cross,
}

/// What the tree is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Files as they are.
    #[default]
    Plain,
    /// The upper directory of an overlay: its whiteouts and opaque marks become those of an OCI layer
    /// (image-spec, layer.md; kernel filesystems/overlayfs.rst).
    Overlay,
}

/// How a tree is exported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// What is mounted below the root.
    pub mounts: Mounts,
    /// What the tree is.
    pub form: Form,
    /// The name of the root in the archive; empty leaves the root out and gives everything below it its plain name.
    pub top: Vec<u8>,
}

/// Writes everything below `root` to `out` as a tar.
///
/// # Errors
/// [`ExportError`], which names the file. What has been written then is no archive.
pub fn export<W: Write>(
    root: BorrowedFd<'_>,
    out: W,
    options: &ExportOptions,
) -> Result<W, ExportError> {
    let mut walk = Walk::new(out, root, options)?;
    let directory = rustix::fs::openat(root, ".", DIRECTORY, Mode::empty());
    let directory = directory.map_err(|error| failed("open", b".", error))?;
    if !options.top.is_empty() {
        walk.directory_entry(&directory, &options.top)?;
    }
    walk.below(&directory, &options.top)?;
    walk.writer.finish().map_err(ExportError::Write)
}

/// Writes one file that is no directory, `leaf` in `parent`, to `out` as a tar with one entry named `options.top`.
///
/// # Errors
/// As [`export`].
pub fn export_file<W: Write>(
    parent: BorrowedFd<'_>,
    leaf: &[u8],
    out: W,
    options: &ExportOptions,
) -> Result<W, ExportError> {
    let mut walk = Walk::new(out, parent, options)?;
    walk.entry(parent, leaf, &options.top)?;
    walk.writer.finish().map_err(ExportError::Write)
}

/// Writes one open regular file to `out` as a tar with one entry named `options.top`.
///
/// # Errors
/// As [`export`].
pub fn export_open_file<W: Write>(
    file: &OwnedFd,
    out: W,
    options: &ExportOptions,
) -> Result<W, ExportError> {
    let mut walk = Walk::new(out, file.as_fd(), options)?;
    walk.open_file(file, &options.top)?;
    walk.writer.finish().map_err(ExportError::Write)
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

fn failed(action: &'static str, name: &[u8], error: impl Into<io::Error>) -> ExportError {
    ExportError::Read {
        action,
        name: String::from_utf8_lossy(name).into_owned(),
        source: error.into(),
    }
}

struct Walk<'o, W> {
    writer: TarWriter<W>,
    options: &'o ExportOptions,
    device: u64,
    /// Names of files that have more than one, by device and number.
    linked: HashMap<(u64, u64), Vec<u8>>,
    buffer: Box<[u8]>,
}

impl<'o, W: Write> Walk<'o, W> {
    fn new(out: W, root: BorrowedFd<'_>, options: &'o ExportOptions) -> Result<Self, ExportError> {
        let stat = rustix::fs::fstat(root).map_err(|error| failed("stat", b".", error))?;
        Ok(Self {
            writer: TarWriter::new(out),
            options,
            device: stat.st_dev,
            linked: HashMap::new(),
            buffer: vec![0; 256 << 10].into(),
        })
    }

    /// Everything in a directory, sorted.
    fn below(&mut self, directory: &OwnedFd, name: &[u8]) -> Result<(), ExportError> {
        if self.options.form == Form::Overlay && is_opaque(directory) {
            let stat = rustix::fs::fstat(directory).map_err(|error| failed("stat", name, error))?;
            let mark = joined(name, b".wh..wh..opq");
            self.write(mark, Kind::File(0), &stat, Vec::new())?;
        }
        let mut listed = Vec::new();
        let entries = Dir::read_from(directory).map_err(|error| failed("list", name, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| failed("list", name, error))?;
            let leaf = entry.file_name().to_bytes();
            if leaf != b"." && leaf != b".." {
                listed.push(leaf.to_vec());
            }
        }
        listed.sort_unstable();
        for leaf in listed {
            let full = joined(name, &leaf);
            self.entry(directory.as_fd(), &leaf, &full)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        parent: BorrowedFd<'_>,
        leaf: &[u8],
        name: &[u8],
    ) -> Result<(), ExportError> {
        let stat = match rustix::fs::statat(parent, leaf, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // It went away meanwhile: the tree may belong to a running container.
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(failed("stat", name, error)),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if self.options.form == Form::Overlay && leaf.starts_with(b".wh.") {
            let taken = "a layer would take its name for a deletion: rename the file";
            let taken = io::Error::new(io::ErrorKind::InvalidData, taken);
            return Err(failed("make a layer with", name, taken));
        }
        if kind == FileType::Directory {
            return self.directory(parent, leaf, name, &stat);
        }
        if self.options.form == Form::Overlay
            && kind == FileType::CharacterDevice
            && stat.st_rdev == 0
        {
            let mut hidden = name.to_vec();
            let at = hidden.len() - leaf.len();
            hidden.splice(at..at, *b".wh.");
            return self.write(hidden, Kind::File(0), &stat, Vec::new());
        }
        if stat.st_nlink > 1 {
            let first = self
                .linked
                .entry((stat.st_dev, stat.st_ino))
                .or_insert_with(|| name.to_vec());
            if first != name {
                let kind = Kind::Hardlink(first.clone());
                return self.write(name.to_vec(), kind, &stat, Vec::new());
            }
        }
        let device = (
            rustix::fs::major(stat.st_rdev),
            rustix::fs::minor(stat.st_rdev),
        );
        let kind = match kind {
            FileType::RegularFile => return self.file(parent, leaf, name),
            FileType::Symlink => {
                let target = match rustix::fs::readlinkat(parent, leaf, Vec::new()) {
                    Ok(target) => target.into_bytes(),
                    Err(Errno::NOENT | Errno::INVAL) => return Ok(()),
                    Err(error) => return Err(failed("read the link", name, error)),
                };
                Kind::Symlink(target)
            }
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice => Kind::CharDevice(device.0, device.1),
            FileType::BlockDevice => Kind::BlockDevice(device.0, device.1),
            FileType::Socket | FileType::Directory | FileType::Unknown => return Ok(()),
        };
        let path = format!("/proc/self/fd/{}", parent.as_raw_fd());
        let path = std::path::Path::new(&path).join(std::ffi::OsStr::from_bytes(leaf));
        let xattrs = xattrs(
            |list| rustix::fs::llistxattr(&path, list),
            |key, value| rustix::fs::lgetxattr(&path, key, value),
        );
        self.write(name.to_vec(), kind, &stat, xattrs)
    }

    fn directory(
        &mut self,
        parent: BorrowedFd<'_>,
        leaf: &[u8],
        name: &[u8],
        stat: &Stat,
    ) -> Result<(), ExportError> {
        let is_mount = stat.st_dev != self.device;
        let opened = match rustix::fs::openat(parent, leaf, DIRECTORY, Mode::empty()) {
            Ok(opened) => opened,
            // Exchanged for something else since it was looked at: what is there now is not looked at again.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(error) => return Err(failed("open", name, error)),
        };
        self.directory_entry(&opened, name)?;
        if is_mount && self.options.mounts == Mounts::Leave {
            return Ok(());
        }
        self.below(&opened, name)
    }

    fn directory_entry(&mut self, directory: &OwnedFd, name: &[u8]) -> Result<(), ExportError> {
        let stat = rustix::fs::fstat(directory).map_err(|error| failed("stat", name, error))?;
        let xattrs = descriptor_xattrs(directory);
        let mut name = name.to_vec();
        name.push(b'/');
        self.write(name, Kind::Directory, &stat, xattrs)
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        leaf: &[u8],
        name: &[u8],
    ) -> Result<(), ExportError> {
        // Non-blocking: a pipe put in its place since must not hold us.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(parent, leaf, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(()),
            Err(error) => return Err(failed("open", name, error)),
        };
        self.open_file(&file, name)
    }

    fn open_file(&mut self, file: &OwnedFd, name: &[u8]) -> Result<(), ExportError> {
        let stat = rustix::fs::fstat(file).map_err(|error| failed("stat", name, error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let taken = u64::try_from(stat.st_blocks)
            .unwrap_or(0)
            .saturating_mul(512);
        let parts = (size >= SPARSE_MIN && taken < size)
            .then(|| parts(file, size))
            .flatten();
        let xattrs = descriptor_xattrs(file);
        let whole = [(0, size)];
        let (kind, parts) = match &parts {
            Some(parts) => (Kind::Sparse(size, parts.clone()), parts.as_slice()),
            None => (Kind::File(size), &whole[..]),
        };
        self.write(name.to_vec(), kind, &stat, xattrs)?;
        for (offset, length) in parts {
            self.copy(file, *offset, *length, name)?;
        }
        Ok(())
    }

    /// Writes `length` bytes of a file from `offset` on, zeros in place of what is not there any more.
    fn copy(
        &mut self,
        file: &OwnedFd,
        mut offset: u64,
        length: u64,
        name: &[u8],
    ) -> Result<(), ExportError> {
        let end = offset.saturating_add(length);
        while offset < end {
            let most = usize::try_from(end - offset).unwrap_or(usize::MAX);
            let most = most.min(self.buffer.len());
            let part = self.buffer.get_mut(..most).unwrap_or_default();
            let count = match rustix::io::pread(file, &mut *part, offset) {
                Ok(0) => {
                    part.fill(0);
                    most
                }
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(failed("read", name, error)),
            };
            let data = self.buffer.get(..count).unwrap_or_default();
            self.writer.content(data).map_err(ExportError::Write)?;
            offset += count as u64;
        }
        Ok(())
    }

    fn write(
        &mut self,
        name: Vec<u8>,
        kind: Kind,
        stat: &Stat,
        xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<(), ExportError> {
        let entry = NewEntry {
            name,
            kind,
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: stat.st_mtime,
            xattrs,
        };
        self.writer.entry(&entry).map_err(ExportError::Write)
    }
}

fn joined(directory: &[u8], leaf: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        return leaf.to_vec();
    }
    [directory, b"/", leaf].concat()
}

fn is_opaque(directory: &OwnedFd) -> bool {
    let mut value = [0; 1];
    rustix::fs::fgetxattr(directory, "trusted.overlay.opaque", &mut value) == Ok(1)
        && value == *b"y"
}

/// Where a file has data; none when it cannot be found out, or is in too many pieces.
fn parts(file: &OwnedFd, size: u64) -> Option<Vec<(u64, u64)>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < size {
        let begin = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            Err(_) => return None,
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(begin))
            .ok()?
            .min(size);
        if begin >= size || end <= begin {
            break;
        }
        parts.push((begin, end - begin));
        if parts.len() > MAX_PARTS {
            return None;
        }
        at = end;
    }
    if parts
        .last()
        .is_none_or(|(offset, length)| offset + length < size)
    {
        // The end of the file, which GNU tar marks by an empty part.
        parts.push((size, 0));
    }
    Some(parts)
}

fn descriptor_xattrs(fd: &OwnedFd) -> Vec<(Vec<u8>, Vec<u8>)> {
    xattrs(
        |list| rustix::fs::flistxattr(fd, list),
        |key, value| rustix::fs::fgetxattr(fd, key, value),
    )
}

/// Extended attributes, sorted by name, without overlayfs' own. A file system without any has none.
fn xattrs(
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = [0; 1024];
    let mut more = Vec::new();
    let names = match list(&mut names) {
        Ok(0) => return Vec::new(),
        Ok(count) => names.get(..count).unwrap_or_default(),
        Err(Errno::RANGE) => {
            more.resize(XATTR_MAX, 0);
            let count = list(&mut more).unwrap_or(0);
            more.get(..count).unwrap_or_default()
        }
        Err(_) => return Vec::new(),
    };
    let mut found = Vec::new();
    let mut value = vec![0; XATTR_MAX];
    for name in names.split(|byte| *byte == 0) {
        if name.is_empty() || !super::apply::is_allowed_xattr(name) {
            continue;
        }
        if let Ok(count) = get(name, &mut value) {
            let value = value.get(..count).unwrap_or_default();
            found.push((name.to_vec(), value.to_vec()));
        }
    }
    found.sort_unstable();
    found
}
