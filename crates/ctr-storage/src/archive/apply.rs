//! Writes the entries of a layer into a directory, in the form overlayfs reads.
//!
//! - The parent of an entry is resolved inside the root, its last component never followed.
//! - What stands where an entry goes is unlinked first; only a directory under a directory stays.
//! - `.wh.NAME` becomes overlayfs' whiteout (a character device 0:0), `.wh..wh..opq` its opaque mark
//!   (OCI image spec, layer.md "Whiteouts"; kernel filesystems/overlayfs.rst).
//! - Memory does not grow with the archive: a directory's time is put right when the next entry lies elsewhere.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::reader::{Entry, EntryKind, MAX_COMPONENT, TarError, TarReader};

/// How much an archive may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most entries.
    pub entries: u64,
    /// Most bytes of all files together; none means as much as fits.
    pub bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 5_000_000,
            bytes: None,
        }
    }
}

/// What was unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Bytes of the files, holes included.
    pub size: u64,
    /// Entries.
    pub entries: u64,
}

/// Why unpacking stopped. What had been unpacked is still there: the caller unpacks into a staging directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The archive is malformed.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// An entry wants something that is not allowed.
    #[error("entry {index} {name:?}: {rule}")]
    Rule {
        /// Number of the entry, from 1.
        index: u64,
        /// Its name.
        name: String,
        /// The rule.
        rule: &'static str,
    },
    /// A call failed for an entry.
    #[error("{action} for entry {index} {name:?}")]
    Sys {
        /// The call.
        action: &'static str,
        /// Number of the entry, from 1.
        index: u64,
        /// Its name.
        name: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// Unpacks a layer's uncompressed tar into `root`, an empty directory that nobody else writes.
///
/// Reads up to the end mark of the archive; what follows is the caller's.
///
/// # Errors
/// [`ApplyError`], which names the entry.
pub fn apply<R: Read>(
    input: R,
    root: BorrowedFd<'_>,
    limits: &Limits,
) -> Result<Applied, ApplyError> {
    let mut reader = TarReader::new(input);
    let mut unpacker = Unpacker {
        root,
        parent: None,
        buffer: vec![0; 128 << 10].into(),
    };
    let mut applied = Applied::default();
    while let Some(entry) = reader.next_entry()? {
        let this = At(&entry);
        applied.entries += 1;
        applied.size = applied.size.saturating_add(entry.size);
        if applied.entries > limits.entries {
            return this.rule("the archive has too many entries");
        }
        if limits.bytes.is_some_and(|most| applied.size > most) {
            return this.rule("the archive is larger than allowed");
        }
        unpacker.entry(&entry, &mut reader)?;
    }
    unpacker.leave_parent()?;
    Ok(applied)
}

/// The entry that an error is about.
#[derive(Clone, Copy)]
struct At<'a>(&'a Entry);

impl At<'_> {
    fn name(self) -> String {
        String::from_utf8_lossy(&self.0.name).into_owned()
    }

    fn rule<T>(self, rule: &'static str) -> Result<T, ApplyError> {
        Err(ApplyError::Rule {
            index: self.0.index,
            name: self.name(),
            rule,
        })
    }

    fn sys<T>(self, action: &'static str, outcome: Result<T, Errno>) -> Result<T, ApplyError> {
        outcome.map_err(|error| ApplyError::Sys {
            action,
            index: self.0.index,
            name: self.name(),
            source: error.into(),
        })
    }
}

/// The directory that entries are being put into, and the time it is to have in the end.
struct Parent {
    path: Vec<u8>,
    fd: OwnedFd,
    times: Timestamps,
}

struct Unpacker<'a> {
    root: BorrowedFd<'a>,
    parent: Option<Parent>,
    buffer: Box<[u8]>,
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const OPAQUE_XATTR: &str = "trusted.overlay.opaque";

/// The components of a name: no empty ones, no `.`. The name of the root has none.
fn components<'n>(this: At<'_>, name: &'n [u8]) -> Result<Vec<&'n [u8]>, ApplyError> {
    let mut parts = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return this.rule("its name or link holds '..'"),
            part if part.len() > MAX_COMPONENT => {
                return this.rule("a part of its name is longer than 255 bytes");
            }
            part => parts.push(part),
        }
    }
    Ok(parts)
}

fn modified(stat: &Stat) -> Timestamps {
    let time = Timespec {
        tv_sec: stat.st_mtime,
        tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or(0),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn times_of(entry: &Entry) -> Timestamps {
    let time = Timespec {
        tv_sec: entry.mtime.0,
        tv_nsec: i64::from(entry.mtime.1),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

impl Unpacker<'_> {
    fn entry<R: Read>(
        &mut self,
        entry: &Entry,
        reader: &mut TarReader<R>,
    ) -> Result<(), ApplyError> {
        let this = At(entry);
        let parts = components(this, &entry.name)?;
        let Some((leaf, above)) = parts.split_last() else {
            return self.root_entry(entry);
        };
        self.enter(this, above)?;
        let Some(parent) = &self.parent else {
            return this.rule("its parent is not there");
        };
        let parent = parent.fd.as_fd();
        if let Some(hidden) = leaf.strip_prefix(WHITEOUT) {
            return whiteout(this, parent, leaf, hidden);
        }
        match entry.kind {
            EntryKind::Directory => directory(this, parent, leaf),
            EntryKind::File => {
                make_room(this, parent, leaf)?;
                file(this, parent, leaf, reader, &mut self.buffer)
            }
            EntryKind::Symlink => {
                if entry.link.is_empty() {
                    return this.rule("it is a symlink to nothing");
                }
                make_room(this, parent, leaf)?;
                this.sys(
                    "symlink",
                    rustix::fs::symlinkat(entry.link.as_slice(), parent, *leaf),
                )?;
                attributes_by_name(this, parent, leaf)
            }
            EntryKind::Hardlink => self.hardlink(this, parent, leaf),
            EntryKind::Fifo => node(this, parent, leaf, FileType::Fifo, 0),
            EntryKind::CharDevice { major: 0, minor: 0 } => {
                this.rule("it is overlayfs' whiteout; archives use .wh. names")
            }
            EntryKind::CharDevice { major, minor } => node(
                this,
                parent,
                leaf,
                FileType::CharacterDevice,
                rustix::fs::makedev(major, minor),
            ),
            EntryKind::BlockDevice { major, minor } => node(
                this,
                parent,
                leaf,
                FileType::BlockDevice,
                rustix::fs::makedev(major, minor),
            ),
        }
    }

    /// The root directory itself is never replaced; it takes the attributes.
    fn root_entry(&mut self, entry: &Entry) -> Result<(), ApplyError> {
        let this = At(entry);
        if entry.kind != EntryKind::Directory {
            return this.rule("it would replace the root directory");
        }
        self.leave_parent()?;
        let root = this.sys(
            "open",
            rustix::fs::openat(self.root, ".", DIRECTORY, Mode::empty()),
        )?;
        attributes_by_descriptor(this, root.as_fd())
    }

    /// Makes `above` the current parent, making directories that are missing.
    fn enter(&mut self, this: At<'_>, above: &[&[u8]]) -> Result<(), ApplyError> {
        let path = above.join(&b'/');
        if self
            .parent
            .as_ref()
            .is_some_and(|parent| parent.path == path)
        {
            return Ok(());
        }
        self.leave_parent()?;
        let fd = match self.resolve(&path) {
            Err(Errno::NOENT) => self.make_parents(this, above)?,
            Err(Errno::NOTDIR) => return this.rule("a parent of it is not a directory"),
            Err(Errno::LOOP) => return this.rule("a parent of it is a loop of symlinks"),
            other => this.sys("open the parent directory", other)?,
        };
        let stat = this.sys("stat the parent directory", rustix::fs::fstat(&fd))?;
        self.parent = Some(Parent {
            path,
            fd,
            times: modified(&stat),
        });
        Ok(())
    }

    /// Opens a directory below the root; symlinks on the way lead no further than the root (openat2(2)).
    fn resolve(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { &b"."[..] } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat2(self.root, path, flags, Mode::empty(), IN_ROOT)
    }

    fn make_parents(&self, this: At<'_>, above: &[&[u8]]) -> Result<OwnedFd, ApplyError> {
        let mut path = Vec::new();
        let mut fd = this.sys("open the root", self.resolve(b""))?;
        for part in above {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(part);
            fd = match self.resolve(&path) {
                Ok(next) => next,
                Err(Errno::NOENT) => {
                    match rustix::fs::mkdirat(&fd, *part, Mode::from_raw_mode(0o755)) {
                        Err(Errno::EXIST) => {
                            return this.rule("a parent of it is a symlink that leads nowhere");
                        }
                        other => this.sys("make a parent directory", other)?,
                    }
                    let next = rustix::fs::openat(&fd, *part, DIRECTORY, Mode::empty());
                    let next = this.sys("open a parent directory", next)?;
                    // Whatever the umask says.
                    let mode = Mode::from_raw_mode(0o755);
                    this.sys("chmod a parent directory", rustix::fs::fchmod(&next, mode))?;
                    next
                }
                Err(Errno::NOTDIR) => return this.rule("a parent of it is not a directory"),
                Err(error) => this.sys("open a parent directory", Err(error))?,
            };
        }
        Ok(fd)
    }

    /// Gives the current parent the time it had before entries were put into it.
    fn leave_parent(&mut self) -> Result<(), ApplyError> {
        let Some(parent) = self.parent.take() else {
            return Ok(());
        };
        rustix::fs::futimens(&parent.fd, &parent.times).map_err(|error| ApplyError::Sys {
            action: "set the time of a directory",
            index: 0,
            name: String::from_utf8_lossy(&parent.path).into_owned(),
            source: error.into(),
        })
    }

    fn hardlink(
        &self,
        this: At<'_>,
        parent: BorrowedFd<'_>,
        leaf: &[u8],
    ) -> Result<(), ApplyError> {
        let parts = components(this, &this.0.link)?;
        let Some((target, above)) = parts.split_last() else {
            return this.rule("it is a hard link to the root");
        };
        let missing = "it is a hard link to something that is not in this layer";
        let holder = match self.resolve(&above.join(&b'/')) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return this.rule(missing),
            other => this.sys("open the directory of the link's target", other)?,
        };
        let stat = match rustix::fs::statat(&holder, *target, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return this.rule(missing),
            other => this.sys("stat the link's target", other)?,
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            return this.rule("it is a hard link to a directory");
        }
        if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
            return this.rule(missing);
        }
        match rustix::fs::statat(parent, leaf, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) if (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino) => {
                return if above.is_empty() && components(this, &this.0.name)? == parts {
                    this.rule("it is a hard link to itself")
                } else {
                    Ok(())
                };
            }
            Ok(_) | Err(_) => {}
        }
        make_room(this, parent, leaf)?;
        let linked = rustix::fs::linkat(&holder, *target, parent, leaf, AtFlags::empty());
        this.sys("link", linked)
    }
}

/// Removes what stands in the way of an entry.
fn make_room(this: At<'_>, parent: BorrowedFd<'_>, leaf: &[u8]) -> Result<(), ApplyError> {
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
fn through(parent: BorrowedFd<'_>, leaf: &[u8]) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd())).join(OsStr::from_bytes(leaf))
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn set_opaque(this: At<'_>, directory: BorrowedFd<'_>) -> Result<(), ApplyError> {
    let set = rustix::fs::fsetxattr(directory, OPAQUE_XATTR, b"y", XattrFlags::empty());
    this.sys("mark the directory opaque", set)
}

fn whiteout(
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

fn directory(this: At<'_>, parent: BorrowedFd<'_>, leaf: &[u8]) -> Result<(), ApplyError> {
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

fn file<R: Read>(
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

fn copy<R: Read>(
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

fn node(
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

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (
        Some(Uid::from_raw(entry.uid)),
        Some(Gid::from_raw(entry.gid)),
    )
}

/// Whether an extended attribute may come from an archive: overlayfs' own would let it point anywhere.
fn is_allowed(name: &[u8]) -> bool {
    !name.starts_with(b"trusted.overlay.") && !name.starts_with(b"user.overlay.")
}

/// Sets owner, mode, extended attributes and time, in this order: a change of owner takes the set-id bits and
/// capabilities away, and all of them change the time.
fn attributes_by_descriptor(this: At<'_>, fd: BorrowedFd<'_>) -> Result<(), ApplyError> {
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
fn attributes_by_name(this: At<'_>, parent: BorrowedFd<'_>, leaf: &[u8]) -> Result<(), ApplyError> {
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
fn tolerate_unsupported(this: At<'_>, set: Result<(), Errno>) -> Result<(), ApplyError> {
    match set {
        Err(Errno::OPNOTSUPP) => Ok(()),
        // user.* is for files and directories only (xattr(7)).
        Err(Errno::PERM) if !matches!(this.0.kind, EntryKind::File | EntryKind::Directory) => {
            Ok(())
        }
        other => this.sys("set an extended attribute", other),
    }
}
