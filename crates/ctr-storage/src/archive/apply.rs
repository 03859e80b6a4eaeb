//! Writes the entries of a layer into a directory, in the form overlayfs reads.
//!
//! - The parent of an entry is resolved inside the root, its last component never followed.
//! - What stands where an entry goes is unlinked first; only a directory under a directory stays.
//! - `.wh.NAME` becomes overlayfs' whiteout (a character device 0:0), `.wh..wh..opq` its opaque mark
//!   (OCI image spec, layer.md "Whiteouts"; kernel filesystems/overlayfs.rst).
//! - Memory does not grow with the archive: a directory's time is put right when the next entry lies elsewhere.

mod attributes;
mod inode;

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

pub(super) use self::attributes::is_allowed as is_allowed_xattr;
use self::attributes::{attributes_by_descriptor, attributes_by_name};
use self::inode::{directory, file, make_room, node, whiteout};
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

/// What an archive is unpacked as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// A layer: `.wh.` names are whiteouts, and an entry takes the place of whatever is there.
    #[default]
    Layer,
    /// Files among others (`cp`): a name is a name, and neither does a directory take the place of anything else, nor
    /// anything else that of a directory, unless it is allowed to.
    Copy {
        /// Whose the files are to be; none keeps what the archive says.
        owner: Option<(u32, u32)>,
        /// A directory and what is none may take each other's place.
        overwrite: bool,
    },
}

/// Unpacks a tar among the files of `root`, which others may be changing: `purpose` says how. Every path is resolved below
/// `root` by descriptor; directories that are there keep their attributes.
///
/// # Errors
/// [`ApplyError`], which names the entry; what came before it has been unpacked.
pub fn unpack<R: Read>(
    input: R,
    root: BorrowedFd<'_>,
    purpose: Purpose,
    limits: &Limits,
) -> Result<Applied, ApplyError> {
    run(input, root, purpose, limits)
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
    run(input, root, Purpose::Layer, limits)
}

fn run<R: Read>(
    input: R,
    root: BorrowedFd<'_>,
    purpose: Purpose,
    limits: &Limits,
) -> Result<Applied, ApplyError> {
    let mut reader = TarReader::new(input);
    let mut unpacker = Unpacker {
        root,
        purpose,
        parent: None,
        buffer: vec![0; 128 << 10].into(),
    };
    let mut applied = Applied::default();
    while let Some(mut entry) = reader.next_entry()? {
        if let Purpose::Copy {
            owner: Some((uid, gid)),
            ..
        } = purpose
        {
            (entry.uid, entry.gid) = (uid, gid);
        }
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
    purpose: Purpose,
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

/// Whether a copied entry is to be made: a directory that is there already is left as it is.
fn may_take_the_place(
    this: At<'_>,
    parent: BorrowedFd<'_>,
    leaf: &[u8],
    overwrite: bool,
) -> Result<bool, ApplyError> {
    let there = match rustix::fs::statat(parent, leaf, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => FileType::from_raw_mode(there.st_mode),
        Err(Errno::NOENT) => return Ok(true),
        Err(error) => return this.sys("stat", Err(error)),
    };
    // A device or pipe is no file to be replaced by one, whoever names it.
    if !matches!(
        there,
        FileType::Directory | FileType::RegularFile | FileType::Symlink
    ) {
        return this.rule("what is there is a device, a pipe or a socket");
    }
    match (
        there == FileType::Directory,
        this.0.kind == EntryKind::Directory,
    ) {
        (true, true) => Ok(false),
        (false, true) if !overwrite => {
            this.rule("it is a directory, and what is there is none: use --overwrite")
        }
        (true, false) if !overwrite => {
            this.rule("what is there is a directory, and it is none: use --overwrite")
        }
        (false | true, false) | (false, true) => Ok(true),
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
        match self.purpose {
            Purpose::Layer => {
                if let Some(hidden) = leaf.strip_prefix(WHITEOUT) {
                    return whiteout(this, parent, leaf, hidden);
                }
            }
            Purpose::Copy { overwrite, .. } => {
                if !may_take_the_place(this, parent, leaf, overwrite)? {
                    return Ok(());
                }
            }
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

    /// The root directory itself is never replaced; it takes the attributes of a layer's.
    fn root_entry(&mut self, entry: &Entry) -> Result<(), ApplyError> {
        let this = At(entry);
        if entry.kind != EntryKind::Directory {
            return this.rule("it would replace the root directory");
        }
        if self.purpose != Purpose::Layer {
            return Ok(());
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
