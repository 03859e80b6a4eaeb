//! What a container has changed, and what it takes (semantics.md M4).

use std::path::PathBuf;

use ctr_storage::diff::{Change, changes};
use ctr_storage::size::DiffSize;
use ctr_types::config::{MountKind, Rootfs};
use ctr_types::{ContainerConfig, Digest};

use super::Container;
use crate::{Engine, EngineError};

/// Places where every run leaves something that is the engine's, not the container's (podman's list).
const OURS: [&str; 14] = [
    "/dev",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/mtab",
    "/etc/resolv.conf",
    "/proc",
    "/run",
    "/run/.containerenv",
    "/run/notify",
    "/run/secrets",
    "/sys",
    "/dev/console",
    "/dev/pts",
    "/dev/shm",
];

/// What a container's files take, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Its own layer.
    pub written: u64,
    /// All of its files: its own layer and those of the image. Its own alone when it has no image.
    pub total: u64,
}

impl Container<'_> {
    /// The paths that differ from those of the image, sorted. Takes no lock.
    ///
    /// # Errors
    /// When it has no image to be compared with, or its files cannot be read.
    pub fn changes(&self) -> Result<Vec<Change>, EngineError> {
        let config = self.record()?.config;
        let lower = match &config.rootfs {
            Rootfs::Image { layers, .. } => self.engine.layer_paths(layers)?,
            Rootfs::Directory { path, overlay } if *overlay => vec![path.clone()],
            Rootfs::Directory { path, .. } => {
                let (name, path) = (&config.name, path.display());
                return Err(EngineError::Invalid(format!(
                    "container {name} works in {path} itself: there is nothing to compare with"
                )));
            }
        };
        let upper = self.engine.container_fs(&self.id).upper();
        let mut found = changes(&upper, &lower)?;
        found.retain(|change| !is_ours(&config, change));
        Ok(found)
    }

    /// What its files take. The part of its own is added up anew only if it may have changed.
    pub fn sizes(&self) -> Result<Sizes, EngineError> {
        let config = self.record()?.config;
        let DiffSize { bytes, .. } = self.engine.container_fs(&self.id).written_size()?;
        let below = match &config.rootfs {
            Rootfs::Image { layers, .. } => self.engine.size_of_layers(layers)?,
            Rootfs::Directory { .. } => 0,
        };
        Ok(Sizes {
            written: bytes,
            total: below.saturating_add(bytes),
        })
    }
}

/// Whether a change is that of a mount point that the runtime has made.
fn is_ours(config: &ContainerConfig, change: &Change) -> bool {
    let path = change.path.to_string_lossy();
    let is_mount_point = |destination: &str| destination.trim_end_matches('/') == path;
    OURS.contains(&&*path)
        || config.mounts.iter().any(|mount| {
            // As podman: a volume's own place is shown, since the image may have had none there.
            !matches!(mount.kind, MountKind::Anonymous { .. }) && is_mount_point(&mount.destination)
        })
}

impl Engine {
    /// Where layers lie.
    pub(crate) fn layer_paths(&self, layers: &[Digest]) -> Result<Vec<PathBuf>, EngineError> {
        let store = self.layers()?;
        Ok(layers.iter().map(|id| store.path(id)).collect())
    }

    fn size_of_layers(&self, layers: &[Digest]) -> Result<u64, EngineError> {
        let mut sum = 0_u64;
        for layer in layers {
            // One whose record is lost counts nothing: a size is not worth an error.
            let record = self.look(|store| store.layer(layer))?;
            sum = sum.saturating_add(record.map_or(0, |record| record.size));
        }
        Ok(sum)
    }
}
