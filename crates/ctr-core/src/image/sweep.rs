//! What has a digest for a name and no row in the database is nobody's: it is moved to an operation's trash.

use std::collections::HashSet;

use ctr_state::Grade;
use ctr_state::record::OpKind;
use ctr_types::{Digest, OpId};

use crate::engine::{trash_directory, trash_path};
use crate::{Engine, EngineError};

/// Layers and blobs that nothing refers to.
#[derive(Debug, Default)]
pub(crate) struct Unreferenced {
    pub(crate) layers: Vec<Digest>,
    pub(crate) blobs: Vec<Digest>,
}

impl Engine {
    /// Finds what nothing refers to. True only while the images' lock is held.
    pub(crate) fn unreferenced(&self) -> Result<Unreferenced, EngineError> {
        let images = self.look(ctr_state::Store::images)?;
        let layers = self.look(ctr_state::Store::layers)?;
        let known: HashSet<Digest> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let blobs: HashSet<Digest> = layers
            .into_iter()
            .map(|layer| layer.blob)
            .chain(
                images
                    .into_iter()
                    .flat_map(|image| [image.id, image.manifest]),
            )
            .collect();
        Ok(Unreferenced {
            layers: self
                .layers()?
                .list()?
                .into_iter()
                .filter(|id| !known.contains(id))
                .collect(),
            blobs: self
                .blobs()?
                .list()?
                .into_iter()
                .filter(|id| !blobs.contains(id))
                .collect(),
        })
    }

    /// Throws away what nothing refers to, now.
    pub(crate) fn sweep_now(&self) -> Result<(), EngineError> {
        let operation = self.begin(OpKind::RemoveImage, None)?;
        let op = &operation.record.id;
        let lock = self.lock_images()?;
        self.transact(Grade::Volatile, |txn| txn.begin_op(&operation.record))?;
        self.recover_image_op(op, lock)?;
        self.transact(Grade::Volatile, |txn| txn.finish_op(op))?;
        Ok(operation.lock.remove()?)
    }

    /// Forgets layers that no image has, and moves everything unreferenced to the trash of operation `op`. The caller holds
    /// the images' lock.
    pub(super) fn sweep(&self, op: &OpId) -> Result<(), EngineError> {
        let layers = self.look(ctr_state::Store::unreferenced_layers)?;
        if !layers.is_empty() {
            // Durable before the files go, as for images.
            self.transact(Grade::Durable, |txn| {
                layers
                    .iter()
                    .try_for_each(|layer| txn.delete_layer(&layer.diff_id))
            })?;
        }
        let found = self.unreferenced()?;
        if found.layers.is_empty() && found.blobs.is_empty() {
            return Ok(());
        }
        ctr_sys::fs::ensure_directory(&trash_directory(&self.roots, op), 0o700)?;
        let (layer_store, blobs) = (self.layers()?, self.blobs()?);
        for id in &found.layers {
            layer_store.discard(
                id,
                &trash_path(&self.roots, op, &format!("layer-{}", id.hex())),
            )?;
        }
        for digest in &found.blobs {
            blobs.discard(
                digest,
                &trash_path(&self.roots, op, &format!("blob-{}", digest.hex())),
            )?;
        }
        Ok(())
    }
}
