//! Images: bringing them in, naming, listing and removing them.
//!
//! What an image is made of lies under names that are digests, and appears there by rename only when all of it is on the
//! disk. Whoever publishes or removes such names holds the images' lock; whatever has a name and no row in the database was
//! left by a dead command and is thrown away.

mod bring_in;
mod import;
mod list;
mod load;
mod remove;
mod sweep;

use std::collections::BTreeMap;

use ctr_image::archive::ArchiveError;
use ctr_image::blobs::BlobStore;
use ctr_image::config::ConfigError;
use ctr_image::manifest::ManifestError;
use ctr_image::reference::ReferenceError;
use ctr_state::StoreError;
use ctr_storage::archive::ApplyError;
use ctr_types::config::HealthCheck;
use ctr_types::{Digest, Signal};

pub(crate) use bring_in::Staged;
pub use ctr_image::config::ImageConfig;
pub use ctr_image::reference::ImageReference;
pub use ctr_state::record::ImageRecord;
pub use import::ImportRequest;
pub use list::ImageSummary;
pub use load::{LoadSource, LoadedImage};
pub use remove::RemovedImage;

use crate::{Engine, EngineError, ErrorKind};

/// What can go wrong with images.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A name.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A configuration or a change of one.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An archive of images.
    #[error("load {path}")]
    Archive {
        /// Where it came from.
        path: String,
        /// What is wrong with it.
        source: ArchiveError,
    },
    /// A manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A layer cannot be unpacked.
    #[error("unpack {what}")]
    Unpack {
        /// The layer.
        what: String,
        /// The entry and what is wrong with it.
        source: ApplyError,
    },
    /// A layer cannot be read.
    #[error("read {what}")]
    Read {
        /// The layer or file.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// The content is not what it is said to be.
    #[error(
        "{what} is not what its digest says: expected {expected}, found {found}; get the archive again"
    )]
    WrongDigest {
        /// The layer.
        what: String,
        /// As said.
        expected: Digest,
        /// As read.
        found: Digest,
    },
    /// Somebody has removed a layer that was to be shared.
    #[error("layer {0} was removed by another command meanwhile: try again")]
    LayerRemoved(Digest),
    /// It has several names.
    #[error("image {image} has several names ({}): remove those, or use force", names.join(", "))]
    SeveralNames {
        /// The image.
        image: String,
        /// The names.
        names: Vec<String>,
    },
}

impl ImageError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Reference(_)
            | Self::Config(_)
            | Self::Archive { .. }
            | Self::Manifest(_)
            | Self::WrongDigest { .. } => ErrorKind::Invalid,
            Self::Unpack { .. } | Self::Read { .. } => ErrorKind::System,
            Self::LayerRemoved(_) => ErrorKind::Conflict,
            Self::SeveralNames { .. } => ErrorKind::InUse,
        }
    }
}

impl From<ReferenceError> for EngineError {
    fn from(error: ReferenceError) -> Self {
        ImageError::from(error).into()
    }
}

impl From<ConfigError> for EngineError {
    fn from(error: ConfigError) -> Self {
        ImageError::from(error).into()
    }
}

impl From<ManifestError> for EngineError {
    fn from(error: ManifestError) -> Self {
        ImageError::from(error).into()
    }
}

/// What containers take over from an image.
#[derive(Clone, Debug)]
pub struct ImageDetails {
    /// Digest of the configuration.
    pub id: Digest,
    /// The name it was found by, or its short id.
    pub name: String,
    /// Diff ids of the layers, lowest first.
    pub layers: Vec<Digest>,
    /// What containers start with when nothing else is said.
    pub defaults: ImageDefaults,
}

/// What containers start with when nothing else is said.
#[derive(Clone, Debug, Default)]
pub struct ImageDefaults {
    /// Entrypoint.
    pub entrypoint: Vec<String>,
    /// Command.
    pub command: Vec<String>,
    /// Environment.
    pub env: Vec<String>,
    /// Working directory.
    pub workdir: String,
    /// `user[:group]`.
    pub user: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The signal `stop` sends first.
    pub stop_signal: Option<Signal>,
    /// Absolute paths of its volumes.
    pub volumes: Vec<String>,
    /// How their health is checked.
    pub health: Option<HealthCheck>,
}

impl Engine {
    pub(crate) fn blobs(&self) -> Result<BlobStore, EngineError> {
        Ok(BlobStore::open(&self.roots.images())?)
    }

    /// The image that `text` means, and the kept name it was found by, if it was by name.
    pub(crate) fn find_image(&self, text: &str) -> Result<(Digest, Option<String>), EngineError> {
        let reference: Result<ImageReference, _> = text.parse();
        if let Ok(reference) = &reference {
            for name in reference.candidates() {
                if let Some(id) = self.look(|store| store.image_named(&name))? {
                    return Ok((id, Some(name)));
                }
            }
            if let Some(digest) = &reference.digest {
                let of_manifest = self
                    .look(ctr_state::Store::images)?
                    .into_iter()
                    .find(|image| image.manifest == *digest);
                if let Some(image) = of_manifest {
                    return Ok((image.id, None));
                }
            }
        }
        match (self.look(|store| store.image_by_id(text)), reference) {
            (Ok(id), _) => Ok((id, None)),
            // What is no name at all is told so, not that there is no such image.
            (Err(StoreError::NotFound { .. }), Err(error)) => Err(error.into()),
            (Err(error), _) => Err(error.into()),
        }
    }

    /// What a container takes over from the image that `text` means.
    ///
    /// # Errors
    /// When there is no such image, or its configuration is damaged.
    pub fn image_details(&self, text: &str) -> Result<ImageDetails, EngineError> {
        let (id, name) = self.find_image(text)?;
        let config = ImageConfig::parse(&self.blobs()?.read_small(&id)?)?;
        let stop_signal = config.stop_signal()?;
        let health = config.health()?;
        let run = config.config;
        Ok(ImageDetails {
            name: name.unwrap_or_else(|| id.hex().chars().take(12).collect()),
            id,
            layers: config.rootfs.diff_ids,
            defaults: ImageDefaults {
                entrypoint: run.entrypoint,
                command: run.cmd,
                env: run.env,
                workdir: run.working_dir,
                user: run.user,
                labels: run.labels,
                stop_signal,
                volumes: run.volumes.into_keys().collect(),
                health,
            },
        })
    }
}
