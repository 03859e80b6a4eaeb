//! Archives of images: what `docker save` writes (`manifest.json` beside layers), and an OCI layout in a tar or a directory.
//!
//! Members are read where they stand in the file and nowhere else: a name that leads outside, or a member that is a link to
//! the host, is never opened (reliability.md H24).

mod index;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use ctr_types::Digest;
use serde::Deserialize;

use self::index::{Place, Span, index};
use crate::blobs::SMALL;
use crate::config::{ConfigError, ImageConfig, host_architecture};
use crate::manifest::{self, Descriptor, Manifest, ManifestError, ManifestOrIndex};
use crate::reference::{ImageReference, ReferenceError};

/// How deep indexes may refer to indexes (reliability.md H27).
const MAX_DEPTH: u32 = 4;

/// Why an archive cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// It cannot be read.
    #[error("read the archive")]
    Io(#[from] io::Error),
    /// It holds no images.
    #[error(
        "it is neither a docker archive (manifest.json) nor an OCI archive or layout (oci-layout, index.json); \
         a root file system is brought in with `ctrs import`"
    )]
    NotAnArchive,
    /// A member is missing or not what it should be.
    #[error("member {name:?}: {rule}")]
    Member {
        /// The member.
        name: String,
        /// The rule.
        rule: &'static str,
    },
    /// Something in it is not JSON of the right form.
    #[error("member {name:?} is malformed")]
    Json {
        /// The member.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A name.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

/// Where the bytes come from.
#[derive(Debug)]
enum Source {
    Tar {
        file: File,
        members: BTreeMap<String, Place>,
    },
    Directory(Dir),
}

/// An archive that has been looked through.
#[derive(Debug)]
pub struct Archive {
    source: Source,
}

/// A layer in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedLayer {
    member: String,
    /// What the configuration says its tar's digest is.
    pub diff_id: Digest,
    /// What a manifest says its blob's digest and size are, if one does.
    pub blob: Option<(Digest, u64)>,
}

/// An image in an archive.
#[derive(Clone, Debug, PartialEq)]
pub struct ArchivedImage {
    /// Its configuration, byte for byte.
    pub config_json: Vec<u8>,
    /// And read.
    pub config: ImageConfig,
    /// Its layers, lowest first.
    pub layers: Vec<ArchivedLayer>,
    /// Its names.
    pub names: Vec<ImageReference>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Archive {
    /// Looks through an uncompressed tar.
    pub fn open_tar(file: File) -> Result<Self, ArchiveError> {
        let members = index(&file)?;
        Ok(Self {
            source: Source::Tar { file, members },
        })
    }

    /// Looks at a directory with an OCI layout.
    pub fn open_directory(path: &Path) -> Result<Self, ArchiveError> {
        let directory = Dir::open_ambient_dir(path, ambient_authority())?;
        if !directory.is_file("oci-layout") {
            return Err(ArchiveError::NotAnArchive);
        }
        Ok(Self {
            source: Source::Directory(directory),
        })
    }

    fn has(&self, name: &str) -> bool {
        match &self.source {
            Source::Tar { members, .. } => members.contains_key(name),
            Source::Directory(directory) => directory.is_file(name),
        }
    }

    /// Opens a member.
    fn open(&self, name: &str) -> Result<Box<dyn Read>, ArchiveError> {
        let wrong = |rule| ArchiveError::Member {
            name: name.chars().take(120).collect(),
            rule,
        };
        match &self.source {
            Source::Directory(directory) => {
                // The descriptor confines names and links to the layout; a FIFO must not hold us up.
                let mut options = OpenOptions::new();
                let nonblocking = rustix::fs::OFlags::NONBLOCK.bits();
                options.read(true).custom_flags(nonblocking.cast_signed());
                let opened = directory.open_with(name, &options);
                let file = opened.map_err(|error| {
                    if error.kind() == io::ErrorKind::NotFound {
                        return wrong("it is missing");
                    }
                    ArchiveError::Io(error)
                })?;
                if !file.metadata()?.is_file() {
                    return Err(wrong("it is not a file"));
                }
                Ok(Box::new(file))
            }
            Source::Tar { file, members } => {
                let mut at = name.to_owned();
                for _ in 0..8 {
                    match members.get(&at) {
                        None => return Err(wrong("it is missing")),
                        Some(Place::Link(target)) => target.clone_into(&mut at),
                        Some(Place::Span { offset, size }) => {
                            let file = file.try_clone()?;
                            return Ok(Box::new(Span {
                                file,
                                offset: *offset,
                                left: *size,
                            }));
                        }
                    }
                }
                Err(wrong("it is a loop of links"))
            }
        }
    }

    fn read_small(&self, name: &str) -> Result<Vec<u8>, ArchiveError> {
        let mut content = Vec::new();
        self.open(name)?.take(SMALL + 1).read_to_end(&mut content)?;
        if u64::try_from(content.len()).unwrap_or(u64::MAX) > SMALL {
            return Err(ArchiveError::Member {
                name: name.to_owned(),
                rule: "it is longer than 4 MiB",
            });
        }
        Ok(content)
    }

    /// Reads a layer.
    pub fn layer(&self, layer: &ArchivedLayer) -> Result<Box<dyn Read>, ArchiveError> {
        self.open(&layer.member)
    }

    /// The images in it.
    ///
    /// # Errors
    /// The first thing that is not as it should be; a hostile archive is refused whole.
    pub fn images(&self) -> Result<Vec<ArchivedImage>, ArchiveError> {
        if self.has("manifest.json") {
            return self.docker_images();
        }
        if self.has("oci-layout") && self.has("index.json") {
            return self.oci_images();
        }
        Err(ArchiveError::NotAnArchive)
    }

    fn docker_images(&self) -> Result<Vec<ArchivedImage>, ArchiveError> {
        let json = self.read_small("manifest.json")?;
        let images: Vec<DockerImage> =
            serde_json::from_slice(&json).map_err(|source| ArchiveError::Json {
                name: "manifest.json".into(),
                source,
            })?;
        let mut found = Vec::new();
        for image in images {
            let config_json = self.read_small(&image.config)?;
            check_name_digest(&image.config, &config_json)?;
            let config = ImageConfig::parse(&config_json)?;
            let names = image.repo_tags.unwrap_or_default();
            let names = names
                .iter()
                .map(|name| name.parse())
                .collect::<Result<_, _>>()?;
            let layers = pair_layers(
                &config,
                &image.config,
                image.layers.into_iter().map(|name| (name, None)),
            )?;
            found.push(ArchivedImage {
                config_json,
                config,
                layers,
                names,
            });
        }
        Ok(found)
    }

    fn oci_images(&self) -> Result<Vec<ArchivedImage>, ArchiveError> {
        let json = self.read_small("index.json")?;
        let ManifestOrIndex::Index(index) = manifest::parse(&json)? else {
            return Err(ArchiveError::Member {
                name: "index.json".into(),
                rule: "it is no index",
            });
        };
        let mut found = Vec::new();
        for descriptor in &index.manifests {
            let name = descriptor
                .annotations
                .as_ref()
                .and_then(|notes| {
                    notes
                        .get("io.containerd.image.name")
                        .or_else(|| notes.get("org.opencontainers.image.ref.name"))
                })
                // A name that is only a tag, as some tools write it, names nothing by itself.
                .filter(|name| name.contains('/') || name.contains(':'));
            let names = name
                .map(|name| name.parse())
                .transpose()?
                .into_iter()
                .collect();
            if let Some(manifest) = self.select(descriptor, 1)? {
                found.push(self.oci_image(&manifest, names)?);
            }
        }
        Ok(found)
    }

    /// The manifest that a descriptor refers to; of an index, that for this host.
    fn select(
        &self,
        descriptor: &Descriptor,
        depth: u32,
    ) -> Result<Option<Manifest>, ArchiveError> {
        let member = blob_member(&descriptor.digest);
        if depth > MAX_DEPTH {
            return Err(ArchiveError::Member {
                name: member,
                rule: "indexes are nested too deep",
            });
        }
        match manifest::parse(&self.read_blob(descriptor)?)? {
            ManifestOrIndex::Manifest(manifest) => Ok(Some(manifest)),
            ManifestOrIndex::Index(index) => {
                let ours = |platform: &manifest::Platform| {
                    platform.os == "linux" && platform.architecture == host_architecture()
                };
                let chosen = index
                    .manifests
                    .iter()
                    .find(|entry| entry.platform.as_ref().is_some_and(ours))
                    .or_else(|| {
                        index
                            .manifests
                            .iter()
                            .find(|entry| entry.platform.is_none())
                    });
                chosen.map_or(Ok(None), |entry| self.select(entry, depth + 1))
            }
        }
    }

    fn read_blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ArchiveError> {
        let name = blob_member(&descriptor.digest);
        let content = self.read_small(&name)?;
        let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
        if Digest::of(&content) != descriptor.digest || size != descriptor.size {
            return Err(ArchiveError::Member {
                name,
                rule: "its content is not what its digest and size say",
            });
        }
        Ok(content)
    }

    fn oci_image(
        &self,
        manifest: &Manifest,
        names: Vec<ImageReference>,
    ) -> Result<ArchivedImage, ArchiveError> {
        let config_json = self.read_blob(&manifest.config)?;
        let config = ImageConfig::parse(&config_json)?;
        let layers = manifest.layers.iter().map(|layer| {
            (
                blob_member(&layer.digest),
                Some((layer.digest.clone(), layer.size)),
            )
        });
        let layers = pair_layers(&config, manifest.config.digest.as_str(), layers)?;
        Ok(ArchivedImage {
            config_json,
            config,
            layers,
            names,
        })
    }
}

fn blob_member(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A configuration named by a digest must have it.
fn check_name_digest(name: &str, content: &[u8]) -> Result<(), ArchiveError> {
    let stem = name.rsplit('/').next().unwrap_or(name);
    let stem = stem.strip_suffix(".json").unwrap_or(stem);
    match Digest::from_hex(stem) {
        Ok(digest) if digest != Digest::of(content) => Err(ArchiveError::Member {
            name: name.to_owned(),
            rule: "its content is not what its name's digest says",
        }),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The layers with the diff ids that the configuration gives them, one each (reliability.md H23).
fn pair_layers(
    config: &ImageConfig,
    name: &str,
    layers: impl ExactSizeIterator<Item = (String, Option<(Digest, u64)>)>,
) -> Result<Vec<ArchivedLayer>, ArchiveError> {
    let diff_ids = &config.rootfs.diff_ids;
    if layers.len() != diff_ids.len() {
        return Err(ArchiveError::Member {
            name: name.to_owned(),
            rule: "the numbers of layers and of diff ids differ",
        });
    }
    Ok(layers
        .zip(diff_ids)
        .map(|((member, blob), diff_id)| ArchivedLayer {
            member,
            diff_id: diff_id.clone(),
            blob,
        })
        .collect())
}
