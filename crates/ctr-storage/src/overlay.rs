//! A container's file system: the image's layers below, its own changes in `upper`, all of it at `merged`.
//!
//! ```text
//! containers/<id>/upper/    changes
//!                 work/     the kernel's
//!                 merged/   mount point
//! <run dir>/holders/<name>  one empty file for each reason it is mounted; per boot
//! ```
//! Holders are a set and not a count: saying twice that "run" holds the mount is saying it once, so a crash between the
//! file and the mount, or a repetition, does no harm (semantics.md B5, M19, M20).

use std::path::{Path, PathBuf};

use ctr_sys::SysError;
use ctr_sys::error::Context as _;
use ctr_sys::fs::Durability;
use ctr_sys::mount::{Overlay, bind_recursive, ensure_unmounted, is_mount_point};

use crate::size::{DiffSize, size_of};

/// What [`ContainerFs::written_size`] has kept.
fn parse_size(text: &str) -> Option<DiffSize> {
    let (bytes, inodes) = text.split_once(' ')?;
    Some(DiffSize {
        bytes: bytes.parse().ok()?,
        inodes: inodes.parse().ok()?,
    })
}

/// The file system of one container. The caller holds the container's lock for every method that changes something.
#[derive(Clone, Debug)]
pub struct ContainerFs {
    durable: PathBuf,
    holders: PathBuf,
}

impl ContainerFs {
    /// The file system below the container's durable directory, with holders below its directory of this boot.
    pub fn new(durable: &Path, run_dir: &Path) -> Self {
        Self {
            durable: durable.to_owned(),
            holders: run_dir.join("holders"),
        }
    }

    /// Where it is mounted.
    pub fn merged(&self) -> PathBuf {
        self.durable.join("merged")
    }

    /// Where changes are.
    pub fn upper(&self) -> PathBuf {
        self.durable.join("upper")
    }

    /// Makes the directories.
    pub fn prepare(&self) -> Result<(), SysError> {
        ctr_sys::fs::ensure_directory(&self.upper(), 0o755)?;
        ctr_sys::fs::ensure_directory(&self.durable.join("work"), 0o700)?;
        ctr_sys::fs::ensure_directory(&self.merged(), 0o755)
    }

    /// Mounts it over `layers` (the lowest first) for `holder`, unless it is mounted already.
    pub fn hold(&self, holder: &str, layers: &[PathBuf]) -> Result<(), SysError> {
        if self.note_holder(holder)? {
            return Ok(());
        }
        let overlay = Overlay {
            lower: layers.to_vec(),
            upper: self.upper(),
            work: self.durable.join("work"),
        };
        overlay.mount(&self.merged())
    }

    /// Binds a directory of the host in its place for `holder`: changes go there, not into `upper`.
    pub fn hold_directory(&self, holder: &str, directory: &Path) -> Result<(), SysError> {
        if self.note_holder(holder)? {
            return Ok(());
        }
        bind_recursive(directory, &self.merged())
    }

    /// What its changes take. While nobody has it mounted, it is added up once and kept.
    ///
    /// ```text
    /// containers/<id>/size    "BYTES INODES"; gone before anything can change
    /// ```
    pub fn written_size(&self) -> Result<DiffSize, SysError> {
        let kept = self.durable.join("size");
        let content = ctr_sys::fs::read_if_present(&kept, 64)?.unwrap_or_default();
        if let Some(size) = parse_size(&String::from_utf8_lossy(&content)) {
            return Ok(size);
        }
        let size = size_of(&self.upper())?;
        if !is_mount_point(&self.merged())? && self.holders()?.is_empty() {
            let text = format!("{} {}", size.bytes, size.inodes);
            ctr_sys::fs::write_atomic(&kept, text.as_bytes(), 0o600, Durability::ProcessDeath)?;
            // Whoever has mounted it meanwhile had nothing to remove.
            if !self.holders()?.is_empty() {
                ctr_sys::fs::ensure_file_absent(&kept)?;
            }
        }
        Ok(size)
    }

    /// Writes a holder down; whether it is mounted already.
    fn note_holder(&self, holder: &str) -> Result<bool, SysError> {
        ctr_sys::fs::ensure_directory(&self.holders, 0o700)?;
        ctr_sys::fs::write_atomic(
            &self.holders.join(holder),
            b"",
            0o600,
            Durability::ProcessDeath,
        )?;
        ctr_sys::fs::ensure_file_absent(&self.durable.join("size"))?;
        is_mount_point(&self.merged())
    }

    /// Who holds the mount.
    pub fn holders(&self) -> Result<Vec<String>, SysError> {
        let shown = || self.holders.display().to_string();
        let entries = match std::fs::read_dir(&self.holders) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(SysError::new("read directory", shown(), error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.context("read directory", shown)?.file_name();
            names.push(name.to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// Lets go for `holder`; the last one out unmounts.
    pub fn release(&self, holder: &str) -> Result<(), SysError> {
        ctr_sys::fs::ensure_file_absent(&self.holders.join(holder))?;
        if self.holders()?.is_empty() {
            ensure_unmounted(&self.merged())
        } else {
            Ok(())
        }
    }

    /// Unmounts it whoever holds it.
    pub fn ensure_unmounted(&self) -> Result<(), SysError> {
        ensure_unmounted(&self.merged())?;
        ctr_sys::fs::ensure_tree_absent(&self.holders)
    }
}
