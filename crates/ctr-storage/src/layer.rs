//! Unpacked layers by diff id.
//!
//! ```text
//! layers/<64 hex digits of the diff id>/    the layer's files, in overlayfs' form
//! ```
//! A layer is made in a staging directory on the same file system, synced there as a whole, and renamed into place: a
//! name here means all of it is here. Removal renames it away first.

use std::io;
use std::path::{Path, PathBuf};

use ctr_sys::SysError;
use ctr_sys::error::Context as _;
use ctr_types::Digest;
use rustix::io::Errno;

/// The layers of one store.
#[derive(Clone, Debug)]
pub struct LayerStore {
    root: PathBuf,
}

impl LayerStore {
    /// Layers below `root`, which is made when it is not there.
    pub fn open(root: &Path) -> Result<Self, SysError> {
        ctr_sys::fs::ensure_directory(root, 0o700)?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// Where a layer's files are, or would be.
    pub fn path(&self, diff_id: &Digest) -> PathBuf {
        self.root.join(diff_id.hex())
    }

    /// Whether a layer is there, whole.
    pub fn exists(&self, diff_id: &Digest) -> Result<bool, SysError> {
        let path = self.path(diff_id);
        path.try_exists()
            .context("stat", || path.display().to_string())
    }

    /// Makes a staged directory a layer. Its content must have been synced. A layer that is there already stays, and the
    /// staged one is left to the caller.
    pub fn publish(&self, staged: &Path, diff_id: &Digest) -> Result<(), SysError> {
        let path = self.path(diff_id);
        match rustix::fs::rename(staged, &path) {
            Ok(()) | Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(()),
            Err(error) => Err(SysError::new(
                "rename to",
                path.display().to_string(),
                error,
            )),
        }?;
        ctr_sys::fs::sync_directory(&self.root)
    }

    /// Moves a layer to `trash`, a path that does not exist on the same file system. One that is not there is as good as
    /// moved.
    pub fn discard(&self, diff_id: &Digest, trash: &Path) -> Result<(), SysError> {
        ctr_sys::fs::rename_if_present(&self.path(diff_id), trash)
    }

    /// The diff ids of all layers.
    ///
    /// # Errors
    /// `EINVAL` when something lies here that is no layer.
    pub fn list(&self) -> Result<Vec<Digest>, SysError> {
        let shown = || self.root.display().to_string();
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.root).context("read directory", shown)? {
            let name = entry.context("read directory", shown)?.file_name();
            let digest = Digest::from_hex(&name.to_string_lossy())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
                .context("read the name", || {
                    format!("{}/{}", shown(), name.display())
                })?;
            found.push(digest);
        }
        found.sort();
        Ok(found)
    }
}
