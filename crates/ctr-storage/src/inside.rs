//! Places in a tree that others may be changing, a running container's: found by descriptor, with the tree's root as the end
//! of every way out (openat2(2), `RESOLVE_IN_ROOT`), and pinned by descriptor from then on (CVE-2018-15664 and its kin).

use std::os::fd::{BorrowedFd, OwnedFd};

use ctr_sys::SysError;
use ctr_sys::error::Context as _;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// A place: a directory that is held, and a name in it. The name may be taken or free.
#[derive(Debug)]
pub struct Place {
    /// The directory.
    pub parent: OwnedFd,
    /// The name in it; `.` for the directory itself.
    pub leaf: Vec<u8>,
    /// What is there, not followed when it is a symlink; none when there is nothing.
    pub stat: Option<Stat>,
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// The directory part and the name of a path.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.len() - path.iter().rev().take_while(|byte| **byte == b'/').count();
    let path = path.get(..end).unwrap_or_default();
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (
            path.get(..=at).unwrap_or_default(),
            path.get(at + 1..).unwrap_or_default(),
        ),
        None => (b"/", path),
    }
}

/// Finds a place below `root`. Symlinks on the way are followed inside the root; the last name is not followed.
///
/// # Errors
/// When a directory on the way is not there.
pub fn locate(root: BorrowedFd<'_>, path: &[u8]) -> Result<Place, SysError> {
    let (directory, leaf) = split(path);
    if matches!(leaf, b"" | b"." | b"..") {
        let parent = open_directory(root, path)?;
        let stat = rustix::fs::fstat(&parent).context("stat", || shown(path))?;
        return Ok(Place {
            parent,
            leaf: b".".to_vec(),
            stat: Some(stat),
        });
    }
    let parent = open_directory(root, directory)?;
    let stat = match rustix::fs::statat(&parent, leaf, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Some(stat),
        Err(Errno::NOENT) => None,
        Err(error) => return Err(SysError::new("stat", shown(path), error)),
    };
    Ok(Place {
        parent,
        leaf: leaf.to_vec(),
        stat,
    })
}

/// As [`locate`], but a symlink at the end is followed too, inside the root, to what is there or would be made there.
///
/// # Errors
/// `ELOOP` after forty symlinks.
pub fn locate_followed(root: BorrowedFd<'_>, path: &[u8]) -> Result<Place, SysError> {
    let mut path = path.to_vec();
    for _ in 0..40 {
        let place = locate(root, &path)?;
        if place.kind() != Some(FileType::Symlink) {
            return Ok(place);
        }
        let target = rustix::fs::readlinkat(&place.parent, &*place.leaf, Vec::new())
            .context("read the link", || shown(&path))?
            .into_bytes();
        path = if target.starts_with(b"/") {
            target
        } else {
            [split(&path).0, &target].concat()
        };
    }
    Err(SysError::new("follow", shown(&path), Errno::LOOP))
}

/// Opens a directory below `root`, following symlinks inside it.
///
/// # Errors
/// `ENOENT`, `ENOTDIR`, and `ELOOP` for magic links, which lead out.
pub fn open_directory(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, SysError> {
    let path = if path.is_empty() { &b"/"[..] } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat2(root, path, flags, Mode::empty(), IN_ROOT).context("open", || shown(path))
}

/// Opens a regular file below `root` for reading, following symlinks inside it; anything else is refused without effect.
///
/// # Errors
/// `EINVAL` when it is no regular file.
pub fn open_file(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, SysError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat2(root, path, flags, Mode::empty(), IN_ROOT)
        .context("open", || shown(path))?;
    let stat = rustix::fs::fstat(&file).context("stat", || shown(path))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        Ok(file)
    } else {
        Err(SysError::new("read", shown(path), Errno::INVAL))
    }
}

impl Place {
    /// What kind of file is there.
    pub fn kind(&self) -> Option<FileType> {
        self.stat
            .as_ref()
            .map(|stat| FileType::from_raw_mode(stat.st_mode))
    }

    /// Whether a directory is there.
    pub fn is_directory(&self) -> bool {
        self.kind() == Some(FileType::Directory)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn paths_are_split_at_their_last_name() {
        for (path, directory, leaf) in [
            ("/a/b", "/a/", "b"),
            ("/a/b//", "/a/", "b"),
            ("/a", "/", "a"),
            ("a", "/", "a"),
            ("/", "/", ""),
            ("/a/.", "/a/", "."),
        ] {
            let found = split(path.as_bytes());
            assert_eq!(found, (directory.as_bytes(), leaf.as_bytes()), "{path}");
        }
    }

    #[test]
    fn h31_every_way_out_ends_at_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        std::fs::create_dir_all(root.join("in")).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        drop(std::fs::File::create(outside.join("secret")).unwrap());
        symlink(&outside, root.join("out")).unwrap();
        symlink("../../outside", root.join("in/up")).unwrap();
        let fd = ctr_sys::fs::open_directory(&root).unwrap();
        for path in [
            "/out/secret",
            "/in/up/secret",
            "/../outside/secret",
            "/in/../../outside/secret",
        ] {
            assert!(locate(fd.as_fd(), path.as_bytes()).is_err(), "{path}");
            assert!(open_file(fd.as_fd(), path.as_bytes()).is_err(), "{path}");
        }
        let link = locate(fd.as_fd(), b"/out").unwrap();
        assert_eq!(link.kind(), Some(FileType::Symlink));
        assert!(locate(fd.as_fd(), b"/in/new").unwrap().stat.is_none());
        assert!(locate(fd.as_fd(), b"/in/.").unwrap().is_directory());
        assert!(locate(fd.as_fd(), b"/..").unwrap().is_directory());
        assert!(open_file(fd.as_fd(), b"/in").is_err());
    }
}
