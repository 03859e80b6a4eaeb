//! What `images` shows, and naming.

use ctr_image::config::ImageConfig;
use ctr_image::reference::ImageReference;
use ctr_state::Grade;
use ctr_state::record::ImageRecord;
use ctr_types::ContainerName;

use crate::{Engine, EngineError};

/// One image in a list.
#[derive(Clone, Debug)]
pub struct ImageSummary {
    /// Everything recorded of it.
    pub record: ImageRecord,
    /// Names of the containers made from it.
    pub containers: Vec<ContainerName>,
}

impl Engine {
    /// Every image, newest in the store first.
    pub fn images(&self) -> Result<Vec<ImageSummary>, EngineError> {
        let images = self.look(ctr_state::Store::images)?;
        let rows = self.look(ctr_state::Store::container_rows)?;
        let summary = |record: ImageRecord| ImageSummary {
            containers: rows
                .iter()
                .flatten()
                .filter(|row| row.image.as_ref() == Some(&record.id))
                .map(|row| row.name.clone())
                .collect(),
            record,
        };
        Ok(images.into_iter().map(summary).collect())
    }

    /// One image, with its configuration.
    ///
    /// # Errors
    /// When there is no such image, or its configuration is damaged.
    pub fn image(&self, text: &str) -> Result<(ImageRecord, ImageConfig), EngineError> {
        let (id, _) = self.find_image(text)?;
        let record = self.look(|store| store.image(&id))?.ok_or_else(|| {
            ctr_state::StoreError::NotFound {
                kind: "image",
                text: text.to_owned(),
            }
        })?;
        let config = ImageConfig::parse(&self.blobs()?.read_small(&id)?)?;
        Ok((record, config))
    }

    /// Gives an image one more name.
    ///
    /// # Errors
    /// When there is no such image, or the name is malformed.
    pub fn tag(&self, text: &str, name: &ImageReference) -> Result<(), EngineError> {
        let (id, _) = self.find_image(text)?;
        if name.digest.is_some() {
            return Err(EngineError::Invalid(format!(
                "{name}: a name given to an image has no digest"
            )));
        }
        let name = name.clone().normalized().to_string();
        let lock = self.lock_images()?;
        self.transact(Grade::Durable, |txn| {
            txn.set_image_name(&name, &id)?;
            txn.add_event(&Self::event("image", "tag", id.as_str(), &name))
        })?;
        self.write_index()?;
        drop(lock);
        Ok(())
    }
}
