//! What a directory takes.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ctr_sys::SysError;
use ctr_sys::error::Context as _;

/// What the files of a directory take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiffSize {
    /// Bytes of the files; one with several names counts once.
    pub bytes: u64,
    /// Files, directories and others, the directory itself left out.
    pub inodes: u64,
}

/// Adds up what is below `directory`, without following symlinks or leaving its file system.
pub fn size_of(directory: &Path) -> Result<DiffSize, SysError> {
    let shown = |path: &Path| path.display().to_string();
    let device = std::fs::symlink_metadata(directory)
        .context("stat", || shown(directory))?
        .dev();
    let mut size = DiffSize::default();
    let mut linked = HashSet::new();
    let mut pending: Vec<PathBuf> = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        let entries =
            std::fs::read_dir(&directory).context("read directory", || shown(&directory))?;
        for entry in entries {
            let entry = entry.context("read directory", || shown(&directory))?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // It went away meanwhile: the directory may belong to a running container.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(SysError::new("stat", shown(&entry.path()), error)),
            };
            if metadata.is_dir() && metadata.dev() == device {
                pending.push(entry.path());
            } else if metadata.nlink() > 1 && !linked.insert(metadata.ino()) {
                continue;
            }
            size.inodes += 1;
            if metadata.is_file() {
                size.bytes = size.bytes.saturating_add(metadata.len());
            }
        }
    }
    Ok(size)
}
