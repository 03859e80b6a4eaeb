//! Removing names and images.

use ctr_state::record::{ImageRecord, OpKind};
use ctr_state::{Grade, StoreError};
use ctr_types::Digest;

use super::ImageError;
use super::bring_in::empty_trash;
use crate::steps::RemoveImageStep;
use crate::{Engine, EngineError};

/// What a removal has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedImage {
    /// Names taken away.
    pub untagged: Vec<String>,
    /// The image, if it is gone.
    pub deleted: Option<Digest>,
}

impl Engine {
    /// Removes the name `text`, and with an image's last name the image. With `force`, every name and every container made
    /// from it goes too.
    ///
    /// # Errors
    /// When there is no such image, or, without `force`, containers were made from it or it has more names than were said.
    pub fn remove_image(&self, text: &str, force: bool) -> Result<RemovedImage, EngineError> {
        let (id, name) = self.find_image(text)?;
        let not_found = || StoreError::NotFound {
            kind: "image",
            text: text.to_owned(),
        };
        let record = self.look(|store| store.image(&id))?.ok_or_else(not_found)?;
        let untagged = match name {
            // One of several names: the image stays.
            Some(name) if record.names.len() > 1 => return self.untag(&record, name),
            None if record.names.len() > 1 && !force => {
                let image = text.to_owned();
                return Err(ImageError::SeveralNames {
                    image,
                    names: record.names,
                }
                .into());
            }
            Some(_) | None => record.names.clone(),
        };
        if force {
            let containers = self.look(|store| store.containers_of_image(&id))?;
            for container in containers {
                match self
                    .container(container.as_str())
                    .and_then(|container| container.remove(true))
                {
                    Err(error) if error.kind() == crate::ErrorKind::NotFound => {}
                    other => other?,
                }
            }
        }
        self.delete_image(&record)?;
        Ok(RemovedImage {
            untagged,
            deleted: Some(id),
        })
    }

    fn untag(&self, record: &ImageRecord, name: String) -> Result<RemovedImage, EngineError> {
        let lock = self.lock_images()?;
        self.transact(Grade::Durable, |txn| {
            txn.remove_image_name(&name)?;
            txn.add_event(&Self::event("image", "untag", record.id.as_str(), &name))
        })?;
        self.write_index()?;
        drop(lock);
        Ok(RemovedImage {
            untagged: vec![name],
            deleted: None,
        })
    }

    fn delete_image(&self, record: &ImageRecord) -> Result<(), EngineError> {
        let operation = self.begin(OpKind::RemoveImage, None)?;
        let op = &operation.record.id;
        let lock = self.lock_images()?;
        let name = record.names.first().map_or("", String::as_str);
        let outcome = self
            .options
            .hooks
            .run(RemoveImageStep::ALL, |step| match step {
                // Durable before any file goes: an image whose files are gone must not come back with the power.
                RemoveImageStep::Claim => self.transact(Grade::Durable, |txn| {
                    txn.delete_image(&record.id)?;
                    txn.begin_op(&operation.record)?;
                    txn.add_event(&Self::event("image", "remove", record.id.as_str(), name))
                }),
                RemoveImageStep::Trash => self.sweep(op),
                RemoveImageStep::WriteIndex => self.write_index(),
                RemoveImageStep::EmptyTrash => empty_trash(self, op),
                RemoveImageStep::Finish => self.transact(Grade::Volatile, |txn| txn.finish_op(op)),
            });
        drop(lock);
        // After the claim the image is gone whatever happens; what is left stays in the journal.
        outcome?;
        Ok(operation.lock.remove()?)
    }
}
