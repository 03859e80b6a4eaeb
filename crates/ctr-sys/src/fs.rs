//! Files that matter: written whole or not at all, read with a limit.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Context as _, SysError};

/// What a write must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Power loss: the file and its directory are synced.
    PowerLoss,
    /// The death of the process only: readers see the old or the new content, never half; nothing is synced.
    ProcessDeath,
}

/// Replaces `path` by `content`: a temporary file beside it, renamed over it (rename(2)).
///
/// The temporary name ends in `.tmp`, so that a crash leaves something recognisable.
///
/// # Errors
/// The failed call; the old content is then still in place.
pub fn write_atomic(
    path: &Path,
    content: &[u8],
    mode: u32,
    durability: Durability,
) -> Result<(), SysError> {
    let shown = || path.display().to_string();
    let directory = path
        .parent()
        .ok_or_else(|| SysError::new("write", shown(), io::Error::from(Errno::INVAL)))?;
    let mut temporary_name = path
        .file_name()
        .ok_or_else(|| SysError::new("write", shown(), io::Error::from(Errno::INVAL)))?
        .to_owned();
    temporary_name.push(format!(".{}.tmp", std::process::id()));
    let temporary = directory.join(temporary_name);
    let flags =
        OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let write = || -> Result<(), SysError> {
        let fd = rustix::fs::open(&temporary, flags, Mode::from_raw_mode(mode))
            .context("create", || temporary.display().to_string())?;
        let mut file = std::fs::File::from(fd);
        file.write_all(content)
            .context("write", || temporary.display().to_string())?;
        if durability == Durability::PowerLoss {
            file.sync_all()
                .context("fsync", || temporary.display().to_string())?;
        }
        rustix::fs::rename(&temporary, path).context("rename to", shown)
    };
    write().inspect_err(|_| {
        // Best effort: the name is recognisable and the next write truncates it.
        let _gone = rustix::fs::unlink(&temporary);
    })?;
    if durability == Durability::PowerLoss {
        sync_directory(directory)?;
    }
    Ok(())
}

/// Makes the entries of a directory survive power loss (fsync(2) on the directory).
pub fn sync_directory(directory: &Path) -> Result<(), SysError> {
    let fd = open_directory(directory)?;
    rustix::fs::fsync(&fd).context("fsync", || directory.display().to_string())
}

/// Opens a directory for use as the base of `*at` calls; the last component is not followed.
pub fn open_directory(directory: &Path) -> Result<OwnedFd, SysError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(directory, flags, Mode::empty())
        .context("open", || directory.display().to_string())
}

/// As [`open_directory`], but the last component is followed: for `/proc/PID/root`, and for directories that a user names.
pub fn open_directory_followed(directory: &Path) -> Result<OwnedFd, SysError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(directory, flags, Mode::empty())
        .context("open", || directory.display().to_string())
}

/// Makes everything written to the file system of `fd` survive power loss (syncfs(2)).
pub fn sync_file_system(fd: impl AsFd, shown: &Path) -> Result<(), SysError> {
    rustix::fs::syncfs(fd).context("syncfs", || shown.display().to_string())
}

/// Reads a regular file whole, refusing anything else and anything longer than `limit` bytes.
///
/// Never blocks on a FIFO or device: opened non-blocking, checked by the descriptor (reliability.md rule 15).
///
/// # Errors
/// `EINVAL` when it is not a regular file, `EFBIG` when it is longer than the limit.
pub fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, SysError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())
        .context("open", || path.display().to_string())?;
    read_limited_fd(fd, limit, path)
}

/// As [`read_limited`], of a descriptor already opened.
pub fn read_limited_fd(fd: OwnedFd, limit: u64, shown: &Path) -> Result<Vec<u8>, SysError> {
    let stat = rustix::fs::fstat(&fd).context("stat", || shown.display().to_string())?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        let not_regular = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
        return Err(SysError::new(
            "read",
            shown.display().to_string(),
            not_regular,
        ));
    }
    let mut content = Vec::new();
    std::fs::File::from(fd)
        .take(limit.saturating_add(1))
        .read_to_end(&mut content)
        .context("read", || shown.display().to_string())?;
    if u64::try_from(content.len()).unwrap_or(u64::MAX) > limit {
        let too_long = io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("longer than the limit of {limit} bytes"),
        );
        return Err(SysError::new("read", shown.display().to_string(), too_long));
    }
    Ok(content)
}

/// As [`read_limited`], but a file that is not there is `None`.
pub fn read_if_present(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, SysError> {
    match read_limited(path, limit) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Renames; something that is not there is as good as renamed.
pub fn rename_if_present(from: &Path, to: &Path) -> Result<(), SysError> {
    match rustix::fs::rename(from, to) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(SysError::new("rename to", to.display().to_string(), error)),
    }
}

/// Removes a file; one that is not there is as good as removed.
pub fn ensure_file_absent(path: &Path) -> Result<(), SysError> {
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(error) => Err(SysError::new("unlink", path.display().to_string(), error)),
    }
}

/// Makes a directory and its missing parents, each with `mode` (before umask).
pub fn ensure_directory(path: &Path, mode: u32) -> Result<(), SysError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .context("make directory", || path.display().to_string())
}

/// Removes a directory and everything below it, without ever leaving its file system: a mount point below
/// is an error (`EBUSY`), not a way into what is mounted there (reliability.md F33).
///
/// A directory that is not there is as good as removed.
pub fn ensure_tree_absent(path: &Path) -> Result<(), SysError> {
    let shown = || path.display().to_string();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR | Errno::LOOP) => return ensure_file_absent(path),
        Err(error) => return Err(SysError::new("open", shown(), error)),
    };
    let device = rustix::fs::fstat(&fd).context("stat", shown)?.st_dev;
    empty_directory(&fd, device, path)?;
    drop(fd);
    match rustix::fs::rmdir(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(SysError::new("rmdir", shown(), error)),
    }
}

/// Depth-first with an own stack, so that a deep tree costs memory and not stack; one descriptor a level.
fn empty_directory(top: &OwnedFd, device: u64, shown: &Path) -> Result<(), SysError> {
    let name_of = || shown.display().to_string();
    let mut stack: Vec<(rustix::fs::Dir, Option<std::ffi::CString>)> = vec![(
        rustix::fs::Dir::read_from(top).context("read directory", name_of)?,
        None,
    )];
    while let Some((directory, _)) = stack.last_mut() {
        let Some(entry) = directory.next() else {
            let finished = stack.pop();
            if let (Some((_, Some(name))), Some((parent, _))) = (finished, stack.last_mut()) {
                let parent = parent.fd().context("read directory", name_of)?;
                match rustix::fs::unlinkat(parent, &name, AtFlags::REMOVEDIR) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(error) => {
                        let object = format!("{} below {}", name.to_string_lossy(), name_of());
                        return Err(SysError::new("rmdir", object, error));
                    }
                }
            }
            continue;
        };
        let entry = entry.context("read directory", name_of)?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let below = || format!("{} below {}", name.to_string_lossy(), shown.display());
        let here = directory.fd().context("read directory", name_of)?;
        if entry.file_type() != FileType::Directory {
            match rustix::fs::unlinkat(here, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => continue,
                Err(Errno::ISDIR) => {} // the file system does not tell types in d_type
                Err(error) => return Err(SysError::new("unlink", below(), error)),
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let child = match rustix::fs::openat(here, name, flags, Mode::empty()) {
            Ok(child) => child,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(SysError::new("open", below(), error)),
        };
        if rustix::fs::fstat(&child).context("stat", below)?.st_dev != device {
            return Err(SysError::new("remove mount point", below(), Errno::BUSY));
        }
        let name = name.to_owned();
        stack.push((
            rustix::fs::Dir::new(child).context("read directory", name_of)?,
            Some(name),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b27_write_atomic_replaces_and_leaves_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for durability in [Durability::PowerLoss, Durability::ProcessDeath] {
            write_atomic(&path, b"one", 0o600, durability).unwrap();
            write_atomic(&path, b"two", 0o600, durability).unwrap();
            assert_eq!(read_limited(&path, 10).unwrap(), b"two");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn read_limited_refuses_long_files_and_fifos() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_atomic(&path, b"12345", 0o600, Durability::ProcessDeath).unwrap();
        assert!(read_limited(&path, 4).is_err());
        assert!(read_limited(&path, 5).is_ok());
        let fifo = dir.path().join("fifo");
        rustix::fs::mkfifoat(CWD, &fifo, Mode::RWXU).unwrap();
        assert!(read_limited(&fifo, 5).is_err());
        assert!(
            read_if_present(&dir.path().join("none"), 5)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn tree_removal_does_not_follow_links_and_is_idempotent() {
        let dir = tempfile::tempdir().unwrap();
        let keep = dir.path().join("keep");
        ensure_directory(&keep.join("inner"), 0o755).unwrap();
        let tree = dir.path().join("tree");
        ensure_directory(&tree.join("a/b/c"), 0o755).unwrap();
        write_atomic(&tree.join("a/f"), b"x", 0o600, Durability::ProcessDeath).unwrap();
        std::os::unix::fs::symlink(&keep, tree.join("a/link")).unwrap();
        ensure_tree_absent(&tree).unwrap();
        ensure_tree_absent(&tree).unwrap();
        assert!(!tree.exists());
        assert!(keep.join("inner").exists());
    }
}
