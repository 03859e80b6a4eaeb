//! A container's root file system, looked at from outside: always by descriptors inside it (openat2(2),
//! `RESOLVE_IN_ROOT`), never by host paths, since whoever made the image chose every name in it.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use ctr_sys::SysError;
use ctr_sys::error::Context as _;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Longest file read from inside (reliability.md rule 15).
const READ_LIMIT: u64 = 1 << 20;

/// What is wrong with a root file system.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootfsError {
    /// A directory that the runtime mounts over is something else.
    #[error(
        "the image has {0} as something other than a directory: a runtime would mount over where it leads"
    )]
    NotADirectory(&'static str),
    /// The working directory cannot be used.
    #[error("working directory {path:?}: {rule}")]
    Workdir {
        /// The directory.
        path: String,
        /// Why.
        rule: &'static str,
    },
    /// A call failed.
    #[error(transparent)]
    Sys(#[from] SysError),
}

/// Whether a program can be run, as execvp(3) would find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// It is there and may be executed.
    Executable,
    /// It is there and may not, or is no file.
    NotExecutable,
    /// There is no such program.
    Missing,
}

/// An open root file system.
#[derive(Debug)]
pub struct RootFs {
    root: OwnedFd,
    shown: PathBuf,
}

const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

impl RootFs {
    /// Opens the root file system at `path` on the host.
    pub fn open(path: &Path) -> Result<Self, SysError> {
        Ok(Self {
            root: ctr_sys::fs::open_directory(path)?,
            shown: path.to_owned(),
        })
    }

    /// The root file system that is open already; `shown` stands for it in messages.
    ///
    /// # Errors
    /// When no more descriptors are to be had.
    pub fn from_descriptor(
        root: BorrowedFd<'_>,
        shown: impl Into<PathBuf>,
    ) -> Result<Self, SysError> {
        let shown = shown.into();
        let root = root
            .try_clone_to_owned()
            .context("duplicate", || shown.display().to_string())?;
        Ok(Self { root, shown })
    }

    fn open_inside(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        rustix::fs::openat2(
            &self.root,
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            IN_ROOT,
        )
    }

    fn inside(&self, path: &str) -> String {
        format!("{path} in {}", self.shown.display())
    }

    /// Reads a file inside; `None` when it is not there. Its content never appears in an error.
    ///
    /// # Errors
    /// When it is not a regular file, or longer than 1 MiB.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SysError> {
        // Non-blocking, so that a FIFO in its place does not hold us (reliability.md H14).
        match self.open_inside(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY) {
            Ok(fd) => {
                let shown = self.inside(path);
                ctr_sys::fs::read_limited_fd(fd, READ_LIMIT, Path::new(&shown)).map(Some)
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(SysError::new("open", self.inside(path), error)),
        }
    }

    /// Makes sure that what runtimes mount over are real directories, or not there (reliability.md H16: a symlink in their
    /// place has led runtimes outside more than once).
    pub fn check_mount_points(&self) -> Result<(), RootfsError> {
        for (path, shown) in [
            ("dev", "/dev"),
            ("proc", "/proc"),
            ("sys", "/sys"),
            ("etc", "/etc"),
            ("run", "/run"),
        ] {
            match rustix::fs::statat(&self.root, path, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {}
                Ok(_) => return Err(RootfsError::NotADirectory(shown)),
                Err(Errno::NOENT) => {}
                Err(error) => return Err(SysError::new("stat", self.inside(shown), error).into()),
            }
        }
        Ok(())
    }

    /// Makes the working directory when it is missing, inside the root whatever symlinks say.
    ///
    /// # Errors
    /// [`RootfsError::Workdir`] for one that is not absolute, below /proc, or not a directory (reliability.md H17).
    pub fn ensure_workdir(&self, path: &str) -> Result<(), RootfsError> {
        let wrong = |rule| {
            Err(RootfsError::Workdir {
                path: path.to_owned(),
                rule,
            })
        };
        if !path.starts_with('/') {
            return wrong("it must be an absolute path");
        }
        let parts: Vec<&str> = path
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .collect();
        if parts.contains(&"..") {
            return wrong("it must not hold '..'");
        }
        if parts.first() == Some(&"proc") {
            return wrong("it must not lie in /proc, which leads out of the container");
        }
        let mut made = String::new();
        let mut parent = self.open_inside("/", OFlags::RDONLY | OFlags::DIRECTORY);
        for part in parts {
            made.push('/');
            made.push_str(part);
            let here = parent.context("open", || self.inside(&made))?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            parent = match self.open_inside(&made, flags) {
                Err(Errno::NOENT) => {
                    match rustix::fs::mkdirat(&here, part, Mode::from_raw_mode(0o755)) {
                        Ok(()) => self.open_inside(&made, flags),
                        Err(Errno::EXIST) => {
                            return wrong("a part of it is a symlink that leads nowhere");
                        }
                        Err(error) => Err(error),
                    }
                }
                Err(Errno::NOTDIR) => return wrong("it is not a directory"),
                Err(Errno::LOOP) => return wrong("it leads through a loop of symlinks"),
                other => other,
            };
        }
        parent.context("make", || self.inside(&made))?;
        Ok(())
    }

    /// What execvp(3) would find for `program` with this search path, run from `workdir`. Mounts are not taken into account.
    pub fn find_program(&self, program: &str, search: &str, workdir: &str) -> Program {
        let candidates: Vec<String> = if program.starts_with('/') {
            vec![program.to_owned()]
        } else if program.contains('/') {
            vec![format!("{workdir}/{program}")]
        } else {
            search
                .split(':')
                .map(|directory| {
                    let directory = if directory.is_empty() {
                        workdir
                    } else {
                        directory
                    };
                    format!("{directory}/{program}")
                })
                .collect()
        };
        let mut outcome = Program::Missing;
        for candidate in candidates {
            let Ok(fd) = self.open_inside(&candidate, OFlags::PATH) else {
                continue;
            };
            let Ok(found) = rustix::fs::fstat(&fd) else {
                continue;
            };
            let executable = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
                && found.st_mode & 0o111 != 0;
            if executable {
                return Program::Executable;
            }
            outcome = Program::NotExecutable;
        }
        outcome
    }

    /// Where it is on the host, for messages.
    pub fn path(&self) -> &Path {
        &self.shown
    }
}

/// A file's lines as text, or why not.
pub(crate) fn lines(content: &[u8]) -> Result<Vec<&str>, io::Error> {
    std::str::from_utf8(content)
        .map(|text| text.lines().collect())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn rootfs() -> (tempfile::TempDir, RootFs) {
        let dir = tempfile::tempdir().unwrap();
        for name in ["bin", "etc", "usr/local"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        for (name, mode) in [("tool", 0o755), ("data", 0o644)] {
            let path = dir.path().join("bin").join(name);
            std::fs::File::create(&path).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let rootfs = RootFs::open(dir.path()).unwrap();
        (dir, rootfs)
    }

    #[test]
    fn h14_h15_files_are_read_inside_and_only_if_regular() {
        let (dir, rootfs) = rootfs();
        symlink("/etc/shadow", dir.path().join("etc/passwd")).unwrap();
        assert_eq!(
            rootfs.read("/etc/passwd").unwrap(),
            None,
            "the link leads nowhere inside"
        );
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("etc/group"), Mode::RWXU).unwrap();
        assert!(rootfs.read("/etc/group").is_err());
        assert!(rootfs.read("/bin").is_err());
        assert!(rootfs.read("/bin/tool").unwrap().is_some());
    }

    #[test]
    fn h16_mount_points_must_be_directories() {
        let (dir, rootfs) = rootfs();
        rootfs.check_mount_points().unwrap();
        symlink("/tmp", dir.path().join("dev")).unwrap();
        let error = rootfs.check_mount_points().unwrap_err();
        assert!(error.to_string().contains("/dev"), "{error}");
    }

    #[test]
    fn h17_the_working_directory_is_made_inside() {
        let (dir, rootfs) = rootfs();
        symlink("/usr/local", dir.path().join("link")).unwrap();
        symlink("../../../../nowhere", dir.path().join("dangling")).unwrap();
        rootfs.ensure_workdir("/").unwrap();
        rootfs.ensure_workdir("/link/app/./x").unwrap();
        assert!(dir.path().join("usr/local/app/x").is_dir());
        for bad in [
            "relative",
            "/proc/self/fd/7",
            "//proc/1",
            "/a/../b",
            "/bin/tool",
            "/dangling",
            "/dangling/x",
            "",
        ] {
            let error = rootfs.ensure_workdir(bad).unwrap_err();
            assert!(
                matches!(error, RootfsError::Workdir { .. }),
                "{bad}: {error}"
            );
        }
    }

    #[test]
    fn b29_programs_are_found_as_execvp_finds_them() {
        let (_dir, rootfs) = rootfs();
        let find = |program| rootfs.find_program(program, "/sbin:/bin", "/");
        assert_eq!(find("tool"), Program::Executable);
        assert_eq!(find("/bin/tool"), Program::Executable);
        assert_eq!(find("bin/tool"), Program::Executable);
        assert_eq!(find("data"), Program::NotExecutable);
        assert_eq!(find("/bin"), Program::NotExecutable);
        assert_eq!(find("nothing"), Program::Missing);
        assert_eq!(find("../../../../bin/sh"), Program::Missing);
    }
}
