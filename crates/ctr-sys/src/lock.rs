//! Advisory locks that belong to an open file description (fcntl(2), `F_OFD_SETLK`).
//!
//! The kernel frees such a lock when the last descriptor of that description is closed, so it dies with
//! its holder, has no pool to run out of, and closing another descriptor of the same file does not drop it
//! (semantics.md B28, B33). A lock file may be removed while somebody waits for it; after the wait the name
//! is compared with the descriptor, and the lock is taken anew if they differ.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use rustix::fs::{Mode, OFlags};

use crate::error::{Context as _, SysError};

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody else still had it when the time was up.
    #[error("lock {} is still held by another process after {waited:?}", path.display())]
    Timeout {
        /// The lock file.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
    /// A call failed.
    #[error(transparent)]
    Sys(#[from] SysError),
}

/// An exclusive lock, held until dropped.
#[derive(Debug)]
#[must_use = "the lock is freed when this is dropped"]
pub struct FileLock {
    fd: OwnedFd,
    path: PathBuf,
}

impl FileLock {
    /// Takes the lock if nobody has it; `None` when somebody has.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>, SysError> {
        loop {
            let fd = open(path)?;
            if !set_lock(fd.as_fd(), path)? {
                return Ok(None);
            }
            if still_named(&fd, path)? {
                return Ok(Some(Self {
                    fd,
                    path: path.to_owned(),
                }));
            }
        }
    }

    /// Takes the lock, waiting at most `patience` for its holder. The kernel wakes waiters in turn; nothing polls.
    ///
    /// # Errors
    /// [`LockError::Timeout`] when the holder outlasted `patience`.
    pub fn acquire(path: &Path, patience: Duration) -> Result<Self, LockError> {
        let start = std::time::Instant::now();
        loop {
            let fd = open(path)?;
            if !set_lock(fd.as_fd(), path)? {
                let left = patience.saturating_sub(start.elapsed());
                if !wait_for_lock(&fd, path, left)? {
                    return Err(LockError::Timeout {
                        path: path.to_owned(),
                        waited: patience,
                    });
                }
            }
            if still_named(&fd, path)? {
                return Ok(Self {
                    fd,
                    path: path.to_owned(),
                });
            }
        }
    }

    /// Whether some open file description holds the lock now. A file that is not there is not held.
    pub fn is_held(path: &Path) -> Result<bool, SysError> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(false),
            Err(error) => return Err(SysError::new("open", path.display().to_string(), error)),
        };
        let mut lock = whole_file(libc::F_WRLCK);
        fcntl(&fd, FcntlArg::F_OFD_GETLK(&mut lock))
            .context("query lock", || path.display().to_string())?;
        Ok(i32::from(lock.l_type) != libc::F_UNLCK)
    }

    /// Removes the lock's file and frees the lock. Waiters notice and start anew.
    pub fn remove(self) -> Result<(), SysError> {
        crate::fs::ensure_file_absent(&self.path)
    }

    /// The lock's file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for FileLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn whole_file(kind: libc::c_int) -> libc::flock {
    libc::flock {
        // F_WRLCK and F_UNLCK fit a short on every target; SEEK_SET is 0.
        l_type: libc::c_short::try_from(kind).unwrap_or_default(),
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn open(path: &Path) -> Result<OwnedFd, SysError> {
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
        .context("open", || path.display().to_string())
}

fn set_lock(fd: BorrowedFd<'_>, path: &Path) -> Result<bool, SysError> {
    match fcntl(fd, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
        Ok(_) => Ok(true),
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
        Err(error) => Err(SysError::new("lock", path.display().to_string(), error)),
    }
}

/// Waits on a thread of its own, so that the wait can be given up. A wait given up may still win later; its
/// thread then holds the last descriptor and frees the lock at once.
fn wait_for_lock(fd: &OwnedFd, path: &Path, patience: Duration) -> Result<bool, SysError> {
    let shown = || path.display().to_string();
    let copy = fd.try_clone().context("duplicate", shown)?;
    let (sender, receiver) = mpsc::channel();
    std::thread::Builder::new()
        .name("lock".into())
        .spawn(move || {
            let lock = whole_file(libc::F_WRLCK);
            let outcome = loop {
                match fcntl(&copy, FcntlArg::F_OFD_SETLKW(&lock)) {
                    Err(nix::errno::Errno::EINTR) => {}
                    other => break other,
                }
            };
            // The waiter may have left; then there is nobody to tell.
            let _unheard = sender.send(outcome);
        })
        .context("start thread for lock", shown)?;
    match receiver.recv_timeout(patience) {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(error)) => Err(SysError::new("lock", shown(), error)),
        Err(mpsc::RecvTimeoutError::Timeout | mpsc::RecvTimeoutError::Disconnected) => Ok(false),
    }
}

fn still_named(fd: &OwnedFd, path: &Path) -> Result<bool, SysError> {
    let ours = rustix::fs::fstat(fd).context("stat", || path.display().to_string())?;
    match rustix::fs::lstat(path) {
        Ok(named) => Ok((named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(SysError::new("stat", path.display().to_string(), error)),
    }
}

impl From<FileLock> for File {
    fn from(lock: FileLock) -> File {
        File::from(lock.fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b28_a_second_holder_waits_and_a_query_sees_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        assert!(!FileLock::is_held(&path).unwrap());
        let first = FileLock::try_acquire(&path).unwrap().unwrap();
        assert!(FileLock::is_held(&path).unwrap());
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        let error = FileLock::acquire(&path, Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, LockError::Timeout { .. }));
        let waiting = {
            let path = path.clone();
            std::thread::spawn(move || FileLock::acquire(&path, Duration::from_secs(20)).map(drop))
        };
        drop(first);
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn b33_closing_another_descriptor_of_the_file_keeps_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let _held = FileLock::try_acquire(&path).unwrap().unwrap();
        drop(std::fs::File::open(&path).unwrap());
        assert!(FileLock::is_held(&path).unwrap());
    }

    #[test]
    fn a_waiter_notices_that_the_file_was_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let first = FileLock::try_acquire(&path).unwrap().unwrap();
        let waiting = {
            let path = path.clone();
            std::thread::spawn(move || FileLock::acquire(&path, Duration::from_secs(20)).unwrap())
        };
        first.remove().unwrap();
        let second = waiting.join().unwrap();
        assert!(
            FileLock::try_acquire(&path).unwrap().is_none(),
            "the new file is the locked one"
        );
        drop(second);
    }
}
