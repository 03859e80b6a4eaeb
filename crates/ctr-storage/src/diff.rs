//! What a container has changed: its upper directory compared with the layers below (kernel filesystems/overlayfs.rst).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use ctr_sys::SysError;
use ctr_sys::error::Context as _;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// Its content, its attributes, or what is in it.
    Modified,
    /// It was not there.
    Added,
    /// It is not there any more.
    Deleted,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The path, absolute in the container.
    pub path: PathBuf,
    /// How it differs.
    pub kind: ChangeKind,
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The changes in `upper` against `lower` (the lowest first), sorted by path.
///
/// # Errors
/// The failed call. A directory that goes away while it is read is as good as empty.
pub fn changes(upper: &Path, lower: &[PathBuf]) -> Result<Vec<Change>, SysError> {
    let mut layers = Vec::new();
    // The topmost first, as a look-up goes.
    for layer in lower.iter().rev() {
        layers.push(ctr_sys::fs::open_directory(layer)?);
    }
    let upper = ctr_sys::fs::open_directory(upper)?;
    let mut comparison = Comparison {
        layers,
        found: Vec::new(),
    };
    comparison.directory(upper.as_fd(), &mut Vec::new(), Below::Known)?;
    comparison.found.sort();
    Ok(comparison.found)
}

/// What the layers have in the place of a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    /// A directory, which is compared.
    Known,
    /// Nothing, or what is hidden: everything in it is new.
    New,
}

struct Comparison {
    layers: Vec<OwnedFd>,
    found: Vec<Change>,
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    let mut value = [0; 1];
    rustix::fs::fgetxattr(directory, "trusted.overlay.opaque", &mut value) == Ok(1)
        && value == *b"y"
}

fn shown(path: &[Vec<u8>]) -> String {
    absolute(path).display().to_string()
}

fn absolute(path: &[Vec<u8>]) -> PathBuf {
    let text: Vec<u8> = path
        .iter()
        .flat_map(|part| [b"/", part.as_slice()].concat())
        .collect();
    PathBuf::from(OsString::from_vec(text))
}

fn names(directory: BorrowedFd<'_>, path: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, SysError> {
    let listing = Dir::read_from(directory).context("list", || shown(path))?;
    let mut names = Vec::new();
    for entry in listing {
        let entry = entry.context("list", || shown(path))?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

impl Comparison {
    fn add(&mut self, path: &[Vec<u8>], kind: ChangeKind) {
        self.found.push(Change {
            path: absolute(path),
            kind,
        });
    }

    fn directory(
        &mut self,
        directory: BorrowedFd<'_>,
        path: &mut Vec<Vec<u8>>,
        below: Below,
    ) -> Result<(), SysError> {
        let mut here = BTreeSet::new();
        for name in names(directory, path)? {
            let stat = match rustix::fs::statat(directory, &*name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(SysError::new("stat", shown(path), error)),
            };
            path.push(name.clone());
            self.entry(directory, &stat, path, below)?;
            path.pop();
            here.insert(name);
        }
        if below == Below::Known && is_opaque(directory) {
            // It hides whatever was there and is not here again.
            for name in self.names_below(path)?.difference(&here) {
                path.push(name.clone());
                self.add(path, ChangeKind::Deleted);
                path.pop();
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        parent: BorrowedFd<'_>,
        stat: &Stat,
        path: &mut Vec<Vec<u8>>,
        below: Below,
    ) -> Result<(), SysError> {
        let before = match below {
            Below::Known => self.look_up(path)?,
            Below::New => None,
        };
        if is_whiteout(stat) {
            if before.is_some() {
                self.add(path, ChangeKind::Deleted);
            }
            return Ok(());
        }
        let kind = if before.is_some() {
            ChangeKind::Modified
        } else {
            ChangeKind::Added
        };
        self.add(path, kind);
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Ok(());
        }
        let Some(name) = path.last().cloned() else {
            return Ok(());
        };
        let inside = match rustix::fs::openat(parent, &*name, DIRECTORY, Mode::empty()) {
            Ok(inside) => inside,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(error) => return Err(SysError::new("open", shown(path), error)),
        };
        let below = if before == Some(FileType::Directory) {
            Below::Known
        } else {
            Below::New
        };
        self.directory(inside.as_fd(), path, below)
    }

    /// What the layers together have at a path.
    fn look_up(&self, path: &[Vec<u8>]) -> Result<Option<FileType>, SysError> {
        for layer in &self.layers {
            match in_layer(layer.as_fd(), path)? {
                InLayer::There(kind) => return Ok(Some(kind)),
                InLayer::Hidden => return Ok(None),
                InLayer::Unmentioned => {}
            }
        }
        Ok(None)
    }

    /// The names that the layers together have in a directory.
    fn names_below(&self, path: &[Vec<u8>]) -> Result<BTreeSet<Vec<u8>>, SysError> {
        let mut candidates = BTreeSet::new();
        for layer in &self.layers {
            if let Some(directory) = open_below(layer.as_fd(), path)? {
                candidates.extend(names(directory.as_fd(), path)?);
            }
        }
        let mut there = BTreeSet::new();
        for name in candidates {
            let full = [path, std::slice::from_ref(&name)].concat();
            if self.look_up(&full)?.is_some() {
                there.insert(name);
            }
        }
        Ok(there)
    }
}

/// What one layer says about a path.
enum InLayer {
    There(FileType),
    /// It hides what layers below it may have there.
    Hidden,
    Unmentioned,
}

/// Looks a path up in one layer, a component at a time: none of them may be a symlink.
fn in_layer(layer: BorrowedFd<'_>, path: &[Vec<u8>]) -> Result<InLayer, SysError> {
    let mut opened: Option<OwnedFd> = None;
    let mut opaque = false;
    for (depth, name) in path.iter().enumerate() {
        let at = opened.as_ref().map_or(layer, AsFd::as_fd);
        opaque |= is_opaque(at);
        let stat = match rustix::fs::statat(at, &**name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) if opaque => return Ok(InLayer::Hidden),
            Err(Errno::NOENT) => return Ok(InLayer::Unmentioned),
            Err(error) => return Err(SysError::new("stat", shown(path), error)),
        };
        if is_whiteout(&stat) {
            return Ok(InLayer::Hidden);
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        if depth + 1 == path.len() {
            return Ok(InLayer::There(kind));
        }
        if kind != FileType::Directory {
            return Ok(InLayer::Hidden);
        }
        let next = rustix::fs::openat(at, &**name, DIRECTORY, Mode::empty());
        opened = Some(next.context("open", || shown(path))?);
    }
    Ok(InLayer::There(FileType::Directory))
}

/// Opens a directory of one layer; none when it has none there.
fn open_below(layer: BorrowedFd<'_>, path: &[Vec<u8>]) -> Result<Option<OwnedFd>, SysError> {
    let root = rustix::fs::openat(layer, ".", DIRECTORY, Mode::empty());
    let mut at = root.context("open", || shown(path))?;
    for name in path {
        at = match rustix::fs::openat(&at, &**name, DIRECTORY, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(error) => return Err(SysError::new("open", shown(path), error)),
        };
    }
    Ok(Some(at))
}
