//! A container's files: its root file system, mounted for whoever holds it, and its anonymous volumes.
//!
//! ```text
//! containers/<id>/volumes/<name>/    an anonymous volume; a name here means that it has been filled
//! ```

use std::path::PathBuf;

use ctr_types::config::Rootfs;
use ctr_types::{ContainerConfig, ContainerId};

use crate::{Engine, EngineError};

impl Engine {
    /// Mounts the root file system for `holder`, unless it is mounted already. The container is locked.
    pub(crate) fn mount(&self, config: &ContainerConfig, holder: &str) -> Result<(), EngineError> {
        let fs = self.container_fs(&config.id);
        match &config.rootfs {
            Rootfs::Image { layers, .. } => {
                fs.hold(holder, &self.layer_paths(layers)?)?;
            }
            Rootfs::Directory { path, overlay } if *overlay => {
                fs.hold(holder, std::slice::from_ref(path))?;
            }
            Rootfs::Directory { path, .. } => fs.hold_directory(holder, path)?,
        }
        Ok(())
    }

    /// Where anonymous volumes of a container lie.
    pub(crate) fn volumes(&self, id: &ContainerId) -> PathBuf {
        self.roots.container(id).join("volumes")
    }
}
