//! Copying files between containers, the host and archives (`cp`), by descriptors that a container cannot move away
//! (reliability.md H31). Of a container that is up the files are seen as it sees them, volumes included; of another one they
//! are mounted, with its bind mounts and volumes in their places.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use ctr_oci::rootfs::RootFs;
use ctr_state::{Op, Phase};
use ctr_storage::archive::{
    ExportError, ExportOptions, Limits, Mounts, Purpose, export, export_file, export_open_file,
    transfer, unpack,
};
use ctr_storage::inside::{self, Place};
use ctr_sys::SysError;
use ctr_sys::process::ProcessId;
use ctr_types::ContainerConfig;
use ctr_types::config::MountKind;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::Container;
use crate::{Engine, EngineError};

/// One side of a copy.
#[derive(Clone, Debug)]
pub enum Endpoint<'e> {
    /// A path in a container; a relative one begins at its root.
    Container(Container<'e>, String),
    /// A path on the host, absolute.
    Host(PathBuf),
}

/// What is done with the files of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// How files are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyOptions {
    /// What is copied keeps its owner, instead of belonging to the container's user or, on the host, to the caller.
    pub keep_owner: bool,
    /// A directory and what is none may take each other's place.
    pub overwrite: bool,
}

/// What is copied: something that can be written as a tar under a name.
enum Source {
    /// A directory, or what is in it when nothing is said of itself.
    Directory(OwnedFd, Vec<u8>),
    /// An open regular file.
    File(OwnedFd, Vec<u8>),
    /// A device or pipe.
    Other(Place),
}

impl Source {
    /// Its last name; empty for what is in a directory.
    fn name(&self) -> &[u8] {
        match self {
            Self::Directory(_, name) | Self::File(_, name) => name,
            Self::Other(place) => &place.leaf,
        }
    }

    fn write(&self, out: impl Write, top: &[u8]) -> Result<(), ExportError> {
        let options = ExportOptions {
            mounts: Mounts::Cross,
            top: top.to_vec(),
            ..ExportOptions::default()
        };
        match self {
            Self::Directory(directory, _) => export(directory.as_fd(), out, &options).map(drop),
            Self::File(file, _) => export_open_file(file, out, &options).map(drop),
            Self::Other(place) => {
                export_file(place.parent.as_fd(), &place.leaf, out, &options).map(drop)
            }
        }
    }
}

/// A path with nothing but itself: absolute, and whether it asks for what is in it.
fn clean(path: &str) -> (String, bool) {
    let path = format!("/{}", path.trim_start_matches('/'));
    match path.strip_suffix("/.") {
        Some(directory) => (format!("{directory}/"), true),
        None => (path, false),
    }
}

fn is_missing(error: &SysError) -> bool {
    matches!(error.errno(), Some(Errno::NOENT | Errno::NOTDIR))
}

/// Finds what is to be copied, following a symlink at the end of its path, inside the root.
fn source(root: BorrowedFd<'_>, path: &str) -> Result<Source, SysError> {
    let (path, contents) = clean(path);
    let name = path
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let name = if contents { &[][..] } else { name.as_bytes() };
    match inside::open_directory(root, path.as_bytes()) {
        Ok(directory) => return Ok(Source::Directory(directory, name.to_vec())),
        Err(error) if error.errno() == Some(Errno::NOTDIR) && !path.ends_with('/') => {}
        Err(error) => return Err(error),
    }
    let place = inside::locate_followed(root, path.as_bytes())?;
    if place.kind() == Some(FileType::RegularFile) {
        let file = inside::open_file(place.parent.as_fd(), &place.leaf)?;
        return Ok(Source::File(file, name.to_vec()));
    }
    Ok(Source::Other(place))
}

/// Where something called `name` is to go: a directory that is there, and the name in it; an empty one means the directory
/// itself is merged into.
fn destination(
    root: BorrowedFd<'_>,
    path: &str,
    source: &Source,
) -> Result<(OwnedFd, Vec<u8>), EngineError> {
    let (path, _) = clean(path);
    match inside::open_directory(root, path.as_bytes()) {
        Ok(directory) => return Ok((directory, source.name().to_vec())),
        Err(error) if is_missing(&error) => {}
        Err(error) => return Err(error.into()),
    }
    let is_directory = matches!(source, Source::Directory(..));
    if path.ends_with('/') && !is_directory {
        return Err(EngineError::Invalid(format!(
            "{path} is no directory: make it first, or name a file"
        )));
    }
    let place = inside::locate_followed(root, path.as_bytes())?;
    Ok((place.parent, place.leaf))
}

impl Engine {
    /// Copies files, with docker's rules: into a directory that is there, or to a name that is not; of `DIRECTORY/.` what is
    /// in it.
    ///
    /// # Errors
    /// When there is no such source, or nothing that it could be copied to.
    pub fn copy(
        &self,
        from: &Endpoint<'_>,
        to: &Endpoint<'_>,
        options: CopyOptions,
    ) -> Result<(), EngineError> {
        from.open(Access::Read, |from_root, from_path| {
            let source = source(from_root, from_path)?;
            to.open(Access::Write, |to_root, to_path| {
                let purpose = Purpose::Copy {
                    owner: to.owner(to_root, options)?,
                    overwrite: options.overwrite,
                };
                let (directory, top) = destination(to_root, to_path, &source)?;
                let write = |out: io::PipeWriter| source.write(out, &top);
                transfer(write, directory.as_fd(), purpose)?;
                Ok(())
            })
        })
    }
}

impl Container<'_> {
    /// Writes what is at `path` in the container to `out` as a tar, under its last name.
    pub fn copy_out(&self, path: &str, out: impl Write) -> Result<(), EngineError> {
        let from = Endpoint::Container(self.clone(), path.to_owned());
        from.open(Access::Read, |root, path| {
            let source = source(root, path)?;
            let name = source.name().to_vec();
            Ok(source.write(out, &name)?)
        })
    }

    /// Unpacks a tar into a directory of the container.
    pub fn copy_in(
        &self,
        path: &str,
        input: impl Read,
        options: CopyOptions,
    ) -> Result<(), EngineError> {
        let to = Endpoint::Container(self.clone(), path.to_owned());
        to.open(Access::Write, |root, path| {
            let purpose = Purpose::Copy {
                owner: to.owner(root, options)?,
                overwrite: options.overwrite,
            };
            let (path, _) = clean(path);
            let directory = inside::open_directory(root, path.as_bytes())?;
            unpack(input, directory.as_fd(), purpose, &Limits::default())?;
            Ok(())
        })
    }
}

impl Endpoint<'_> {
    /// Does something with the root of this side, and the path from there.
    fn open<T>(
        &self,
        access: Access,
        work: impl FnOnce(BorrowedFd<'_>, &str) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        match self {
            Self::Host(path) => {
                let root = ctr_sys::fs::open_directory(Path::new("/"))?;
                let path = path.to_str().ok_or_else(|| {
                    EngineError::Invalid(format!("path {} is not UTF-8", path.display()))
                })?;
                work(root.as_fd(), path)
            }
            Self::Container(container, path) => container.with_files(path, access, work),
        }
    }

    /// Whose the files are to be.
    fn owner(
        &self,
        root: BorrowedFd<'_>,
        options: CopyOptions,
    ) -> Result<Option<(u32, u32)>, EngineError> {
        if options.keep_owner {
            return Ok(None);
        }
        match self {
            Self::Host(_) => {
                let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
                Ok(Some((user.as_raw(), group.as_raw())))
            }
            Self::Container(container, _) => {
                let config = container.record()?.config;
                let rootfs = RootFs::from_descriptor(root, config.rootfs.shown())?;
                let user = ctr_oci::user::resolve(&rootfs, &config.process.user);
                let user = user.map_err(|source| EngineError::User {
                    image: config.rootfs.shown(),
                    source,
                })?;
                Ok(Some((user.uid, user.gid)))
            }
        }
    }
}

impl Container<'_> {
    /// Does something with the container's files, as it sees them.
    fn with_files<T>(
        &self,
        path: &str,
        access: Access,
        work: impl FnOnce(BorrowedFd<'_>, &str) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let locked = self.lock()?;
        locked.admit(Op::Copy)?;
        let config = locked.config().clone();
        if let Phase::Created(live) | Phase::Running(live) | Phase::Paused(live) = locked.phase() {
            let process = ProcessId {
                pid: live.pid,
                start: live.start,
            };
            drop(locked);
            let root = PathBuf::from(format!("/proc/{}/root", process.pid));
            let root = ctr_sys::fs::open_directory_followed(&root)?;
            // Opened by number: it is the right one if the process is still there.
            if process.is_alive()? {
                return work(root.as_fd(), path);
            }
            return self.with_files(path, access, work);
        }
        let volumes = self.engine.volumes(&self.id);
        locked.read(Op::Copy)?.with(|merged| {
            let (root, path, read_only) = place_of(&config, &volumes, merged, path);
            if read_only && access == Access::Write {
                let name = &config.name;
                return Err(EngineError::Invalid(format!(
                    "container {name} has {path:?} read-only: copy to a volume that it may write"
                )));
            }
            let root = ctr_sys::fs::open_directory_followed(&root)?;
            work(root.as_fd(), &path)
        })
    }
}

/// The directory on the host in which a path of a container that is not up lies, the path from there, and whether the
/// container could not write there.
fn place_of(
    config: &ContainerConfig,
    volumes: &Path,
    merged: &Path,
    path: &str,
) -> (PathBuf, String, bool) {
    let (wanted, contents) = clean(path);
    let mut best: Option<(PathBuf, &str, bool)> = None;
    for mount in &config.mounts {
        let destination = mount.destination.trim_end_matches('/');
        let Some(rest) = wanted.strip_prefix(destination) else {
            continue;
        };
        if !(rest.is_empty() || rest.starts_with('/')) {
            continue;
        }
        let source = match &mount.kind {
            MountKind::Bind { source, .. } => source.clone(),
            MountKind::Anonymous { volume, .. } => volumes.join(volume),
            // There is none while the container is not up.
            MountKind::Tmpfs { .. } => continue,
        };
        let is_longer = best
            .as_ref()
            .is_none_or(|(_, found, _)| rest.len() < found.len());
        if is_longer {
            best = Some((source, rest, mount.read_only));
        }
    }
    let again = |rest: &str| {
        if contents {
            format!("{}/.", rest.trim_end_matches('/'))
        } else {
            rest.to_owned()
        }
    };
    match best {
        Some((source, rest, read_only)) if source.is_dir() => {
            let rest = if rest.is_empty() { "/" } else { rest };
            (source, again(rest), read_only)
        }
        // A file that is bound is found by its directory.
        Some((source, "", read_only)) => {
            let parent = source.parent().unwrap_or(Path::new("/")).to_owned();
            let name = source.file_name().unwrap_or_default().to_string_lossy();
            (parent, format!("/{name}"), read_only)
        }
        Some(_) | None => (merged.to_owned(), again(&wanted), config.read_only),
    }
}

impl Engine {
    /// Makes the anonymous volumes that are not there yet, each with what the mounted root file system has in its place
    /// (once, into an empty one, and from inside the root: CVE-2022-23648).
    pub(crate) fn fill_volumes(&self, config: &ContainerConfig) -> Result<(), EngineError> {
        let volumes = self.volumes(&config.id);
        let merged = self.container_fs(&config.id).merged();
        for mount in &config.mounts {
            let MountKind::Anonymous { volume, copy_up } = &mount.kind else {
                continue;
            };
            let place = volumes.join(volume);
            if place.exists() {
                continue;
            }
            ctr_sys::fs::ensure_directory(&volumes, 0o711)?;
            // One that was being filled when its command died is filled anew.
            let filling = volumes.join(format!("{volume}.filling"));
            ctr_sys::fs::ensure_tree_absent(&filling)?;
            ctr_sys::fs::ensure_directory(&filling, 0o755)?;
            if *copy_up {
                copy_up_into(&merged, &mount.destination, &filling)?;
            }
            ctr_sys::fs::rename_if_present(&filling, &place)?;
        }
        Ok(())
    }
}

/// Copies what the root file system has at a path, and the attributes of the directory itself.
fn copy_up_into(merged: &Path, path: &str, to: &Path) -> Result<(), EngineError> {
    use ctr_sys::error::Context as _;
    let root = ctr_sys::fs::open_directory(merged)?;
    let from = match inside::open_directory(root.as_fd(), path.as_bytes()) {
        Ok(from) => from,
        Err(error) if is_missing(&error) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let target = ctr_sys::fs::open_directory(to)?;
    let purpose = Purpose::Copy {
        owner: None,
        overwrite: false,
    };
    let options = ExportOptions::default();
    transfer(
        |out| export(from.as_fd(), out, &options).map(drop),
        target.as_fd(),
        purpose,
    )?;
    let shown = || to.display().to_string();
    let stat = rustix::fs::fstat(&from).context("stat", || path.to_owned())?;
    let (user, group) = (
        rustix::fs::Uid::from_raw(stat.st_uid),
        rustix::fs::Gid::from_raw(stat.st_gid),
    );
    rustix::fs::fchown(&target, Some(user), Some(group)).context("chown", shown)?;
    let mode = rustix::fs::Mode::from_raw_mode(stat.st_mode & 0o7777);
    rustix::fs::fchmod(&target, mode).context("chmod", shown)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ctr_types::config::{Mount, ProcessConfig, Propagation, Rootfs};

    use super::*;

    #[test]
    fn paths_of_what_is_not_up_lead_into_its_mounts() {
        let dir = tempfile::tempdir().unwrap();
        let bound = dir.path().join("bound");
        std::fs::create_dir(&bound).unwrap();
        let file = dir.path().join("file");
        drop(std::fs::File::create(&file).unwrap());
        let rootfs = Rootfs::Directory {
            path: "/srv".into(),
            overlay: false,
        };
        let id = "1".repeat(64).parse().unwrap();
        let name = "web".parse().unwrap();
        let mut config = ContainerConfig::new(id, name, rootfs, ProcessConfig::default());
        let mount = |destination: &str, source: &Path| Mount {
            destination: destination.into(),
            kind: MountKind::Bind {
                source: source.to_owned(),
                recursive: true,
                propagation: Propagation::Rprivate,
            },
            read_only: false,
            options: Vec::new(),
        };
        config.mounts = vec![mount("/data", &bound), mount("/etc/conf", &file)];
        let place = |path: &str| {
            let (root, path, _) =
                place_of(&config, Path::new("/volumes"), Path::new("/merged"), path);
            (root, path)
        };
        assert_eq!(place("/data/x/y"), (bound.clone(), "/x/y".into()));
        assert_eq!(place("data"), (bound.clone(), "/".into()));
        assert_eq!(place("/data/."), (bound, "/.".into()));
        assert_eq!(place("/database"), ("/merged".into(), "/database".into()));
        assert_eq!(place("/etc/conf"), (dir.path().to_owned(), "/file".into()));
        assert_eq!(place("/etc/."), ("/merged".into(), "/etc/.".into()));
    }
}
