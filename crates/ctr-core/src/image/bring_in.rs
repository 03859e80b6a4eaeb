//! The operation that import and load share: unpack beside the store, sync once, rename, commit.

use std::io::Read;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use ctr_image::blobs::{BlobStore, StagedBlob};
use ctr_image::compression::LayerStream;
use ctr_image::config::ImageConfig;
use ctr_image::manifest::{Descriptor, Manifest};
use ctr_state::Grade;
use ctr_state::record::{ImageRecord, LayerRecord, OpKind};
use ctr_storage::archive::apply::Limits;
use ctr_sys::lock::FileLock;
use ctr_types::{Digest, OpId, Timestamp};

use super::ImageError;
use crate::engine::Operation;
use crate::steps::ImportStep;
use crate::{Engine, EngineError};

/// A layer in the staging directory.
pub(crate) struct StagedLayer {
    pub(crate) record: LayerRecord,
    blob: StagedBlob,
    directory: PathBuf,
}

/// An image whose layers are staged, or in the store already.
pub(crate) struct StagedImage {
    pub(crate) id: Digest,
    config: ImageConfig,
    config_blob: StagedBlob,
    pub(crate) names: Vec<String>,
}

/// What has been unpacked.
#[derive(Default)]
pub(crate) struct Staged {
    pub(crate) layers: Vec<StagedLayer>,
    pub(crate) images: Vec<StagedImage>,
}

impl Staged {
    /// Unpacks a layer; gives its diff id.
    pub(crate) fn unpack(
        &mut self,
        staging: &Path,
        input: impl Read,
        what: &str,
    ) -> Result<&StagedLayer, EngineError> {
        let number = self.layers.len();
        let unreadable = |source| ImageError::Read {
            what: what.to_owned(),
            source,
        };
        let writer = BlobStore::stage(staging, &format!("layer-{number}"))?;
        let mut stream = LayerStream::new(input, writer).map_err(unreadable)?;
        let directory = staging.join(format!("tree-{number}"));
        // The mode of a layer without an entry for its root, as in containers/storage.
        ctr_sys::fs::ensure_directory(&directory, 0o755)?;
        let root = ctr_sys::fs::open_directory(&directory)?;
        let applied = ctr_storage::archive::apply(&mut stream, root.as_fd(), &Limits::default())
            .map_err(|source| ImageError::Unpack {
                what: what.to_owned(),
                source,
            })?;
        let info = stream.finish().map_err(unreadable)?;
        let record = LayerRecord {
            diff_id: info.diff_id,
            blob: info.blob.digest.clone(),
            blob_size: info.blob.size,
            media_type: info.compression.media_type().to_owned(),
            size: applied.size,
            files: applied.entries,
        };
        self.layers.push(StagedLayer {
            record,
            blob: info.blob,
            directory,
        });
        self.layers
            .last()
            .ok_or_else(|| EngineError::Invalid("no layer".into()))
    }

    /// Adds an image whose layers have been unpacked or are in the store.
    pub(crate) fn add_image(
        &mut self,
        staging: &Path,
        config: ImageConfig,
        json: &[u8],
        names: Vec<String>,
    ) -> Result<(), EngineError> {
        let number = self.images.len();
        let config_blob = BlobStore::stage_bytes(staging, &format!("config-{number}"), json)?;
        let id = config_blob.digest.clone();
        self.images.push(StagedImage {
            id,
            config,
            config_blob,
            names,
        });
        Ok(())
    }
}

/// An image about to be published.
struct Ready {
    record: ImageRecord,
    names: Vec<String>,
    blobs: [StagedBlob; 2],
}

impl Engine {
    /// Carries an import or a load out. `unpack` fills the staging directory it is given.
    pub(crate) fn bring_in(
        &self,
        kind: OpKind,
        action: &str,
        unpack: impl FnOnce(&Path) -> Result<Staged, EngineError>,
    ) -> Result<Vec<(Digest, Vec<String>)>, EngineError> {
        let operation = self.begin(kind, None)?;
        let staging = self.roots.staging(&operation.record.id);
        let mut unpack = Some(unpack);
        let (mut staged, mut ready, mut lock) = (Staged::default(), Vec::new(), None);
        let outcome = self.options.hooks.run(ImportStep::ALL, |step| match step {
            ImportStep::Claim => {
                self.transact(Grade::Volatile, |txn| txn.begin_op(&operation.record))
            }
            ImportStep::MakeStaging => Ok(ctr_sys::fs::ensure_directory(&staging, 0o700)?),
            ImportStep::Unpack => {
                if let Some(unpack) = unpack.take() {
                    staged = unpack(&staging)?;
                }
                Ok(())
            }
            ImportStep::Sync => {
                // From here to the commit nobody else adds or removes layers: what is shared stays there.
                lock = Some(self.lock_images()?);
                for (number, image) in staged.images.drain(..).enumerate() {
                    ready.push(self.prepare_image(&staging, number, image, &staged.layers)?);
                }
                let directory = ctr_sys::fs::open_directory(&staging)?;
                Ok(ctr_sys::fs::sync_file_system(directory, &staging)?)
            }
            ImportStep::Publish => self.publish(&staged.layers, &ready),
            ImportStep::Record => {
                self.record_images(&staged.layers, &ready, action)?;
                Ok(())
            }
            ImportStep::WriteIndex => self.write_index(),
            ImportStep::RemoveStaging => {
                drop(lock.take());
                Ok(ctr_sys::fs::ensure_tree_absent(&staging)?)
            }
            ImportStep::Finish => {
                self.transact(Grade::Volatile, |txn| txn.finish_op(&operation.record.id))
            }
        });
        drop(lock);
        match outcome {
            Ok(()) => {
                operation.lock.remove()?;
                Ok(ready
                    .into_iter()
                    .map(|image| (image.record.id, image.names))
                    .collect())
            }
            Err(error) => {
                // What cannot be undone now stays in the journal for the next command.
                let _later = self.undo_bring_in(operation);
                Err(error)
            }
        }
    }

    fn undo_bring_in(&self, operation: Operation) -> Result<(), EngineError> {
        self.recover_image_op(&operation.record.id, self.lock_images()?)?;
        self.transact(Grade::Volatile, |txn| txn.finish_op(&operation.record.id))?;
        Ok(operation.lock.remove()?)
    }

    /// Makes an image's manifest of the blobs its layers have in this store.
    fn prepare_image(
        &self,
        staging: &Path,
        number: usize,
        image: StagedImage,
        staged: &[StagedLayer],
    ) -> Result<Ready, EngineError> {
        let mut descriptors = Vec::new();
        for diff_id in &image.config.rootfs.diff_ids {
            let stored = self.look(|store| store.layer(diff_id))?;
            let here = || {
                staged
                    .iter()
                    .map(|layer| &layer.record)
                    .find(|layer| layer.diff_id == *diff_id)
            };
            let layer = stored
                .or_else(|| here().cloned())
                .ok_or_else(|| ImageError::LayerRemoved(diff_id.clone()))?;
            descriptors.push(Descriptor {
                media_type: layer.media_type,
                digest: layer.blob,
                size: layer.blob_size,
                platform: None,
                annotations: None,
            });
        }
        let config_size = image.config_blob.size;
        let json = Manifest::new((image.id.clone(), config_size), descriptors).to_json()?;
        let manifest = BlobStore::stage_bytes(staging, &format!("manifest-{number}"), &json)?;
        let record = ImageRecord {
            id: image.id,
            manifest: manifest.digest.clone(),
            manifest_size: manifest.size,
            created: image.config.created,
            architecture: image.config.architecture,
            os: image.config.os,
            labels: image.config.config.labels,
            imported: Timestamp::now(),
            layers: image.config.rootfs.diff_ids,
            names: Vec::new(),
            size: 0,
        };
        Ok(Ready {
            record,
            names: image.names,
            blobs: [image.config_blob, manifest],
        })
    }

    fn publish(&self, layers: &[StagedLayer], images: &[Ready]) -> Result<(), EngineError> {
        let (layer_store, blobs) = (self.layers()?, self.blobs()?);
        for layer in layers {
            layer_store.publish(&layer.directory, &layer.record.diff_id)?;
            if self
                .look(|store| store.layer(&layer.record.diff_id))?
                .is_none()
            {
                blobs.publish(&layer.blob)?;
            }
        }
        for blob in images.iter().flat_map(|image| &image.blobs) {
            blobs.publish(blob)?;
        }
        Ok(blobs.sync()?)
    }

    fn record_images(
        &self,
        layers: &[StagedLayer],
        images: &[Ready],
        action: &str,
    ) -> Result<(), EngineError> {
        self.transact(Grade::Durable, |txn| {
            for layer in layers {
                txn.put_layer(&layer.record)?;
            }
            for image in images {
                txn.put_image(&image.record)?;
                let id = &image.record.id;
                for name in &image.names {
                    txn.set_image_name(name, id)?;
                }
                let name = image.names.first().map_or("", String::as_str);
                txn.add_event(&Self::event("image", action, id.as_str(), name))?;
            }
            Ok(())
        })
    }

    /// Writes the OCI layout's index from what the database says.
    pub(crate) fn write_index(&self) -> Result<(), EngineError> {
        let images = self.look(ctr_state::Store::images)?;
        let mut entries = Vec::new();
        for image in images {
            if image.names.is_empty() {
                entries.push((None, image.manifest, image.manifest_size));
                continue;
            }
            for name in image.names {
                entries.push((Some(name), image.manifest.clone(), image.manifest_size));
            }
        }
        Ok(self.blobs()?.write_index(&entries)?)
    }

    /// Removes what a dead or failed import, load or removal has left, the images' lock being held.
    pub(crate) fn recover_image_op(&self, op: &OpId, lock: FileLock) -> Result<(), EngineError> {
        ctr_sys::fs::ensure_tree_absent(&self.roots.staging(op))?;
        self.sweep(op)?;
        self.write_index()?;
        drop(lock);
        empty_trash(self, op)
    }
}

/// Deletes what operation `op` has put into its trash.
pub(crate) fn empty_trash(engine: &Engine, op: &OpId) -> Result<(), EngineError> {
    Ok(ctr_sys::fs::ensure_tree_absent(
        &crate::engine::trash_directory(&engine.roots, op),
    )?)
}
